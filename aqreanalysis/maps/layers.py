"""The data of a map: cells of a field and stations, each with its mean over the period."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.conventions import (
    DRAW,
    MINIMUM_CAPTURE,
    POLLUTANTS,
    PRODUCT_FLAGS,
    REFERENCE,
    STATION,
    TIME,
    ZONE,
    draws_name,
)
from aqreanalysis.maps.period import MapError, Period
from aqreanalysis.network import StationNetwork
from aqreanalysis.predictive import ErrorCorrelation

logger = logging.getLogger(__name__)

What = Literal["value", "uncertainty"]
#: Where stations have their identifiers, also in files that are opened as they are.
IDENTIFIERS = (STATION, "station_id")
#: What a value at a station may be, in the order of the legend.
ORIGINS = ("measured", "filled", "estimated", "outlook", "hidden")
#: Pollutants as classes are called by them.
_PLAIN_NAMES = {name: re.sub("[${}_]", "", known.label) for name, known in POLLUTANTS.items()}
#: Colours of classes for which a layer states none, such as those of flags; none is the grey of
#: cells without an estimate.
_CLASS_COLOURS = (
    *("#ccebc5", "#80b1d3", "#fdb462", "#fb8072", "#b3de69", "#bc80bd", "#8dd3c7", "#ffed6f"),
    *("#386cb0", "#b15928", "#1b9e77", "#f781bf", "#6a3d9a", "#a6761d", "#333333", "#e7298a"),
)


@dataclass(frozen=True)
class Classes:
    """The classes of a layer: their values, ascending, with names and colours."""

    values: tuple[float, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]


def classes_of(layer: xr.DataArray) -> Classes | None:
    """Return the classes of a layer of CF flags; None for one of numbers.

    Examples
    --------
    >>> attributes = {"flag_values": [0, 1], "flag_meanings": "good very_poor"}
    >>> classes_of(xr.DataArray(0, attrs=attributes)).names
    ('good', 'very poor')
    """
    names = str(layer.attrs.get("flag_meanings", "")).split()
    values = np.atleast_1d(layer.attrs.get("flag_values", [])).astype(np.float64)
    if not names or len(names) != values.size:
        return None
    stated = str(layer.attrs.get("flag_colors", "")).split()
    repeated = _CLASS_COLOURS * (len(names) // len(_CLASS_COLOURS) + 1)
    colours = stated if len(stated) == len(names) else repeated[: len(names)]
    order = np.argsort(values)
    return Classes(
        tuple(values[order].tolist()),
        tuple(_PLAIN_NAMES.get(names[at], names[at].replace("_", " ")) for at in order),
        tuple(colours[at] for at in order),
    )


def with_single_flags(dataset: xr.Dataset, variable: str) -> xr.Dataset:
    """Return the dataset of which a variable of flag bits holds the first one that is set.

    Classes can be drawn, sums of bits cannot: 0 is none of them, 1 the first, and so on.

    Examples
    --------
    >>> attributes = {"flag_masks": [1, 2, 4], "flag_meanings": "missing spike step"}
    >>> bits = xr.Dataset({"pm25_qc": ("time", [0, 4, 6], attributes)})
    >>> with_single_flags(bits, "pm25_qc").pm25_qc.values.tolist()
    [0, 3, 2]
    """
    layer = dataset[variable]
    if "flag_masks" not in layer.attrs or "flag_values" in layer.attrs:
        return dataset
    masks = np.atleast_1d(layer.attrs["flag_masks"]).astype(np.int64)
    first = xr.zeros_like(layer, np.int64)
    for number in range(masks.size, 0, -1):
        first = first.where(layer.astype(np.int64) & int(masks[number - 1]) == 0, number)
    attributes = {name: text for name, text in layer.attrs.items() if name != "flag_masks"}
    attributes["flag_values"] = np.arange(masks.size + 1)
    attributes["flag_meanings"] = f"no_flag {layer.attrs['flag_meanings']}"
    return dataset.assign({variable: first.assign_attrs(attributes)})


@dataclass(frozen=True)
class Cells:
    """The field on its cells, (ny, nx) each; NaN where there is no estimate.

    Attributes
    ----------
    longitude, latitude : (ny, nx)
        Cell centres, degrees; longitudes run on across the date line.
    values : (ny, nx)
    flag : (ny, nx) int8
        As in `PRODUCT_FLAGS`; of a period, what holds for most of its hours.
    rectangular : bool
        Whether the cells are rectangles in longitude and latitude.
    error : (ny, nx) or None
        Standard error of the values, where it is drawn beside them.
    sides : tuple of float
        Width and height of rectangles, degrees.
    """

    longitude: np.ndarray
    latitude: np.ndarray
    values: np.ndarray
    flag: np.ndarray
    rectangular: bool
    error: np.ndarray | None = None
    sides: tuple[float, float] = (0.1, 0.1)

    def region(self) -> tuple[float, float, float, float]:
        """Return west, east, south, north of the cells' outer edges, degrees."""
        if self.rectangular:
            width, height = self.sides
            west, east = self.longitude.min() - width / 2, self.longitude.max() + width / 2
            south, north = self.latitude.min() - height / 2, self.latitude.max() + height / 2
        else:
            longitude, latitude = map(cell_corners, (self.longitude, self.latitude))
            west, east = longitude.min(), longitude.max()
            south, north = latitude.min(), latitude.max()
        east = min(east, west + 360)
        return float(west), float(east), float(max(south, -90)), float(min(north, 90))

    def describe(self) -> str:
        """Return the size of the grid in words."""
        rows, columns = self.values.shape
        if not self.rectangular:
            return f"{columns} × {rows} cells"
        width, height = (f"{side:.3g}°" for side in self.sides)
        size = width if width == height else f"{width} × {height}"
        return (
            f"{columns} × {rows} cells of {size}" if self.values.size > 1 else f"a cell of {size}"
        )


