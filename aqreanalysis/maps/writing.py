"""Maps as files: whole or not at all."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from aqreanalysis.atomic import atomic_file
from aqreanalysis.maps.frame import DPI

#: Formats by suffix, with metadata that would make the same map differ each time.
_FORMATS: dict[str, dict[str, None]] = {
    ".png": {},
    ".pdf": {"CreationDate": None, "ModDate": None},
    ".svg": {"Date": None},
}


def save_map(figure: Figure, path: str | Path) -> Path:
    """Return the path of the map; the file appears when it is whole.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        Ends in .png (1600 pixels wide), .pdf or .svg. A file of that name is replaced.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the suffix is none of these.
    OSError
        If the folder is missing or cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_map(Figure(), Path(folder, "map.png")).name
    'map.png'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f"a map is written as {', '.join(_FORMATS)}; found {path.name!r}. Change its ending."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for the map {path.name}; make it first")
    try:
        with atomic_file(path) as partial, matplotlib.rc_context({"svg.hashsalt": path.stem}):
            figure.savefig(partial, dpi=DPI, format=suffix[1:], metadata=_FORMATS[suffix])
    except OSError as error:
        raise OSError(f"cannot write the map {path}: {error.strerror or error}") from error
    return path
