"""What a viewer's page holds: a product's layers, places, hours and words, as JSON can have it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME, ZONE
from aqreanalysis.maps.legend import written_units
from aqreanalysis.product import LEAD, REFERENCE, restore_metadata
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of
from aqreanalysis.product.regions import progress_bar, region_values, regions, value_count
from aqreanalysis.report.words import counted
from aqreanalysis.viewer.clock import Clock
from aqreanalysis.viewer.layers import (
    Layer,
    ViewerError,
    check_limits,
    doubtful_classes,
    interval_of,
    is_draw,
    layers_of,
    packed_layer,
    with_draws,
)
from aqreanalysis.viewer.measured import measured_at
from aqreanalysis.viewer.packing import COARSE, FINE, packed
from aqreanalysis.viewer.places import (
    Raster,
    centres_of,
    on_plane,
    raster_of,
    station_region,
    stations_of,
)
from aqreanalysis.viewer.surroundings import surroundings

logger = logging.getLogger(__name__)

#: Values on a page, about .6 bytes each; with more, only some of the cells are shown.
MOST_VALUES = 14_000_000
#: Of a number of cells in either direction one is shown, at most.
_COARSEST = 6
#: Bytes of a page up to which steps stay fine.
_MOST_BYTES = 9_000_000


@dataclass(frozen=True)
class View:
    """A product as it is shown; lazy layers stay lazy.

    Attributes
    ----------
    product : Dataset
        With all metadata, of the cells that are shown.
    whole : Dataset
        Of all cells.
    every : int
        In either direction, one cell of so many is shown.
    layers : list of Layer
    hidden : list of Layer
        Those from which intervals are made.
    """

    product: xr.Dataset
    whole: xr.Dataset
    every: int
    layers: list[Layer]
    hidden: list[Layer]

    @property
    def at_stations(self) -> bool:
        """Whether the product is of stations."""
        return STATION in self.product.dims

    @property
    def other_draws(self) -> list[str]:
        """Draws of the product that are not shown."""
        shown = [layer.name for layer in self.layers]
        names = map(str, self.whole.data_vars)
        return [name for name in names if is_draw(name) and name not in shown]


def view_of(product: xr.Dataset, names: Sequence[str] | None) -> View:
    """Return a product as it is shown.

    Raises
    ------
    ViewerError
        If it is too large, of zones or a set of outlooks, or it has no such layer.
    """
    if ZONE in product.dims:
        raise ViewerError(
            "a page draws cells and stations, and this product has values of zones: draw their "
            "series with product.aqnet.plot_series, or join them to their polygons in a GIS with "
            "aqreanalysis export"
        )
    # Where one came from is not shown, and observations do not say it.
    stated = product.attrs.get("history") or "as given"
    whole = with_draws(restore_metadata(_with_hours(product).assign_attrs(history=stated)))
    horizontal = HORIZONTAL[layout_of(whole)]
    layers = layers_of(whole, names, horizontal)
    hidden = _of_intervals(whole, layers)
    every = _thinning(whole, [*layers, *hidden], horizontal)
    chosen = {dim: slice((every - 1) // 2, None, every) for dim in horizontal} if every > 1 else {}
    return View(whole.isel(chosen), whole, every, layers, hidden)


def contents_of(
    view: View,
    *,
    observations: xr.Dataset | None,
    hidden: xr.Dataset | Iterable[str] | None,
    limits: tuple[float, float] | None,
    time_zone: str | None,
    progress: bool,
) -> dict[str, Any]:
    """Return all that the page shows; layers are computed once, after all else is in order.

    Raises
    ------
    ViewerError
        If observations have none of the pollutants or stations, or labels of another meaning, a
        hidden station is unknown, or the product has no value.
    ValueError
        If there is no such zone, or limits are not two ascending numbers.
    """
    raster = None if view.at_stations else raster_of(view.product, view.whole)
    region = station_region(view.product) if raster is None else raster.region
    plane = None if raster is None else raster.plane
    clock = Clock.of(view.product, region[:2] if raster is None else raster.span, time_zone)
    pollutants = list(dict.fromkeys(layer.variable for layer in view.layers))
    measured = measured_at(view.product, pollutants, observations, hidden)
    check_limits(limits)
    values = computed(view, progress=progress)
    packed_layers = _packed_layers(view, values, raster, measured, limits, FINE)
    if sum(len(layer["values"]["text"]) for layer in packed_layers) > _MOST_BYTES:
        packed_layers = _packed_layers(view, values, raster, measured, limits, COARSE)
    shown = [layer.name for layer in view.layers]
    flags = {layer.variable: layer for layer in view.layers if doubtful_classes(layer)}
    return {
        "region": region,
        "plane": plane is not None,
        "clock": None if clock is None else clock.content(),
        "grid": None if raster is None else _grid(view.product, raster),
        "stations": stations_of(view.product) if raster is None else None,
        "measured": None if measured is None else on_plane(measured, plane),
        "layers": {layer["name"]: layer for layer in packed_layers},
        "shown": shown,
        "intervals": {name: interval_of(view.product, name) for name in pollutants},
        "flags": {
            name: {"layer": flag.name, "doubtful": doubtful_classes(flag)}
            for name, flag in flags.items()
        },
        "surroundings": surroundings(region, plane),
        "facts": _facts(view, raster),
        "notes": _notes(view, packed_layers, bool(flags)),
    }


def _with_hours(product: xr.Dataset) -> xr.Dataset:
    """Return a product whose hours are a dimension, also one of a single hour or outlook."""
    if REFERENCE in product.dims:
        raise ViewerError(
            f"a viewer shows one outlook, and this product has {product.sizes[REFERENCE]}: select "
            f"one, product.isel({REFERENCE}=0)"
        )
    if LEAD in product.dims and TIME in product.variables and product[TIME].dims == (LEAD,):
        product = product.swap_dims({LEAD: TIME})
    empty = [str(dim) for dim, size in product.sizes.items() if not size]
    if empty:
        raise ViewerError(f"there is nothing to view: the product has no {' and no '.join(empty)}")
    return product


def _of_intervals(product: xr.Dataset, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers from which intervals are made, but for those that are shown anyway."""
    shown = {layer.name for layer in layers}
    needed: dict[str, str] = {}
    for variable in dict.fromkeys(layer.variable for layer in layers):
        interval = interval_of(product, variable) or {}
        sources = [variable, *(interval.get(role) for role in ("low", "high", "median", "error"))]
        needed |= {name: variable for name in sources if name is not None and name not in shown}
    return [Layer(name, product[name], variable, None) for name, variable in needed.items()]


