"""The sheet of a map: projection, figure, window, the places of its parts, and its file."""

import io
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aqreanalysis.atomic import atomic_file
from aqreanalysis.maps.natural_earth import Region

#: Left, bottom, width and height, or margins, in inches or as shares of a figure.
Rectangle = tuple[float, float, float, float]

DPI = 150
#: 1600 pixels.
WIDTH_IN = 1600 / DPI
#: Left of the map: latitudes. Right of it: the colour bar with its numbers and label.
LEFT_IN, RIGHT_IN = 0.85, 1.4
#: Above the map: two lines of title. Below it: longitudes.
TOP_IN, LABELS_IN = 0.85, 0.32
#: On sides without any of these.
PLAIN_IN = 0.2
#: Between maps beside each other, and above each for its title.
PANEL_GAP_IN, PANEL_TITLE_IN = 0.18, 0.34
#: Share of a map that an inset takes at most, and its distance from the edges.
INSET_SHARE, INSET_GAP_IN = 0.38, 0.1
#: The same of a narrow figure, with the colour bar below.
_NARROW_LEFT_IN, _NARROW_RIGHT_IN, _NARROW_TOP_IN, _NARROW_BAR_IN = 0.62, 0.2, 0.1, 0.66
_NARROW_SHAPE = 1.35
#: Width over height between which a map is drawn as it is; others get more surroundings.
_NARROWEST, _WIDEST = 0.85, 2.3
#: Regions smaller than this, in degrees of a great circle, are drawn in Mercator.
_SMALL_DEG = 12.0
#: Text sizes in points, for 1600 pixels.
TITLE_PT, SUBTITLE_PT, TEXT_PT, SMALL_PT = 15, 11.5, 10, 8.5
#: Formats by suffix, with metadata that would make the same map differ each time.
_FORMATS: dict[str, dict[str, None]] = {
    ".png": {},
    ".pdf": {"CreationDate": None, "ModDate": None},
    ".svg": {"Date": None},
}


class MapFigure(Figure):
    """A figure that shows itself in notebooks without pyplot, which would keep it in memory."""

    def draw(self, renderer: Any) -> None:
        """Draw it; of signs that no font here has, the log has said so (`legend.families`)."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the picture, for a notebook's cell."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=100)
        return picture.getvalue()


@dataclass(frozen=True)
class Frame:
    """A figure with its map, and the window that can be seen, corners included, in degrees.

    The axes are cartopy's GeoAxes; those of the caller's (``given``), and maps without a bar, have
    no place for a colour bar.
    """

    figure: Figure
    axes: Any
    colour_bar: Axes | None
    window: Region
    given: bool = False

    @property
    def projection(self) -> Any:
        """The projection of the map."""
        return self.axes.projection

    @property
    def extent(self) -> Region:
        """Western, eastern, southern and northern edge in the units of the projection."""
        return (*self.axes.get_xlim(), *self.axes.get_ylim())

    def shares(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far across and up the map positions in degrees lie, from 0 to 1 on it."""
        x, y = project(self.projection, longitude, latitude)
        west, east, south, north = self.extent
        return (x - west) / (east - west), (y - south) / (north - south)

    @property
    def unit_pt(self) -> float:
        """Points on paper for one unit of the projection."""
        west, east, south, north = self.extent
        box = self.axes.get_position()
        width, height = self.figure.get_size_inches()
        return 72 * min(box.width * width / (east - west), box.height * height / (north - south))


def projection_for(region: Region) -> Any:
    """Return the cartopy projection that suits a region, centred on it.

    Mercator, true to scale at the middle, up to 12 degrees: straight meridians and parallels as
    in PlateCarree, but shapes and the scale bar are right. Lambert's conformal conic for
    continents, polar stereographic around a pole, PlateCarree for the tropics and the globe.

    Examples
    --------
    >>> [type(projection_for(region)).__name__ for region in (
    ...     (115.0, 118.0, 39.0, 41.0), (-125.0, -66.0, 24.0, 50.0), (-180.0, 180.0, -60.0, 80.0))]
    ['Mercator', 'LambertConformal', 'PlateCarree']
    """
    import cartopy.crs as ccrs

    west, east, south, north = region
    width, height = east - west, north - south
    centre, middle = (west + east) / 2, (south + north) / 2
    centre = (centre + 180) % 360 - 180
    if abs(middle) > 60 and (width > 90 or max(abs(south), abs(north)) > 86):
        pole = ccrs.NorthPolarStereo if middle > 0 else ccrs.SouthPolarStereo
        return pole(central_longitude=centre)
    if max(height, width * np.cos(np.radians(middle))) <= _SMALL_DEG and abs(middle) < 72:
        return ccrs.Mercator(central_longitude=centre, latitude_true_scale=middle)
    if width > 150 or south * north < 0 or abs(middle) < 20:
        return ccrs.PlateCarree(central_longitude=centre)
    return ccrs.LambertConformal(
        central_longitude=centre,
        central_latitude=middle,
        standard_parallels=(south + height / 6, north - height / 6),
        cutoff=-30 if middle > 0 else 30,
    )


