"""The layers of a viewer: which of a product are shown, in which words, steps and colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from aqreanalysis.conventions import DRAW, POLLUTANTS, PRODUCT_FLAGS, TIME, quantile_name
from aqreanalysis.maps.colours import Colours, Kind
from aqreanalysis.maps.layers import Classes, classes_of
from aqreanalysis.maps.legend import written_units
from aqreanalysis.maps.style import Style
from aqreanalysis.predictive import freedom_of, quantile_of_root
from aqreanalysis.viewer.packing import COARSE, FINE, Quantised, packed

#: The ends of the interval that is shown beside a value.
INTERVAL = (0.05, 0.95)
#: Position of a missing class.
NO_CLASS = 255
_TICKS = 6


class ViewerError(ValueError):
    """A product that cannot be viewed as asked; the message says what to do."""


@dataclass(frozen=True)
class Layer:
    """One layer of a product.

    Attributes
    ----------
    name : str
    values : DataArray
        Lazy or in memory, on the hours and places of the product.
    variable : str
        The pollutant to which it belongs.
    classes : Classes or None
    """

    name: str
    values: xr.DataArray
    variable: str
    classes: Classes | None

    @property
    def kind(self) -> str:
        """What its values are: classes, probabilities or numbers."""
        if self.classes is not None:
            return "classes"
        bounded = self.values.attrs.get("units") == "1" and "_above_" in self.name
        return "probability" if bounded else "number"

    @property
    def is_draw(self) -> bool:
        """Whether it is one of the draws of its pollutant."""
        return is_draw(self.name)

    @property
    def title(self) -> str:
        """Its name for a reader."""
        stated = str(self.values.attrs.get("long_name", self.name))
        units = written_units("ug m-3")
        return (stated[:1].upper() + stated[1:]).replace("ug m-3", units)

    @property
    def units(self) -> str:
        """Its units as a reader writes them."""
        stated = str(self.values.attrs.get("units", ""))
        return "" if stated == "1" else written_units(stated)

    @property
    def weight(self) -> float:
        """The room of one value on a page, relative to that of a number."""
        return {"classes": 0.1, "probability": 0.5, "number": 1.0}[self.kind]


def with_draws(product: xr.Dataset) -> xr.Dataset:
    """Return a product of which each draw is a layer, to be chosen by its name.

    Examples
    --------
    >>> draws = xr.Dataset({"pm25_draws": (("draw", "time"), [[1.0], [2.0]])})
    >>> list(with_draws(draws))
    ['pm25_draw_0', 'pm25_draw_1']
    """
    single = {}
    names = [str(name) for name in product.data_vars if DRAW in product[name].dims]
    names = [name for name in names if name.endswith("_draws")]
    for name in names:
        variable, layer = name.removesuffix("_draws"), product[name]
        for number in range(product.sizes[DRAW]):
            words = str(layer.attrs.get("long_name", name)).removeprefix("draws of ")
            one = layer.isel({DRAW: number}, drop=True)
            single[f"{variable}_draw_{number}"] = one.assign_attrs(
                long_name=f"{words}, draw {number}"
            )
    return product.drop_vars(names).assign(single)


def is_draw(name: str) -> bool:
    """Return whether a layer of that name is one of the draws.

    Examples
    --------
    >>> is_draw("pm25_draw_3"), is_draw("pm25_q95")
    (True, False)
    """
    return "_draw_" in name and name.rpartition("_")[2].isdigit()


def layers_of(
    product: xr.Dataset, names: Sequence[str] | None, horizontal: Sequence[str]
) -> list[Layer]:
    """Return the layers to show, pollutants first; by default all that differ from each other.

    Raises
    ------
    ViewerError
        If there is no such layer, or it has other dimensions than hours and places.
    """
    fitting = [str(name) for name in product.data_vars if _fits(product[name], horizontal)]
    if names is not None:
        names = [names] if isinstance(names, str) else names
        unknown = [name for name in names if name not in fitting]
        if unknown or not names:
            raise ViewerError(
                f"layers must be among {_named(fitting)}; found "
                f"{', '.join(map(repr, unknown)) or 'none'}"
            )
        shown = list(dict.fromkeys(names))
    else:
        hidden = _repeated(fitting)
        shown = [name for name in fitting if name not in hidden and not is_draw(name)]
    pollutants = [name for name in fitting if name in POLLUTANTS]
    if not pollutants:
        raise ViewerError(
            f"no pollutant to show: {', '.join(map(str, product.data_vars)) or 'no variable'} on "
            f"{tuple(product.sizes)}. Of draws select one, as product.isel(draw=0)"
        )
    shown.sort(key=lambda name: name not in POLLUTANTS)
    return [
        Layer(name, product[name], _owner(name, pollutants), classes_of(product[name]))
        for name in shown
    ]


def interval_of(product: xr.Dataset, variable: str) -> dict[str, Any] | None:
    """Return how the page gets the interval of a pollutant, and of which layers; None without one.

    From layers of both quantiles, or else from the median and its standard error, by which the
    distribution is known.
    """
    ends = [quantile_name(variable, probability) for probability in INTERVAL]
    if all(name in product and product[name].dims == product[variable].dims for name in ends):
        return {"low": ends[0], "high": ends[1]}
    error, median = f"{variable}_uncertainty", variable
    if product[variable].attrs.get("statistic", "median") != "median":
        median = quantile_name(variable, 0.5)
    if error not in product or median not in product:
        return None
    freedom = freedom_of(product[error].attrs)
    return {
        "median": median,
        "error": error,
        # Of the variance of a square: see `RootNormal.from_median`.
        "quartic": 2 + 6 / (freedom - 4),
        "quantile": quantile_of_root(INTERVAL[1], freedom),
    }


def packed_layer(
    layer: Layer,
    values: np.ndarray,
    shape: tuple[int, ...],
    *,
    measured: np.ndarray,
    limits: tuple[float, float] | None,
    levels: int = FINE,
) -> dict[str, Any]:
    """Return a layer as the page has it: values in steps, colours, limits and words.

    Parameters
    ----------
    layer : Layer
    values : (hour, place) float
        NaN where missing.
    shape : tuple of int
        Hours, rows and columns, or hours and stations.
    measured : float array
        Values of stations, on the same colours.
    limits : tuple of float or None
        Of the colours.
    levels : int
        Steps of numbers.
    """
    described = {
        "name": layer.name,
        "title": layer.title,
        "units": layer.units,
        "kind": layer.kind,
        "variable": layer.variable,
        "frames": shape[0],
    }
    # Neighbouring cells are alike, and so are neighbouring hours of a station.
    axes = [0] if len(shape) == 2 else [2, 1]
    if layer.classes is not None:
        places = _positions(values, layer.classes)
        return described | {
            "values": packed(places.reshape(shape), axes),
            "missing": NO_CLASS,
            "classes": _described(layer.classes),
        }
    if layer.kind == "probability":
        quantised, limits = Quantised.of(values, root=False, levels=COARSE), (0.0, 1.0)
    else:
        quantised = Quantised.of(values, root=_is_positive(values), levels=levels)
    kind: Kind = "value" if layer.name == layer.variable or layer.is_draw else "uncertainty"
    if layer.kind == "probability":
        kind = "probability"
    colours = Colours.of(kind, values, measured, Style(limits=limits))
    low, high = float(colours.norm.vmin or 0), float(colours.norm.vmax or 0)
    ticks = MaxNLocator(_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return described | {
        "values": packed(quantised.steps.reshape(shape), axes),
        "missing": quantised.levels + 1,
        "low": quantised.low,
        "high": quantised.high,
        "levels": quantised.levels,
        "root": quantised.root,
        "rounding": quantised.rounding,
        "palette": [to_hex(colour) for colour in colours.map(np.linspace(0, 1, 64))],
        "limits": [low, high],
        "ticks": [tick for tick in np.asarray(ticks).tolist() if low <= tick <= high],
        "extend": colours.extend,
    }


def check_limits(limits: tuple[float, float] | None) -> None:
    """Refuse limits of colours that are not two ascending numbers, as maps do."""
    Style(limits=limits)


def doubtful_classes(layer: Layer) -> list[int]:
    """Return the positions of the classes of a flag that call a value unsupported."""
    doubtful = PRODUCT_FLAGS["far_from_stations"], PRODUCT_FLAGS["few_stations_reporting"]
    if layer.classes is None or layer.values.attrs.get("standard_name") != "quality_flag":
        return []
    return [at for at, value in enumerate(layer.classes.values) if value in doubtful]


def _fits(values: xr.DataArray, horizontal: Sequence[str]) -> bool:
    """Return whether a layer lies on the places of the product, and on nothing but its hours."""
    places = set(horizontal) <= set(values.dims) <= {TIME, *horizontal}
    return places and values.dtype.kind in "biuf"


def _repeated(names: Sequence[str]) -> set[str]:
    """Return layers that are not shown by themselves: quantiles, and parts of a single index."""
    pollutants = [name for name in names if name in POLLUTANTS]
    ends = {quantile_name(name, p) for name in pollutants for p in (*INTERVAL, 0.5)}
    if len([name for name in names if name.endswith("_category")]) > 2:
        return ends
    parts = {f"{name}_{part}" for name in pollutants for part in ("category", "index")}
    return ends | ({*parts, "index_pollutant"} if "index_category" in names else set())


def _named(layers: Sequence[str]) -> str:
    """Return the names of layers in words, draws by the first and the last."""
    draws = [name for name in layers if is_draw(name)]
    named = [name for name in layers if name not in draws]
    return ", ".join([*named, *([f"{draws[0]} to {draws[-1]}"] if draws else [])]) or "none"


def _owner(name: str, pollutants: Sequence[str]) -> str:
    """Return the pollutant of a layer: that with which its name begins, or the first one."""
    owners = [each for each in pollutants if name == each or name.startswith(f"{each}_")]
    return max(owners, key=len, default=pollutants[0])


def _positions(values: np.ndarray, classes: Classes) -> np.ndarray:
    """Return the position of each class, uint8; `NO_CLASS` where there is none."""
    known = np.array(classes.values)
    at = np.searchsorted(known, np.nan_to_num(values, nan=known[0])).clip(max=known.size - 1)
    return np.where(known[at] == values, at, NO_CLASS).astype(np.uint8)


def _described(classes: Classes) -> list[dict[str, str]]:
    """Return names and colours of classes."""
    pairs = zip(classes.names, classes.colours, strict=True)
    return [{"name": name, "colour": colour} for name, colour in pairs]


def _is_positive(values: np.ndarray) -> bool:
    """Return whether no value is below zero."""
    return bool(np.nanmin(values, initial=0.0) >= 0)