def _thinning(product: xr.Dataset, layers: Sequence[Layer], horizontal: Sequence[str]) -> int:
    """Return of how many cells in either direction one is shown, so that the page stays small."""
    room = sum(layer.values.size * layer.weight for layer in layers)
    every = int(np.ceil(np.sqrt(room / MOST_VALUES)))
    if every <= 1:
        return 1
    steps, sides = product.sizes.get(TIME, 1), [product.sizes[dim] for dim in horizontal]
    if every > min(_COARSEST, *sides) or len(sides) == 1:
        places = " × ".join(map(str, sides))
        raise ViewerError(
            f"too large for one page: {steps} steps of {places} "
            f"{'cells' if len(sides) > 1 else 'stations'} in {len(layers)} layers. Select hours, "
            "product.sel(time='2014-11'), layers, or view means: product.aqnet.aggregate('day')"
        )
    logger.info(
        "the page shows one of %d × %d cells: all %d steps of %s cells would make it too large",
        every,
        every,
        steps,
        " × ".join(map(str, sides)),
    )
    return every


def computed(view: View, *, progress: bool) -> dict[str, np.ndarray]:
    """Return the layers of a view in memory, (hour, place) float32 each, region by region.

    Raises
    ------
    ViewerError
        If no pollutant has a value.
    """
    horizontal = HORIZONTAL[layout_of(view.product)]
    layers = view.product[[layer.name for layer in (*view.layers, *view.hidden)]]
    layers = layers.transpose(TIME, *horizontal, missing_dims="ignore")
    stacks = {
        str(name): np.empty(layer.shape, np.float32) for name, layer in layers.data_vars.items()
    }
    cuts = regions(layers.drop_vars(list(layers.coords)))
    with progress_bar(cuts, "computing the page", progress) as bar:
        for cut in cuts:
            for name, values in region_values(layers, cut).items():
                stacks[str(name)][tuple(cut[str(dim)] for dim in values.dims)] = values.values
            bar.update(value_count(cut))
    pollutants = [name for name in stacks if name in POLLUTANTS]
    if not any(np.isfinite(stacks[name]).any() for name in pollutants):
        raise ViewerError(
            f"there is nothing to view: {' and '.join(pollutants)} has no value at any hour and "
            "place of this product"
        )
    return {
        name: stack.reshape(layers.sizes[TIME] if TIME in layers[name].dims else 1, -1)
        for name, stack in stacks.items()
    }


