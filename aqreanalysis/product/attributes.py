"""Attributes of a product's layers and of the file, recomputed from its names and values."""

import hashlib
import logging
import math
import re
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    POLLUTANTS,
    PRODUCT_FLAGS,
    TIME,
    missing_class,
    probability_of,
)
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.observations.variables import (
    METEOROLOGY,
    attributes_of,
    listed,
    pollutant_of_standard_name,
)
from aqreanalysis.product.classes import are_classes, as_classes, class_type
from aqreanalysis.product.coordinates import (
    CRS,
    HEIGHT,
    HORIZONTAL,
    Layout,
    layout_of,
    restore_coordinates,
)
from aqreanalysis.product.kinds import check_kinds
from aqreanalysis.product.statistics import (
    AVERAGING,
    of_an_index,
    refuse_other_values,
    restate_statistics,
    weighed_cells,
    without_lost_draws,
    without_marks_of_joining,
)
from aqreanalysis.product.times import is_set, periods_of
from aqreanalysis.product.variables import MEASURED, ProductError
from aqreanalysis.product.zones import CONTAINER, GEOMETRY, PARTS

#: The versions of CF that are written, the default first: the newest that checkers know.
CF_VERSIONS = ("1.11", "1.12")
CONVENTIONS = f"CF-{CF_VERSIONS[0]}, ACDD-1.3"

#: The table that holds every standard name used here, as the table names itself.
_VOCABULARY = "CF-StandardNameTable-93"
#: Attributes that name other variables, which may have been dropped.
_RELATIONS = ("coordinates", "grid_mapping", "ancillary_variables")
#: What is true of a file only: how it was rounded, and a CRS in the words of Zarr.
_OF_A_FILE = ("quantization", "_CRS")
#: Attributes that a layer may state for itself.
_WORDING = ("long_name", "units", "cell_methods", "coverage_content_type")
#: Layouts of series in time, each of a place of its own.
_SERIES = ("stations", "zones")
#: Of latitude and of longitude: how far apart values are.
_RESOLUTIONS = ("geospatial_lat_resolution", "geospatial_lon_resolution")
#: The vertical datum is the ground, of which EPSG has no height.
_ABOVE_GROUND = (
    'VERTCRS["height above ground",VDATUM["ground"],CS[vertical,1],AXIS["height (h)",up],'
    'LENGTHUNIT["metre",1]]'
)
DISTANCE = "distance_to_nearest_station"
_DISTANCES = (DISTANCE, "_distance")
#: Names of variables in a message.
_SHOWN = 8
#: Layers that do not belong to one pollutant.
_AUXILIARY = {
    DISTANCE: {
        "long_name": "great-circle distance to the nearest station",
        "units": "km",
        "coverage_content_type": "auxiliaryInformation",
    },
    "attention": {
        "long_name": "share of attention of each predicted day for each past day, nearest first",
        "units": "1",
        "coverage_content_type": "auxiliaryInformation",
    },
}

_logger = logging.getLogger(__name__)