def project(
    projection: Any, longitude: np.ndarray, latitude: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of positions in degrees, near the centre of the projection.

    A longitude of exactly 180 degrees from the centre stays on its side of the map.
    """
    from cartopy.crs import PlateCarree

    centre = centre_of(projection)
    offset = np.asarray(longitude, np.float64) - centre
    offset = np.where(np.abs(offset) > 180 + 1e-6, (offset + 180) % 360 - 180, offset)
    offset = np.clip(offset, -180 + 1e-7, 180 - 1e-7)
    latitude = np.broadcast_to(np.asarray(latitude, np.float64), offset.shape)
    points = projection.transform_points(PlateCarree(), centre + offset, latitude)
    return points[..., 0], points[..., 1]


def centre_of(projection: Any) -> float:
    """Return the central longitude of a projection."""
    parameters = projection.proj4_params
    # cartopy writes PlateCarree as degrees from a prime meridian.
    return float(parameters.get("lon_0", parameters.get("pm", 0.0)))


def new_frame(region: Region, *, title: bool = True, bar: bool = True) -> Frame:
    """Make a figure, 1600 pixels wide, with an empty map of the region and its colour bar.

    Without title or bar there is no room for them.
    """
    return _empty_frame(
        region,
        WIDTH_IN,
        margins=(
            LEFT_IN,
            RIGHT_IN if bar else PLAIN_IN,
            LABELS_IN,
            TOP_IN if title else PLAIN_IN,
        ),
        bar=(lambda width, height: (LEFT_IN + width + 0.26, LABELS_IN, 0.2, height))
        if bar
        else None,
        narrowest=_NARROWEST,
    )


def panel_frames(
    region: Region, number: int, columns: int, *, title: bool, bar: bool
) -> list[Frame]:
    """Make a figure with several maps of a region, row by row, and one place for colour bars.

    The first frame has it.
    """
    projection = projection_for(region)
    extent = _extent(projection, region, narrowest=_NARROWEST)
    rows = -(-number // columns)
    right, above = RIGHT_IN if bar else PLAIN_IN, TOP_IN if title else PLAIN_IN
    wide = (WIDTH_IN - LEFT_IN - right - (columns - 1) * PANEL_GAP_IN) / columns
    high = wide * (extent[3] - extent[2]) / (extent[1] - extent[0])
    height_in = LABELS_IN + rows * (high + PANEL_TITLE_IN) + above
    figure = MapFigure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    frames = []
    for place in range(number):
        row, column = divmod(place, columns)
        left = LEFT_IN + column * (wide + PANEL_GAP_IN)
        bottom = LABELS_IN + (rows - 1 - row) * (high + PANEL_TITLE_IN)
        box = (left / WIDTH_IN, bottom / height_in, wide / WIDTH_IN, high / height_in)
        axes = figure.add_axes(box, projection=projection)
        frames.append(_framed(axes, None, extent))
    if bar:
        left, high = WIDTH_IN - right + 0.26, height_in - LABELS_IN - above - PANEL_TITLE_IN
        box = (left / WIDTH_IN, LABELS_IN / height_in, 0.2 / WIDTH_IN, high / height_in)
        frames[0] = replace(frames[0], colour_bar=figure.add_axes(box))
    return frames


def enlargement(frame: Frame, region: Region) -> float:
    """Return how much larger a region is in its inset than on the map."""
    west, east, south, north = frame.extent
    left, right, bottom, top = _extent(frame.projection, region, narrowest=None)
    return INSET_SHARE * min((east - west) / (right - left), (north - south) / (top - bottom))


def inset_frame(frame: Frame, region: Region, corner: tuple[int, int]) -> Frame:
    """Make a frame for a part of a map in one of its corners: (0, 0) is left and below.

    It has the map's projection, and is as wide or as high as `INSET_SHARE` of it.
    """
    extent = _extent(frame.projection, region, narrowest=None)
    box = frame.axes.get_position(original=True)
    figure_width, figure_height = frame.figure.get_size_inches()
    shape = (extent[1] - extent[0]) / (extent[3] - extent[2])
    width_in = INSET_SHARE * min(box.width * figure_width, box.height * figure_height * shape)
    wide, high = width_in / figure_width, width_in / shape / figure_height
    x_gap, y_gap = INSET_GAP_IN / figure_width, INSET_GAP_IN / figure_height
    left = box.x1 - wide - x_gap if corner[0] else box.x0 + x_gap
    bottom = box.y1 - high - y_gap if corner[1] else box.y0 + y_gap
    axes = frame.figure.add_axes((left, bottom, wide, high), projection=frame.projection)
    return _framed(axes, None, extent)


def narrow_frame(region: Region, width_in: float) -> Frame:
    """Make a figure for a page: an empty map with its colour bar below, and no titles."""
    return _empty_frame(
        region,
        width_in,
        margins=(
            _NARROW_LEFT_IN,
            _NARROW_RIGHT_IN,
            LABELS_IN + _NARROW_BAR_IN,
            _NARROW_TOP_IN,
        ),
        bar=lambda width, height: (_NARROW_LEFT_IN, 0.47, width, 0.13),
        narrowest=_NARROW_SHAPE,
    )


def _empty_frame(
    region: Region,
    width_in: float,
    *,
    margins: Rectangle,
    bar: Callable[[float, float], Rectangle] | None,
    narrowest: float,
) -> Frame:
    """Make a figure with an empty map.

    Margins are left, right, below and above; ``bar`` gives left, bottom, width and height of the
    colour bar from width and height of the map; all in inches.
    """
    projection = projection_for(region)
    extent = _extent(projection, region, narrowest=narrowest)
    left, right, below, above = margins
    map_width = width_in - left - right
    map_height = map_width * (extent[3] - extent[2]) / (extent[1] - extent[0])
    height_in = above + map_height + below
    figure = MapFigure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")

    def share(box: Rectangle) -> Rectangle:
        return box[0] / width_in, box[1] / height_in, box[2] / width_in, box[3] / height_in

    axes = figure.add_axes(share((left, below, map_width, map_height)), projection=projection)
    place = None if bar is None else figure.add_axes(share(bar(map_width, map_height)))
    return _framed(axes, place, extent)


def frame_in(axes: Any, region: Region) -> Frame:
    """Return the frame of a region in axes of the caller's.

    Raises
    ------
    TypeError
        If they are not cartopy's.
    """
    from cartopy.mpl.geoaxes import GeoAxes

    if not isinstance(axes, GeoAxes):
        raise TypeError(
            f"axes must be a cartopy GeoAxes; found {type(axes).__name__}. Make them with "
            "figure.add_subplot(projection=cartopy.crs.PlateCarree())"
        )
    return replace(
        _framed(axes, None, _extent(axes.projection, region, narrowest=None)), given=True
    )


def lay_out(frame: Frame, below_in: float) -> None:
    """Make room below the map, and move everything that is placed above it."""
    width, height = frame.figure.get_size_inches()
    taller = height + below_in
    frame.figure.set_size_inches(width, taller)
    for axes in frame.figure.axes:
        box = axes.get_position(original=True)
        bottom = (box.y0 * height + below_in) / taller
        axes.set_position((box.x0, bottom, box.width, box.height * height / taller))


def _framed(axes: Any, bar: Axes | None, extent: Region) -> Frame:
    """Return the frame of an extent in the units of the projection."""
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    return Frame(axes.figure, axes, bar, _window(axes.projection, extent))


def _extent(projection: Any, region: Region, *, narrowest: float | None) -> Region:
    """Return the box around a region, in the units of the projection, of a pleasant shape.

    None leaves the region's own shape.
    """
    west, east, south, north = region
    east = min(east, west + 360)
    longitude, latitude = np.meshgrid(np.linspace(west, east, 61), np.linspace(south, north, 61))
    x, y = project(projection, longitude, latitude)
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    left, right, bottom, top = x.min(), x.max(), y.min(), y.max()
    if narrowest is not None:
        extra = max(0.0, narrowest * (top - bottom) - (right - left)) / 2
        left, right = left - extra, right + extra
        extra = max(0.0, (right - left) / _WIDEST - (top - bottom)) / 2
        bottom, top = bottom - extra, top + extra
    x_low, x_high = projection.x_limits
    y_low, y_high = projection.y_limits
    return (
        float(max(left, x_low)),
        float(min(right, x_high)),
        float(max(bottom, y_low)),
        float(min(top, y_high)),
    )


def _window(projection: Any, extent: Region) -> Region:
    """Return west, east, south, north of all that is visible in an extent."""
    from cartopy.crs import PlateCarree

    x, y = np.meshgrid(np.linspace(*extent[:2], 61), np.linspace(*extent[2:], 61))
    degrees = PlateCarree().transform_points(projection, x, y)
    longitude, latitude = degrees[..., 0], degrees[..., 1]
    seen = np.isfinite(longitude) & np.isfinite(latitude)
    centre = centre_of(projection)
    offset = (longitude[seen] - centre + 180) % 360 - 180
    west, east = float(offset.min()), float(offset.max())
    if east - west > 300:
        west, east = -180.0, 180.0
    return centre + west, centre + east, float(latitude[seen].min()), float(latitude[seen].max())


def save_map(figure: Figure, path: str | Path) -> Path:
    """Write a map to a file, under a temporary name until it is complete.

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
    except zlib.error as error:  # what compression in a PDF makes of a full disk
        raise OSError(f"cannot write the map {path}: is the disk full? ({error})") from error
    except OSError as error:
        raise OSError(f"cannot write the map {path}: {error.strerror or error}") from error
    return path
