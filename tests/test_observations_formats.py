"""The readers on the files that networks ship, real and small, against what is known of them."""

import io
import logging
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis.observations import (
    ObservationError,
    find_faults,
    open_observations,
    time_bounds,
    write_table,
)


@pytest.fixture(scope="module")
def beijing36(data_dir) -> xr.Dataset:
    return open_observations(data_dir / "beijing36" / "small36.h5")


@pytest.fixture(scope="module")
def beijing12(data_dir) -> xr.Dataset:
    folder = data_dir / "beijing12"
    archive = folder / "PRSA2017_Data_20130301-20170228.zip"
    return open_observations(archive, stations=folder / "stations.csv")


@pytest.fixture(scope="module")
def us2011(data_dir) -> xr.Dataset:
    return open_observations(data_dir / "usepa_2011" / "pm25_frm_fem_hourly_2011.csv.gz")


# Beijing


def test_grin_is_what_its_authors_describe(beijing36):
    assert find_faults(beijing36) == []
    assert dict(beijing36.sizes) == {"station": 36, "time": 8759}
    assert round(float(beijing36.pm25.isnull().mean()), 4) == 0.1325
    # Local time 2014-05-01 01:00, end of the hour, is 17:00 of the day before in UTC.
    assert str(beijing36.time.values[0])[:16] == "2014-04-30T17:00"
    assert str(beijing36.time.values[-1])[:16] == "2015-04-30T15:00"
    assert beijing36.time.attrs["time_label"] == "end"
    assert beijing36.pm25.sel(station="1001").values[:3].tolist() == [138.0, 124.0, 127.0]
    assert float(beijing36.longitude[0]) == 116.17355


def test_the_callers_zone_and_label_hold_over_those_of_the_format(data_dir):
    path = data_dir / "beijing36" / "small36.h5"
    obs = open_observations(path, time_zone="UTC", time_label="start")
    assert str(obs.time.values[0])[:16] == "2014-05-01T01:00"
    assert obs.time.attrs["time_label"] == "start"


def test_uci_is_what_its_authors_describe(beijing12):
    assert find_faults(beijing12) == []
    assert dict(beijing12.sizes) == {"station": 12, "time": 35064}
    assert round(float(beijing12.pm25.isnull().mean()), 3) == 0.021
    assert str(beijing12.time.values[0])[:16] == "2013-02-28T16:00"
    assert beijing12.time.attrs["time_label"] == "start"
    first = beijing12.sel(station="Aotizhongxin").isel(time=0)
    expected = {"pm25": 4, "pm10": 4, "so2": 4, "no2": 7, "co": 300, "o3": 77}
    expected |= {"temperature": -0.7, "pressure": 1023, "dew_point": -18.8, "rain": 0}
    expected |= {"wind_direction": 337.5, "wind_speed": 4.4}
    result = {name: round(float(first[name]), 3) for name in beijing12.data_vars}
    assert result == expected
    assert "no" not in beijing12
    assert beijing12.pressure.attrs["units"] == "hPa"


def test_the_two_beijing_sets_agree_at_common_stations_once_labels_are_known(beijing36, beijing12):
    """The same hours differ by rounding; an hour beside them differs by more than ten times."""
    starts = beijing36.assign_coords(time=time_bounds(beijing36)[:, 0])
    for place in range(12):
        values = beijing12.pm25.isel(station=place)
        apart = np.hypot(
            starts.longitude.values - float(values.longitude),
            starts.latitude.values - float(values.latitude),
        )
        assert apart.min() < 1e-4
        here = starts.pm25.isel(station=int(np.argmin(apart)))
        difference = {
            hours: np.abs(here - values.shift(time=hours).reindex(time=here.time))
            for hours in (-1, 0, 1)
        }
        assert float((difference[0] <= 1).sum() / difference[0].notnull().sum()) > 0.95
        assert float(difference[0].mean()) < 2.0
        assert float(difference[-1].mean()) > 8.0
        assert float(difference[1].mean()) > 8.0