def restore_metadata(product: xr.Dataset) -> xr.Dataset:
    """Return the product with all CF metadata rebuilt from its names, values and attributes.

    Arithmetic, selections and reopening lose the CRS, the bounds or the attributes of a Dataset.
    They are rebuilt from the names of variables and coordinates. A ``long_name``,
    ``cell_methods`` or ``units`` that the product still has stays, and so do its global
    attributes; extents and coverage are computed anew. What is no longer true is said
    anew or left out: values made of those of the hours are called so (`restate_statistics`).
    Lazy layers stay lazy.

    Parameters
    ----------
    product : Dataset
        ``(time, lat, lon)``, ``(time, y, x)`` or ``(station, time)`` with at least one pollutant.

    Returns
    -------
    Dataset
        With ``crs``, bounds and, for stations, ``station_id`` as coordinates.

    Raises
    ------
    ProductError
        If the product holds no pollutant, or what was lost cannot be derived from the rest: the
        CRS of projected coordinates, the meaning of the time labels, what was made of the hours.

    Examples
    --------
    >>> bare = xr.Dataset(
    ...     {"pm25": (("lat", "lon"), [[1.0, 2.0]])}, coords={"lat": [50.0], "lon": [10.0, 10.5]}
    ... )
    >>> restored = restore_metadata(bare)
    >>> restored.pm25.attrs["units"], restored.lon_bnds.values.tolist()
    ('ug m-3', [[9.75, 10.25], [10.25, 10.75]])
    """
    layout = layout_of(product)
    if not any(name in POLLUTANTS for name in product.data_vars):
        raise ProductError(
            f"a product holds at least one of {', '.join(POLLUTANTS)}; found "
            f"{listed(product.data_vars, _SHOWN) if product.data_vars else 'no variable'}. Rename "
            "its variable; of what GDAL writes, where each hour is one, join them along time with "
            "xarray."
        )
    logical = [n for n in product.data_vars if n in POLLUTANTS and product[n].dtype.kind == "b"]
    if logical:
        raise ProductError(
            f"{logical[0]} holds true and false, which is no concentration. Keep the comparison "
            f"beside it, product.assign({logical[0]}_high=(product.{logical[0]} > 75)), or take "
            "probabilities, product.aqnet.exceedance(75)."
        )
    _refuse_other_names(product)
    check_kinds(product, layout)
    refuse_other_values(product)
    product = without_marks_of_joining(product)
    by_nco = TIME in product.variables and "cell_methods" in product[TIME].attrs
    restored = _without_regridded_flags(restore_coordinates(product), layout)
    restored = without_lost_draws(restate_statistics(restored, by_nco=by_nco))
    for name in restored.data_vars:
        layer = restored[name].variable.copy(deep=False)  # keeps lazy values lazy
        layer.attrs = _layer_attributes(restored, str(name), layout)
        layer.encoding = {}
        if are_classes(layer.attrs):
            layer = as_classes(layer, str(name))
            layer.encoding = {"_FillValue": missing_class(class_type(layer.attrs))}
        restored[name] = layer
    attributes = {**_history(restored), **_global_attributes(restored, layout)}
    return restored.assign_attrs({**attributes, "id": _identifier(restored, attributes)})


def _refuse_other_names(product: xr.Dataset) -> None:
    """Refuse a pollutant that states the standard name of another: its variable was renamed."""
    for name in product.data_vars:
        stated = pollutant_of_standard_name(product[name].attrs.get("standard_name"))
        if name in POLLUTANTS and stated is not None and stated.name != name:
            raise ProductError(
                f"{name} says that it is {stated.long_name}, {stated.standard_name}. Call it "
                f"{stated.name} again, or delete what it states: del product.{name}.attrs"
                "['standard_name'], ['long_name']."
            )


def coordinates_attribute(product: xr.Dataset, name: str) -> str:
    """Return the auxiliary coordinates of a layer, as its attribute ``coordinates`` lists them."""
    layer = product[name]
    # A distance along the ground is none of the air above it.
    nowhere = (CRS, CONTAINER, *PARTS, *((HEIGHT,) if name.endswith(_DISTANCES) else ()))
    auxiliary = [
        str(coordinate)
        for coordinate, values in product.coords.items()
        if coordinate not in product.dims
        and coordinate not in nowhere
        and not str(coordinate).endswith("_bnds")
        and set(values.dims) <= set(layer.dims)
    ]
    return " ".join(sorted(auxiliary))


def _layer_attributes(product: xr.Dataset, name: str, layout: Layout) -> dict[str, Any]:
    """Return the attributes of one layer: its own wording where it still has some, else ours."""
    stated = {
        key: value
        for key, value in product[name].attrs.items()
        if key not in _RELATIONS and not key.startswith(_OF_A_FILE)
    }
    base, role = _role(name)
    if role == "flag":
        stated = {}
    fixed: dict[str, Any] = {}
    if set(HORIZONTAL[layout]) <= set(product[name].dims):
        fixed["grid_mapping"] = CRS
    described = _described(name, base, role)
    if role == "analysis":
        fixed |= _ancillary(product, base)
        if layout == "stations" and is_measured(product, base):
            fixed["coverage_content_type"] = MEASURED
    elif layout == "stations" and name in METEOROLOGY:
        described = _weather(name, product[name].attrs.get("units"))
    elif base in product and (role in ("uncertainty", "draws") or probability_of(role) is not None):
        fixed["units"] = product[base].attrs.get("units", CONCENTRATION_UNITS)
    if base in POLLUTANTS and TIME in product[name].dims and not is_set(product):
        step = product[TIME].attrs["step_hours"]
        fixed[AVERAGING] = product[name].attrs.get(AVERAGING, step)
    wording = {k: stated[k] for k in _WORDING if k in stated}
    attributes = {**stated, **described, **wording, **fixed}
    if TIME not in product[name].dims or is_set(product):
        # CF has no method over a coordinate that the layer lacks.
        attributes.pop("cell_methods", None)
    return attributes