@dataclass(frozen=True)
class Stations:
    """Stations and their values on a map, (n,) each; NaN where there is none.

    ``origins`` say what a value is: one of `ORIGINS`.
    """

    longitude: np.ndarray
    latitude: np.ndarray
    values: np.ndarray
    origins: np.ndarray

    @property
    def hidden(self) -> np.ndarray:
        """Which of them the method did not see."""
        return self.origins == "hidden"

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude."""
        return self.longitude, self.latitude

    def region(self) -> tuple[float, float, float, float]:
        """Return their extent with a margin of a tenth, and a quarter of a degree at least."""
        west, east, south, north = StationNetwork(*self.places).extent()
        margin = max(0.1 * max(east - west, north - south), 0.25)
        east = min(east + margin, west - margin + 360)
        return west - margin, east, max(south - margin, -90.0), min(north + margin, 90.0)


def mapped_variable(product: xr.Dataset, variable: str | None) -> str:
    """Name of the variable to draw; by default the product's only one.

    Raises
    ------
    MapError
        If there is no such variable, or there are several to choose from.

    Examples
    --------
    >>> mapped_variable(xr.Dataset({"pm25": 1.0, "pm25_uncertainty": 0.1, "crs": 0}), None)
    'pm25'
    """
    names = [str(name) for name in product.data_vars]
    known = [name for name in names if name in POLLUTANTS or f"{name}_uncertainty" in names]
    if variable is not None:
        drawable = [name for name in names if product[name].ndim > 1]
        if variable not in names:
            raise MapError(
                f"the product has no variable {variable!r}; it has {', '.join(drawable or names)}"
            )
        return variable
    if len(known) != 1:
        present = ", ".join(known or names) or "none"
        raise MapError(f"name the variable to draw: variable=...; the product has {present}")
    return known[0]


def check_what(what: str) -> None:
    """Refuse a layer that is neither the value nor its standard error."""
    if what not in ("value", "uncertainty"):
        raise MapError(f"what must be 'value' or 'uncertainty'; found {what!r}")


def cells_of(
    product: xr.Dataset, variable: str, *, what: What = "value", with_error: bool = False
) -> Cells:
    """Cells of a product whose hours are already selected, averaged over them.

    The error of several hours is that of their mean, where the product states how errors are
    correlated over time; otherwise it is the mean of the hourly errors.

    Raises
    ------
    MapError
        If the product lies on no grid, or has no such layer.
    """
    check_what(what)
    own_error, error = f"{variable}_uncertainty", None
    layer = variable if what == "value" else own_error
    names = [layer, own_error] if with_error else [layer]
    for name in names:
        if name not in product:
            raise MapError(f"the product has no {name!r}; the standard error needs it")
    longitude, latitude, dims = _centres(product)
    check_dims(product[layer], dims)
    flag_name = f"{variable}_flag"
    if flag_name not in product and classes_of(product[layer]) is None:  # such as of a quantile
        flag_name = f"{variable.split('_')[0]}_flag"
    hourly = product[flag_name] if flag_name in product else xr.zeros_like(product[layer], np.int8)
    kinds = sorted(PRODUCT_FLAGS.values())
    # One pass over lazy blocks: a year of a large grid is never in memory.
    summed = [
        _over_hours(product[name], "uncertainty" if name == own_error else "value").rename(
            f"mean_{name}"
        )
        for name in names
    ]
    summary = xr.merge(
        [*summed, _most_frequent(hourly, kinds).rename("flag")],
        compat="override",
        join="exact",
    )
    summary = summary.transpose(*dims).compute()
    mean = summary[f"mean_{layer}"].values
    if with_error:
        error = summary[f"mean_{names[-1]}"].values
    flag = np.where(np.isnan(mean), PRODUCT_FLAGS["no_estimate"], summary["flag"].values)
    rectangular = dims == ("lat", "lon")
    sides = _sides(product, longitude[0], latitude[:, 0]) if rectangular else (0.0, 0.0)
    return Cells(longitude, latitude, mean, flag.astype(np.int8), rectangular, error, sides)


def select_draw(product: xr.Dataset, variable: str, draw: int | None) -> xr.Dataset:
    """Return the product of which the variable is one of its draws, if one is asked for.

    Raises
    ------
    MapError
        If there is no such draw, or the draws themselves are the variable.
    """
    if draw is None:
        if DRAW in product[variable].dims:
            number = product.sizes[DRAW]
            raise MapError(f"{variable!r} holds {number} draws; name one: draw=0 to {number - 1}")
        return product
    name = draws_name(variable)
    if name not in product:
        raise MapError(f"the product has no draws of {variable!r}; reanalyse with draws=")
    number = product.sizes[DRAW]
    is_number = isinstance(draw, int | np.integer) and not isinstance(draw, bool)
    if not is_number or not 0 <= draw < number:
        raise MapError(f"the product has draws 0 to {number - 1}; found draw={draw!r}")
    one = product[name].isel({DRAW: draw}, drop=True).assign_attrs(product[variable].attrs)
    return product.drop_dims(DRAW).assign({variable: one})


def check_dims(layer: xr.DataArray, dims: Iterable[str]) -> None:
    """Refuse a layer that lies on more than places and hours.

    Raises
    ------
    MapError
        If it does; the message selects one.

    Examples
    --------
    >>> check_dims(xr.DataArray(np.zeros((2, 3)), dims=("lat", "category"), name="chance"), ["lat"])
    Traceback (most recent call last):
    aqreanalysis.maps.period.MapError: 'chance' has also the dimension 'category'; select one,
    product.isel(category=0)
    """
    for dim in layer.dims:
        if dim not in (*dims, TIME):
            raise MapError(
                f"{str(layer.name)!r} has also the dimension {str(dim)!r}; select one, "
                f"product.isel({dim}=0)"
            )


def check_over_field(product: xr.Dataset, observations: xr.Dataset | None) -> None:
    """Refuse stations to draw over what are stations itself: one mark would hide the other.

    Raises
    ------
    MapError
        If both are stations.

    Examples
    --------
    >>> check_over_field(xr.Dataset(coords={"station": ["S01"]}), xr.Dataset())
    Traceback (most recent call last):
    aqreanalysis.maps.period.MapError: observations are drawn over the field of a grid, and this
    product has values at stations: leave observations out, or draw both side by side with panels
    """
    if STATION in product.dims and observations is not None:
        raise MapError(
            "observations are drawn over the field of a grid, and this product has values at "
            "stations: leave observations out, or draw both side by side with panels"
        )


def measured_variable(product: xr.Dataset, observations: xr.Dataset | None, variable: str) -> str:
    """Return which variable of the observations belongs to a layer of a product.

    Of flags, probabilities and indices it is the pollutant that they are made from: their stations
    can be drawn, though not in the colours of the layer.

    Raises
    ------
    MapError
        If the observations are no Dataset.

    Examples
    --------
    >>> product = xr.Dataset({"pm25": 1.0, "pm25_above_35": 0.1})
    >>> measured_variable(product, xr.Dataset({"pm25": ("station", [1.0])}), "pm25_above_35")
    'pm25'
    """
    if observations is None:
        return variable
    if not isinstance(observations, xr.Dataset):
        raise MapError(
            f"observations must be a Dataset; found {type(observations).__name__}. "
            "open_observations reads one"
        )
    if variable in observations or variable in POLLUTANTS:
        return variable
    measured = [name for name in POLLUTANTS if name in observations]
    own = [name for name in measured if variable.startswith(f"{name}_")]
    made_from = [name for name in measured if name in product]
    return next(iter(own + made_from + measured), variable)


def stations_of(
    observations: xr.Dataset | None,
    hidden: xr.Dataset | Iterable[str] | None,
    variable: str,
    period: Period,
    what: What = "value",
) -> Stations:
    """Observed and hidden stations with their mean over the period, or its error.

    Hidden are the stations of a Dataset, with or without values of the variable, or identifiers in
    the observations, whose other stations are observed.

    Raises
    ------
    MapError
        If an identifier is unknown, the variable is missing, or the labels of the hours mean
        something else than in the period.
    """
    names = np.array([], str)
    variable = variable if what == "value" else f"{variable}_uncertainty"
    if observations is not None and variable not in observations:
        raise MapError(
            f"the observations have no variable {variable!r}; "
            f"they have {', '.join(map(str, observations.data_vars)) or 'none'}"
        )
    if isinstance(hidden, xr.Dataset):
        names = _names(hidden)
    elif hidden is not None:
        names = identifiers(hidden)
        _check_known(names, observations)
    parts = []
    if observations is not None:
        marked = np.isin(_names(observations), names)
        parts.append(_placed(observations, variable, period, marked, what))
    if isinstance(hidden, xr.Dataset):
        if observations is not None:
            _check_named(observations, hidden)
            observed = ~parts[0].hidden
            parts = [Stations(*(values[observed] for values in astuple(parts[0])))]
        parts.append(_placed(hidden, variable, period, np.ones(names.size, bool), what))
    if not parts:
        nothing = np.empty(0)
        return Stations(nothing, nothing, nothing, np.empty(0, str))
    return Stations(*map(np.concatenate, zip(*map(astuple, parts), strict=True)))


def _centres(product: xr.Dataset) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Return longitude and latitude of the cells, (ny, nx), and the dimensions they lie on."""
    if "lat" in product.dims and "lon" in product.dims:
        grid = np.meshgrid(product["lon"].values, product["lat"].values)
        longitude, latitude = (centres.astype(np.float64) for centres in grid)
        dims = ("lat", "lon")
    elif "y" in product.dims and "x" in product.dims and {"lat", "lon"} <= set(product.variables):
        dims = ("y", "x")
        longitude, latitude = (
            product[name].transpose(*dims).values.astype(np.float64) for name in ("lon", "lat")
        )
    elif ZONE in product.dims:
        raise MapError(
            "a map draws cells and stations, and this product has values of zones: draw their "
            "series with product.aqnet.plot_series, or join them to their polygons in a GIS with "
            "aqreanalysis export"
        )
    else:
        raise MapError(
            "a field needs dimensions (time, lat, lon), or (time, y, x) with lat and lon on them; "
            f"found {tuple(product.sizes)}. Draw values at stations with map_stations."
        )
    if dims == ("y", "x") and min(longitude.shape) < 2:
        rows, columns = longitude.shape
        raise MapError(
            "how large cells in a projection are is known from their neighbours: a map needs two "
            f"rows and two columns or more; found {rows} × {columns}. Select more of the grid, or "
            "draw the series of a place with product.aqnet.plot_series"
        )
    for name in ("lon", "lat"):
        if lost := int((~np.isfinite(product[name].values.astype(np.float64))).sum()):
            raise MapError(
                f"{name} is not a number at {lost} of {product[name].size} places, so that cells "
                f"have no position: leave these out, product.dropna({name!r}), or correct them"
                if product[name].ndim == 1
                else f"{name} is not a number at {lost} of {product[name].size} cells, which so "
                "have no position: correct them, or cut out the part of the grid that has them"
            )
    # On across the date line, beginning at the first cell of the first row.
    return np.unwrap(longitude, period=360.0, axis=1), latitude, dims


