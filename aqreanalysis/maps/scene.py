"""What a map shows, before it is drawn: a layer of a product or of stations, and its words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis.conventions import MINIMUM_CAPTURE, POLLUTANTS, REFERENCE, STATION, TIME
from aqreanalysis.maps.colours import Colours, kind_of, says_difference
from aqreanalysis.maps.frame import Frame
from aqreanalysis.maps.layers import (
    Cells,
    Classes,
    Stations,
    What,
    cells_of,
    check_dims,
    check_what,
    classes_of,
    error_correlation,
    mapped_variable,
    measured_variable,
    select_draw,
    stations_of,
    with_single_flags,
)
from aqreanalysis.maps.legend import Words, units_of, words_for
from aqreanalysis.maps.marks import Mesh, on_map, visible_meshes
from aqreanalysis.maps.period import MapError, Period, Time, clock, select_period, select_start
from aqreanalysis.maps.style import Style
from aqreanalysis.observations import default_variable

#: The error of a period, where it is known how errors of hours are correlated.
ERROR_OF_MEAN = "standard error of the mean"
#: What a caption says of a period's errors: of the mean of hourly ones, and of that of the mean.
_ON_ERRORS = (
    "The error of the mean itself is smaller: the product does not state how errors of hours are "
    "correlated",
    "Errors of hours are correlated as at stations left out",
)


@dataclass(frozen=True)
class Request:
    """Which part of a product or of observations a map shows."""

    variable: str | None = None
    time: Time | None = None
    what: What = "value"
    start: Time | None = None
    draw: int | None = None


@dataclass(frozen=True)
class Scene:
    """What a map shows: a field, stations or both, of some hours.

    Attributes
    ----------
    layer : DataArray
        The variable that is drawn, with its attributes.
    coloured : bool
        Whether stations have the colours of the field.
    reference : datetime64 or None
        When the outlook begins, where it is one.
    error : str
        What the standard error is called: that of a mean, or a mean of the hourly ones.
    extra : tuple of str
        What else the title says, such as "outlook" or the number of a draw.
    """

    layer: xr.DataArray
    what: What
    period: Period
    cells: Cells | None
    stations: Stations
    words: Words
    units: str
    method: str
    coloured: bool
    reference: np.datetime64 | None
    error: str
    extra: tuple[str, ...]

    @property
    def classes(self) -> Classes | None:
        """The classes of the layer, if it has some."""
        return classes_of(self.layer) if self.what == "value" else None

    def described(self, colours: Colours) -> Words:
        """Return title and label of the bar, with what the values are: an outlook, differences."""
        title, label = self.words.title, self.words.label
        if colours.kind == "difference" and not says_difference(title):
            title, label = f"Difference of {title}", f"Difference of {label}"
        return Words(f"{title}: {', '.join(self.extra)}" if self.extra else title, label)

    def subtitle(self, zone: str | None = None) -> str:
        """Return the period, how it is summed up, and how far ahead an outlook is."""
        said = self.period.words("mean" if self.classes is None else "most frequent class", zone)
        return ", ".join(filter(None, (said, self.ahead())))

    def ahead(self) -> str:
        """Return when an outlook begins and how far ahead it is, in words; nothing of others."""
        if self.reference is None or not self.period.labels.size:
            return ""
        hours = (self.period.labels[[0, -1]] - self.reference) / np.timedelta64(1, "h")
        lead = " to ".join(f"+{hour:g}" for hour in hours[: self.period.labels.size])
        return f"{lead} h of the outlook from {clock(self.reference)} UTC"

    def region(self) -> tuple[float, float, float, float]:
        """Return the extent of the field, or else of the stations."""
        return self.stations.region() if self.cells is None else self.cells.region()

    def meshes(self, frame: Frame) -> list[Mesh]:
        """Return the cells that a frame shows."""
        return [] if self.cells is None else visible_meshes(frame, self.cells)

    def check_region(self, frame: Frame) -> None:
        """Refuse a map of stations on which there is none.

        Raises
        ------
        MapError
            The message says where they are.
        """
        if self.cells is None and not on_map(frame, self.stations).any():
            west, east, south, north = self.region()
            raise MapError(
                f"the region holds no station; they lie within {west:.4g} to {east:.4g} degrees "
                f"east and {south:.4g} to {north:.4g} north"
            )

    def on(self, frame: Frame, meshes: Sequence[Mesh]) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of cells and of stations that a frame shows."""
        cells = [mesh.values.ravel() for mesh in meshes]
        stations = self.stations.values[on_map(frame, self.stations)]
        return (
            np.concatenate(cells) if cells else np.array([]),
            stations if self.coloured else np.array([]),
        )

    def caption(self, frame: Frame, under: int = 0) -> str:
        """Return the line below the map: method, grid, stations, and whose coastlines.

        ``under`` is how many of the stations an inset covers.
        """
        parts = [self.method] if self.method else []
        if self.cells is not None:
            parts.append(self.cells.describe())
        parts += self._counts(frame)
        if under:
            parts.append(f"{under} of these lie{'s' if under == 1 else ''} under an inset")
        if self.period.labels.size > 1:
            if self.classes is None:
                needed = f"{100 * MINIMUM_CAPTURE:.0f} % of its {self.period.unit(2)}"
                parts.append(f"A mean needs {needed}")
            if self.what == "uncertainty":
                parts.append(_ON_ERRORS[self.error == ERROR_OF_MEAN])
        parts.append("Coastlines, borders and cities: Natural Earth")
        return ". ".join(parts) + "."

    def _counts(self, frame: Frame) -> list[str]:
        """Return how many stations of each origin are on the map, in words."""
        origins = self.stations.origins[on_map(frame, self.stations)]
        if not self.stations.origins.size:
            return []
        hidden = int((origins == "hidden").sum())
        counts = {
            "measured": "observed stations",
            "filled": "stations with filled gaps",
            "estimated": "stations with estimates",
            "outlook": "stations with an outlook",
        }
        said = [
            f"{number} {words if number != 1 else words.replace('stations', 'station')}"
            for origin, words in counts.items()
            if (number := int((origins == origin).sum()))
        ]
        said = said or ["0 observed stations"]
        return [", ".join([*said, *([f"{hidden} hidden from the method"] if hidden else [])])]