def is_measured(product: xr.Dataset, name: str) -> bool:
    """Return whether a pollutant at stations is that of observations, with gaps filled or not.

    Examples
    --------
    >>> is_measured(xr.Dataset({"pm25": 4.0}), "pm25")
    True
    """
    estimated = f"{name}_uncertainty" in product and f"{name}_origin" not in product
    return "method" not in product.attrs and not estimated


def _weather(name: str, units: str | None) -> dict[str, str]:
    """Return the attributes of a meteorological variable of stations."""
    scale = (
        {"units_metadata": "temperature: on_scale"}
        if "temperature" in (METEOROLOGY[name].standard_name)
        else {}
    )
    return {**attributes_of(name, units), "coverage_content_type": MEASURED, **scale}


def _role(name: str) -> tuple[str, str]:
    """Return the pollutant of a layer and its role, such as "uncertainty"; ("x", "other")."""
    if name in POLLUTANTS:
        return name, "analysis"
    base, _, role = name.rpartition("_")
    return (base, role) if base in POLLUTANTS else (name, "other")


def _described(name: str, base: str, role: str) -> dict[str, Any]:
    """Return the attributes that follow from the role of a layer."""
    if base not in POLLUTANTS:
        return dict(_AUXILIARY.get(name, {}))
    standard_name, long_name = POLLUTANTS[base].standard_name, POLLUTANTS[base].long_name
    quality = {"coverage_content_type": "qualityInformation"}
    probability = probability_of(role)
    if role == "analysis":
        return {
            "standard_name": standard_name,
            "long_name": long_name,
            "units": CONCENTRATION_UNITS,
            "cell_methods": f"{TIME}: mean",
            "coverage_content_type": "modelResult",
        }
    if role == "uncertainty":
        return {
            "standard_name": f"{standard_name} standard_error",
            "long_name": f"standard error of {long_name}",
            "units": CONCENTRATION_UNITS,
            **quality,
        }
    if probability is not None:
        return {
            "standard_name": standard_name,
            "long_name": f"{100 * probability:g} % quantile of {long_name}",
            "units": CONCENTRATION_UNITS,
            "quantile": probability,
            **quality,
        }
    if role == "draws":
        return {
            "standard_name": standard_name,
            "long_name": f"draws of {long_name}",
            "units": CONCENTRATION_UNITS,
            "coverage_content_type": "modelResult",
        }
    if role == "distance":
        described = dict(_AUXILIARY[DISTANCE])
        return described | {"long_name": f"{described['long_name']} that measures {long_name}"}
    if role == "flag":
        return {
            "standard_name": "quality_flag",
            "long_name": f"support of {long_name} by stations",
            "flag_values": np.array(list(PRODUCT_FLAGS.values()), dtype=np.int8),
            "flag_meanings": " ".join(PRODUCT_FLAGS),
            **quality,
        }
    return {}


def _ancillary(product: xr.Dataset, base: str) -> dict[str, str]:
    """Return the attribute that names the layers that qualify a concentration."""
    roles = (_role(str(name)) for name in product.data_vars)
    quantiles = (f"{b}_{role}" for b, role in roles if b == base and probability_of(role))
    qualifying = (f"{base}_{role}" for role in ("flag", "origin", "qc"))
    distances = (DISTANCE, f"{base}_distance")
    candidates = (f"{base}_uncertainty", *quantiles, *qualifying, *distances)
    layers = [name for name in candidates if name in product.data_vars]
    return {"ancillary_variables": " ".join(layers)} if layers else {}


def _global_attributes(product: xr.Dataset, layout: Layout) -> dict[str, Any]:
    """Return the attributes of the file; title, summary and keywords stay if stated."""
    names = [POLLUTANTS[str(n)].long_name for n in product.data_vars if n in POLLUTANTS]
    measured = _are_measurements(product)
    made = "measured at stations" if measured else "analysed from station measurements"
    if measured and any(f"{n}_origin" in product for n in product.data_vars):
        made += ", gaps filled"
    estimated = (
        "estimated from the measurements of an air-quality network, with one standard error "
    )
    estimated += "and a flag that tells how well stations support each value."
    defaults = {
        "title": f"{', '.join(names)} {made}",
        "summary": f"{', '.join(names)} {f'{made}.' if measured else estimated}",
        "keywords": ", ".join(["air quality", "reanalysis", "station network", *names]),
    }
    stated = {name: product.attrs[name] for name in defaults if name in product.attrs}
    fixed = {
        "Conventions": CONVENTIONS,
        "standard_name_vocabulary": _VOCABULARY,
        "cdm_data_type": "Station" if layout in _SERIES else "Grid",
    }
    if layout in _SERIES and not is_set(product):  # a set of outlooks is none
        fixed["featureType"] = "timeSeries"
    return {**defaults, **stated, **fixed, **_extent(product, layout), **_coverage(product)}


