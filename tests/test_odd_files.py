"""Files as agencies write them: names in two lines, joined tables, degrees of a surveyor."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from aqreanalysis.observations import ObservationError, open_observations

PLACES = pd.DataFrame(
    {"station": ["Hill", "Sea"], "longitude": [10.0, 10.1], "latitude": [50.0, 50.1]}
)
HOURS = [f"2024-01-01 {hour:02}:00" for hour in range(4)]
#: Row by row: PM10 at Hill, NO2 at Hill, PM10 at Sea, NO2 at Sea.
VALUES = [[10.0 * station + hour for station in range(1, 5)] for hour in range(4)]


def rows(*heads: list) -> list[list]:
    return [*map(list, heads), *([hour, *own] for hour, own in zip(HOURS, VALUES, strict=True))]


def table_of(path, lines: list[list]):
    """Write rows to a CSV or a workbook, whose empty cells are merged with those left of them."""
    if path.suffix == ".csv":
        text = [",".join("" if cell is None else str(cell) for cell in line) for line in lines]
        path.write_text("\n".join(text) + "\n")
        return path
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


TWO_LINES = {
    "stations above": (
        ["Time", "Hill", "Hill", "Sea", "Sea"],
        [None, "PM10", "NO2 [ug/m3]", "PM10", "NO2 [ug/m3]"],
    ),
    "merged cells": (["Time", "Hill", None, "Sea", None], [None, "PM10", "NO2", "PM10", "NO2"]),
    "a line of units": (
        ["Time", "Hill", None, "Sea", None],
        [None, "PM10", "NO2", "PM10", "NO2"],
        [None, "ug/m3", "ug/m3", "ug/m3", "ug/m3"],
    ),
    "a heading above": (
        ["Agency of air", None, None, None, None],
        ["Time", "Hill", None, "Sea", None],
        [None, "PM10", "NO2", "PM10", "NO2"],
    ),
}


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
@pytest.mark.parametrize("case", TWO_LINES)
def test_stations_stand_above_pollutants(tmp_path, case, suffix):
    path = table_of(tmp_path / f"a{suffix}", rows(*TWO_LINES[case]))
    obs = open_observations(path, stations=PLACES)
    np.testing.assert_array_equal(obs.pm10.T, [[row[0], row[2]] for row in VALUES])
    np.testing.assert_array_equal(obs.no2.T, [[row[1], row[3]] for row in VALUES])


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_pollutants_stand_above_stations(tmp_path, suffix):
    heads = ["Time", "PM10", None, "NO2", None], [None, "Hill", "Sea", "Hill", "Sea"]
    obs = open_observations(table_of(tmp_path / f"a{suffix}", rows(*heads)), stations=PLACES)
    np.testing.assert_array_equal(obs.pm10.T, [row[:2] for row in VALUES])


def test_names_that_are_there_twice_take_no_row_for_names(tmp_path):
    (tmp_path / "a.csv").write_text("station,time,pm25,pm25\nHill,2024-01-01 00:00,5,6\n")
    with pytest.raises(ObservationError, match="columns are there twice: pm25"):
        open_observations(tmp_path / "a.csv", stations=PLACES)


def test_units_that_differ_between_stations_are_refused(tmp_path):
    head = ["Time", "Hill CO [mg/m3]", "Hill NO2", "Sea CO [ug/m3]", "Sea NO2"]
    with pytest.raises(ObservationError, match=r"co is in mg/m3 at .* in ug/m3 in .*Sea CO"):
        open_observations(table_of(tmp_path / "a.csv", rows(head)), stations=PLACES)


def test_files_joined_with_their_lines_of_names(tmp_path):
    head = ["station", "time", "longitude", "latitude", "pm25"]
    body = [["Hill", hour, 10.0, 50.0, float(n)] for n, hour in enumerate(HOURS)]
    path = table_of(tmp_path / "a.csv", [head, *body[:2], head, *body[2:], []])
    np.testing.assert_array_equal(open_observations(path).pm25, [[0, 1, 2, 3]])


def test_an_empty_row_and_a_note_end_no_sheet(tmp_path):
    head = ["station", "time", "longitude", "latitude", "pm25"]
    body = [["Hill", hour, 10.0, 50.0, float(n)] for n, hour in enumerate(HOURS)]
    lines = [head, *body[:2], [None] * 5, ["calibration: 2 h"], *body[2:], ["Source: agency"]]
    obs = open_observations(table_of(tmp_path / "a.xlsx", lines))
    np.testing.assert_array_equal(obs.pm25, [[0, 1, 2, 3]])
    assert "1 lines of a.xlsx have too many or too few fields" in obs.attrs["history"]


def test_german_names_of_places_and_another_encoding(tmp_path):
    lines = ["Station;Datum;Uhrzeit;PM10 [µg/m³];Länge;Breite"]
    lines += [f"Höhe;06.03.2023;{h:02}:00;{h},5;11,5;48,25" for h in range(1, 25)]
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(lines).encode("utf-16"))
    obs = open_observations(path, time_zone="UTC+1", encoding="utf-16")
    assert obs.station.values.tolist() == ["Höhe"]
    assert float(obs.latitude[0]) == 48.25
    np.testing.assert_array_equal(obs.pm10[0], [h + 0.5 for h in range(1, 25)])


@pytest.mark.parametrize(
    ("longitude", "latitude", "expected"),
    [
        ("10°30'36\"W", "50°15'N", (-10.51, 50.25)),
        ("10.5 E", "33.25 S", (10.5, -33.25)),
        ("-70° 30′ 0.0″", "-33° 15′ 0.0″", (-70.5, -33.25)),
    ],
)
def test_degrees_of_a_surveyor(longitude, latitude, expected):
    table = pd.DataFrame(
        {"station": "Hill", "time": HOURS, "longitude": longitude, "latitude": latitude, "pm25": 1}
    )
    obs = open_observations(table)
    assert (float(obs.longitude[0]), float(obs.latitude[0])) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("longitude", "remedy"), [("10.30.36", "write degrees as"), (1113194.9, "crs='EPSG:3857'")]
)
def test_positions_that_are_no_degrees_have_a_remedy(longitude, remedy):
    table = pd.DataFrame(
        {"station": "Hill", "time": HOURS, "longitude": longitude, "latitude": 50.0, "pm25": 1}
    )
    with pytest.raises(ObservationError, match=remedy):
        open_observations(table)


def test_measurements_in_a_list_of_each_station(tmp_path):
    records = [
        {
            "codigoSerial": 12 + n,
            "latitud": 6.2 + n / 10,
            "longitud": -75.6,
            "nombre": f"E{n}",
            "datos": [
                {"variableConsulta": "pm25", "fecha": hour, "calidad": q, "valor": f"{10 * n + 5}"}
                for hour, q in zip(HOURS, ("1", "2.6", "151", "1"), strict=True)
            ],
        }
        for n in range(2)
    ]
    (tmp_path / "siata.json").write_text(json.dumps(records))
    obs = open_observations(tmp_path / "siata.json")
    np.testing.assert_array_equal(obs.pm25, [[5, np.nan, np.nan, 5], [15, np.nan, np.nan, 15]])
    assert str(obs.time.values[0])[:16] == "2024-01-01T05:00"


def test_of_several_averaging_times_of_a_day_the_shortest_is_read():
    table = pd.DataFrame(
        {
            "State Code": "06",
            "County Code": "037",
            "Site Num": "1103",
            "Parameter Code": "42101",
            "POC": 1,
            "Latitude": 34.0,
            "Longitude": -118.0,
            "Date Local": ["2021-08-01", "2021-08-01", "2021-08-02", "2021-08-02"],
            "Units of Measure": "Parts per million",
            "Sample Duration": ["8-HR RUN AVG END HOUR", "1 HOUR"] * 2,
            "Event Type": "None",
            "Arithmetic Mean": [0.5, 0.4, 0.7, 0.6],
        }
    )
    obs = open_observations(table, source="aqs", units="ppb")
    np.testing.assert_allclose(obs.co[0] / obs.co[0, 0], [1.0, 1.5], rtol=1e-6)
    assert "2 rows are of a further averaging time" in obs.attrs["history"]
    both = table.assign(**{"Sample Duration": "1 HOUR"})
    with pytest.raises(ObservationError, match="different values of co"):
        open_observations(both, source="aqs")


def test_a_sensor_that_stands_in_the_files_name_alone(tmp_path):
    path = tmp_path / "Bay (outside) (37.5 -122.5) Primary Real Time 01_01_2024.csv"
    lines = [f"2024-01-01 {h:02}:00:00 UTC,{h}" for h in range(4)]
    path.write_text("\n".join(["created_at,PM2.5_ATM_ug/m3", *lines]))
    obs = open_observations(path)
    assert obs.station.values.tolist() == ["Bay"]
    assert float(obs.longitude[0]) == -122.5


def test_a_year_of_a_site_of_uk_air(tmp_path):
    name = "PM<sub>10</sub> particulate matter (Hourly measured)"
    unit = "ugm<sup>-3</sup> (Ref.eq)"
    lines = ["London Bloomsbury", "All Data GMT hour ending", ""]
    lines += [f"Date,time,{name},status,unit,Carbon monoxide,status,unit"]
    lines += [f"06-03-2023,{h:02}:00,{h},R,{unit},0.5,P,mgm-3" for h in range(1, 25)]
    (tmp_path / "CLL2_2023.csv").write_text("\n".join(lines))
    sites = PLACES.assign(station=["CLL2", "MY1"])
    obs = open_observations(tmp_path / "CLL2_2023.csv", stations=sites)
    assert obs.station.values.tolist() == ["CLL2"]
    assert float(obs.co[0, 0]) == 500.0
    np.testing.assert_array_equal(obs.pm10[0], np.arange(1, 25))
    assert str(obs.time.values[0])[:16] == "2023-03-06T01:00"


def test_a_line_of_names_far_down(tmp_path):
    head = "station,time,longitude,latitude,pm25"
    stamps = pd.date_range("2024-01-01", periods=3000, freq="h").strftime("%Y-%m-%dT%H:%MZ")
    body = [f"S{n},{stamp},{10 + n},50,{n}" for n in range(2) for stamp in stamps]
    (tmp_path / "a.csv").write_text("\n".join([head, *body[:3000], head, *body[3000:]]))
    obs = open_observations(tmp_path / "a.csv")
    assert obs.pm25.mean("time").values.tolist() == [0.0, 1.0]
    assert "1 repeated lines of names left out" in obs.attrs["history"]


@pytest.mark.parametrize(
    ("titles", "names"), [(("Hill", "Sea"), ("PM10", "NO2")), (("PM10", "NO2"), ("Hill", "Sea"))]
)
def test_a_sheet_a_station_or_a_pollutant(tmp_path, titles, names):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Notes of the agency"])
    for number, title in enumerate(titles):
        sheet = book.create_sheet(title)
        sheet.append(["Time", *names])
        for hour in HOURS:
            sheet.append([hour, 10.0 * number + 1, 10.0 * number + 2])
    book.save(tmp_path / "a.xlsx")
    obs = open_observations(tmp_path / "a.xlsx", stations=PLACES)
    means = {name: obs[name].mean("time").values.tolist() for name in ("pm10", "no2")}
    by_station = {"pm10": [1, 11], "no2": [2, 12]}
    assert means == (by_station if titles[0] == "Hill" else {"pm10": [1, 2], "no2": [11, 12]})


def test_what_a_mac_adds_to_a_zip_is_no_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/Hill.csv", "time,pm25\n" + "\n".join(f"{hour},1" for hour in HOURS))
        archive.writestr("__MACOSX/a/._Hill.csv", b"\0\5\x16\7" * 30)
    obs = open_observations(tmp_path / "a.zip", stations=PLACES)
    assert obs.station.values.tolist() == ["Hill"]


def test_names_and_rows_apart_in_json(tmp_path):
    rows = [[1704067200 + 600 * n, 10.0 + n] for n in range(12)]
    answer = {"sensor_index": 7, "fields": ["time_stamp", "pm2.5_atm"], "data": rows[::-1]}
    (tmp_path / "a.json").write_text(json.dumps(answer))
    sites = PLACES.assign(station=["7", "8"])
    obs = open_observations(tmp_path / "a.json", stations=sites, resample="1h")
    assert obs.pm25.values.tolist() == [[12.5, 18.5]]


def test_an_embassy_before_airnow(tmp_path):
    """A whole date stands beside year, month, day and hour; missing rows say so."""
    lines = [
        "Not verified.",
        "",
        "Site,Parameter,Date (LST),Year,Month,Day,Hour,Value,Unit,QC Name",
    ]
    lines += [
        f"Hill,PM2.5,3/6/2014 {h}:00,2014,3,6,{h},{-999 if h == 2 else h},µg/m³,"
        + ("Missing" if h == 2 else "Valid")
        for h in range(5)
    ]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    for source in (None, "long"):
        obs = open_observations(path, source=source, stations=PLACES, time_zone="UTC+8")
        np.testing.assert_array_equal(obs.pm25, [[0, 1, np.nan, 3, 4]])
        assert str(obs.time.values[0])[:16] == "2014-03-05T16:00"


def test_a_long_file_of_rama(tmp_path):
    lines = ["Secretaria", "", "date,id_station,id_parameter,value,unit"]
    lines += [f"02/01/2019 {h:02}:00,Hill,O3,{h},1" for h in range(1, 25)]
    (tmp_path / "contaminantes_2019.csv").write_text("\n".join(lines))
    obs = open_observations(tmp_path / "contaminantes_2019.csv", stations=PLACES)
    assert float(obs.o3[0, 9]) == pytest.approx(10 * 47.998 / 24.465402, rel=1e-4)
    assert str(obs.time.values[0])[:16] == "2019-01-02T07:00"


def test_codes_of_europe_as_addresses():
    start = pd.date_range("2023-01-01", periods=3, freq="h")
    address = "http://dd.eionet.europa.eu/vocabulary"
    table = pd.DataFrame(
        {
            "Samplingpoint": "DK/Hill",
            "Pollutant": f"{address}/aq/pollutant/10",
            "Start": start,
            "End": start + pd.Timedelta("1h"),
            "Value": 0.5,
            "Unit": f"{address}/uom/concentration/mg.m-3",
            "Validity": 1,
        }
    )
    obs = open_observations(table, stations=PLACES)
    assert obs.co.values.tolist() == [[500.0] * 3]


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("28.2d", r"missing='\*d'"),
        ("28.2*", "missing="),
        ("47.6 µg/m³", "units in the column's name"),
    ],
)
def test_words_beside_a_number_have_a_remedy(word, remedy):
    table = pd.DataFrame(
        {"station": "Hill", "time": HOURS, "longitude": 10, "latitude": 50, "pm25": word}
    )
    with pytest.raises(ObservationError, match=remedy):
        open_observations(table)


def test_a_list_with_decimal_commas_and_one_without_a_column_of_stations():
    table = pd.DataFrame({"station": "Hill", "time": HOURS, "pm25": 1.0})
    sites = pd.DataFrame({"station": ["Hill"], "longitude": ["11,58"], "latitude": ["48,14"]})
    assert float(open_observations(table, stations=sites).latitude[0]) == 48.14
    with pytest.raises(ObservationError, match=r"no column of station; .*station_columns="):
        open_observations(table, stations=sites.assign(station=1).rename(columns={"station": "x"}))


@pytest.mark.parametrize("heads", [("[ug/m3]", "[mg/m3]"), ("", "[mg/m3]")])
def test_units_may_differ_between_files(tmp_path, heads):
    for station, units, value in zip(("Hill", "Sea"), heads, (800, 0.8), strict=True):
        lines = [f"time,CO {units}", *(f"{hour},{value}" for hour in HOURS)]
        (tmp_path / f"{station}.csv").write_text("\n".join(lines))
    obs = open_observations(tmp_path, stations=PLACES)
    np.testing.assert_allclose(obs.co, 800.0, rtol=1e-6)
    assert "4 rows of co converted from mg/m3" in obs.attrs["history"]


def test_weather_in_other_units_in_other_files_is_refused(tmp_path):
    for station, units in (("Hill", "degC"), ("Sea", "degF")):
        lines = [f"time,pm25,temperature [{units}]", *(f"{hour},1,20" for hour in HOURS)]
        (tmp_path / f"{station}.csv").write_text("\n".join(lines))
    with pytest.raises(ObservationError, match="temperature has other units in other files"):
        open_observations(tmp_path, stations=PLACES)
    obs = open_observations(tmp_path, stations=PLACES, units={"temperature": "degC"})
    assert float(obs.temperature[0, 0]) == 20.0


def test_starts_in_one_file_and_ends_in_another_are_refused(tmp_path):
    for station, label in (("Hill", "start"), ("Sea", "end")):
        lines = [f"{label},pm25", *(f"{hour},1" for hour in HOURS)]
        (tmp_path / f"{station}.csv").write_text("\n".join(lines))
    with pytest.raises(ObservationError, match="a start in some files and an end in others"):
        open_observations(tmp_path, stations=PLACES)
    obs = open_observations(tmp_path, stations=PLACES, time_label="end")
    assert obs.time.attrs["time_label"] == "end"


@pytest.mark.parametrize("hour", ["{0}-{1}", "{0:02}h", "{0:02} - {1:02}"])
def test_hours_as_words(hour):
    """An hour from 5 to 6 is none of a zone six hours behind."""
    table = pd.DataFrame({"station": "Hill", "date": "2024-01-01", "pm25": range(4)})
    table["hour"] = [hour.format(n, n + 1) for n in range(4)]
    obs = open_observations(table, stations=PLACES)
    assert str(obs.time.values[3])[:16] == "2024-01-01T03:00"
    assert obs.pm25.values.tolist() == [[0, 1, 2, 3]]


def test_sentences_above_a_narrow_table(tmp_path):
    lines = ["Parameter: Nitrogen dioxide", "Unit: ppb", "", "Date,Hill,Sea"]
    (tmp_path / "a.csv").write_text("\n".join([*lines, *(f"{hour},10,10" for hour in HOURS)]))
    obs = open_observations(tmp_path / "a.csv", stations=PLACES)
    np.testing.assert_allclose(obs.no2, 10 * 46.006 / 24.465402, rtol=1e-4)


def test_flags_that_are_not_used_are_named():
    table = pd.DataFrame({"station": "Hill", "time": HOURS, "PM10": 5.0, "PM10_flag": list("VVIV")})
    obs = open_observations(table, stations=PLACES)
    assert "the column PM10_flag (V, I) is not used" in obs.attrs["history"]
    valid = open_observations(table, stations=PLACES, valid="PM10_flag=V")
    np.testing.assert_array_equal(valid.pm10, [[5, 5, np.nan, 5]])
    assert "is not used" not in valid.attrs["history"]


def _serial_table(**columns) -> pd.DataFrame:
    """Hours from 2021-01-01 12:00 as a spreadsheet counts days."""
    days = 44197.5 + np.arange(6) / 24
    return pd.DataFrame(
        {"station": "A", "time": days, "lon": 10.0, "lat": 50.0, "pm25": np.arange(6.0), **columns}
    )


@pytest.mark.parametrize("as_text", [False, True])
def test_days_as_spreadsheets_count_them(as_text, caplog):
    table = _serial_table()
    if as_text:
        table["time"] = table["time"].astype(str)
    obs = open_observations(table)
    assert str(obs.time.values[0])[:16] == "2021-01-01T12:00"
    np.testing.assert_array_equal(obs.pm25, [np.arange(6.0)])
    assert "times such as 44197.5 are read as days since 1899-12-30" in caplog.text
    with_hours = _serial_table().assign(date=44197, hour=range(6)).drop(columns="time")
    assert str(open_observations(with_hours).time.values[5])[:16] == "2021-01-01T05:00"


@pytest.mark.parametrize("stamps", [np.arange(6), 2020123 + np.arange(6), 1.6e9 + np.arange(6)])
def test_other_numbers_are_no_days_of_a_spreadsheet(stamps):
    with pytest.raises(ObservationError, match="time must be stamps"):
        open_observations(_serial_table(time=stamps))


def test_a_flag_of_one_pollutant_is_no_flag_of_another():
    hours = pd.date_range("2021-01-01", periods=4, freq="h", tz="UTC")
    table = pd.DataFrame({"station": "A", "time": hours, "lon": 10.0, "lat": 50.0})
    table = table.assign(
        no2=[1.0, 2, 3, 4], Ozone=[5.0, 6, 7, 8], no2_flag=list("VNVV"),
        **{"Ozone status": [1, 1, 0, 1], "QC Code": [0, 0, 0, 9]},
    )  # fmt: skip
    obs = open_observations(table, valid=["no2_flag=V", "Ozone status=1", "QC Code=0"])
    np.testing.assert_array_equal(obs.no2, [[1, np.nan, 3, np.nan]])
    np.testing.assert_array_equal(obs.o3, [[5, 6, np.nan, np.nan]])
    assert "1 values of no2 are not no2_flag=V and are not used" in obs.attrs["history"]