def test_a_long_csv_of_the_grin_set_is_read_back(beijing36, tmp_path):
    path = write_table(beijing36, tmp_path / "beijing36.csv")
    again = open_observations(path)
    xr.testing.assert_identical(again.drop_attrs(deep=False), beijing36.drop_attrs(deep=False))


def test_uci_without_stations_is_refused(data_dir):
    archive = data_dir / "beijing12" / "PRSA2017_Data_20130301-20170228.zip"
    with pytest.raises(ObservationError, match="UCI archive has no coordinates: pass stations="):
        open_observations(archive)


def test_beijing30_needs_no_options(data_dir):
    obs = open_observations(data_dir / "beijing30_march2015" / "beijing30_march2015.csv.gz")
    assert dict(obs.sizes) == {"station": 30, "time": 744}
    assert {"pm25", "temperature", "relative_humidity", "wind_speed"} == set(obs.data_vars)


# Daily PM10


def test_germany_is_daily_and_complete_at_what_is_there(data_dir):
    obs = open_observations(data_dir / "germany_rural_pm10_2005" / "de_rb_2005.csv.gz")
    assert dict(obs.sizes) == {"station": 69, "time": 365}
    assert obs.time.attrs["step_hours"] == 24.0
    assert int(obs.pm10.notnull().sum()) == 23230
    assert float(obs.altitude.max()) == 1205.0


def test_europe_has_eleven_identifiers_with_two_instruments(data_dir):
    path = data_dir / "europe_rural_pm10_2005" / "eu_rb_2005.csv.gz"
    with pytest.raises(ObservationError, match=r"different values of pm10; for example .*DEBW004"):
        open_observations(path)
    assert open_observations(path, duplicates="mean").sizes["station"] == 183
    columns = {"station": ["station", "easting_epsg3035"], "background": "EMEP"}
    obs = open_observations(path, columns=columns)
    assert obs.sizes["station"] == 194
    assert round(float(obs.background.mean()), 2) == 9.85
    assert int(obs.pm10.notnull().sum()) == 68242


# US EPA


def test_aqs_is_what_its_readme_says(us2011):
    assert find_faults(us2011) == []
    assert us2011.sizes["station"] == 234
    # 1 691 615 rows, of which 36 924 are of a further monitor at the same site and hour.
    assert int(us2011.pm25.notnull().sum()) == 1_691_615 - 36_924
    assert "36924 values of pm25 come from a further monitor" in us2011.attrs["history"]
    assert all(re.fullmatch(r"\d{2}-\d{3}-\d{4}", name) for name in us2011.station.values)
    assert float(us2011.pm25.min()) == -10.0
    assert str(us2011.time.values[0])[:16] == "2011-01-01T05:00"
    anchorage = us2011.pm25.sel(station="02-020-0018", time="2011-01-01T09:00")
    assert float(anchorage) == 195.0


def test_aqs_says_what_it_does_with_a_datum(us2011):
    history = us2011.attrs["history"]
    assert "102 stations on NAD83 taken for WGS84 (less than 2 m off)" in history
    assert "1 station on NAD27 transformed to WGS84" in history
    assert "1 station on datum 'UNKNOWN' taken for WGS84" in history


@pytest.fixture
def aqs() -> pd.DataFrame:
    """Two sites in the official spelling, one of them with two monitors, three hours."""
    rows = [
        ("06", "037", "1103", 1, hour, value)
        for hour, value in (("00:00", 10.0), ("01:00", 12.0), ("02:00", -4.0))
    ]
    rows += [("06", "037", "1103", 3, "01:00", 14.0), ("CC", "1", "7", 1, "02:00", 5.0)]
    names = ["State Code", "County Code", "Site Num", "POC", "Time GMT", "Sample Measurement"]
    table = pd.DataFrame(rows, columns=names)
    table["Date GMT"] = "2019-07-01"
    table["Latitude"] = [34.0] * 4 + [45.0]
    table["Longitude"] = [-118.0] * 4 + [-75.0]
    table["Datum"] = ["NAD27"] * 4 + ["WGS84"]
    table["Parameter Code"] = 88101
    table["Units of Measure"] = "Micrograms/cubic meter (LC)"
    return table


