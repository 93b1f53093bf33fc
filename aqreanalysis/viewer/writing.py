"""The viewer as a file: a page with its script, its libraries and its contents, written whole."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import xarray as xr

from aqreanalysis.report.page import check_report_target, render_page, write_page
from aqreanalysis.viewer.contents import contents_of, view_of

_FOLDER = Path(__file__).parent
#: Leaflet draws the map and uPlot the series: https://leafletjs.com and its licence beside it, and
#: https://github.com/leeoniya/uPlot.
_LIBRARIES = ("leaflet", "uplot")
#: A link to a file that helps to debug a library, which the page has not.
_MAP_OF_SOURCE = "//# sourceMappingURL="


def write_viewer(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    observations: xr.Dataset | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    limits: tuple[float, float] | None = None,
    time_zone: str | None = None,
    title: str | None = None,
    overwrite: bool = True,
    progress: bool = True,
) -> Path:
    """Write a product as one page to look through: a map of each hour, and series of each place.

    The page contains all that it shows and asks no network. Its map has coasts, borders and
    cities; a slider and the arrow keys choose the hour, the space bar plays; a click on a cell or a
    station draws its series with the interval of 90 %. A week of 100 x 230 cells takes less than
    10 MB; of larger products every second, third, up to sixth cell in either direction is shown,
    and the page says so.

    Parameters
    ----------
    product : Dataset
        On a grid or at stations, with an hour or more; lazy ones are computed once. Observations
        can be viewed too.
    path : str or Path
        Ends in ``.html``. The file appears under this name when it is complete.
    layers : sequence of str, optional
        Names of layers to choose from on the page; by default values, standard errors, flags,
        probabilities, the index and the distance to stations, as far as the product has them. Draws
        are layers such as "pm25_draw_0", to be chosen by name.
    observations : Dataset, optional
        ``(station, time)``, to draw over a grid and into the series of its stations.
    hidden : Dataset or iterable of str, optional
        Stations that the method did not see, drawn as diamonds: a Dataset with or without values,
        or identifiers of stations that are shown.
    limits : tuple of float, optional
        Of the colours of pollutants, in their units; by default round numbers that hold nearly all
        values of all hours.
    time_zone : str, optional
        Of the local time beside UTC, such as "Asia/Shanghai"; by default whole hours by the
        longitude in the middle of the map, unless it is too wide to have one.
    title : str, optional
        Instead of the product's own.
    overwrite : bool
        Whether a file of that name may be replaced.
    progress : bool
        Whether to show a bar while layers are computed.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ViewerError
        A ValueError: the product is too large, has no value or no such layer, or observations are
        of other hours or stations, or a hidden station is unknown.
    ValueError
        If the path does not end in ``.html``, or there is no such time zone.
    aqreanalysis.product.ProductError
        If the product has neither a grid nor stations.
    aqreanalysis.atomic.WriteError
        If the file cannot be written.

    Examples
    --------
    >>> import aqreanalysis as aqr, tempfile
    >>> obs = aqr.synthetic_network(hours=6, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_viewer(product, f"{folder}/viewer.html", observations=obs)
    ...     path.stat().st_size < 500_000
    True
    """
    target = check_report_target(path, overwrite=overwrite, what="viewer")
    view = view_of(product, layers)
    content = contents_of(
        view,
        observations=observations,
        hidden=hidden,
        limits=limits,
        time_zone=time_zone,
        progress=progress,
    )
    heading = title or str(view.whole.attrs.get("title") or view.layers[0].title)
    return write_page(_rendered(heading, content), target)


def _rendered(title: str, content: dict[str, object]) -> str:
    """Return the page."""
    scripts = [_text(f"vendor/{name}.js").split(_MAP_OF_SOURCE)[0] for name in _LIBRARIES]
    styles = [_text(f"vendor/{name}.css") for name in _LIBRARIES]
    licences = [_text(f"vendor/{name}.LICENSE.txt") for name in _LIBRARIES]
    return render_page(
        "viewer.html",
        {
            "title": title,
            "content": content,
            "scripts": [*scripts, _text("viewer.js")],
            "styles": [*styles, _text("viewer.css")],
            "licences": licences,
        },
        room="viewer",
    )


def _text(name: str) -> str:
    """Return a file of this folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")
