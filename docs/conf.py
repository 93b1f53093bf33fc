"""How the pages of this folder become HTML: ``make docs``."""

from importlib.metadata import version as version_of

project = "aqreanalysis"
author = "The aqreanalysis developers"
release = version = version_of("aqreanalysis")
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["pictures"]
html_theme = "alabaster"
html_theme_options = {"description": "From stations to complete fields", "page_width": "60em"}
