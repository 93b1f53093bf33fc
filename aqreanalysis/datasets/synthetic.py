"""A synthetic network: stations in a simulated atmosphere, with the truth known everywhere."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.datasets.plumes import Towns, plume_field
from aqreanalysis.datasets.sensors import (
    Sensors,
    measured,
    missing_mask,
    spike_mask,
    stuck_mask,
    with_faults,
)
from aqreanalysis.datasets.sites import REGION, Sites, make_sites, make_towns, origin
from aqreanalysis.datasets.weather import (
    SPIN_UP_HOURS,
    Atmosphere,
    Weather,
    day_bump,
    drifting_field,
    make_weather,
    plane_km,
    solar_hour,
)
from aqreanalysis.grid import Grid
from aqreanalysis.observations.variables import attributes_of

_POLLUTANTS = ("pm25", "pm10", "no2")
_TOWNS = 26
_URBAN_SHARE = 0.6
_MONDAY = np.datetime64("1969-12-29T00", "h")


@dataclass(frozen=True, repr=False)
class SyntheticNetwork:
    """Stations to learn from, hidden stations to verify at, and the truth on a grid.

    Attributes
    ----------
    observations : xarray.Dataset, (station, time)
        What a method may see: ``pm25``, ``pm10``, ``no2`` (ug m-3) with errors, gaps and faults,
        and ``wind_speed`` (m s-1) and ``temperature`` (degC), complete and exact.
    hidden : xarray.Dataset, (station, time)
        Other stations with the same variables, measured in the same way but without faults;
        beside them the truth at these places without errors and gaps: ``pm25_truth``,
        ``pm10_truth``, ``no2_truth``.
    truth : xarray.Dataset, (time, lat, lon)
        ``pm25``, ``pm10`` and ``no2`` at the centres of the cells, hourly means, ug m-3. At a
        station the truth is this field, interpolated bilinearly.
    faults : xarray.Dataset, (station, time)
        Where PM2.5 was spoilt on purpose: ``spike`` and ``stuck``, bool.
    grid : Grid
        The grid of the truth.
    """

    observations: xr.Dataset
    hidden: xr.Dataset
    truth: xr.Dataset
    faults: xr.Dataset
    grid: Grid

    def __repr__(self) -> str:
        sizes = self.observations.sizes
        return (
            f"<SyntheticNetwork: {sizes[STATION]} stations, {self.hidden.sizes[STATION]} hidden, "
            f"{sizes[TIME]} h, truth on {self.grid.shape[0]} x {self.grid.shape[1]} cells>"
        )


def synthetic_network(
    *,
    stations: int = 45,
    hidden: int = 15,
    hours: int = 720,
    start: str = "2020-11-01",
    resolution: float = 0.05,
    urban_share: float = _URBAN_SHARE,
    seed: int = 0,
    atmosphere: Atmosphere | None = None,
    sensors: Sensors | None = None,
) -> SyntheticNetwork:
    """Return an observing-system simulation: a network, and the whole field that it samples.

    Towns on the plain west of the Bohai Sea, which are not the real ones, emit with the hours of
    local solar time. What they emit drifts in puffs with a turning, uneven wind, spreads, is mixed
    through the deepest layer that it meets, and is lost over a day. Under it lies a regional
    background, which drifts with the same wind, is high in calm spells and low in the afternoon.
    Puffs and background are sums of smooth functions, so there is no numerical diffusion, no edge,
    and the field at a place does not depend on the resolution. Monitors add their errors, gaps and
    faults. The numbers and their sources are in `Atmosphere` and `Sensors`.

    Not in it: chemistry, terrain, rain, sea breeze. NO2 is a tracer of short life. PM10 is PM2.5
    and a quarter more, with dust that grows with the square of the wind.

    Parameters
    ----------
    stations : int
        Number of stations in the observations.
    hidden : int
        Number of further stations, drawn from the same places.
    hours : int
        Length, in hours.
    start : str
        First hour, UTC, as NumPy reads it.
    resolution : float
        Side of a cell of the truth, 0.01 to 0.2 degrees.
    urban_share : float
        Share of the stations that stand in towns, gathered; the others stand anywhere.
    seed : int
        Sets everything. Sky and towns depend on the seed alone, not on the stations or sensors.
    atmosphere : Atmosphere, optional
        The physics; the default is a heating season.
    sensors : Sensors, optional
        How monitors measure; ``Sensors.perfect()`` reports the truth.

    Returns
    -------
    SyntheticNetwork

    Raises
    ------
    ValueError
        If a number is out of range; all faults at once.

    Notes
    -----
    Values are rounded to 0.001 ug m-3, which hides the last bits in which processors differ.
    Default size: 3 to 5 s on one core.

    Examples
    --------
    >>> network = synthetic_network(stations=12, hidden=4, hours=24, resolution=0.2, seed=1)
    >>> network
    <SyntheticNetwork: 12 stations, 4 hidden, 24 h, truth on 16 x 20 cells>
    >>> set(network.hidden.station.values) & set(network.observations.station.values)
    set()
    """
    _check(stations, hidden, hours, resolution, urban_share)
    atmosphere = atmosphere or Atmosphere()
    sensors = sensors or Sensors()
    grid = Grid(REGION, resolution)
    first = np.datetime64(start, "h")
    weather = make_weather(
        atmosphere,
        hours=hours,
        first_hour=float((first - _MONDAY) / np.timedelta64(1, "h") % 168),
        seed=seed,
    )
    towns = make_towns(count=_TOWNS, emission_t_per_hour=atmosphere.emission_t_per_hour, seed=seed)
    fields = _fields(grid, weather, towns, atmosphere, seed)
    sites = make_sites(towns, count=stations + hidden, urban_share=urban_share, seed=seed)
    times = _time(first, hours)
    exact = _exact_series(fields, grid, sites, weather, times)
    order = np.random.default_rng([seed, 5]).permutation(stations + hidden)
    seen, unseen = np.sort(order[:stations]), np.sort(order[stations:])
    observed, faults = _measure(exact, seen, sensors, seed)
    origins = {"title": "synthetic network", "source": f"observing-system simulation, seed {seed}"}
    return SyntheticNetwork(
        observations=observed.isel(station=seen).assign_attrs(origins),
        hidden=observed.isel(station=unseen)
        .assign({f"{name}_truth": exact[name].isel(station=unseen) for name in _POLLUTANTS})
        .assign_attrs(origins),
        truth=_truth(fields, grid, times).assign_attrs(origins),
        faults=faults,
        grid=grid,
    )


def _check(stations: int, hidden: int, hours: int, resolution: float, urban_share: float) -> None:
    """Return nothing, or raise one error that names all numbers out of range."""
    faults = [
        f"{name} must be at least {least}; found {value}"
        for name, value, least in (
            ("stations", stations, 1),
            ("hidden", hidden, 0),
            ("hours", hours, 1),
        )
        if value < least
    ]
    if not 0.01 <= resolution <= 0.2:
        faults.append(f"resolution must be 0.01 to 0.2 degrees; found {resolution}")
    if not 0 <= urban_share <= 1:
        faults.append(f"urban_share must be 0 to 1; found {urban_share}")
    if faults:
        raise ValueError("; ".join(faults))


def _background(grid: Grid, weather: Weather, atmosphere: Atmosphere, seed: int) -> NDArray:
    """Return the PM2.5 that does not come from the towns, (hours, north, east), ug m-3."""
    east_km, north_km = plane_km(grid.x, grid.y, origin())
    pattern = drifting_field(
        weather, east_km, north_km, length_km=atmosphere.background_length_km, seed=seed
    )
    stagnation = weather.stagnation[SPIN_UP_HOURS:, None, None]
    # From the mountains in the north to the plain in the south it grows by half in 300 km.
    slope = np.log(1.5) * north_km / 300
    solar = solar_hour(weather.hours[SPIN_UP_HOURS:, None], grid.x)  # (hour, east)
    afternoon = 1 - 0.2 * day_bump(solar, 14.0, 3.0)[:, None, :]
    exponent = atmosphere.background_swing * stagnation + atmosphere.background_contrast * pattern
    return atmosphere.background_ug_m3 * afternoon * np.exp(exponent - slope[:, None])


def _fields(
    grid: Grid, weather: Weather, towns: Towns, atmosphere: Atmosphere, seed: int
) -> dict[str, NDArray]:
    """Return the true concentration of each pollutant, (hours, north, east), ug m-3."""
    import threadpoolctl

    # Thousands of small products: sharing each among threads costs more than it gains, and
    # beyond measure where other work keeps the cores busy.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        plumes = plume_field(towns, weather, atmosphere, plane_km(grid.x, grid.y, origin()))
        background = _background(grid, weather, atmosphere, seed)
    pm25 = plumes[:, 0] + background
    speed_m_s = np.hypot(*weather.wind_km_h[SPIN_UP_HOURS:].T) / 3.6
    dust = 5.0 + 0.6 * speed_m_s**2
    fields = {
        "pm25": pm25,
        "pm10": 1.25 * pm25 + dust[:, None, None],
        "no2": plumes[:, 1] + 5.0 + 0.2 * background,
    }
    return {name: np.round(field, 3) for name, field in fields.items()}


def _exact_series(
    fields: dict[str, NDArray], grid: Grid, sites: Sites, weather: Weather, times: xr.DataArray
) -> xr.Dataset:
    """Return the truth at all sites, (station, time), with meteorology, as observations."""
    width = len(str(sites.longitude.size))
    identifiers = [f"S{row + 1:0{width}d}" for row in range(sites.longitude.size)]
    series = {
        name: _variable((STATION, TIME), np.round(_at_sites(field, grid, sites), 3), name)
        for name, field in fields.items()
    }
    degrees = {"longitude": sites.longitude, "latitude": sites.latitude}
    coordinates = {
        STATION: (STATION, np.array(identifiers)),
        TIME: times,
        "name": (STATION, sites.name),
        **{name: (STATION, values, _AXES[name]) for name, values in degrees.items()},
    }
    return xr.Dataset({**series, **_meteorology(weather, sites)}, coordinates)


_AXES = {
    axis: {"standard_name": axis, "long_name": axis, "units": units}
    for axis, units in (("longitude", "degrees_east"), ("latitude", "degrees_north"))
}


def _at_sites(field: NDArray, grid: Grid, sites: Sites) -> NDArray:
    """Return a field (hours, north, east) interpolated bilinearly at the sites, (sites, hours)."""
    east = (sites.longitude - grid.x[0]) / grid.resolution
    north = (sites.latitude - grid.y[0]) / grid.resolution
    column = np.clip(east.astype(int), 0, grid.x.size - 2)
    row = np.clip(north.astype(int), 0, grid.y.size - 2)
    x, y = east - column, north - row
    lower = field[:, row, column] * (1 - x) + field[:, row, column + 1] * x
    upper = field[:, row + 1, column] * (1 - x) + field[:, row + 1, column + 1] * x
    return (lower * (1 - y) + upper * y).T


def _meteorology(weather: Weather, sites: Sites) -> dict[str, xr.Variable]:
    """Return wind speed and temperature at the sites, (station, time)."""
    east_km, north_km = plane_km(sites.longitude, sites.latitude, origin())
    after = range(SPIN_UP_HOURS, weather.hours.size)
    wind = [np.hypot(*weather.wind_at(hour, east_km, north_km)) / 3.6 for hour in after]
    solar = solar_hour(weather.hours[SPIN_UP_HOURS:], sites.longitude[:, None])
    warmth = 5.0 + 7.0 * day_bump(solar, 14.5, 4.0) + weather.stagnation[SPIN_UP_HOURS:]
    temperature = warmth - 0.01 * north_km[:, None]
    names = {
        "wind_speed": (np.transpose(wind), "wind_speed", "m s-1"),
        "temperature": (temperature, "air_temperature", "degC"),
    }
    return {
        name: xr.Variable(
            (STATION, TIME),
            np.round(values, 3).astype(np.float32),
            {"standard_name": standard_name, "units": units},
        )
        for name, (values, standard_name, units) in names.items()
    }


def _measure(
    exact: xr.Dataset, seen: NDArray, sensors: Sensors, seed: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return what all stations report, and the faults of those in the observations."""
    shape = (exact.sizes[STATION], exact.sizes[TIME])
    rng = np.random.default_rng([seed, 6])
    missing = missing_mask((len(_POLLUTANTS), *shape), sensors, rng)
    spikes, stuck = np.zeros(shape, bool), np.zeros(shape, bool)
    spikes[seen] = spike_mask((seen.size, shape[1]), sensors, rng)
    stuck[seen] = stuck_mask((seen.size, shape[1]), sensors, rng)
    spikes &= ~stuck
    reported = {}
    for name, gaps in zip(_POLLUTANTS, missing, strict=True):
        # Gas monitors read low levels better than particle monitors do.
        additive = sensors.noise_ug_m3 / (3 if name == "no2" else 1)
        monitor = replace(sensors, noise_ug_m3=additive)
        values = measured(exact[name].values.astype(np.float64), monitor, rng)
        if name == "pm25":
            values = with_faults(values, spikes, stuck, rng)
        values = np.where(gaps, np.nan, np.round(values, 3))
        reported[name] = _variable((STATION, TIME), values, name)
    masks = {"spike": spikes & ~missing[0], "stuck": stuck & ~missing[0]}
    faults = xr.Dataset(
        {name: ((STATION, TIME), mask) for name, mask in masks.items()}, exact.coords
    )
    return exact.assign(reported), faults.isel(station=seen)


def _truth(fields: dict[str, NDArray], grid: Grid, times: xr.DataArray) -> xr.Dataset:
    """Return the true fields on the grid, (time, lat, lon)."""
    coordinates = {
        TIME: times,
        "lat": ("lat", grid.y, _AXES["latitude"]),
        "lon": ("lon", grid.x, _AXES["longitude"]),
    }
    variables = {
        name: _variable((TIME, "lat", "lon"), field, name) for name, field in fields.items()
    }
    return xr.Dataset(variables, coordinates)


def _variable(dimensions: tuple[str, ...], values: NDArray, name: str) -> xr.Variable:
    """Return a pollutant's values in single precision with its attributes."""
    return xr.Variable(dimensions, values.astype(np.float32), attributes_of(name, None))


def _time(first: np.datetime64, hours: int) -> xr.DataArray:
    """Return the beginnings of the hours, UTC."""
    stamps = (first + np.arange(hours)).astype("datetime64[ns]")
    return xr.DataArray(
        stamps, dims=TIME, name=TIME, attrs={"time_label": "start", "step_hours": 1.0}
    )