def _packed_layers(
    view: View,
    values: Mapping[str, np.ndarray],
    raster: Raster | None,
    measured: dict[str, Any] | None,
    limits: tuple[float, float] | None,
    levels: int,
) -> list[dict[str, Any]]:
    """Return all layers for the page, in steps of as many levels."""
    result: list[dict[str, Any]] = []
    for layer in (*view.layers, *view.hidden):
        own_values = values[layer.name]
        shape = (own_values.shape[0], *raster.shape) if raster else own_values.shape
        own = layer.name == layer.variable
        of_owner = next((one["limits"] for one in result if one["name"] == layer.variable), None)
        beside = np.array([], np.float32)
        if measured is not None and own and layer.variable in measured["values"]:
            series = measured["values"][layer.variable]
            beside = np.array(series, np.float32)
        described = packed_layer(
            layer,
            own_values,
            shape,
            measured=beside,
            limits=limits if own else of_owner if layer.is_draw else None,
            levels=levels,
        )
        result.append(described)
    return result


def _grid(product: xr.Dataset, raster: Raster) -> dict[str, Any]:
    """Return the picture of the cells for the page, in a plane with their places in degrees."""
    rows, columns = raster.cell.shape
    grid = {
        "rows": rows,
        "columns": columns,
        "cells": raster.shape[0] * raster.shape[1],
        "cell": packed(raster.cell, [1, 0]),
    }
    if raster.plane is None:
        return grid
    longitude, latitude = centres_of(product, raster.plane)
    steps = {"longitude": (longitude + 180) % 360, "latitude": latitude + 90}
    hundredths = {name: np.rint(100 * np.nan_to_num(v, posinf=0)) for name, v in steps.items()}
    return grid | {n: packed(v.astype(np.uint16), [1, 0]) for n, v in hundredths.items()}


def _facts(view: View, raster: Raster | None) -> list[str]:
    """Return what the product is, in a line: method, places, periods."""
    facts = []
    if method := view.whole.attrs.get("method"):
        facts.append(f"Method: {str(method).rstrip('.')}")
    if raster is None:
        facts.append(counted(view.whole.sizes[STATION], "station"))
    else:
        facts.append(raster.description)
    if TIME in view.whole.dims:
        hours = float(view.whole[TIME].attrs["step_hours"])
        noun = {1.0: "hour", 24.0: "day"}.get(hours, "period")
        facts.append(counted(view.whole.sizes[TIME], noun))
    if view.other_draws:
        facts.append(f"{counted(len(view.other_draws), 'draw')} not shown")
    return facts


def _notes(view: View, layers: Sequence[dict[str, Any]], faded: bool) -> list[str]:
    """Return what a reader must know of the numbers, a sentence or two each."""
    notes = []
    first = layers[0]
    variable = first["variable"]
    statistic = view.product[variable].attrs.get("statistic")
    if statistic == "median":
        notes.append("An estimate is a median: half of new measurements are expected below it.")
    elif statistic == "mean":
        notes.append("An estimate is a mean, of which averages over hours and places are unbiased.")
    if interval_of(view.product, variable) is not None:
        notes.append(
            "The interval of 90 % is expected to hold nine of ten new measurements of its place "
            "and period; one in twenty lies below it, one in twenty above."
        )
    if faded and not view.at_stations:
        notes.append(
            "Pale cells are far from stations, or few stations near them report at that time: such "
            "a value should not be used alone."
        )
    if others := view.other_draws:
        notes.append(
            f"{counted(len(others), 'draw')} of the product {'is' if len(others) == 1 else 'are'} "
            f"not shown; layers={[variable, others[0]]} shows one."
        )
    if view.every > 1:
        notes.append(
            f"So that the page stays small, one cell of {view.every} × {view.every} is shown, as "
            "wide and high as all of them; the product has all."
        )
    units = written_units(str(view.product[variable].attrs.get("units", "")))
    rounding = max(layer.get("rounding", 0.0) for layer in layers if layer["name"] == variable)
    notes.append(f"Values of this page are rounded, by {rounding:.1g} {units} at most.")
    return notes