def colours_of(
    scenes: Sequence[Scene], values: Sequence[tuple[np.ndarray, np.ndarray]], style: Style
) -> Colours:
    """Return colours common to scenes, from their values of cells and stations."""
    cells, stations = (np.concatenate(parts) for parts in zip(*values, strict=True))
    first = scenes[0]
    if first.classes is not None:
        return Colours.of_classes(first.classes, cells, stations, style)
    kind = kind_of(first.layer, str(first.layer.name), first.what, [cells, stations])
    return Colours.of(kind, cells, stations, style)


def field_scene(
    product: xr.Dataset,
    request: Request,
    *,
    observations: xr.Dataset | None,
    hidden: xr.Dataset | Iterable[str] | None,
    with_error: bool = False,
) -> Scene:
    """Return what a map of a gridded product shows, with stations over it.

    Raises
    ------
    MapError
        If there is no such variable, layer, hour, outlook, draw or station.
    """
    variable = mapped_variable(product, request.variable)
    check_what(request.what)
    product = select_start(product, request.start)
    product = with_single_flags(select_draw(product, variable, request.draw), variable)
    measured = measured_variable(product, observations, variable)
    if TIME not in product[variable].dims and TIME in product.dims:
        # A variable without time, such as the distance to the nearest station.
        product = product[[variable]].drop_vars(TIME, errors="ignore")
    selected, period = select_period(product, request.time)
    cells = cells_of(selected, variable, what=request.what, with_error=with_error)
    stations = stations_of(observations, hidden, measured, period)
    scene = _scene(product, variable, request, period, cells, stations)
    comparable = measured == variable and not _differs(
        scene, hidden if observations is None else observations
    )
    return replace(scene, coloured=scene.coloured and comparable)


def _differs(scene: Scene, stations: xr.Dataset | Iterable[str] | None) -> bool:
    """Return whether the cells are differences and the stations are none, as measurements are."""
    name = str(scene.layer.name)
    if scene.cells is None or not isinstance(stations, xr.Dataset) or name not in stations:
        return False
    cells = kind_of(scene.layer, name, scene.what, [scene.cells.values])
    measured = kind_of(stations[name], name, "value", [scene.stations.values])
    return cells == "difference" != measured


def station_scene(
    observations: xr.Dataset,
    request: Request,
    *,
    hidden: xr.Dataset | Iterable[str] | None,
) -> Scene:
    """Return what a map of stations shows.

    Raises
    ------
    MapError
        As of `field_scene`.
    """
    check_what(request.what)
    variable = request.variable or default_variable(observations)
    observations = select_start(observations, request.start)
    if variable in observations:
        observations = select_draw(observations, variable, request.draw)
        check_dims(observations[variable], [STATION])
        observations = with_single_flags(observations, variable)
    selected, period = select_period(observations, request.time)
    stations = stations_of(selected, hidden, variable, period, request.what)
    return _scene(observations, variable, request, period, None, stations)


def _scene(
    dataset: xr.Dataset,
    variable: str,
    request: Request,
    period: Period,
    cells: Cells | None,
    stations: Stations,
) -> Scene:
    """Return the scene of what is selected."""
    error = _error_words(dataset, variable, period)
    words = words_for(dataset, variable, request.what, error=error)
    method = str(dataset.attrs.get("method", "")).rstrip(".")
    reference = None
    if REFERENCE in dataset.variables and dataset[REFERENCE].ndim == 0:
        reference = np.datetime64(dataset[REFERENCE].values.item(), "ns")
    extra = []
    if reference is not None and variable in POLLUTANTS and request.what == "value":
        extra.append("outlook")
    if request.draw is not None:
        extra.append(f"draw {request.draw}")
    return Scene(
        layer=dataset[variable],
        what=request.what,
        period=period,
        cells=cells,
        stations=stations,
        words=words,
        units=units_of(dataset, variable),
        method=f"Method: {method}" if method else "",
        coloured=cells is None or request.what == "value",
        reference=reference,
        error=error,
        extra=tuple(extra),
    )


def _error_words(dataset: xr.Dataset, variable: str, period: Period) -> str:
    """Return what the standard error of a period is called."""
    if period.labels.size < 2:
        return "standard error"
    if error_correlation(dataset, variable) is not None:
        return ERROR_OF_MEAN
    return " ".join(filter(None, ("mean", period.adverb, "standard error")))
