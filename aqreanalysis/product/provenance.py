"""From a bare field to the CF product, with its provenance in the attributes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, counted, pollutant
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import input_digest
from aqreanalysis.product.attributes import iso_time, restore_metadata
from aqreanalysis.product.coordinates import CRS, crs_attributes
from aqreanalysis.product.metadata import checked_metadata
from aqreanalysis.product.times import labelled_bounds
from aqreanalysis.product.variables import EDGES, ProductError

_CREATOR_KEYS = ("name", "email", "url", "type", "institution")


def build_product(
    field: xr.Dataset,
    *,
    variable: str,
    grid: Grid | None,
    observations: xr.Dataset,
    method: str,
    settings: Mapping[str, Any],
    references: str = "",
    title: str | None = None,
    creator: str | Mapping[str, str] | None = None,
    licence: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return the CF product of a field: coordinates, bounds, CRS, attributes and provenance.

    Nothing is computed: lazy layers stay lazy.

    Parameters
    ----------
    field : Dataset
        ``<variable>``, ``<variable>_uncertainty`` (one standard error, ug m-3),
        ``<variable>_flag`` and ``distance_to_nearest_station`` (km) on ``(time, lat, lon)``,
        ``(time, y, x)`` or ``(station, time)``.
    variable : str
        Name of the pollutant.
    grid : Grid or None
        The grid of the field; None for a field at stations.
    observations : Dataset
        The measurements that the field was made from. Their digest, number and period go into
        the product, and the label and step of the averaging period come from them.
    method : str
        Name of the method, for example ``"kriging"``.
    settings : mapping
        Settings of the method; written as JSON.
    references : str
        Where the method is described.
    title, licence : str, optional
        Global attributes of the file.
    creator : str or mapping, optional
        A name, or a mapping with name, email, url, type, institution.
    metadata : mapping, optional
        What else is stated of the product, as of `with_metadata`.

    Returns
    -------
    Dataset
        Ready for `write_netcdf`; `restore_metadata` would change nothing in it.

    Raises
    ------
    ProductError
        If the field is not on the grid, lacks the variable, or CF has no name for the CRS; all
        faults at once.
    """
    maker = {"name": creator} if isinstance(creator, str) else dict(creator or {})
    unknown = [repr(key) for key in maker if key not in _CREATOR_KEYS]
    faults = [*_variable_faults(field, observations, variable), *_place_faults(field, grid)]
    if unknown:
        faults.append(f"creator has {', '.join(_CREATOR_KEYS)}; found {', '.join(unknown)}")
    given = checked_metadata(metadata)
    makers = {f"creator_{key}": value for key, value in maker.items()}
    faults += [
        f"{name} is {value!r} by creator and {given[name]!r} by metadata; say it once"
        for name, value in makers.items()
        if given.get(name, value) != value
    ]
    if faults:
        raise ProductError("; ".join(faults))
    statistic = str(field[variable].attrs.get("statistic", "median"))
    product = field.drop_attrs(deep=False).assign_coords(_time_coordinates(field, observations))
    if grid is not None:
        product = product.assign_coords(_grid_coordinates(grid))
    of_period = observations[variable].attrs.get("cell_methods")
    if of_period is not None:  # maxima stay maxima
        product[variable].attrs["cell_methods"] = of_period
    provenance = _provenance(observations, variable, method, settings, statistic)
    if references:
        provenance["references"] = references
    provenance |= makers
    stated = {"institution": maker.get("institution"), "title": title, "license": licence}
    provenance |= {key: value for key, value in stated.items() if value} | given
    return restore_metadata(product.assign_attrs(provenance))


def with_layers(dataset: xr.Dataset, layers: dict[str, xr.DataArray], made: str) -> xr.Dataset:
    """Return a dataset with further layers, and in its history what was made."""
    now, release = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), version("aqreanalysis")
    line = f"{now} aqreanalysis {release}: {made}"
    before = dataset.attrs.get("history")
    history = f"{before}\n{line}" if before else line
    made_by = {"date_created": now, "product_version": release}
    return dataset.assign(layers).assign_attrs(history=history, **made_by)


def with_references(dataset: xr.Dataset, references: str) -> xr.Dataset:
    """Return a dataset that names where what was made of it is described, too.

    Examples
    --------
    >>> with_references(xr.Dataset(attrs={"references": "A"}), "B").attrs["references"]
    'A; B'
    """
    stated = str(dataset.attrs.get("references", ""))
    if references in stated:
        return dataset
    return dataset.assign_attrs(references="; ".join(filter(None, (stated, references))))


