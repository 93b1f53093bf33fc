"""Fields over grids and stations: any chunking equals none, and flags say what supports a cell."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.conventions import PRODUCT_FLAGS
from aqreanalysis.fields.blocks import FEW_STATIONS, block_sizes, predict_blocks
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.predictive import RootNormal

HOURS = 30
GRID = Grid((115.0, 118.0, 39.0, 41.0), 0.5)
NETWORK = StationNetwork([116.0, 116.5, 117.0, 117.5, 116.2], [39.5, 40.0, 40.5, 39.6, 40.6])


class Waves:
    """A smooth field of position and absolute hour; it counts the hours that it was asked for."""

    def __init__(self, shift=0.0):
        self.shift, self.asked = shift, []

    def __call__(self, longitude, latitude, hours):
        self.asked.append((longitude.size, hours))
        hour = np.arange(hours.start, hours.stop)
        mean = self.shift + np.sin(longitude[:, None] * 3 + hour) + latitude[:, None] * 0.1
        return RootNormal.from_median(mean, np.abs(mean / 7), signed=True)


def axis(hours=HOURS, *, first="2014-11-01", freq="h"):
    """Return a time axis with its attributes."""
    stamps = pd.date_range(first, periods=hours, freq=freq)
    return xr.DataArray(stamps, dims="time", attrs={"time_label": "start", "step_hours": 1.0})


def stations(longitude, latitude, **coordinates):
    """Return targets at stations."""
    places = {"longitude": ("station", longitude), "latitude": ("station", latitude)}
    return xr.Dataset(coords={**places, **coordinates})


def predicted(field=None, *, at=GRID, network=NETWORK, observed=None, time=None, **options):
    """Return the blocks of a field, everything observed unless told."""
    time = axis() if time is None else time
    observed = np.ones((network.size, time.size), bool) if observed is None else observed
    return predict_blocks(
        field or Waves(),
        at=at,
        network=network,
        observed=observed,
        time=time,
        variable="pm25",
        **options,
    )


# --- the numbers, whatever the blocks


@settings(deadline=None, max_examples=12)
@given(
    time=st.integers(3, HOURS + 3),
    lat=st.integers(1, 5),
    lon=st.integers(1, 7),
    alignment=st.integers(1, 12),
    start=st.integers(0, HOURS - 1),
    length=st.integers(1, HOURS),
)
def test_any_chunking_equals_none_bit_for_bit(time, lat, lon, alignment, start, length):
    hours = slice(start, min(start + length, HOURS))

    chunks = {"time": time, "lat": lat, "lon": lon}
    split = predicted(hours=hours, chunks=chunks, alignment=alignment)

    whole = predicted().isel(time=hours)
    xr.testing.assert_identical(split.compute(scheduler="synchronous"), whole.compute())


def test_any_chunking_of_stations_equals_none_bit_for_bit():
    at = stations(np.linspace(115, 118, 11), np.linspace(41, 39, 11))

    split = predicted(at=at, chunks={"station": 3, "time": 7}, alignment=5)

    xr.testing.assert_identical(split.compute(), predicted(at=at).compute())


def test_every_cell_and_hour_is_where_it_belongs():
    field = predicted(chunks={"time": 7, "lat": 3, "lon": 2}).compute()

    lon, lat = field.lon.values, field.lat.values[:, None]
    hour = np.arange(HOURS)[:, None, None]
    truth = np.sin(lon * 3 + hour) + lat * 0.1
    np.testing.assert_allclose(field.pm25.values, truth, rtol=1e-5)
    np.testing.assert_allclose(field.pm25_uncertainty.values, np.abs(truth / 7), rtol=1e-4)
    assert field.pm25.dims == ("time", "lat", "lon")


def test_stations_are_where_they_belong_with_their_own_coordinates():
    at = stations(
        [116.1, 190.0],
        [40.0, -5.0],
        station=["Gate", "Atoll"],
        altitude=("station", [43.0, 2.0]),
        run=5,
    )
    field = predicted(at=at).compute()

    assert field.pm25.dims == ("station", "time")
    truth = np.sin(at.longitude.values[:, None] * 3 + np.arange(HOURS))
    truth += at.latitude.values[:, None] * 0.1
    np.testing.assert_allclose(field.pm25.values, truth, rtol=1e-5)
    for name in ("station", "longitude", "latitude", "altitude"):
        xr.testing.assert_identical(
            field[name].reset_coords(drop=True), at[name].reset_coords(drop=True)
        )
    assert "run" not in field.coords


def test_targets_cut_from_one_hour_of_observations_do_not_bring_their_time():
    at = stations([116.1, 116.2], [40.0, 40.0], time=np.datetime64("1999-01-01", "ns"))

    np.testing.assert_array_equal(predicted(at=at).time, axis())


def test_positions_that_are_variables_become_coordinates():
    at = stations([116.1], [40.0]).reset_coords(["longitude", "latitude"])

    assert {"longitude", "latitude"} <= set(predicted(at=at).coords)


def test_targets_without_identifiers_are_numbered():
    at = stations([116.1, 116.2], [40.0, 40.0])

    assert predicted(at=at).station.values.tolist() == ["0", "1"]


def test_a_projected_grid_carries_its_longitudes_and_latitudes():
    grid = Grid((400_000.0, 600_000.0, 4_300_000.0, 4_400_000.0), 50_000.0, "EPSG:32650")
    field = predicted(at=grid, chunks={"y": 1, "x": 3}).compute()

    assert field.pm25.dims == ("time", "y", "x")
    longitude, latitude = grid.longitude_latitude()
    np.testing.assert_array_equal(field.lon.values, longitude)
    first = np.sin(longitude * 3) + latitude * 0.1
    np.testing.assert_allclose(field.pm25[0].values, first, rtol=1e-5)


def test_the_selected_hours_are_absolute_and_keep_the_attributes_of_time():
    field = predicted(hours=slice(10, 13)).compute()

    np.testing.assert_array_equal(field.time, axis()[10:13])
    assert field.time.attrs == axis().attrs
    np.testing.assert_array_equal(field.pm25, predicted().pm25[10:13])


def test_nothing_is_computed_before_it_is_used():
    waves = Waves()
    field = predicted(waves, chunks={"time": 10})
    assert waves.asked == []

    field.pm25[12].compute()
    assert [hours for _, hours in waves.asked] == [slice(10, 20)]


def test_stations_are_looked_for_block_by_block(searched):
    grid = Grid((90.0, 150.0, 10.0, 60.0), 0.01)  # thirty million cells
    field = predicted(at=grid, chunks={"lat": 500, "lon": 600, "time": 10})
    assert sum(searched) <= NETWORK.size  # for the spacing of the stations
    searched.clear()

    distance = field.distance_to_nearest_station[700, 800:802].compute()
    assert searched == [500 * 600]
    lon, lat = grid.x[800:802, None], grid.y[700]
    nearest = great_circle_km(lon, lat, NETWORK.longitude, NETWORK.latitude).min(axis=1)
    np.testing.assert_allclose(distance, nearest, rtol=1e-6)
    field.pm25_flag[3, 700, 800].compute()
    assert searched == [500 * 600] * 2


def test_the_flags_of_all_hours_and_the_distance_share_one_search(searched):
    field = predicted(chunks={"time": 6, "lat": 2})
    searched.clear()
    field.compute()
    assert sum(searched) == np.prod(GRID.shape)


def test_fields_that_differ_are_never_taken_for_each_other():
    # dask merges tasks with equal names; two models over one grid must not have them.
    one, other = predicted(Waves(0.0)), predicted(Waves(5.0))

    low, high = dask.compute(one.pm25, other.pm25)

    np.testing.assert_allclose(high - low, 5.0, atol=1e-5)


def test_blocks_of_time_begin_at_multiples_of_the_alignment_since_1970():
    # 2014-11-01 is hour 393072 = 36 * 10918 + 24 since 1970: the next multiple of 36 is 12 on.
    waves = Waves()
    predicted(waves, alignment=36, chunks={"time": 36}, time=axis(100)).compute(
        scheduler="synchronous"
    )

    assert sorted({hours.start for _, hours in waves.asked}) == [0, 12, 48, 84]


def test_an_hour_of_a_large_grid_is_several_blocks():
    grid = Grid((100, 120, 30, 50), 0.04)
    assert block_sizes(grid, 1) == {"time": 1, "lat": 64, "lon": 500}
    assert block_sizes(Grid((100, 101, 30, 31), 0.04), 1) == {"time": 1, "lat": 25, "lon": 25}


def test_a_block_of_a_wide_grid_stays_small():
    waves = Waves()
    grid = Grid((-120.0, 0.0, 0.0, 60.0), 0.2)  # 180 000 cells
    field = predicted(waves, at=grid, alignment=36, time=axis(720))

    assert field.pm25.nbytes > 5e8
    field.pm25[100, :3, :3].compute(scheduler="synchronous")
    (cells, hours), *more = waves.asked
    assert not more
    assert cells * (hours.stop - hours.start) <= 2_000_000


# --- the flags


def flags_of(field):
    """Return the flag of the only target, hour by hour."""
    return field.pm25_flag.compute().values.squeeze().tolist()


def test_a_target_far_from_every_station_is_flagged():
    line = StationNetwork([0.0, 1.0, 2.0, 3.0], np.zeros(4))
    beyond = np.array([0.99, 1.01])  # one degree apart, all of them: that is the reach
    field = predicted(at=stations(3 + beyond, [0.0, 0.0]), network=line, time=axis(2))

    assert field.pm25_flag.values.tolist() == [[0, 0], [1, 1]]
    distance = great_circle_km(3 + beyond, 0, 3, 0)
    np.testing.assert_allclose(field.distance_to_nearest_station, distance, rtol=1e-6)
    assert field.distance_to_nearest_station.attrs["units"] == "km"


@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_few_reporting_stations_are_flagged_hour_by_hour(size):
    network = StationNetwork(np.linspace(0, 1, size), np.zeros(size))
    observed = np.arange(size)[:, None] < np.arange(5)  # hour h: h stations, the nearest first
    field = predicted(at=stations([0.0], [0.01]), network=network, observed=observed, time=axis(5))

    enough = min(FEW_STATIONS, size)
    few = PRODUCT_FLAGS["few_stations_reporting"]
    assert flags_of(field) == [few if hour < enough else 0 for hour in range(5)]


def test_only_the_nearest_stations_are_counted():
    # Twelve stations, of which the four farthest report: none of the nearest eight does.
    network = StationNetwork(np.linspace(0, 1, 12), np.zeros(12))
    observed = np.repeat(np.arange(12)[:, None] >= 8, 3, axis=1)
    at = stations([0.0, 1.0], [0.0, 0.0])
    field = predicted(at=at, network=network, observed=observed, time=axis(3))

    assert field.pm25_flag.values.tolist() == [[2, 2, 2], [0, 0, 0]]


def test_no_estimate_is_flagged_before_all_else():
    def silent(longitude, latitude, hours):
        nothing = np.full((longitude.size, hours.stop - hours.start), np.nan, np.float32)
        return RootNormal(nothing, nothing)

    network = StationNetwork([0.0, 0.1], [0.0, 0.0])
    observed = np.zeros((2, 3), bool)
    field = predicted(
        silent, at=stations([60.0], [0.0]), network=network, observed=observed, time=axis(3)
    )

    assert flags_of(field) == [PRODUCT_FLAGS["no_estimate"]] * 3
    assert field.pm25_flag.dtype == np.int8


# --- bad input


def test_bad_chunks_are_told_all_at_once():
    with pytest.raises(ValueError, match=r"along time, lat, lon; found depth=3, lat=0"):
        predicted(chunks={"depth": 3, "time": 2, "lat": 0})


def test_an_empty_selection_of_time_is_refused():
    with pytest.raises(ValueError, match="the selection of time is empty"):
        predicted(hours=slice(5, 5))


def test_targets_without_positions_are_refused():
    with pytest.raises(ValueError, match="no longitude and no latitude"):
        predicted(at=xr.Dataset(coords={"station": ["a"]}))


class OfGrid(Waves):
    """A field that takes blocks of the grid for what they are."""

    def prepared(self, hours):
        self.asked.append((hours.start, hours.stop))
        return hours.start

    def over(self, rows, columns, hours, prepared):
        cells = (rows.stop - rows.start) * (columns.stop - columns.start)
        root = np.full((cells, hours.stop - hours.start), np.sqrt(prepared), np.float32)
        return RootNormal(root, root)


def test_what_hours_need_is_prepared_once_for_all_blocks_of_them():
    engine = OfGrid()
    estimates = predicted(engine, chunks={"time": 10, "lat": 1})
    values = estimates.pm25.compute(scheduler="threads")
    assert sorted(engine.asked) == [(0, 10), (10, 20), (20, 30)]
    np.testing.assert_allclose(values[:, 0, 0], np.arange(HOURS) // 10 * 10, rtol=1e-6)


def test_one_hour_alone_can_be_predicted():
    field = predicted(time=axis(1), alignment=36).compute()

    np.testing.assert_array_equal(field.pm25[0], predicted().pm25[0])