def _are_measurements(product: xr.Dataset) -> bool:
    """Return whether its layers say that all pollutants were measured."""
    pollutants = (product[name] for name in product.data_vars if name in POLLUTANTS)
    return {layer.attrs["coverage_content_type"] for layer in pollutants} == {MEASURED}


def _history(product: xr.Dataset) -> dict[str, str]:
    """Return the history of the product, or a statement that it was lost, or never stated."""
    if product.attrs.get("history"):
        return {"history": product.attrs["history"]}
    if _are_measurements(product):
        return {
            "history": f"aqreanalysis {version('aqreanalysis')}: measurements as they were given, "
            "with metadata by their names"
        }
    _logger.warning("the product has lost its provenance: no attribute 'history' is left")
    return {
        "history": f"aqreanalysis {version('aqreanalysis')}: metadata rebuilt from names and "
        "values; what the product was made from was lost before"
    }


def _identifier(product: xr.Dataset, attributes: dict[str, Any]) -> str:
    """Return an identifier of this file alone: of its input, and of what and when it is.

    The last part is a digest of coordinates, layers and history, whose dates do not count.
    """
    names = "-".join(str(name) for name in product.data_vars if name in POLLUTANTS)
    stated = str(product.attrs.get("id", ""))
    base = re.sub(r"-[0-9a-f]{8}$", "", stated) if stated else f"aqreanalysis-{names}"
    history = re.sub(r"(?m)^\d{4}-\d\d-\d\dT[\d:]+Z ", "", attributes["history"])
    digest = hashlib.sha256(f"{sorted(map(str, product.data_vars))} {history}".encode())
    for name in sorted(map(str, product.coords)):
        coordinate = product[name]
        if coordinate.dtype.kind == "O" and name == GEOMETRY:
            continue  # polygons, which zones have names for
        on_its_own = name in product.dims or (coordinate.ndim == 1 and not name.endswith("_bnds"))
        if on_its_own:
            values = coordinate.values
            values = values.astype(str) if values.dtype.kind in "OUT" else values
            digest.update(f"{name} {values.shape}".encode() + values.tobytes())
    return f"{base}-{digest.hexdigest()[:8]}"


