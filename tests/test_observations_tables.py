"""Tables to Datasets: nothing is lost, the order of rows does not matter, bad input is named."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.observations import (
    ObservationError,
    find_faults,
    long_table,
    open_observations,
    write_table,
)
from aqreanalysis.observations.checks.axis import regular_axis
from aqreanalysis.observations.journal import Journal

HOURS = [f"2020-01-01T0{hour}:00Z" for hour in range(3)]


@pytest.fixture
def table() -> pd.DataFrame:
    """Stations A and B, three hours; the value is 10 x station + hour."""
    return pd.DataFrame(
        {
            "station": ["A"] * 3 + ["B"] * 3,
            "time": HOURS * 2,
            "longitude": [10.0] * 3 + [11.0] * 3,
            "latitude": [50.0] * 3 + [51.0] * 3,
            "pm25": [10.0, 11.0, 12.0, 20.0, 21.0, 22.0],
        }
    )


@pytest.fixture
def stations() -> pd.DataFrame:
    return pd.DataFrame(
        {"id": ["x"], "station": ["A"], "longitude": [10.0], "latitude": [50.0]}
    ).drop(columns="id")


def _stamps(dataset: xr.Dataset) -> list[str]:
    return [str(stamp)[:16] for stamp in dataset.time.values]


# What is read


def test_a_long_csv_needs_no_options(table, tmp_path):
    table.to_csv(tmp_path / "a.csv", index=False)
    obs = open_observations(tmp_path / "a.csv")
    assert find_faults(obs) == []
    np.testing.assert_array_equal(obs.pm25.values, [[10, 11, 12], [20, 21, 22]])
    assert obs.pm25.attrs["units"] == "ug m-3"
    assert obs.time.attrs["time_label"] == "start"
    assert obs.time.attrs["step_hours"] == 1.0
    assert _stamps(obs) == ["2020-01-01T00:00", "2020-01-01T01:00", "2020-01-01T02:00"]
    assert "a.csv" in obs.attrs["history"]
    assert "start of their averaging period" in obs.attrs["history"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.zip"])
def test_every_kind_of_file_gives_the_same(table, tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    elif name.endswith("zip"):
        table.to_csv(path, index=False, compression={"method": "zip", "archive_name": "b.csv"})
    else:
        table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    assert open_observations(path).equals(open_observations(table))


def test_byte_order_mark_semicolons_and_line_ends_of_windows(table, tmp_path):
    text = table.to_csv(index=False, sep=";", lineterminator="\r\n")
    (tmp_path / "a.csv").write_bytes(text.encode("utf-8-sig"))
    assert open_observations(tmp_path / "a.csv").equals(open_observations(table))


@pytest.mark.parametrize(
    "names",
    [
        ["station_id", "datetime", "lon", "lat", "PM25_Concentration"],
        ["Site", "timestamp", "Lng", "Latitude", "PM2.5"],
        ["Station Code", "date", "Longitude", "LAT", "pm2p5"],
        ["station", "time", "longitude", "latitude", "PM2.5 (µg/m³)"],
    ],
)
def test_usual_names_of_columns_are_recognised(table, names):
    assert open_observations(table.set_axis(names, axis=1)).equals(open_observations(table))


def test_the_callers_word_for_columns_holds(table):
    odd = table.set_axis(["a", "b", "c", "d", "e"], axis=1).assign(model=1.0)
    columns = {"station": "a", "time": "b", "longitude": "c", "latitude": "d", "PM2.5": "e"}
    obs = open_observations(odd, columns={**columns, "background": "model"})
    assert obs.drop_vars("background").equals(open_observations(table))
    assert "units" not in obs.background.attrs
    assert float(obs.background.min()) == 1.0


def test_several_columns_make_one_identifier(table):
    obs = open_observations(
        table.assign(net=7, code=table.station), columns={"station": ["net", "code"]}
    )
    assert obs.station.values.tolist() == ["7-A", "7-B"]
    assert "not used" not in obs.attrs["history"]


def test_leading_zeros_of_identifiers_stay_and_numbers_become_text(table, tmp_path):
    codes = table.assign(station=["007"] * 3 + ["010"] * 3)
    codes.to_csv(tmp_path / "a.csv", index=False)
    assert open_observations(tmp_path / "a.csv").station.values.tolist() == ["007", "010"]
    numbers = table.assign(station=[7.0] * 3 + [10.0] * 3)
    assert open_observations(numbers).station.values.tolist() == ["10", "7"]


def test_stations_of_several_columns_may_reuse_the_name_of_one(table):
    obs = open_observations(
        table.assign(net=[1.0] * 6), columns={"station": ["station", "net"], "name": "station"}
    )
    assert obs.station.values.tolist() == ["A-1", "B-1"]
    assert obs["name"].values.tolist() == ["A", "B"]


def test_monitors_that_the_caller_names_are_averaged(table):
    twice = pd.concat([table.assign(m=1), table.assign(m=2, pm25=table.pm25 + 2)])
    obs = open_observations(twice, columns={"monitor": "m"})
    assert obs.equals(open_observations(table.assign(pm25=table.pm25 + 1)))


def test_wide_columns_may_be_called_as_roles(stations):
    wide = pd.DataFrame({"time": HOURS, "station": [1.0, 2.0, 3.0], "value": [4.0, 5.0, 6.0]})
    places = pd.concat([stations, stations]).assign(station=["station", "value"])
    obs = open_observations(wide, format="wide", stations=places)
    np.testing.assert_array_equal(obs.pm25, [[1, 2, 3], [4, 5, 6]])


def test_date_and_hour_columns_make_the_time(table):
    parts = table.drop(columns="time").assign(date="2020-01-01", hour=[0, 1, 2] * 2)
    assert open_observations(parts).equals(open_observations(table))
    clocks = table.drop(columns="time").assign(
        date="2020-01-01", time=["00:00", "01:00", "02:00"] * 2
    )
    assert open_observations(clocks).equals(open_observations(table))


def test_altitude_and_name_become_coordinates(table):
    obs = open_observations(table.assign(elevation=5.0, station_name="Hill"))
    assert obs.altitude.values.tolist() == [5.0, 5.0]
    assert obs["name"].values.tolist() == ["Hill", "Hill"]


def test_one_row_for_each_parameter(table):
    tidy = pd.concat(
        [
            table.rename(columns={"pm25": "value"}).assign(parameter="pm25", units="ug/m3"),
            table.rename(columns={"pm25": "value"}).assign(parameter="Ozone", units="ppb"),
            table.rename(columns={"pm25": "value"}).assign(parameter="bc", units="ug/m3"),
        ]
    )
    obs = open_observations(tidy)
    assert set(obs.data_vars) == {"pm25", "o3"}
    assert obs[["pm25"]].equals(open_observations(table))
    # 47.997 g mol-1 / 24.4654 l mol-1 at 298.15 K and 1013.25 hPa
    np.testing.assert_allclose(obs.o3, obs.pm25 * 47.997 / 24.4654, rtol=1e-5)


def test_a_wide_table_with_its_stations(table, tmp_path):
    wide = table.pivot(index="time", columns="station", values="pm25").reset_index()
    places = pd.DataFrame({"station": ["B", "A"], "lon": [11.0, 10.0], "lat": [51.0, 50.0]})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    places.to_csv(tmp_path / "places.csv", index=False)
    expected = open_observations(table)
    assert open_observations(tmp_path / "wide.csv", stations=tmp_path / "places.csv").equals(
        expected
    )
    named = open_observations(wide, stations=places, columns={"variable": "pm10"})
    assert named.rename(pm10="pm25").equals(expected)


def test_a_wide_table_may_have_its_times_as_index(table):
    wide = table.pivot(index="time", columns="station", values="pm25")
    wide.index = pd.DatetimeIndex(wide.index)
    wide.index.name = None
    places = pd.DataFrame({"station": ["B", "A"], "lon": [11.0, 10.0], "lat": [51.0, 50.0]})
    assert open_observations(wide, stations=places).equals(open_observations(table))


def test_points_of_a_geopackage_in_any_projection(table, tmp_path):
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.GeoDataFrame(
        table.drop(columns=["longitude", "latitude"]),
        geometry=geopandas.points_from_xy(table.longitude, table.latitude),
        crs="EPSG:4326",
    )
    expected = open_observations(table)
    assert open_observations(points).equals(expected)
    points.to_crs("EPSG:3035").to_file(tmp_path / "a.gpkg", driver="GPKG")
    obs = open_observations(tmp_path / "a.gpkg")
    np.testing.assert_array_equal(obs.pm25, expected.pm25)
    # A projection there and back is good to a millimetre, 1e-8 degrees.
    np.testing.assert_allclose(obs.longitude, expected.longitude, atol=1e-8)
    with pytest.raises(ObservationError, match="stations must be points; found Polygon"):
        open_observations(points.to_crs("EPSG:3035").assign(geometry=lambda p: p.buffer(1.0)))


def test_the_argument_is_not_changed(table):
    before = table.copy(deep=True)
    open_observations(table, units="mg/m3")
    pd.testing.assert_frame_equal(table, before)


# Missing values, units, duplicates, axis


def test_words_and_sentinels_are_missing_and_negatives_stay(table, caplog):
    words = table.assign(pm25=["NA", "", "-", "-999", "-3.5", " 22 "])
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(words)
    np.testing.assert_array_equal(obs.pm25, [[np.nan] * 3, [np.nan, -3.5, 22.0]])
    assert "1 values of pm25 are sentinels such as -999" in caplog.text
    assert "station B, 2020-01-01T00:00Z" in caplog.text


def test_an_absent_hour_is_missing_at_its_place(table):
    obs = open_observations(table.drop(index=[1]))
    np.testing.assert_array_equal(obs.pm25, [[10, np.nan, 12], [20, 21, 22]])


def test_a_gap_of_all_stations_is_filled_with_missing_hours(table):
    later = table.assign(time=[f"2020-01-02T0{hour}:00Z" for hour in range(3)] * 2)
    obs = open_observations(pd.concat([table, later]))
    assert obs.sizes["time"] == 27
    assert int(obs.pm25.notnull().sum()) == 12


def test_a_variable_that_is_never_there_is_left_out_and_logged(table, caplog):
    obs = open_observations(table.assign(o3=""))
    assert list(obs.data_vars) == ["pm25"]
    assert "left out, since missing at every station and hour: o3" in caplog.text


def test_units_by_argument_by_brackets_and_by_row(table):
    expected = open_observations(table).pm25 * 1000
    for obs in (
        open_observations(table, units="mg/m3"),
        open_observations(table, units={"pm25": "mg m-3"}),
        open_observations(table.rename(columns={"pm25": "pm25 [mg/m3]"})),
        open_observations(table.assign(units="mg/m^3")),
    ):
        np.testing.assert_allclose(obs.pm25, expected, rtol=1e-6)
    mixed = open_observations(table.assign(units=["ug/m3"] * 3 + ["mg/m3"] * 3))
    np.testing.assert_array_equal(mixed.pm25, [[10, 11, 12], [20000, 21000, 22000]])


def test_meteorology_keeps_unknown_units_unknown_and_converts_known_ones(table):
    obs = open_observations(
        table.assign(TEMP=300.0, humidity=50.0, wd="SW"), units={"temperature": "K"}
    )
    np.testing.assert_allclose(obs.temperature, 26.85, atol=1e-4)
    assert obs.temperature.attrs["units"] == "degC"
    assert "units" not in obs.relative_humidity.attrs
    assert float(obs.wind_direction[0, 0]) == 225.0


def test_a_column_named_no_is_a_row_number(table):
    assert "no" not in open_observations(table.assign(No=range(6)))


def test_repeated_rows_are_dropped_and_counted(table, caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(pd.concat([table, table.iloc[[1, 4]]]))
    assert obs.equals(open_observations(table))
    assert "2 repeated rows of pm25 dropped; for example station A, 2020-01-01T01:00" in caplog.text


def test_a_missing_and_a_present_value_are_no_conflict(table):
    empty = table.iloc[[1]].assign(pm25=np.nan)
    assert open_observations(pd.concat([empty, table])).equals(open_observations(table))


def test_different_values_of_a_station_hour_are_refused_or_chosen(table):
    double = pd.concat([table, table.iloc[[1]].assign(pm25=15.0), table.iloc[[1]]])
    words = "1 station-hours have different.*station A, 2020-01-01T01:00 UTC: 11, 15.*duplicates="
    with pytest.raises(ObservationError, match=words):
        open_observations(double)
    assert float(open_observations(double, duplicates="mean").pm25[0, 1]) == 13.0
    assert float(open_observations(double, duplicates="first").pm25[0, 1]) == 11.0
    corrected = pd.concat([double, table.iloc[[1]].assign(pm25=15.0)])
    assert float(open_observations(double, duplicates="last").pm25[0, 1]) == 11.0
    assert float(open_observations(corrected, duplicates="last").pm25[0, 1]) == 15.0


def test_daily_data_have_a_step_of_a_day(table):
    daily = table.assign(time=["2020-01-01", "2020-01-02", "2020-01-05"] * 2)
    obs = open_observations(daily)
    assert obs.time.attrs["step_hours"] == 24.0
    assert obs.sizes["time"] == 5


def _stamps_after(*minutes: float) -> np.ndarray:
    """Return stamps with these minutes between them."""
    seconds = np.concatenate([[0], np.cumsum(np.array(minutes) * 60)]).astype("m8[s]")
    return (np.datetime64("2020-01-01") + seconds).astype("M8[ns]")


STEPS = {
    "a single stamp": (_stamps_after(), 1),
    "hourly with gaps": (_stamps_after(60, 60, 180, 60, 300), 1),
    "half-hourly": (_stamps_after(30, 30, 30), 0.5),
    "samples every third or sixth day, the shortest rare": (
        _stamps_after(*[3 * 1440] * 12, 1440, *[6 * 1440] * 12),
        24,
    ),
    "3-hourly with one odd hour": (_stamps_after(*[180] * 12, 120, 240, *[180] * 12), 1),
    "every 50 minutes": (_stamps_after(*[50] * 9), 50 / 60),
    "hourly with a stray stamp": (_stamps_after(*[60] * 24, 1, 59, *[60] * 24), 1),
    "a clock that drifts about the hour": (_stamps_after(60.3, 59.2, 61.1, 60.5, 59.4), 1),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_step_is_that_of_the_network(case):
    stamps, hours = STEPS[case]
    station = np.zeros(stamps.size, int)
    axis = regular_axis(stamps, station, identifiers=np.array(["A"]), journal=Journal("table"))
    assert axis.step_hours == pytest.approx(hours)


def test_stamps_a_little_off_are_moved_and_logged(table, caplog):
    shaky = ["2020-01-01T00:01Z", "2020-01-01T01:00Z", "2020-01-01T02:00Z"] * 2
    more = table.assign(time=[f"2020-01-01T0{hour}:00Z" for hour in (3, 4, 5)] * 2)
    obs = open_observations(pd.concat([table.assign(time=shaky), more]))
    assert _stamps(obs)[0] == "2020-01-01T00:00"
    assert "2 stamps moved to the regular step of 1 h; for example station A" in caplog.text


def test_a_clock_that_is_never_on_the_hour_is_read_at_the_hour(table):
    shaky = ["2020-01-01T00:00:03Z", "2020-01-01T01:00:11Z", "2020-01-01T02:00:07Z"] * 2
    assert open_observations(table.assign(time=shaky)).equals(open_observations(table))


def test_an_irregular_stamp_is_named(table):
    times = [f"2020-01-01T{hour:02}:00Z" for hour in range(24)]
    day = pd.DataFrame({**table.iloc[0], "time": times, "pm25": 1.0})
    day.loc[5, "time"] = "2020-01-01T05:30Z"
    words = "irregular: station A, 2020-01-01T05:30 UTC is 30 min off the step of 1 h"
    with pytest.raises(ObservationError, match=words):
        open_observations(day)


def test_stations_on_different_half_hours_are_no_half_hourly_network(table):
    half = table.assign(time=HOURS + [hour.replace(":00Z", ":30Z") for hour in HOURS])
    with pytest.raises(ObservationError, match=r"irregular: station .*30 min off the step of 1 h"):
        open_observations(half)


def test_a_wrong_year_is_warned_of(table, caplog):
    times = [*HOURS, "1999-01-01T00:00Z", *HOURS[1:]]
    open_observations(table.assign(time=times))
    assert "no station reports from 1999-01-01T00:00 UTC to 2020" in caplog.text


# Time zones


def test_a_zone_in_the_stamps_holds_over_the_argument(table):
    local = table.assign(time=[f"2020-01-01T0{hour}:00+08:00" for hour in range(3)] * 2)
    obs = open_observations(local, time_zone="UTC")
    assert _stamps(obs)[0] == "2019-12-31T16:00"
    assert "time_zone='UTC' is not used" in obs.attrs["history"]


@pytest.mark.parametrize("zone", ["UTC+8", "+08:00", "GMT+8", "Asia/Shanghai", "+0800"])
def test_local_time_by_name_or_offset(table, zone):
    naive = table.assign(time=[hour[:-1] for hour in HOURS] * 2)
    assert _stamps(open_observations(naive, time_zone=zone))[0] == "2019-12-31T16:00"


def test_time_without_zone_is_utc_and_warned_of(table, caplog):
    naive = table.assign(time=pd.to_datetime([hour[:-1] for hour in HOURS] * 2))
    assert open_observations(naive).equals(open_observations(table))
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "table: time has no zone: read as UTC; pass time_zone=... if it is local time"
    ]


def test_a_column_that_says_utc_needs_no_warning(table, caplog):
    naive = table.assign(time=[hour[:-1] for hour in HOURS] * 2)
    obs = open_observations(naive.rename(columns={"time": "date_utc"}))
    assert obs.equals(open_observations(table))
    assert "no zone" not in caplog.text


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        (["2021-03-28 01:00", "2021-03-28 02:00", "2021-03-28 03:00"], "02:00:00 does not exist"),
        (["2021-10-31 01:00", "2021-10-31 02:00", "2021-10-31 03:00"], "02:00:00 is there twice"),
    ],
)
def test_hours_of_a_change_of_clocks_are_refused(table, stamps, words):
    with pytest.raises(
        ObservationError, match=rf"station A.*{words} in Europe/Berlin.*time_zone='UTC\+01:00'"
    ):
        open_observations(table.assign(time=stamps * 2), time_zone="Europe/Berlin")


def test_hour_24_is_midnight_of_the_next_day(table):
    stamps = ["2020-01-01 23:00", "2020-01-01 24:00", "2020-01-02 01:00"] * 2
    obs = open_observations(table.assign(time=stamps), time_zone="UTC", time_label="end")
    assert _stamps(obs) == ["2020-01-01T23:00", "2020-01-02T00:00", "2020-01-02T01:00"]
    assert obs.time.attrs["time_label"] == "end"


def test_day_and_month_by_what_fits_all_stamps(table):
    stamps = ["13/02/2020 00:00", "13/02/2020 01:00", "13/02/2020 02:00"] * 2
    assert _stamps(open_observations(table.assign(time=stamps)))[0] == "2020-02-13T00:00"
    american = ["02/13/2020 00:00", "02/13/2020 01:00", "02/13/2020 02:00"] * 2
    assert _stamps(open_observations(table.assign(time=american)))[0] == "2020-02-13T00:00"
    unclear = ["01/02/2020 00:00", "01/02/2020 01:00", "01/02/2020 02:00"] * 2
    with pytest.raises(ObservationError, match=r"order of day and month is not clear.*01/02/2020"):
        open_observations(table.assign(time=unclear))


# Positions


def test_longitudes_of_0_to_360_are_wrapped_and_logged(table, caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(table.assign(longitude=[350.0] * 3 + [10.0] * 3))
    assert obs.longitude.values.tolist() == [-10.0, 10.0]
    assert "wrapped to -180 to 180 (3 rows; for example station A)" in caplog.text


def test_a_station_at_the_date_line_does_not_move(table):
    obs = open_observations(table.assign(longitude=[179.9999, -180.0, 180.0] + [11.0] * 3))
    assert abs(abs(float(obs.longitude[0])) - 180.0) < 1e-3


def test_a_station_that_moves_a_little_is_at_the_median(table, caplog):
    # 0.0005 degrees of latitude are 56 m.
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(table.assign(latitude=[50.0, 50.0, 50.0005] + [51.0] * 3))
    assert float(obs.latitude[0]) == 50.0
    assert "1 station moved by up to 56 m" in caplog.text


# Bad input

BAD = {
    "no coordinates": (
        lambda t: t.drop(columns=["longitude", "latitude"]),
        r"2 faults\n- no column of longitude; the columns are.*\n- no column of latitude",
    ),
    "latitude 95": (
        lambda t: t.assign(latitude=[50.0] * 3 + [95.0] * 3),
        "latitude must be between -90 and 90; station B has 95 ",
    ),
    "longitude 400": (
        lambda t: t.assign(longitude=400.0),
        "longitude must be between -180 and 360; station A has 400 ",
    ),
    "swapped columns": (
        lambda t: t.assign(longitude=39.9, latitude=116.4),
        "longitude and latitude look swapped: station A has longitude 39.9, latitude 116.4",
    ),
    "no position": (
        lambda t: t.assign(longitude=[np.nan] * 3 + [11.0] * 3),
        "station A has no longitude and latitude",
    ),
    "a station that moves": (
        lambda t: t.assign(latitude=[50.0, 50.0, 50.1] + [51.0] * 3),
        "station A moves: it is at longitude 10, latitude 50 and also at 10, 50.1, 11.1 km away",
    ),
    "text for a number": (
        lambda t: t.assign(pm25=["1", "2", "abc", "4", "5", "<6"]),
        r"row 3 \(station A, 2020-01-01.02:00.*\): pm25 must be a number or missing; "
        r"found 'abc' \(2 such values\)",
    ),
    "all missing": (lambda t: t.assign(pm25=np.nan), "pm25 is missing at every station and hour"),
    "infinite": (
        lambda t: t.assign(pm25=[1.0, np.inf, 3.0, 4.0, 5.0, 6.0]),
        "pm25 is infinite at station A, 2020-01-01T01:00 UTC",
    ),
    "no pollutant": (
        lambda t: t.rename(columns={"pm25": "PMxx"}),
        "no column of a pollutant .*the columns are .*PMxx",
    ),
    "two columns for one pollutant": (
        lambda t: t.assign(**{"PM2.5": 1.0}),
        "'pm25' and 'PM2.5' both look like pm25",
    ),
    "no station": (
        lambda t: t.assign(station=["A", None, "A", "B", "B", "B"]),
        "row 2 has no station",
    ),
    "no time column": (lambda t: t.drop(columns="time"), "no column of time"),
    "a missing time": (
        lambda t: t.assign(time=[None, *HOURS[1:], *HOURS]),
        r"row 1 \(station A.* has no time \(1 such rows\)",
    ),
    "no stamp": (
        lambda t: t.assign(time=[*HOURS[:2], "yesterday", *HOURS]),
        r"row 3 \(station A, yesterday\) has the time 'yesterday', which is no stamp",
    ),
    "time as a number": (
        lambda t: t.assign(time=[2020010100, 2020010101, 2020010102] * 2),
        "time must be stamps.*has the number 2020010100",
    ),
    "zones here and there": (
        lambda t: t.assign(time=[*HOURS[:2], "2020-01-01T02:00", *HOURS]),
        "some stamps state a zone and others do not",
    ),
    "year 9999": (
        lambda t: t.assign(time=[*HOURS[:2], "9999-01-01T00:00Z", *HOURS]),
        r"row 3 \(station A.*(wrong date|no stamp with)",  # before and from pandas 3
    ),
    "no rows": (lambda t: t.iloc[:0], "has columns but no rows"),
    "unknown units": (lambda t: t.assign(units="smoots"), "unknown units 'smoots' of pm25"),
    "particles in ppb": (lambda t: t.assign(units="ppb"), "pm25 is made of particles"),
    "a label that changes": (
        lambda t: t.assign(time_label=["start"] * 3 + ["end"] * 3),
        "time_label must be 'start' in all rows or 'end' in all",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("from_file", [False, True])
def test_bad_input_has_one_clear_error(table, tmp_path, case, from_file):
    spoil, words = BAD[case]
    source = spoil(table)
    if from_file:
        source.to_csv(tmp_path / "bad.csv", index=False)
        source = tmp_path / "bad.csv"
    with pytest.raises(ObservationError, match=words) as caught:
        open_observations(source)
    assert str(caught.value).startswith("bad.csv: " if from_file else "table: ")


def test_faults_of_all_columns_are_told_at_once(table):
    spoiled = table.assign(
        pm25=["x"] * 6, latitude=[95.0] * 3 + [50.0] * 3, time=["now", *HOURS[1:], *HOURS]
    )
    with pytest.raises(ObservationError, match="table: 3 faults") as caught:
        open_observations(spoiled)
    assert len(caught.value.faults) == 3


OPTIONS = {
    "format": ({"format": "excel"}, "format must be one of long, wide.*found 'excel'"),
    "label": ({"time_label": "middle"}, "time_label must be 'start' or 'end'; found 'middle'"),
    "duplicates": ({"duplicates": "best"}, "duplicates must be 'error', 'mean', 'first' or 'last'"),
    "columns": ({"columns": {"pm25": "nope"}}, "columns names 'nope' for pm25; the columns are"),
    "several": ({"columns": {"station": ["nope"]}}, "columns names nope for station"),
    "no mapping": ({"columns": "pm25"}, "columns must be a mapping"),
    "units": ({"units": "furlong"}, "pm25 cannot be in 'furlong'"),
    "units of nothing": ({"units": {"o3": "ppb"}}, "units names o3; the variables are pm25"),
    "stations": ({"stations": 3}, "stations must be a path or a table; found int"),
    "table as grin": ({"format": "grin"}, "format='grin' needs a path; found a table"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_a_wrong_option_is_named(table, case):
    options, words = OPTIONS[case]
    with pytest.raises(ObservationError, match=words):
        open_observations(table, **options)


def test_columns_of_a_table_in_memory_may_be_numbers_but_not_twice(table):
    names = dict(zip(table.columns, range(5), strict=True))
    columns = {role: str(number) for role, number in names.items()}
    obs = open_observations(table.rename(columns=names), columns=columns)
    assert obs.equals(open_observations(table))
    with pytest.raises(ObservationError, match="columns are there twice: pm25"):
        open_observations(pd.concat([table, table[["pm25"]]], axis=1))


def test_an_unknown_pollutant_is_named(table, stations):
    wide = table[table.station == "A"][["time", "pm25"]].rename(columns={"pm25": "A"})
    with pytest.raises(ObservationError, match="unknown pollutant 'pm99'; known are pm25, pm10"):
        open_observations(wide, stations=stations, columns={"variable": "pm99"})


def test_an_index_column_of_pandas_is_not_in_the_way(table, tmp_path):
    table.to_csv(tmp_path / "a.csv")
    assert open_observations(tmp_path / "a.csv").equals(open_observations(table))


def test_an_unknown_zone_is_named(table):
    naive = table.assign(time=[hour[:-1] for hour in HOURS] * 2)
    with pytest.raises(ObservationError, match="unknown time zone 'Mars/Olympus'"):
        open_observations(naive, time_zone="Mars/Olympus")


def test_files_that_cannot_be_read_are_named(tmp_path):
    def refuse(name, content, words, **options):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ObservationError, match=words):
            open_observations(path, **options)

    refuse("none.csv", None, "there is no file .*none.csv")
    refuse("empty.csv", b"", "empty.csv is empty")
    refuse("blank.csv", b"\n\n", "expected a first line of column names")
    refuse("twice.csv", b"station,time,time\n", "columns are there twice: time")
    refuse("ragged.csv", b"station,time\nA,2020\nB,2020,7\n", "Expected 2 columns, got 3")
    refuse("broken.csv.gz", gzip.compress(b"station,time\n" * 999)[:40], "cannot be read")
    refuse("text.csv.gz", b"station,time\n", "cannot be read")
    refuse("table.xls", b"x", "suffix '.xls'; expected one of .csv")
    refuse("table.xlsx", b"x", "table.xlsx is no zip file, or a damaged one")
    refuse("text.parquet", b"station", "text.parquet cannot be read")
    refuse("text.gpkg", b"station", "text.gpkg cannot be read")
    refuse("text.nc", b"station", "cannot be read as NetCDF")
    refuse("text.h5", b"station", "not an HDF5 file of the GRIN benchmark")
    refuse("text.zip", b"station", "no zip file")
    refuse("polish.csv", "station,time\nŁódź,2020\n".encode("cp1250"), "UTF-8")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ObservationError, match="there is no table in nothing"):
        open_observations(tmp_path / "nothing")
    with pytest.raises(ObservationError, match=r"needs a path, a pandas or geopandas.*found int"):
        open_observations(5)


def test_a_wide_table_without_its_stations_is_refused(table, stations):
    wide = table.pivot(index="time", columns="station", values="pm25").reset_index()
    with pytest.raises(ObservationError, match="no coordinates: pass stations="):
        open_observations(wide)
    with pytest.raises(ObservationError, match="no station of the station table: B"):
        open_observations(wide, stations=stations)


def test_a_table_of_stations_that_lacks_one_is_refused(table, stations):
    with pytest.raises(ObservationError, match="table of stations lacks B; it has A"):
        open_observations(table, stations=stations)
    with pytest.raises(ObservationError, match=r"table of stations: .*no column of latitude"):
        open_observations(
            table.pivot(index="time", columns="station", values="pm25").reset_index(),
            stations=stations.drop(columns="latitude"),
        )


# Properties


def test_shuffled_rows_do_not_matter(table):
    shuffled = table.sample(frac=1.0, random_state=1)
    assert open_observations(shuffled).equals(open_observations(table))


@st.composite
def networks(draw) -> xr.Dataset:
    """A valid small network, values of float32 and missing ones."""
    stations = draw(
        st.lists(
            st.text("anNAbXYZ019-_ é", min_size=1, max_size=6).map(str.strip).filter(bool),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    stations = sorted(set(stations))
    hours = draw(st.integers(3, 6))
    values = st.one_of(st.just(np.nan), st.floats(-5, 200, width=32))
    flat = draw(st.lists(values, min_size=len(stations) * hours, max_size=len(stations) * hours))
    flat[0] = 1.0
    # Of one part of the Earth, so that no position looks misread: such a station is left out.
    longitudes, latitudes = (
        st.floats(low, low + 20).map(lambda value: round(value, 6)) for low in (-130, 30)
    )
    step = draw(st.sampled_from([1, 3, 24]))
    start = np.datetime64(draw(st.sampled_from(["1999-12-31T23", "2020-02-28T16"])), "ns")
    table = pd.DataFrame(
        {
            "station": np.repeat(stations, hours),
            "time": np.tile(start + np.arange(hours) * np.timedelta64(step, "h"), len(stations)),
            "longitude": np.repeat([draw(longitudes) for _ in stations], hours),
            "latitude": np.repeat([draw(latitudes) for _ in stations], hours),
            "no2": flat,
        }
    )
    label = draw(st.sampled_from(["start", "end"]))
    return open_observations(table, time_zone="UTC", time_label=label)


@settings(max_examples=25, deadline=None)
@given(dataset=networks(), suffix=st.sampled_from([".csv", ".csv.gz", ".parquet", ".nc"]))
def test_written_and_read_again_is_equal(dataset, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / f"observations{suffix}"
    if suffix == ".nc":
        dataset.to_netcdf(path)
    else:
        assert write_table(dataset, path) == path
    again = open_observations(path)
    xr.testing.assert_identical(again.drop_attrs(deep=False), dataset.drop_attrs(deep=False))
    assert list(path.parent.iterdir()) == [path]


@settings(max_examples=25, deadline=None)
@given(dataset=networks(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(dataset, seed):
    rows = long_table(dataset)
    shuffled = rows.sample(frac=1.0, random_state=seed)
    assert open_observations(shuffled).equals(open_observations(rows))
    assert open_observations(rows).equals(dataset)


def test_writing_leaves_no_file_where_it_fails(table, tmp_path):
    obs = open_observations(table)
    with pytest.raises(ObservationError, match=r"cannot be written"):
        write_table(obs, tmp_path / "nowhere" / "a.csv")
    with pytest.raises(ObservationError, match=r"suffix '.xls'; expected .csv"):
        write_table(obs, tmp_path / "a.xls")
    assert list(tmp_path.iterdir()) == []


def test_points_of_the_stations_can_serve_as_table_of_stations(table, tmp_path):
    obs = open_observations(table)
    path = write_table(obs, tmp_path / "stations.gpkg")
    bare = table.drop(columns=["longitude", "latitude"])
    assert open_observations(bare, stations=path).equals(obs)
