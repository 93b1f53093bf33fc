"""Means over zones, such as districts, weighted by area or people, with errors from draws."""

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    DRAW,
    MINIMUM_CAPTURE,
    POLLUTANTS,
    STATION,
    TIME,
    ZONE,
    draws_name,
    pollutant,
    quantile_name,
)
from aqreanalysis.derived.aggregate import (
    QUANTILES,
    Period,
    aggregate,
    check_aggregate,
    of_draws,
)
from aqreanalysis.derived.zones.population import PopulationSource
from aqreanalysis.derived.zones.series import ZoneSeries
from aqreanalysis.derived.zones.shapes import named_zones
from aqreanalysis.derived.zones.weights import ZoneWeights
from aqreanalysis.foreign.errors import raising
from aqreanalysis.foreign.grids import grid_like
from aqreanalysis.foreign.polygons import PolygonSource
from aqreanalysis.product import REFERENCE
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of
from aqreanalysis.product.provenance import with_layers

if TYPE_CHECKING:
    import geopandas

logger = logging.getLogger(__name__)

#: Why values have no error.
NO_DRAWS = (
    "no error: how the errors of places go together is in draws, reanalyse with draws=50 "
    "(--draws 50)"
)


def zone_means(
    product: xr.Dataset,
    polygons: PolygonSource,
    variable: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    weights: PopulationSource | None = None,
    period: Period | None = None,
    statistic: str = "mean",
    limit: float | None = None,
    capture: float = MINIMUM_CAPTURE,
    time_zone: str = "UTC",
    coverage: float = MINIMUM_CAPTURE,
) -> xr.Dataset:
    """Return the mean over each zone, per hour or per period, with its error from draws.

    The errors of neighbouring cells go together, and less so those farther apart; the mean of each
    draw over a zone has that in it, and the spread of these means is the error. A cell counts with
    the share of its area within the zone, or with the people in that share.

    Parameters
    ----------
    product : Dataset
        Of fields on a grid; lazy ones stay lazy. Draws of the air (``draws_of="air"``) leave out
        the noise of monitors, which fields of measurements have in every cell.
    polygons : path, GeoDataFrame, GeoSeries or shapely geometry
        A zone a row, in any CRS. They may overlap.
    variable : str or sequence of str, optional
        Pollutants; all by default.
    name : str, optional
        Column of the names of zones; by default the first one of texts that differ.
    weights : path, DataArray, Dataset or "population", optional
        Counts of people on a grid of any CRS (or a density, if its units are those of one), as
        NetCDF or GeoTIFF. ``"population"`` is the field that comes with the package, of people
        within 15 km: a proxy. By default the area counts.
    period, statistic, limit, capture, time_zone
        Of `aggregate`, for the means of zones: ``period="month", statistic="days_above",
        limit=35`` counts the days on which the mean of a zone is above the limit. Without a period,
        the hours of the product.
    coverage : float
        Share of the weight of a zone of which there must be an estimate; otherwise it is missing.

    Returns
    -------
    Dataset
        ``(zone, time)``: of each pollutant the mean, and with draws ``<variable>_uncertainty``, its
        standard error, and the quantiles ``<variable>_q05``, ``_q50`` and ``_q95``; the flag of
        most of the zone. Beside ``zone``, the columns of the polygons, a point within, the area,
        the people, the share of the weight on the grid, and the polygons themselves, in degrees.

    Raises
    ------
    ValueError
        If the product is no grid, a zone lies outside of it or has no name of its own, the polygons
        or the population cannot be used, or as of `aggregate`.

    Examples
    --------
    >>> import aqreanalysis as aqr, geopandas, shapely
    >>> obs = aqr.synthetic_network(hours=24, seed=0).observations
    >>> product = obs.aqnet.reanalyse("pm25", grid=0.25, method="kriging", draws=20)
    >>> halves = [shapely.box(115.5, 38.5, 116.5, 41), shapely.box(116.5, 38.5, 117.5, 41)]
    >>> districts = geopandas.GeoDataFrame(
    ...     {"district": ["west", "east"]}, geometry=halves, crs="EPSG:4326"
    ... )
    >>> means = zone_means(product, districts)
    >>> means.pm25.sizes, bool((means.pm25_uncertainty < product.pm25_uncertainty.mean()).all())
    (Frozen({'zone': 2, 'time': 24}), True)
    """
    _check_product(product)
    _check_coverage(coverage)
    names = _pollutants(product, variable)
    options: dict[str, Any] = {"statistic": statistic, "limit": limit, "capture": capture}
    if period is None:
        _check_hourly(**options, time_zone=time_zone)
    else:
        check_aggregate(product[names], period, time_zone=time_zone, **options)
    with raising(ValueError, "the grid of the product"):
        grid = grid_like(product[names[:1]].assign_coords(product.coords))
    with raising(ValueError, "the zones"):
        zones = named_zones(polygons, name)
        weighted = ZoneWeights.of(zones, grid, weights)
    # A column that repeats the first one around the globe is no cell of the grid.
    cells = dict(zip(HORIZONTAL[layout_of(product)], map(slice, grid.shape), strict=True))
    series = ZoneSeries(product.isel(cells), weighted, coverage)
    hourly = xr.merge([series.of(each) for each in names], compat="override")
    hourly = hourly.assign_coords(_coordinates(product, zones, weighted))
    hourly = hourly.assign_attrs(_attributes(product))
    means = f"means of {', '.join(names)} over {len(zones)} zones, weighted by {weighted.what}"
    hourly = with_layers(hourly, {}, f"{means}, coverage {coverage:g}")
    for each in names:
        if draws_name(each) not in product:
            logger.warning("the means of %s over zones have %s", each, NO_DRAWS)
    if period is None:
        made = _of_hours(hourly, names)
    else:
        made = aggregate(hourly, period, time_zone=time_zone, **options)
    return _described(made, product, weighted.what)