def test_monitors_of_a_site_are_averaged_hour_by_hour(aqs, caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(aqs)
    assert obs.station.values.tolist() == ["06-037-1103", "CC-001-0007"]
    np.testing.assert_array_equal(obs.pm25, [[10.0, 13.0, -4.0], [np.nan, np.nan, 5.0]])
    assert "1 values of pm25 come from a further monitor" in caplog.text
    # NAD27 to WGS84 near Los Angeles: about 80 m to the west, published by NOAA's NADCON.
    assert -1.1e-3 < float(obs.longitude[0]) + 118.0 < -0.6e-3


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "hourly_88101_2019.zip"])
def test_aqs_files_as_they_are_shipped(aqs, tmp_path, name):
    path = tmp_path / name
    text = aqs.to_csv(index=False, quoting=1)
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hourly_88101_2019.csv", text)
    else:
        pd.read_csv(io.StringIO(text), dtype=str).to_csv(path, index=False)
    assert open_observations(path).equals(open_observations(aqs))


def test_a_state_may_have_code_and_name_in_a_table(aqs):
    codes = aqs.rename(columns={"State Code": "state_code", "County Code": "county_code"})
    named = codes.assign(state="California", county="Los Angeles")
    assert open_observations(named).equals(open_observations(aqs))


def test_aqs_gases_and_units_by_row(aqs):
    ozone = aqs.assign(**{"Parameter Code": 44201, "Units of Measure": "Parts per million"})
    ozone["Sample Measurement"] = 0.05
    obs = open_observations(pd.concat([aqs, ozone], ignore_index=True))
    assert set(obs.data_vars) == {"pm25", "o3"}
    # 0.05 ppm of ozone at 298.15 K and 1013.25 hPa are 98.1 ug m-3.
    np.testing.assert_allclose(obs.o3.values[0], 98.1, atol=0.05)


def test_aqs_bad_input(aqs, tmp_path):
    with pytest.raises(ObservationError, match="an AQS file lacks the columns Site Num; it has"):
        open_observations(aqs.drop(columns="Site Num"), format="aqs")
    twice = pd.concat([aqs, aqs.iloc[[0]].assign(**{"Sample Measurement": 99.0})])
    words = "different values of pm25; for example station 06-037-1103 POC 1, 2019-07-01T00:00"
    with pytest.raises(ObservationError, match=words):
        open_observations(twice)
    assert open_observations(pd.concat([aqs, aqs.iloc[[0]]])).equals(open_observations(aqs))
    spoiled = aqs.assign(**{"Sample Measurement": "bad", "Latitude": 95.0, "Time GMT": "25h"})
    with pytest.raises(ObservationError, match="3 faults"):
        open_observations(spoiled)
    with pytest.raises(ObservationError, match="row 2 has no state, county or site"):
        open_observations(aqs.assign(**{"Site Num": ["1103", None, "1103", "1103", "7"]}))
    with pytest.raises(ObservationError, match="no parameter is a pollutant"):
        open_observations(aqs.assign(**{"Parameter Code": 62101}))
    with pytest.raises(ObservationError, match="columns but no rows"):
        open_observations(aqs.iloc[:0])
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(ObservationError, match="no zip file"):
        open_observations(tmp_path / "a.zip", format="aqs")


# UCI in its other wrappings


