"""Anybody's own file is read by options alone, and what is harmless costs the row, not the file."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from aqreanalysis.observations import ObservationError, combine, find_faults, open_observations
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.resampling import period_of
from aqreanalysis.observations.sources.stamps import in_order


def places(*names: str) -> pd.DataFrame:
    count = range(len(names))
    return pd.DataFrame(
        {
            "station": list(names),
            "longitude": [10 + 0.1 * n for n in count],
            "latitude": [50 + 0.1 * n for n in count],
        }
    )


def network(stations: int = 120, hours: int = 24) -> pd.DataFrame:
    """A national network as a long table: the value is the number of the row."""
    rows = stations * hours
    stamps = pd.date_range("2020-01-01", periods=hours, freq="h").strftime("%Y-%m-%dT%H:%MZ")
    return pd.DataFrame(
        {
            "station": np.repeat([f"S{n:03}" for n in range(stations)], hours),
            "time": np.tile(stamps, stations),
            "longitude": np.repeat(5 + 0.05 * np.arange(stations), hours),
            "latitude": np.repeat(50 + 0.01 * np.arange(stations), hours),
            "pm25": np.arange(rows, dtype=float),
        }
    )


@pytest.fixture
def write(tmp_path):
    def to_file(name: str, lines: list[str], encoding: str = "utf-8"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
        return path

    return to_file


def first(dataset, name: str = "pm25") -> tuple[str, list[float]]:
    return str(dataset.time.values[0])[:16], dataset[name].values[:, 0].round(4).tolist()


HOURS = range(1, 25)

# How the text stands in its file


def test_a_german_file_with_a_preamble_decimal_commas_and_ends_of_hours(write):
    heading = ["# Messnetz Bayern", "# Station: Augsburg", "# Breitengrad: 48,37"]
    heading += ["# Längengrad: 10,89", "", "Datum;Uhrzeit;PM10 [µg/m³];NO2 [µg/m³];O3 [µg/m³]"]
    rows = [f"0{d}.02.2020;{h:02}:00;{h},5;{h},25;-" for d in (1, 2) for h in HOURS]
    path = write("augsburg.csv", heading + rows)
    obs = open_observations(path, time_zone="UTC+1", time_label="end")
    assert obs.station.values.tolist() == ["Augsburg"]
    assert (float(obs.longitude[0]), float(obs.latitude[0])) == (10.89, 48.37)
    assert first(obs, "pm10") == ("2020-02-01T00:00", [1.5])
    assert int(obs.no2.notnull().sum()) == 48
    stated = open_observations(path, time_zone="UTC+1", time_label="end", header=5, decimal=",")
    assert stated.equals(obs)


def test_quoted_decimal_commas_between_commas_need_to_be_told(write):
    lines = ["estacion,fecha,hora,contaminante,valor,unidad,longitud,latitud"]
    lines += [
        f'E1,2020-01-01,{h},{name},"{h},5",{units},"-3,7","40,4"'
        for h in range(3)
        for name, units in (("PM2.5", "µg/m3"), ("CO", "mg/m3"))
    ]
    path = write("a.csv", lines)
    with pytest.raises(ObservationError, match="must be a number or missing; found '0,5'"):
        open_observations(path)
    obs = open_observations(path, decimal=",")
    assert first(obs) == ("2020-01-01T00:00", [0.5])
    assert float(obs.co[0, 0]) == 500.0
    assert float(obs.longitude[0]) == -3.7


def test_an_encoding_is_told(write):
    lines = ["Stätion,time,lon,lat,pm25", *(f"Köln,2020-01-01T0{h}:00Z,7,51,{h}" for h in range(3))]
    path = write("a.csv", lines, "latin-1")
    obs = open_observations(path, encoding="latin-1", columns={"station": "Stätion"})
    assert obs.station.values.tolist() == ["Köln"]
    with pytest.raises(ObservationError, match="no text in ascii"):
        open_observations(path, encoding="ascii", columns={"station": "Stätion"})
    with pytest.raises(ObservationError, match="unknown encoding 'klingon'"):
        open_observations(path, encoding="klingon")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_an_encoding_is_recognised(write, encoding, caplog):
    lines = ["Station,time,lon,lat,PM2.5 (µg/m³)", "Köln,2020-01-01T00:00Z,7,51,5"]
    obs = open_observations(write("a.csv", lines, encoding))
    assert obs.station.values.tolist() == ["Köln"]
    assert f"a.csv is no UTF-8 and read in {encoding}" in obs.attrs["history"]
    assert any(r.levelname == "WARNING" for r in caplog.records if encoding in r.message) == (
        encoding == "cp1252"
    )


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp1250", "Łódź"), ("cp1251", "Москва"), ("gb18030", "北京"), ("cp1254", "Şişli")],
)
def test_an_encoding_that_is_not_clear_is_asked_for_with_what_each_reads(write, encoding, name):
    lines = ["station,time,lon,lat,pm25", f"{name},2020-01-01T00:00Z,7,51,5"]
    path = write("a.csv", lines, encoding)
    with pytest.raises(ObservationError, match=rf"encoding=\.\.\..*'{encoding}' \({name}\)"):
        open_observations(path)
    assert open_observations(path, encoding=encoding).station.values.tolist() == [name]


@pytest.mark.parametrize("fields", ["9", "9,9,9"])
def test_another_encoding_far_down_is_recognised_and_nothing_is_printed(write, fields, capfd):
    hours = pd.date_range("2020-01-01", periods=4000, freq="h").strftime("%Y-%m-%dT%H:%MZ")
    lines = ["station,time,lon,lat,pm25", *(f"A,{hour},7,51,5" for hour in hours)]
    obs = open_observations(write("a.csv", [*lines, f"Köln,{hours[0]},7,51,{fields}"], "cp1252"))
    assert obs.station.values.tolist() == (["A", "Köln"] if fields == "9" else ["A"])
    assert capfd.readouterr().err == ""


def test_a_line_of_units_below_the_names_and_notes_below_the_table(write):
    lines = ["time,station,lon,lat,pm25,co", "UTC,,deg,deg,ug/m3,mg/m3"]
    lines += [f"2020-01-01 0{h}:00,A,10,50,{h},0.{h}" for h in range(5)]
    obs = open_observations(write("a.csv", [*lines, "", "End of file"]))
    np.testing.assert_allclose(obs.co, [[0, 100, 200, 300, 400]])
    assert "1 lines of a.csv have too many or too few fields" in obs.attrs["history"]


def test_a_file_without_a_line_of_names(write):
    path = write("a.csv", [f"A,2020-01-01T0{h}:00Z,10,50,{h}" for h in range(4)])
    columns = {"station": "1", "time": "2", "longitude": "3", "latitude": "4", "pm25": "5"}
    obs = open_observations(path, header="none", columns=columns)
    np.testing.assert_array_equal(obs.pm25, [[0, 1, 2, 3]])


def test_sheets_and_json(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Report of the ministry"])
    book.active.append(["time", "A", "B"])
    for hour in range(4):
        book.active.append([pd.Timestamp(2020, 1, 1, hour).to_pydatetime(), hour, hour + 0.5])
    book.save(tmp_path / "a.xlsx")
    obs = open_observations(tmp_path / "a.xlsx", stations=places("A", "B"), time_zone="UTC")
    assert first(obs) == ("2020-01-01T00:00", [0.0, 0.5])
    records = network(2, 3).to_dict("records")
    (tmp_path / "a.json").write_text(json.dumps({"data": records}))
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "c.json").write_text(json.dumps(network(2, 3).to_dict("list")))
    for name in ("a.json", "b.jsonl", "c.json"):
        assert open_observations(tmp_path / name).equals(open_observations(network(2, 3)))
    (tmp_path / "d.json").write_text("[1, 2]")
    with pytest.raises(ObservationError, match="holds no records"):
        open_observations(tmp_path / "d.json")


# Layouts


def test_hours_as_columns_with_and_without_flags(write):
    lines = ["station,date,pollutant," + ",".join(f"H{h:02}" for h in range(24))]
    lines += [
        f"A,2020-01-0{d},{name}," + ",".join(str(h + d) for h in range(24))
        for d in (1, 2)
        for name in ("pm25", "no2")
    ]
    obs = open_observations(write("a.csv", lines), stations=places("A"), time_zone="UTC+3")
    assert first(obs) == ("2019-12-31T21:00", [1.0])
    assert int(obs.no2.notnull().sum()) == 48
    lines = ["station;date;" + ";".join(f"{h};f{h}" for h in HOURS)]
    lines += [f"A;2020-01-01;{';'.join(f'{h};{h % 2}' for h in HOURS)}"]
    path = write("pm10.csv", lines)
    options = {"stations": places("A"), "time_label": "end", "time_zone": "UTC"}
    with_flags = open_observations(path, valid="flag=1", **options)
    assert int(with_flags.pm10.notnull().sum()) == 12
    unread = open_observations(path, **options)
    assert "columns of flags are not used: f1, f2" in unread.attrs["history"]


def test_the_pollutant_of_a_wide_table_may_stand_in_the_files_name(write):
    lines = ["time,A", *(f"2020-01-01T0{h}:00Z,{h}" for h in range(3))]
    obs = open_observations(write("2020_PM10_hourly.csv", lines), stations=places("A"))
    assert list(obs.data_vars) == ["pm10"]
    stated = open_observations(
        write("2020_PM10_hourly.csv", lines), stations=places("A"), columns={"variable": "o3"}
    )
    assert list(stated.data_vars) == ["o3"]


def test_a_column_may_be_a_station_and_a_pollutant(write):
    lines = ["time,Hill PM2.5 [ug/m3],Hill CO [mg/m3],CO_Sea [mg/m3]"]
    lines += [f"2020-01-01T0{h}:00Z,{h},0.{h},1" for h in range(3)]
    obs = open_observations(write("a.csv", lines), stations=places("Hill", "Sea"))
    np.testing.assert_array_equal(obs.pm25, [[0, 1, 2], [np.nan] * 3])
    np.testing.assert_allclose(obs.co, [[0, 100, 200], [1000] * 3])


def test_units_behind_a_name_without_brackets_are_not_lost(write):
    lines = ["station,time,lon,lat,SO2 mg/m3,NO2_ppb"]
    lines += [f"A,2020-01-01T0{h}:00Z,1,2,0.5,10" for h in range(3)]
    obs = open_observations(write("a.csv", lines))
    assert float(obs.so2[0, 0]) == 500.0
    assert float(obs.no2[0, 0]) == pytest.approx(18.805, abs=0.01)


def test_units_and_status_may_follow_each_variable(write):
    """As in the flat files of AURN: the same two names behind each pollutant."""
    lines = ["Department for Environment", "Air Quality Data for Blackpool,,", ""]
    lines += ["Date,time,Ozone,status,unit,Carbon monoxide,status,unit"]
    lines += [f"01-01-2023,{h:02}:00,{h}.5,V,ugm-3,0.2,V,mgm-3" for h in HOURS]
    obs = open_observations(write("BLAC_2023.csv", lines), stations=places("BLAC"))
    assert obs.station.values.tolist() == ["BLAC"]
    assert first(obs, "co") == ("2023-01-01T01:00", [200.0])
    assert obs.time.attrs["time_label"] == "end"
    assert "recognised as a UK-AIR file of a site and year" in obs.attrs["history"]


def test_columns_of_any_number_of_spaces(write):
    lines = ["station  time               lon lat  pm25"]
    lines += [f"A        2020-01-01T{h:02}:00Z  10  50   {h}" for h in range(5)]
    np.testing.assert_array_equal(open_observations(write("a.txt", lines)).pm25, [range(5)])


def test_means_of_8_or_24_hours_are_no_hourly_values():
    table = network(1, 3).assign(**{"O3_8h": 1.0, "PM2.5_24h": 2.0, "PM2.5 AQI": 3.0})
    assert list(open_observations(table).data_vars) == ["pm25"]


# Several files


def test_one_station_a_file_in_a_folder_a_pattern_or_a_list(write, tmp_path):
    for name in "AB":
        rows = [f"2020-01-01T0{h}:00Z,{h + ord(name)}" for h in range(3)]
        write(f"many/{name}.csv", ["time,PM2.5", *rows])
    write("many/notes.txt", ["what this is"])
    paths = [tmp_path / "many" / f"{name}.csv" for name in "AB"]
    for source in (tmp_path / "many", str(tmp_path / "many" / "*.csv"), paths):
        obs = open_observations(source, stations=places("A", "B"))
        assert first(obs) == ("2020-01-01T00:00", [65.0, 66.0])
    assert "A.csv" in open_observations(paths, stations=places("A", "B")).attrs["source"]
    alone = open_observations(paths[0], station="Z", stations=places("Z"))
    assert alone.station.values.tolist() == ["Z"]
    with pytest.raises(ObservationError, match=r"no file fits .*\*\.xyz"):
        open_observations(str(tmp_path / "*.xyz"))
    with pytest.raises(ObservationError, match="list of files is empty"):
        open_observations([])


def test_the_list_of_stations_may_lie_in_the_folder(write, tmp_path):
    write("net/data.csv", ["time,A,B", *(f"2020-01-01T0{h}:00Z,{h},1" for h in range(3))])
    write("net/sites.csv", ["site,lon,lat", "A,1,2", "B,3,4"])
    obs = open_observations(tmp_path / "net")
    assert obs.longitude.values.tolist() == [1.0, 3.0]
    assert "sites.csv is taken for the table of stations" in obs.attrs["history"]


def test_a_row_is_named_with_its_file(write):
    good = write("a.csv", ["station,time,lon,lat,pm25", "A,2020-01-01T00:00Z,1,2,3"])
    bad = write("b.csv", ["station,time,lon,lat,pm25", "A,2020-01-01T01:00Z,1,2,oops"])
    with pytest.raises(ObservationError, match=r"b\.csv row 1 \(station A.*'oops'"):
        open_observations([good, bad])


# Stations


def test_the_column_of_a_list_is_found_or_told():
    listing = pd.DataFrame(
        {
            "id": [1, 2],
            "EoI": ["DE01", "DE02"],
            "name": ["Hill", "Sea"],
            "lon": [1.0, 2.0],
            "lat": [3.0, 4.0],
        }
    )
    table = network(2, 3).drop(columns=["longitude", "latitude"])
    coded = table.assign(station=table.station.map({"S000": "DE01", "S001": "DE02"}))
    assert open_observations(coded, stations=listing).longitude.values.tolist() == [1.0, 2.0]
    swapped = {"id": "EoI", "longitude": "lat", "latitude": "lon"}
    stated = open_observations(coded, stations=listing, station_columns=swapped)
    assert stated.longitude.values.tolist() == [3.0, 4.0]
    renamed = open_observations(
        coded, stations=listing, station_columns={"id": "EoI", "station": "name"}
    )
    assert renamed.station.values.tolist() == ["Hill", "Sea"]
    with pytest.raises(ObservationError, match="station_columns names 'code' for id"):
        open_observations(coded, stations=listing, station_columns={"id": "code"})


def test_positions_of_another_reference_system(write):
    metres = network(1, 3).assign(longitude=1607681.5436, latitude=6462612.2749)
    obs = open_observations(metres, crs="EPSG:3857")
    assert float(obs.longitude[0]) == pytest.approx(14.442, abs=1e-3)
    assert float(obs.latitude[0]) == pytest.approx(50.094, abs=1e-3)
    listing = metres[["station", "longitude", "latitude"]].drop_duplicates()
    bare = metres.drop(columns=["longitude", "latitude"])
    assert open_observations(bare, stations=listing, crs="EPSG:3857").equals(obs)
    with pytest.raises(ObservationError, match="'EPSG:0' is no coordinate reference system"):
        open_observations(metres, crs="EPSG:0")


def test_stations_without_a_place_are_left_out_where_that_is_asked():
    table = network(3, 3)
    table.loc[table.station == "S001", "longitude"] = np.nan
    with pytest.raises(ObservationError, match=r"S001 has no longitude.*skip_unplaced=True"):
        open_observations(table)
    obs = open_observations(table, skip_unplaced=True)
    assert obs.station.values.tolist() == ["S000", "S002"]
    np.testing.assert_array_equal(obs.pm25, [[0, 1, 2], [6, 7, 8]])
    bare = table.drop(columns=["longitude", "latitude"])
    with pytest.raises(ObservationError, match="lacks S001, S002; it has S000"):
        open_observations(bare, stations=places("S000"))
    obs = open_observations(bare, stations=places("S000"), skip_unplaced=True)
    assert obs.station.values.tolist() == ["S000"]


def test_a_station_that_moved_is_told_apart_where_that_is_asked():
    table = network(2, 6)
    table.loc[3:5, "latitude"] += 0.5
    with pytest.raises(ObservationError, match=r"S000 moves.*split_moved=True"):
        open_observations(table)
    obs = open_observations(table, split_moved=True)
    assert obs.station.values.tolist() == ["S000", "S000 (2)", "S001"]
    np.testing.assert_array_equal(obs.pm25[:2, 2:4], [[2, np.nan], [np.nan, 3]])
    assert obs.latitude.values.tolist() == [50.0, 50.5, 50.01]


@pytest.mark.parametrize(
    ("rule", "names", "values"),
    [
        (None, ["A"], [[2.0, 5.0, 3.0]]),
        ("mean", ["A"], [[2.0, 5.0, 3.0]]),
        ("first", ["A"], [[1.0, 5.0, 3.0]]),
        ("best", ["A"], [[3.0, 5.0, 3.0]]),
        ("keep", ["A 1", "A 2"], [[1.0, np.nan, np.nan], [3.0, 5.0, 3.0]]),
    ],
)
def test_of_several_monitors_the_rule_takes_one(rule, names, values):
    table = pd.DataFrame(
        {
            "station": "A",
            "poc": [1, 2, 2, 2],
            "time": [f"2020-01-01T0{h}:00Z" for h in (0, 0, 1, 2)],
            "longitude": 1.0,
            "latitude": 2.0,
            "pm25": [1.0, 3.0, 5.0, 3.0],
        }
    )
    obs = open_observations(table, columns={"monitor": "poc"}, monitor=rule)
    assert obs.station.values.tolist() == names
    np.testing.assert_array_equal(obs.pm25, values)
    assert find_faults(obs) == []


# Values


def test_codes_of_missing_values_and_valid_rows(caplog):
    table = network(1, 6).assign(QC=["0", "0", "1", "0", "9", "0"])
    table["pm25"] = [-99.0, 1.0, 2.0, -1.0, 4.0, 5.0]
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(table, missing=[-99, -1], valid="QC=0")
    np.testing.assert_array_equal(obs.pm25[0], [np.nan, 1, np.nan, np.nan, np.nan, 5])
    assert "2 values of pm25 are -99, -1 and read as missing" in caplog.text
    assert "2 rows are not QC=0 and are not used" in caplog.text
    by_mapping = open_observations(table, missing=[-99, -1], valid={"QC": [0, 9]})
    assert float(by_mapping.pm25[0, 4]) == 4.0
    assert int(open_observations(table, valid="QC<=1", missing=-99).pm25.notnull().sum()) == 4
    words = table.assign(pm25=["off", "1", "cal!", "3", "4", "5"])
    obs = open_observations(words, missing=["off", "cal*"])
    np.testing.assert_array_equal(obs.pm25[0, :4], [np.nan, 1, np.nan, 3])
    with pytest.raises(ObservationError, match="valid names the column 'flag'"):
        open_observations(table, valid="flag=0")
    with pytest.raises(ObservationError, match="valid takes COLUMN=VALUE"):
        open_observations(table, valid="good")


def test_a_validity_in_the_codes_of_europe_is_known():
    table = network(1, 4).assign(pm25=[-999.0, 0.0, 14.6, -5.3], Validity=[-1, -1, 1, 1])
    obs = open_observations(table)
    np.testing.assert_allclose(obs.pm25[0], [np.nan, np.nan, 14.6, -5.3], rtol=1e-6)
    assert "2 rows are not Validity>=1" in obs.attrs["history"]


def test_a_statistic_is_kept():
    daily = network(1, 3).assign(time=["2020-01-01", "2020-01-02", "2020-01-03"], o3=1.0)
    obs = open_observations(daily, statistic={"O3": "maximum"})
    assert obs.o3.attrs["cell_methods"] == "time: maximum"
    assert "cell_methods" not in obs.pm25.attrs
    assert open_observations(obs).o3.attrs["cell_methods"] == "time: maximum"


# Time


@pytest.mark.parametrize(
    ("stamps", "order", "expected"),
    [
        (["01/02/2020", "02/02/2020", "03/02/2020"], None, "2020-02-01"),
        (["01/01/20 01:00", "01/04/20 01:00", "01/07/20 01:00"], None, "2020-01-01 01:00"),
        (["01/02/2020 5:00"], "day", "2020-02-01 05:00"),
        (["01/02/2020 5:00"], "month", "2020-01-02 05:00"),
        (["1.2.2020", "2.2.2020"], None, "2020-02-01"),
        (["13/01/2020", "14/01/2020"], None, "2020-01-13"),
        (["01/02/2020 00:00", "01/02/2020 01:00"], None, "01/02/2020 00:00"),
        (["2020-02-01", "2020-02-02"], None, "2020-02-01"),
    ],
)
def test_day_or_month_first(stamps, order, expected):
    assert in_order(pd.Series(stamps), order, journal=Journal("a")).iloc[0] == expected


def test_stamps_that_are_numbers():
    table = network(2, 3)
    numbers = table.assign(time=[2020010101, 2020010102, 2020010124] * 2)
    obs = open_observations(numbers, time_format="%Y%m%d%H", time_label="end", time_zone="UTC+8")
    assert str(obs.time.values[0])[:16] == "2019-12-31T17:00"
    assert str(obs.time.values[-1])[:16] == "2020-01-01T16:00"
    seconds = table.assign(time=[1577836800, 1577840400, 1577844000] * 2)
    assert first(open_observations(seconds, time_format="unix"))[0] == "2020-01-01T00:00"
    thousands = table.assign(time=[1577836800000, 1577840400000, 1577844000000] * 2)
    assert first(open_observations(thousands, time_format="unix"))[0] == "2020-01-01T00:00"
    parts = table.drop(columns="time").assign(date="200102", hour=["0100", "0200", "0300"] * 2)
    obs = open_observations(parts, time_format="%y%m%d", time_zone="UTC")
    assert first(obs)[0] == "2020-01-02T01:00"
    with pytest.raises(ObservationError, match=r"not %Y%m%d"):
        open_observations(numbers, time_format="%Y%m%d")


def test_half_hours_quarters_and_uneven_stamps_become_hours():
    table = network(1, 5)
    half = table.assign(time=[f"2020-01-01T0{h}:30Z" for h in range(5)])
    obs = open_observations(half, resample="1h")
    assert first(obs) == ("2020-01-01T01:00", [0.5])
    assert obs.sizes["time"] == 4
    quarters = pd.date_range("2020-01-01", periods=8, freq="15min")
    fine = pd.concat([table.iloc[[0] * 8]], ignore_index=True)
    fine = fine.assign(time=quarters, pm25=np.arange(8.0)).drop(index=[6, 7])
    obs = open_observations(fine, resample="1h", time_zone="UTC")
    assert first(obs) == ("2020-01-01T00:00", [1.5])
    assert obs.sizes["time"] == 1
    assert "1 periods have less and are missing" in obs.attrs["history"]
    assert open_observations(fine, resample="1h", time_zone="UTC", capture=0.5).sizes["time"] == 2
    ends = open_observations(
        fine.assign(time=fine.time + pd.Timedelta("15min")), resample="1h", time_label="end"
    )
    assert first(ends) == ("2020-01-01T01:00", [1.5])
    north = fine.assign(wind_direction=[350.0, 10.0] * 3)
    turned = open_observations(north, resample="1h", time_zone="UTC").wind_direction
    assert float(np.cos(np.radians(turned[0, 0]))) == pytest.approx(1.0)
    daily = table.assign(time=[f"2020-01-0{d}" for d in range(1, 6)])
    with pytest.raises(ObservationError, match=r"S000 reports every 24 h.*cannot be resampled"):
        open_observations(daily, resample="1h")
    with pytest.raises(ObservationError, match="no period has 75% of its values"):
        open_observations(fine.iloc[[0, 1]], resample="1h")
    for wrong in ("soon", "7h", "-1h"):
        with pytest.raises(ObservationError, match="resample must be a period"):
            period_of(wrong)


def test_starts_and_ends_in_two_columns_say_the_label(write):
    lines = ["site,start,end,lat,lon,no2"]
    lines += [f"A,2020-01-01 0{h}:00,2020-01-01 0{h + 1}:00,50,10,{h}" for h in range(5)]
    lines += ["A,2020-01-01 00:00,2020-01-02 00:00,50,10,99"]
    obs = open_observations(write("a.csv", lines), time_zone="UTC")
    assert obs.time.attrs["time_label"] == "start"
    np.testing.assert_array_equal(obs.no2, [[0, 1, 2, 3, 4]])
    assert "1 rows are of other periods than 1 h and are left out" in obs.attrs["history"]


# Harmless faults: rows of a national network


def stray(table):
    return table.assign(time=table.time.where(table.station != "S005", table.time.str[:-3] + "26Z"))


def twice(table):
    return pd.concat([table, table.iloc[[7]].assign(pm25=-3.0)])


HARMLESS = {
    "a stamp off the hour": (stray, "S005.*26 min off the step", 2880 - 24),
    "text for a number": (
        lambda t: t.assign(pm25=t.pm25.astype(str).where(t.index != 9, "<LOD")),
        "row 10 .*'<LOD'",
        2879,
    ),
    "no stamp": (lambda t: t.assign(time=t.time.where(t.index != 9, "?")), r"row 10 .*'\?'", 2879),
    "no time": (lambda t: t.assign(time=t.time.where(t.index != 9)), "row 10 .*no time", 2879),
    "no place": (
        lambda t: t.assign(longitude=t.longitude.where(t.station != "S007")),
        "S007",
        2880 - 24,
    ),
    "an impossible place": (
        lambda t: t.assign(latitude=t.latitude.where(t.station != "S007", 95.0)),
        "S007",
        2880 - 24,
    ),
    "a move": (
        lambda t: t.assign(latitude=t.latitude.where(t.index != 9, 52.0)),
        "S000",
        2880 - 24,
    ),
    "two values": (twice, "different values of pm25.*S000, 2020-01-01T07:00", 2879),
    "unknown units": (
        lambda t: t.assign(units=np.where(t.index == 9, "smoots", "ug/m3")),
        "smoots.*1 rows",
        2879,
    ),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_harmless_fault_costs_its_rows_and_is_counted(case, caplog):
    spoil, words, left = HARMLESS[case]
    obs = open_observations(spoil(network()))
    assert int(obs.pm25.notnull().sum()) == left
    assert find_faults(obs) == []
    assert "left out" in obs.attrs["history"]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("left out" in warning for warning in warnings)
    with pytest.raises(ObservationError, match=words):
        open_observations(spoil(network()), strict=True)


def test_civil_time_loses_the_hours_of_the_change_of_clocks_alone():
    year = pd.date_range("2021-01-01", periods=8760, freq="h", tz="UTC")
    local = year.tz_convert("Europe/Vienna").tz_localize(None).strftime("%Y-%m-%d %H:%M")
    table = pd.DataFrame(
        {"station": "A", "time": local, "longitude": 16.3, "latitude": 48.2, "pm25": 1.0}
    )
    obs = open_observations(table, time_zone="Europe/Vienna")
    assert int(obs.pm25.notnull().sum()) == 8758
    assert "is there twice in Europe/Vienna" in obs.attrs["history"]
    with pytest.raises(ObservationError, match="is there twice"):
        open_observations(table, time_zone="Europe/Vienna", strict=True)


# Networks joined


@pytest.fixture
def parts():
    whole = open_observations(network(4, 12))
    return whole, whole.isel(time=slice(8)), whole.isel(station=[0, 1], time=slice(4, None))


def test_parts_of_a_network_are_joined(parts, caplog):
    whole, early, late = parts
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = combine(early, late)
    assert find_faults(obs) == []
    assert obs.sel(station=["S000", "S001"]).pm25.equals(whole.sel(station=["S000", "S001"]).pm25)
    assert bool(obs.pm25.isel(station=3, time=slice(8, None)).isnull().all())
    assert "combined 2 networks of 4, 2 stations to 4" in caplog.text
    assert combine(late, early).pm25.equals(obs.pm25)


@pytest.mark.parametrize(("rule", "value"), [("first", 5.0), ("last", 7.0), ("mean", 6.0)])
def test_conflicts_are_resolved_by_rule_and_counted(parts, rule, value):
    _, early, late = parts
    other = late.assign(pm25=late.pm25.where(late.time != late.time[1], 7.0))
    obs = combine(early, other, conflicts=rule)
    assert float(obs.pm25.sel(station="S000")[5]) == value
    words = "2 station-hours have different values of pm25, such as station S000, 2020-01-01T05:00"
    assert words in obs.attrs["history"]
    with pytest.raises(ObservationError, match=words):
        combine(early, other, conflicts="error")


def test_networks_that_do_not_fit_are_refused(parts):
    whole, early, late = parts
    moved = late.assign_coords(latitude=late.latitude + 1)
    with pytest.raises(ObservationError, match="S000, S001 stand at other places"):
        combine(early, moved)
    for wrong in (
        late.assign_coords(time=late.time.assign_attrs(time_label="end")),
        late.isel(time=slice(None, None, 2)).assign_coords(
            time=late.time[::2].assign_attrs(step_hours=2.0)
        ),
    ):
        with pytest.raises(ObservationError, match="differ: "):
            combine(early, wrong)
    shifted = late.assign_coords(
        time=(late.time + np.timedelta64(30, "m")).assign_attrs(late.time.attrs)
    )
    with pytest.raises(ObservationError, match="lie between each other"):
        combine(early, shifted)
    maxima = late.assign(pm25=late.pm25.assign_attrs(cell_methods="time: maximum"))
    with pytest.raises(ObservationError, match="pm25 is time: maximum here and time: mean there"):
        combine(early, maxima)
    with pytest.raises(ObservationError, match="conflicts must be one of"):
        combine(whole, conflicts="best")
    with pytest.raises(ObservationError, match="at least one Dataset"):
        combine()


# The command


def test_every_option_is_one_of_the_command(write, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["Netz von allen", "Ort;Tag;Stunde;PM2.5;CO;QC"]
    lines += [f"A;0{d}/01/2020;{h};{h},5;0,{h:02};0" for d in (1, 2, 3) for h in HOURS]
    lines += ["A;04/01/2020;1;-77,0;0,5;0", "A;04/01/2020;2;3,5;0,5;9"]
    write("own.csv", lines, "utf-16")
    write("sites.csv", ["code,x,y", "A,1607681.5,6462612.3"])
    status, out, err = run(
        "validate", "own.csv", "--format", "long", "--encoding", "utf-16", "--header", "1",
        "--decimal", ",", "--date-order", "day", "--column", "station=Ort", "--column", "date=Tag",
        "--column", "hour=Stunde", "--stations", "sites.csv", "--station-column", "id=code",
        "--station-column", "longitude=x", "--station-column", "latitude=y", "--crs", "EPSG:3857",
        "--missing", "-77", "--valid", "QC=0", "--units", "co=mg/m3,pm25=ug/m3",
        "--time-zone", "UTC+1", "--time-label", "end", "--strict",
    )  # fmt: skip
    assert (status, err.count("aqreanalysis: ")) == (0, 0), err
    assert "1 station" in out
    assert "2020-01-01T00:00 to 2020-01-04T01:00 UTC" in out
    assert "pm25: ug m-3, 2.7% missing" in out  # the code -77 and the row of QC 9, of 74


def test_wrong_options_of_the_command_are_named(write, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network(3, 3).to_csv("a.csv", index=False)
    for options, words in (
        (("--header", "x"), "--header takes a number of lines"),
        (("--units", "co=mg/m3,no2"), "--units takes co=mg/m3,no2=ppb; found 'no2'"),
        (("--monitor", "worst"), "monitor must be"),
        (("--source", "mars"), "source must be one of"),
        (("--statistic", "mode"), "statistic must be"),
        (("--capture", "2"), "capture must be a share"),
        (("--station-column", "id"), "--station-column takes ROLE=NAME"),
    ):
        status, _, err = run("validate", "a.csv", *options)
        assert (status, words in err) == (1, True), err


def test_maxima_are_said_beside_the_statistic_of_the_estimate(run, tmp_path, monkeypatch):
    import xarray as xr

    monkeypatch.chdir(tmp_path)
    network(4, 3).to_csv("a.csv", index=False)
    arguments = ("reanalyse", "a.csv", "-o", "a.nc", "--method", "idw", "--grid", "0.1")
    assert run(*arguments, "--statistic", "maximum")[0] == 0
    with xr.open_dataset("a.nc") as product:
        assert product.pm25.attrs["cell_methods"] == "time: maximum"
        assert product.pm25.attrs["statistic"] == "median"


def test_sources_are_listed_and_told(run):
    status, out, _ = run("sources")
    assert status == 0
    assert "rama" in out
    assert "day first" in run("sources", "rama")[1]
    assert run("sources", "mars")[0] == 1
