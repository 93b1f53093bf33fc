"""How the pages of this folder become HTML: ``make docs``."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "aqreanalysis"
author = "The aqreanalysis developers"
release = version = version_of("aqreanalysis")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "command_pages",
    "equations",
    "gallery_pages",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["extensions", "gallery/*.py", "pictures"]
html_theme = "alabaster"
html_theme_options = {
    "code_font_size": "0.8em",
    "description": "From stations to complete fields",
    "page_width": "70em",
}
html_math_renderer = "mathml"

# Docstrings are numpydoc's; a name in single backticks is linked if it has a page.
default_role = "py:obj"
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # types are in the docstrings, as a reader writes them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True