def _without_regridded_flags(product: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the product without flags if another program has made another grid of its own.

    A flag that was interpolated is none; the file still states the size of the cells before.
    """
    if layout in _SERIES:
        return product
    flags = [
        str(name)
        for name, layer in product.data_vars.items()
        if are_classes(layer.attrs) or of_an_index(str(name))
    ]
    now = _resolution(product, layout)
    # Cells of a curvilinear grid differ, so that a part of it has other sizes than the whole.
    same = layout == "curvilinear" or all(
        _same_size(str(product.attrs.get(name, size)), size) for name, size in now.items()
    )
    if not flags or (same and not weighed_cells(product.attrs.get("history", ""))):
        return product
    _logger.warning(
        "the cells of the product were %s and are %s: %s went through other cells and is left out",
        *(", ".join(sizes.values()) for sizes in ({k: product.attrs.get(k, "") for k in now}, now)),
        ", ".join(flags),
    )
    history = (
        f"{product.attrs.get('history', '')}\nother cells than before; without interpolated flags"
    )
    return product.drop_vars(flags).assign_attrs(history=history.strip())


def _same_size(before: str, now: str) -> bool:
    """Return whether two sizes of cells, such as 0.1 degree, are one, as axes of float32 say it."""
    (first, _, first_unit), (second, _, second_unit) = (
        text.partition(" ") for text in (before, now)
    )
    try:
        return first_unit == second_unit and math.isclose(float(first), float(second), rel_tol=1e-3)
    except ValueError:
        return False


def _extent(product: xr.Dataset, layout: Layout) -> dict[str, Any]:
    """Return the extent: minima and maxima of the coordinates, and the outline of the cells."""
    if layout in _SERIES:
        west, east, south, north = _network(product).extent()
    else:
        west, east = float(product["lon"].min()), float(product["lon"].max())
        south, north = float(product["lat"].min()), float(product["lat"].max())
    extent: dict[str, Any] = {
        "geospatial_lat_min": south,
        "geospatial_lat_max": north,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
        "geospatial_bounds_crs": "EPSG:4326",
    }
    if layout == "geographic" and {"lat_bnds", "lon_bnds"} <= set(product.coords):
        west, east = float(product["lon_bnds"].min()), float(product["lon_bnds"].max())
        south, north = float(product["lat_bnds"].min()), float(product["lat_bnds"].max())
    # Latitude comes first in EPSG:4326, and so in the bounds that ACDD asks for.
    corners = [(south, west), (north, west), (north, east), (south, east), (south, west)]
    ring = ", ".join(f"{lat:.10g} {lon:.10g}" for lat, lon in corners)
    extent["geospatial_bounds"] = f"POLYGON (({ring}))"
    return extent | _resolution(product, layout) | _vertical_extent(product)


def _network(product: xr.Dataset) -> StationNetwork:
    """Return the places of stations or zones."""
    return StationNetwork(product["longitude"].values, product["latitude"].values)


def _vertical_extent(product: xr.Dataset) -> dict[str, Any]:
    """Return the height of the air, from the ground, which is no level of EPSG."""
    if HEIGHT not in product.coords or product[HEIGHT].ndim:
        return {}
    height = float(product[HEIGHT])
    return {
        "geospatial_vertical_min": height,
        "geospatial_vertical_max": height,
        "geospatial_vertical_units": "m",
        "geospatial_vertical_positive": "up",
        "geospatial_vertical_resolution": "one level",
        "geospatial_bounds_vertical_crs": _ABOVE_GROUND,
    }


def _resolution(product: xr.Dataset, layout: Layout) -> dict[str, str]:
    """Return the size of a cell with its unit; of other places, how far it is to the next one."""
    resolution = {}
    if layout in _SERIES:
        return dict.fromkeys(_RESOLUTIONS, _apart(_network(product).spacing_km))
    if layout == "curvilinear":
        rows, columns = (
            _steps_km(product["lon"].values, product["lat"].values, of) for of in (0, 1)
        )
        return dict(zip(_RESOLUTIONS, (_apart(rows), _apart(columns)), strict=True))
    for name, axis in zip(HORIZONTAL[layout], _RESOLUTIONS, strict=True):
        bounds = product.coords.get(f"{name}_bnds")
        if bounds is not None:
            size = float(np.median(np.abs(bounds[:, 1] - bounds[:, 0])))
            unit = "degree" if layout == "geographic" else product[name].attrs["units"]
            resolution[axis] = f"{size:.9g} {unit}"
    return resolution


def _steps_km(longitude: np.ndarray, latitude: np.ndarray, axis: int) -> float:
    """Return the median distance to the next cell along an axis; NaN for a single one."""
    ends = (slice(None, -1), slice(1, None))
    one, other = (
        [values.take(range(values.shape[axis])[end], axis) for values in (longitude, latitude)]
        for end in ends
    )
    distance = great_circle_km(*one, *other)
    return float(np.median(distance)) if distance.size else np.nan


def _apart(distance_km: float) -> str:
    """Return how far places are apart in words."""
    return "one place" if np.isnan(distance_km) else f"{distance_km:.3g} km"


def _coverage(product: xr.Dataset) -> dict[str, Any]:
    """Return the period that the averaging periods of the product cover."""
    bounds = periods_of(product)
    if bounds is None or not bounds.size:
        return {}
    step = product[TIME].attrs["step_hours"]
    begin, end = bounds.min(), bounds.max()
    hours = (end - begin) / np.timedelta64(1, "h")
    return {
        "time_coverage_start": iso_time(begin),
        "time_coverage_end": iso_time(end),
        "time_coverage_duration": f"PT{hours:.10g}H",
        "time_coverage_resolution": f"PT{step:.10g}H",
    }


def iso_time(instant: np.datetime64) -> str:
    """Return an instant as ISO 8601 in UTC.

    Examples
    --------
    >>> iso_time(np.datetime64("2024-01-01T08"))
    '2024-01-01T08:00:00Z'
    """
    return f"{np.datetime_as_string(instant, unit='s')}Z"