def _variable_faults(field: xr.Dataset, observations: xr.Dataset, variable: str) -> list[str]:
    """Return faults of the name of the variable, and of Datasets that lack it or time."""
    name = pollutant(variable).name
    faults = [] if name == variable else [f"the variable is called {name!r}, not {variable!r}"]
    for place, dataset in (("the field", field), ("the observations", observations)):
        faults += [
            f"{place}: no {needed!r}; found {', '.join(map(str, dataset.variables))}"
            for needed in (name, TIME)
            if needed not in dataset.variables
        ]
    return faults


def _place_faults(field: xr.Dataset, grid: Grid | None) -> list[str]:
    """Return why the field does not lie on the grid, or at stations."""
    if grid is None:
        if STATION in field.dims:
            return []
        return [f"a field without a grid needs 'station'; found {tuple(field.sizes)}"]
    faults, has_axes = [], bool(grid.bounds())
    for name, centres in zip(grid.dims, (grid.y, grid.x), strict=True) if has_axes else ():
        own = field[name].values if name in field.dims else np.array([])
        if own.shape != centres.shape or not np.allclose(own, centres, rtol=0, atol=1e-6):
            faults.append(
                f"the field is not on the grid: along {name!r} expected {_span(centres)}, "
                f"found {_span(own)}. Pass the grid that the field was predicted on"
            )
    sizes = tuple(field.sizes.get(name, 0) for name in grid.dims)
    if not has_axes and sizes != grid.shape:
        faults.append(f"the field is not on the grid: expected {grid.shape} cells, found {sizes}")
    return faults


def _span(centres: np.ndarray) -> str:
    """Return the size and the ends of an axis in words."""
    if not centres.size:
        return "nothing"
    return f"{centres.size} cells from {centres[0]:g} to {centres[-1]:g}"


def _time_coordinates(field: xr.Dataset, observations: xr.Dataset) -> dict[str, Any]:
    """Return time with its label, and its bounds."""
    attributes = {**observations[TIME].attrs, **field[TIME].attrs}
    missing = [name for name in ("time_label", "step_hours") if name not in attributes]
    if missing:
        raise ProductError(
            f"the time of the observations has no {' and no '.join(missing)}, so it is unknown "
            "what an hour means. Open the measurements with open_observations(..., "
            "time_label='start' or 'end')."
        )
    label, step = attributes["time_label"], float(attributes["step_hours"])
    time = field[TIME].assign_attrs(time_label=label, step_hours=step)
    bounds = labelled_bounds(time.values, label, step)
    return {TIME: time.variable, f"{TIME}_bnds": ((TIME, EDGES), bounds)}


def _grid_coordinates(grid: Grid) -> dict[str, Any]:
    """Return the axes of the grid, their bounds and the CRS."""
    import pyproj

    coordinates: dict[str, Any] = {
        CRS: ((), np.int32(0), crs_attributes(pyproj.CRS.from_user_input(grid.crs)))
    }
    edges = {f"{name}_bnds": ((name, EDGES), bounds) for name, bounds in grid.bounds().items()}
    return coordinates | grid.coordinates() | edges


def _provenance(
    observations: xr.Dataset,
    variable: str,
    method: str,
    settings: Mapping[str, Any],
    statistic: str,
) -> dict[str, Any]:
    """Return the attributes that state the input, the method and the date of the product."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    release = version("aqreanalysis")
    network = StationNetwork.from_dataset(observations)
    labels = observations[TIME].values
    period = f"{iso_time(labels[0])}/{iso_time(labels[-1])}"
    digest = input_digest(observations, variable)
    options = json.dumps(dict(settings), sort_keys=True, default=_plain)
    earlier = str(observations.attrs.get("history", ""))
    name = pollutant(variable).long_name
    return {
        # `restore_metadata` adds what this file is of it.
        "id": f"aqreanalysis-{variable}-{method}-{digest[:12]}".replace(" ", "_"),
        "title": f"{name} analysed from station measurements by {method}",
        "source": f"aqreanalysis {release}, method {method}; measurements of {variable} at "
        f"{counted(network.size, 'station')}, {period}",
        # What was decided while the measurements were read comes first.
        "history": (f"{earlier}\n" if earlier else "")
        + f"{now} aqreanalysis {release}: {statistic} of {variable} by {method} {options} "
        f"from {network!r}, {period}, sha256 {digest}",
        "date_created": now,
        "product_version": release,
        "method": method,
        "method_settings": options,
        "input_variable": variable,
        "input_stations": np.int32(network.size),
        "input_period": period,
        "input_sha256": digest,
    }


def _plain(value: Any) -> Any:
    """Return a setting of a type that JSON lacks as a list, a number or a text."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