def _sides(product: xr.Dataset, longitude: np.ndarray, latitude: np.ndarray) -> tuple[float, float]:
    """Return width and height of a usual cell, degrees; a single one is as large as its bounds."""
    largest = usual_step(longitude, latitude)
    width, height = (
        usual_step(axis)
        if axis.size > 1
        else float(np.ptp(product[f"{name}_bnds"].values))
        if f"{name}_bnds" in product
        else largest
        for name, axis in (("lon", longitude), ("lat", latitude))
    )
    return width, height


def cell_corners(centres: np.ndarray) -> np.ndarray:
    """Return the corners of cells (ny + 1, nx + 1) from a coordinate of their centres (ny, nx).

    Two rows and two columns or more; corners lie midway between centres, and as far outside.

    Examples
    --------
    >>> cell_corners(np.array([[0.0, 1.0], [0.0, 1.0]])).tolist()
    [[-0.5, 0.5, 1.5], [-0.5, 0.5, 1.5], [-0.5, 0.5, 1.5]]
    """
    padded = centres
    for axis in (0, 1):
        first, second = padded.take([0], axis), padded.take([1], axis)
        last, before = padded.take([-1], axis), padded.take([-2], axis)
        padded = np.concatenate([2 * first - second, padded, 2 * last - before], axis)
    return (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4


def usual_step(*axes: np.ndarray) -> float:
    """Return the largest of the axes' median steps; 0.1 degree for single cells.

    Examples
    --------
    >>> usual_step(np.array([10.0, 10.5, 11.0]), np.array([50.0]))
    0.5
    """
    steps = [float(np.median(np.abs(np.diff(axis)))) for axis in axes if axis.size > 1]
    return max(steps, default=0.1)


def _mean(values: xr.DataArray) -> xr.DataArray:
    """Return the mean over hours, NaN where fewer than `MINIMUM_CAPTURE` of them have a value."""
    return values.astype(np.float64).mean(TIME).where(_enough(values))


def _enough(values: xr.DataArray) -> xr.DataArray:
    """Return where so many hours have a value that they have a mean."""
    return values.notnull().sum(TIME) >= max(1.0, MINIMUM_CAPTURE * values.sizes[TIME])


def error_correlation(dataset: xr.Dataset, variable: str) -> ErrorCorrelation | None:
    """Return how the errors of a variable are correlated over time, if the dataset states it."""
    error = dataset.get(f"{variable}_uncertainty")
    return None if error is None else ErrorCorrelation.from_attributes(error.attrs)


def _error_of_mean(errors: xr.DataArray, correlation: ErrorCorrelation) -> xr.DataArray:
    """Return the standard error of the mean over hours, NaN as the mean itself is."""
    errors = errors.sortby(TIME)
    if errors.chunks:
        errors = errors.chunk({dim: -1 if dim == TIME else "auto" for dim in errors.dims})
    hours = (errors[TIME].values - errors[TIME].values[0]) / np.timedelta64(1, "h")
    error = xr.apply_ufunc(
        partial(correlation.of_mean, hours=hours),
        errors,
        input_core_dims=[[TIME]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return error.where(_enough(errors))


def _over_hours(values: xr.DataArray, what: What = "value") -> xr.DataArray:
    """Return the mean over hours or its error, or the class of most of them."""
    if what == "uncertainty" and values.sizes[TIME] > 1:
        correlation = ErrorCorrelation.from_attributes(values.attrs)
        return _mean(values) if correlation is None else _error_of_mean(values, correlation)
    classes = classes_of(values)
    if classes is None:
        return _mean(values)
    most = _most_frequent(values, classes.values).astype(np.float64)
    return most.where(values.isin(classes.values).any(TIME))  # a missing class is none of them


def _most_frequent(flag: xr.DataArray, kinds: Sequence[float]) -> xr.DataArray:
    """Return the value that holds for most hours; of equals, the first."""
    counts = xr.concat([(flag == kind).sum(TIME) for kind in kinds], dim="kind")
    number = counts.argmax("kind")
    return xr.apply_ufunc(
        np.asarray(kinds).__getitem__,
        number,
        dask="parallelized",
        output_dtypes=[np.asarray(kinds).dtype],
    )


def identifiers(hidden: Iterable[str]) -> np.ndarray:
    """Return the identifiers of hidden stations, of one or several, as text.

    Raises
    ------
    MapError
        If they are none.

    Examples
    --------
    >>> identifiers("S01").tolist(), identifiers(["S01", "S02"]).tolist()
    (['S01'], ['S01', 'S02'])
    """
    if isinstance(hidden, str):
        return np.array([hidden])
    if not isinstance(hidden, Iterable):
        raise MapError(
            "hidden needs a Dataset of stations or identifiers of those that are drawn, such as "
            f"hidden=['S01']; found {hidden!r}"
        )
    return np.array([str(one) for one in hidden], str)


def _names(stations: xr.Dataset) -> np.ndarray:
    """Return the identifiers of the stations, as text."""
    if STATION not in stations.dims:
        raise MapError(f"stations need the dimension 'station'; found {tuple(stations.sizes)}")
    for name in IDENTIFIERS:
        if name in stations.variables:
            return stations[name].values.astype(str)
    return np.arange(stations.sizes[STATION]).astype(str)


def _check_named(*several: xr.Dataset) -> None:
    """Refuse stations without identifiers, of which two could be one or not."""
    if any(not stations.variables.keys() & set(IDENTIFIERS) for stations in several):
        raise MapError(
            "stations without identifiers cannot be compared with hidden ones; name them in both: "
            "observations.assign_coords(station=[...])"
        )


def _check_known(names: np.ndarray, observations: xr.Dataset | None) -> None:
    """Refuse hidden stations whose positions are unknown."""
    if observations is None:
        raise MapError("hidden stations given by name need observations, which hold their places")
    unknown = sorted(set(names) - set(_names(observations)))
    if unknown:
        raise MapError(f"hidden stations that are not among the observations: {', '.join(unknown)}")


def _placed(
    stations: xr.Dataset, variable: str, period: Period, hidden: np.ndarray, what: What
) -> Stations:
    """Return the stations of a Dataset with their mean in the period."""
    network = StationNetwork.from_dataset(stations)
    values = np.full(network.size, np.nan)
    if variable in stations:
        values = _values_in(stations, variable, period, what)
    origins = np.where(hidden, "hidden", _origins_in(stations, variable, period))
    return Stations(network.longitude, network.latitude, values, origins)


def _origins_in(stations: xr.Dataset, variable: str, period: Period) -> np.ndarray:
    """Return what the values of each station are, (n,): one of `ORIGINS`.

    A station counts as filled where one of its hours is.
    """
    variable = variable.removesuffix("_uncertainty")
    number = stations.sizes[STATION]
    if REFERENCE in stations.variables:
        return np.full(number, "outlook")
    if f"{variable}_origin" in stations:
        origin = stations[f"{variable}_origin"]
        if TIME in origin.dims:
            origin = origin.isel({TIME: np.isin(stations[TIME].values, period.labels)})
            return np.where((origin == 1).any(TIME).values, "filled", "measured")
        return np.where(origin.values == 1, "filled", "measured")
    estimated = f"{variable}_uncertainty" in stations or "method" in stations.attrs
    return np.full(number, "estimated" if estimated else "measured")


def _values_in(stations: xr.Dataset, variable: str, period: Period, what: What) -> np.ndarray:
    """Return the mean of each station in the period, (n,); NaN without enough values."""
    series = stations[variable]
    if TIME not in series.dims:
        return series.values.astype(np.float64)
    if not period.labels.size:  # the layer has no hours: whether a station measures at all
        return series.mean(TIME).values.astype(np.float64)
    _check_same_hours(stations[TIME], period)
    wanted = np.isin(stations[TIME].values, period.labels)
    if not wanted.any():
        logger.warning("the stations have none of the hours drawn (%s): drawn as missing", period)
        return np.full(stations.sizes[STATION], np.nan)
    hours = series.isel({TIME: wanted}).reindex({TIME: period.labels})
    return _over_hours(hours.assign_attrs(series.attrs), what).values


def _check_same_hours(time: xr.DataArray, period: Period) -> None:
    """Refuse stations whose label does not mean the same hours as the field's."""
    for attribute, drawn in (("time_label", period.time_label), ("step_hours", period.step_hours)):
        own = time.attrs.get(attribute)
        if None not in (own, drawn) and own != drawn:
            raise MapError(
                f"the stations have {attribute}={own!r}, the field has {drawn!r}: the same label "
                "is not the same time. Pass the observations that the product was made from, or "
                "their means of the same periods: observations.aqnet.aggregate('day')"
            )