@pytest.fixture
def uci() -> pd.DataFrame:
    hours = {"No": [1, 2], "year": 2013, "month": 3, "day": 1, "hour": [0, 1]}
    values = {name: ["NA", "4"] for name in ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3")}
    weather = {"TEMP": -0.7, "PRES": 1023, "DEWP": -18.8, "RAIN": 0, "wd": "N", "WSPM": 4.4}
    return pd.DataFrame({**hours, **values, **weather, "station": "Dongsi"})


def test_uci_zip_in_a_zip_folder_and_single_file(uci, tmp_path):
    places = pd.DataFrame({"station": ["Dongsi"], "longitude": [116.4], "latitude": [39.9]})
    name = "PRSA_Data_Dongsi_20130301-20170228.csv"
    (tmp_path / "folder").mkdir()
    uci.to_csv(tmp_path / "folder" / name, index=False)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.write(tmp_path / "folder" / name, f"PRSA_Data/{name}")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("PRSA2017_Data_20130301-20170228.zip", inner.getvalue())
        archive.writestr("test.csv", "a,b\n")
    expected = open_observations(uci, stations=places)
    assert expected.pm25.values.tolist()[0][1] == 4.0
    for source in (tmp_path / "outer.zip", tmp_path / "folder", tmp_path / "folder" / name):
        assert open_observations(source, stations=places).equals(expected)
    with pytest.raises(ObservationError, match="lacks the columns WSPM"):
        open_observations(uci.drop(columns="WSPM"), stations=places, format="uci")


# NetCDF and xarray


@pytest.fixture
def cf_file() -> xr.Dataset:
    """A CF timeSeries in other words: dimensions (time, location), names, units, bounds."""
    time = pd.date_range("2020-01-01T01:00", periods=3, freq="h")
    edges = np.stack([time - pd.Timedelta("1h"), time], axis=1)
    values = np.array([[1e-8, 2e-8], [3e-8, np.nan], [5e-8, 6e-8]])
    return xr.Dataset(
        {
            "concentration": (
                ("t", "location"),
                values,
                {
                    "units": "kg m-3",
                    "standard_name": (
                        "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"
                    ),
                },
            ),
            "ozone_mixing_ratio": (
                ("t", "location"),
                np.full((3, 2), 10.0),
                {"units": "1e-9", "standard_name": "mole_fraction_of_ozone_in_air"},
            ),
            "t_bnds": (("t", "nv"), edges),
        },
        coords={
            "t": ("t", time, {"standard_name": "time", "bounds": "t_bnds"}),
            "x": ("location", [350.0, 10.0], {"standard_name": "longitude"}),
            "y": ("location", [50.0, 51.0], {"units": "degrees_north"}),
            "code": ("location", ["b", "a"], {"cf_role": "timeseries_id"}),
        },
        attrs={"featureType": "timeSeries"},
    )


def test_a_cf_file_is_understood_by_its_attributes(cf_file, tmp_path):
    units = {
        "t": {"units": "hours since 2020-01-01"},
        "t_bnds": {"units": "hours since 2020-01-01"},
    }
    cf_file.to_netcdf(tmp_path / "a.nc", encoding=units)
    for source in (cf_file, tmp_path / "a.nc", cf_file.transpose("location", "t", "nv")):
        obs = open_observations(source)
        assert obs.station.values.tolist() == ["a", "b"]
        assert obs.longitude.values.tolist() == [10.0, -10.0]
        np.testing.assert_allclose(obs.pm25, [[20, np.nan, 60], [10, 30, 50]])
        np.testing.assert_allclose(obs.o3, 19.618, atol=1e-3)
        assert obs.time.attrs["time_label"] == "end"


def test_a_valid_dataset_comes_back_equal(cf_file):
    obs = open_observations(cf_file)
    again = open_observations(obs)
    xr.testing.assert_identical(again.drop_attrs(deep=False), obs.drop_attrs(deep=False))
    assert again.attrs["history"].startswith(obs.attrs["history"])
    lazy = open_observations(obs.chunk(time=1))
    assert lazy.chunks
    assert lazy.equals(obs)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sentinels_of_a_dataset_are_missing(cf_file, kind):
    spoiled = cf_file.assign(concentration=cf_file.concentration.astype(kind))
    spoiled["concentration"][0] = [-999.9, -9999.0]
    assert int(open_observations(spoiled).pm25.isnull().sum()) == 3


def test_a_single_stamp_keeps_its_step(cf_file):
    daily = open_observations(cf_file).isel(time=[0])
    daily["time"].attrs["step_hours"] = 24.0
    assert open_observations(daily).time.attrs["step_hours"] == 24.0


def test_the_dataset_given_is_not_changed(cf_file):
    before = cf_file.copy(deep=True)
    open_observations(cf_file, time_zone="UTC+8", units={"pm25": "g m-3"})
    xr.testing.assert_identical(cf_file, before)


def test_usual_names_without_attributes_gaps_and_order(cf_file):
    bare = cf_file.drop_attrs().rename(
        {"t": "time", "x": "lon", "y": "lat", "code": "site", "concentration": "PM2.5"}
    )[["PM2.5"]]
    gappy = bare.isel(time=[2, 0])
    gappy = xr.concat([gappy, bare.isel(time=[0]).assign_coords(
        time=[np.datetime64("2020-01-01T06:00", "ns")])], dim="time")  # fmt: skip
    gappy = xr.concat([gappy, bare.isel(time=[1])], dim="time")
    obs = open_observations(gappy, units="kg m-3")
    assert obs.sizes["time"] == 6
    np.testing.assert_allclose(obs.pm25.sel(station="b")[:3], [10, 30, 50])
    assert obs.pm25[:, 3:5].isnull().all()


def test_one_station_without_a_dimension(cf_file):
    single = cf_file.isel(location=0)
    obs = open_observations(single)
    assert obs.station.values.tolist() == ["b"]
    np.testing.assert_allclose(obs.pm25, [[10, 30, 50]])


def test_the_callers_word_for_variables_holds_and_must_exist(cf_file):
    odd = cf_file.rename(concentration="odd").drop_attrs()
    obs = open_observations(
        odd,
        columns={"pm25": "odd", "longitude": "x", "latitude": "y", "station": "code"},
        units={"pm25": "kg m-3"},
    )
    np.testing.assert_allclose(obs.pm25.sel(station="b"), [10, 30, 50])
    with pytest.raises(ObservationError, match="columns names nope; the variables are"):
        open_observations(cf_file, columns={"pm25": "nope"})
    with pytest.raises(ObservationError, match="columns names 'nope' for time"):
        open_observations(cf_file, columns={"time": "nope"})


def test_a_background_with_the_same_standard_name_stays_beside(cf_file):
    named = cf_file.rename(concentration="pm25")
    obs = open_observations(named.assign(model=named.pm25 * 2))
    assert {"pm25", "model"} <= set(obs.data_vars)
    with pytest.raises(ObservationError, match=r"variables pm25, PM2\.5 all look like pm25"):
        open_observations(named.assign({"PM2.5": named.pm25}))


def test_flags_and_other_variables_stay(cf_file):
    obs = open_observations(cf_file)
    flags = obs.assign(pm25_flag=(("station", "time"), np.zeros((2, 3), "int8")))
    again = open_observations(flags)
    assert again.pm25_flag.dtype == np.int8


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop_vars("t").rename(t="i"), "no coordinate of time"),
        (lambda d: d.drop_vars(["x"]), "no coordinate of longitude; the variables are"),
        (
            lambda d: d.assign_coords(t=d.t.values[[0, 0, 1]]),
            "time holds 2020-01-01T01:00 UTC more than once",
        ),
        (lambda d: d.assign_coords(code=("location", ["a", "a"], d.code.attrs)), "unique; 'a'"),
        (
            lambda d: d.assign_coords(y=("location", [50.0, 95.0], {"units": "degrees_north"})),
            "latitude must be between -90 and 90; station a has 95",
        ),
        (
            lambda d: d.drop_vars("t_bnds").assign_coords(t=("t", [0.0, 1.0, 2.0], d.t.attrs)),
            "time must be dates",
        ),
        (lambda d: d.assign(concentration=d.concentration.astype(str)), "must hold numbers"),
        (
            lambda d: d.assign(rows=((), 0, {"sample_dimension": "obs"})),
            "ragged array",
        ),
        (lambda d: d.drop_vars(["concentration", "ozone_mixing_ratio"]), "no pollutant"),
    ],
)
def test_bad_datasets_are_refused(cf_file, spoil, words):
    with xr.set_options(keep_attrs=True):
        spoiled = spoil(cf_file)
    with pytest.raises(ObservationError, match=words):
        open_observations(spoiled)