def _of_hours(hourly: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return hours of zones with what their draws say, instead of the draws."""
    layers: dict[str, xr.DataArray] = {}
    for name in names:
        draws = draws_name(name)
        if draws not in hourly:
            continue
        layer = hourly[draws]
        outputs = [name, f"{name}_uncertainty", *(quantile_name(name, p) for p in QUANTILES)]
        made = xr.apply_ufunc(
            of_draws,
            layer.chunk({DRAW: -1}) if layer.chunks else layer,
            input_core_dims=[[DRAW]],
            output_core_dims=[[]] * len(outputs),
            kwargs={"axis": -1},
            dask="parallelized",
            output_dtypes=[np.float32] * len(outputs),
        )
        layers |= dict(zip(outputs, made, strict=True))
        number, of = layer.sizes[DRAW], layer.attrs.get("draws_of", "measurements")
        stated = hourly[name].attrs | {"comment": f"mean over {number} draws of {of}"}
        layers[name].attrs = stated
        units, plain = stated.get("units", CONCENTRATION_UNITS), POLLUTANTS[name].long_name
        error = {"long_name": f"standard error of {plain}", "units": units}
        layers[f"{name}_uncertainty"].attrs = error
        for output, p in zip(outputs[2:], QUANTILES, strict=True):
            described = {"long_name": f"{100 * p:g} % quantile of {plain}", "units": units}
            layers[output].attrs = described | {"quantile": p}
    made = hourly.assign(layers).drop_vars([draws_name(name) for name in names], errors="ignore")
    return made.drop_vars(DRAW, errors="ignore")


def _described(made: xr.Dataset, product: xr.Dataset, what: str) -> xr.Dataset:
    """Return means of zones whose layers say that they are means over an area, and of what."""
    over = "area: mean" if what == "area" else f"area: mean (weighted by {what})"
    for name, layer in made.data_vars.items():
        layer.attrs.pop("grid_mapping", None)
        layer.attrs.pop("ancillary_variables", None)
        base = str(name).partition("_")[0]
        if base not in POLLUTANTS or str(name).endswith("_flag"):
            continue
        plain = POLLUTANTS[base].long_name
        if name == base or "cell_methods" in layer.attrs:
            layer.attrs["cell_methods"] = f"{over} {layer.attrs.get('cell_methods', 'time: mean')}"
        if draws_name(base) not in product:
            layer.attrs["comment"] = NO_DRAWS
        stated = str(layer.attrs.get("long_name", plain))
        layer.attrs["long_name"] = stated.replace(plain, f"{plain} of the zone")
    return made


def _coordinates(
    product: xr.Dataset, zones: "geopandas.GeoDataFrame", weights: ZoneWeights
) -> dict[str, Any]:
    """Return the coordinates of zones, and those of the product's time."""
    degrees = zones.geometry.to_crs("EPSG:4326")
    points = degrees.representative_point()
    geometry = np.empty(len(zones), object)
    geometry[:] = degrees.values
    coordinates: dict[str, Any] = {
        ZONE: (ZONE, zones.index.to_numpy().astype(str)),
        "longitude": (ZONE, points.x.to_numpy()),
        "latitude": (ZONE, points.y.to_numpy()),
        "area_km2": (ZONE, weights.area_km2, {"long_name": "area", "units": "km2"}),
    }
    if weights.what != "area":
        stated = {"long_name": weights.what, "units": "1"}
        coordinates["population"] = (ZONE, weights.total, stated)
    coordinates["covered"] = (
        ZONE,
        weights.covered,
        {"long_name": "share of the weight of the zone on the grid", "units": "1"},
    )
    taken = {*coordinates, *product.variables, "geometry"}
    for column in zones.columns.drop(zones.geometry.name):
        values = zones[column]
        own = re.sub(r"\W", "_", str(column)) or "column"
        own = f"zone_{own}" if own in taken or own[0].isdigit() else own
        taken.add(own)
        coordinates[own] = (ZONE, _plain(values))
    coordinates["geometry"] = (ZONE, geometry)
    timed = {
        str(name): coordinate.variable
        for name, coordinate in product.coords.items()
        if set(coordinate.dims) <= {TIME, "bnds"} and name != "crs"
    }
    return {**timed, **coordinates}


def _plain(column: Any) -> np.ndarray:
    """Return a column of polygons as numbers, or else as texts, empty where one is missing."""
    if column.dtype.kind in "iuf":
        numbers: np.ndarray = column.to_numpy()
        return column.to_numpy(np.float64, na_value=np.nan) if column.isna().any() else numbers
    return np.array(["" if value != value or value is None else str(value) for value in column])


def _attributes(product: xr.Dataset) -> dict[Any, Any]:
    """Return the attributes of a product that its zones have as well."""
    of_cells = ("id", "geospatial_", "cdm_data_type", "title", "summary")
    attributes = {k: v for k, v in product.attrs.items() if not str(k).startswith(of_cells)}
    if "title" in product.attrs:
        attributes["title"] = f"Means over zones: {product.attrs['title']}"
    return attributes


def _pollutants(product: xr.Dataset, variable: str | Sequence[str] | None) -> list[str]:
    """Return the pollutants that are asked for."""
    present = [str(name) for name in product.data_vars if name in POLLUTANTS]
    if variable is None:
        names = present
    else:
        several = [variable] if isinstance(variable, str) else variable
        names = list(dict.fromkeys(pollutant(each).name for each in several))
    lacking = [name for name in names if name not in present]
    if lacking or not names:
        raise ValueError(
            f"the product has no {' and no '.join(lacking) or 'pollutant'}; it has "
            f"{', '.join(map(str, product.data_vars)) or 'nothing'}"
        )
    return names


def _check_product(product: xr.Dataset) -> None:
    """Refuse what is no product on a grid, or is a set of outlooks."""
    if STATION in product.dims or ZONE in product.dims:
        of = "stations" if STATION in product.dims else "zones"
        raise ValueError(
            f"zones are means over the cells of a grid, and this product is of {of}: reanalyse on "
            "a grid, with grid=0.1 (--grid 0.1)"
        )
    if TIME not in product.dims:
        raise ValueError(
            "zones are of hours or other periods, and this product has no dimension 'time': select "
            "hours as product.isel(time=[5])"
        )
    if layout_of(product) == "curvilinear":
        raise ValueError(
            "the cells of this product have centres alone, and no area: reanalyse on a grid in "
            "degrees or in a projection"
        )
    if REFERENCE in product.dims:
        raise ValueError(
            f"zones are of one outlook, and this is a set of them: select a start, "
            f"product.sel({REFERENCE}=...)"
        )


def _check_coverage(coverage: object) -> None:
    """Refuse what is no share of a zone."""
    number = isinstance(coverage, int | float) and not isinstance(coverage, bool)
    if not (number and 0 < coverage <= 1):  # type: ignore[operator]
        raise ValueError(
            f"coverage is a share of the zone, above 0 and at most 1; found {coverage!r}"
        )


def _check_hourly(**options: object) -> None:
    """Refuse what is said of periods where there is none."""
    usual = {"statistic": "mean", "limit": None, "capture": MINIMUM_CAPTURE, "time_zone": "UTC"}
    said = [f"{name}={value!r}" for name, value in options.items() if value != usual[name]]
    if said:
        raise ValueError(
            f"{' and '.join(said)} is said of periods: name one, as period='month' "
            "(--period month), or leave it out"
        )
