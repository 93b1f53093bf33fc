"""Each network's files as they are: a small table of the same shape gives the values it holds."""

import io
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import aqreanalysis as aqr
from aqreanalysis.observations import ObservationError, find_faults, open_observations
from aqreanalysis.observations.sources import registry

PPB_NO2 = 46.006 / 24.465402  # ug m-3 a ppb at 298.15 K and 1013.25 hPa


@pytest.fixture(scope="session")
def field(data_dir) -> Path:
    folder = data_dir.parent / "field"
    if not folder.is_dir():
        pytest.skip(f"no files of networks in {folder}")
    return folder


def places(*names: str, **columns: list) -> pd.DataFrame:
    """A table of stations a tenth of a degree from each other."""
    count = range(len(names))
    return pd.DataFrame(
        {
            "station": list(names),
            "longitude": [10 + 0.1 * n for n in count],
            "latitude": [50 + 0.1 * n for n in count],
            **columns,
        }
    )


def first(dataset, name: str = "pm25") -> tuple[str, float]:
    """The first stamp in UTC and its first station's value."""
    return str(dataset.time.values[0])[:16], round(float(dataset[name][0, 0]), 4)


def hours(count: int, text: str = "2024-01-01 {:02}:00") -> list[str]:
    return [text.format(hour) for hour in range(count)]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


AIRNOW = "".join(
    f"01/02/24|{h:02}:00|000010102|St. John's|-4|{p}|{u}|{v + h}|Env. Canada\n"
    for h in range(3)
    for p, u, v in (("PM2.5", "UG/M3", 7.0), ("NO2", "PPB", 10.0), ("RHUM", "PERCENT", 80.0))
)
AIRNOW_OBS = (
    '"AQSID","SiteName","Latitude","Longitude","Elevation","ValidDate","ValidTime",'
    + ('"OZONE","OZONE_Unit","PM25","PM25_Unit"\n')
    + "".join(
        f'"840","Hill","40.0","-75","9","01/02/24","{h:02}:00","{30 + h}","PPB","{5 + h}","UG/M3"\n'
        for h in range(3)
    )
)
EEA_E1A = _text(
    [
        "Countrycode,AirQualityStationEoICode,SamplingPoint,AirPollutant,AveragingTime,"
        "Concentration,UnitOfMeasurement,DatetimeBegin,DatetimeEnd,Validity,Verification"
    ]
    + [
        f"MT,MT00003,SPO-1,NO2,hour,{20 + h},µg/m3,2013-01-01 {h:02}:00:00 +01:00,"
        f"2013-01-01 {h + 1:02}:00:00 +01:00,{-1 if h == 2 else 1},1"
        for h in range(4)
    ]
)
MADRID = _text(
    [
        "PROVINCIA;MUNICIPIO;ESTACION;MAGNITUD;PUNTO_MUESTREO;ANO;MES;DIA;"
        + ";".join(f"H{h:02};V{h:02}" for h in range(1, 25))
    ]
    + [
        f"28;79;4;{code};28079004_{code}_38;2019;1;{day};"
        + ";".join(f"{base + h},5;{'N' if h == 3 else 'V'}" for h in range(1, 25))
        for code, base in ((9, 10), (6, 0), (30, 5))
        for day in (1, 2)
    ]
)
CHINA = _text(
    ["date,hour,type,1001A,1002A,1003A"]
    + [
        f"20240101,{h},{kind},{base + h},{base + 2 * h},"
        for h in range(3)
        for kind, base in (("AQI", 90), ("PM2.5", 30), ("PM2.5_24h", 60), ("CO", 0.5))
    ]
)
KOREA = _text(
    ["지역,망,측정소코드,측정소명,측정일시,SO2,CO,O3,NO2,PM10,PM25,주소"]
    + [
        f"서울 중구,도시대기,111121,중구,20190101{h:02},0.004,0.5,0.01,0.02,{50 + h},{20 + h},서울"
        for h in range(1, 25)
    ]
)
SIATA = _text(
    ["Fecha_Hora,codigoSerial,pm25,calidad_pm25,pm10,calidad_pm10"]
    + [
        f"2018-01-01 {h:02}:00:00,12,{[8.0, 9.0, -9999.0, 11.0][h]},{[1.0, 2.6, 151.0, 1.0][h]},"
        f"-9999.0,151.0"
        for h in range(4)
    ]
)
PURPLE = _text(
    ["time_stamp,sensor_index,humidity,pm2.5_atm,pm2.5_cf_1"]
    + [f"{1704067200 + 600 * n},11394,40,{10 + n},{20 + n}" for n in range(12)]
)
SENSOR = _text(
    ["sensor_id;sensor_type;location;lat;lon;timestamp;P1;durP1;ratioP1;P2;durP2;ratioP2"]
    + [
        line
        for n in range(60)
        for line in (
            f"5331;SDS011;2688;57.1;-2.1;2024-01-01T{n // 20:02}:{3 * (n % 20):02}:41;"
            f"{20 + n % 2}.0;;;{8 + n % 2}.0;;",
            f"5331;SDS011;2688;57.1;-2.1;2024-01-01T{n // 20:02}:{3 * (n % 20):02}:41;;;;;;",
        )
    ]
)
OPENAQ_V3 = _text(
    ["location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"]
    + [
        f"2178,{9 + k},Del Norte-2178,2024-01-01T{h:02}:00:00-07:00,35.1,-106.6,{p},{u},{v + h}"
        for k, (p, u, v) in enumerate((("pm25", "µg/m³", 4.0), ("no2", "ppm", 0.01)))
        for h in range(1, 4)
    ]
)
DAILY = pd.DataFrame(
    {
        "State Code": "06",
        "County Code": "037",
        "Site Num": "1103",
        "Parameter Code": "88101",
        "POC": [1, 1, 1, 3],
        "Latitude": 34.0,
        "Longitude": -118.0,
        "Datum": "WGS84",
        "Date Local": ["2019-01-01", "2019-01-01", "2019-01-02", "2019-01-02"],
        "Units of Measure": "Micrograms/cubic meter (LC)",
        "Event Type": "None",
        "Arithmetic Mean": [10.0, 10.0, 12.0, 14.0],
    }
).to_csv(index=False)
UBA = _text(
    [
        '"Bundesland / Messnetz";Stationscode;Stationsname;Stationsumgebung;"Art der Station";'
        'Schadstoff;"Art der Auswertung";Datum;Uhrzeit;Messwert;Einheit'
    ]
    + [
        f'Hessen;DEHE001;Höhe;Gebiet;Hintergrund;"{p}";"Stundenmittel (1SMW)";'
        f"\"'01.07.2020'\";\"'{h:02}:00'\";{'-' if h == 3 else v + h};µg/m³"
        for p, v in (("Feinstaub (PM₂,₅)", 5), ("Ozon (O₃)", 40))
        for h in range(1, 25)
    ]
)
UBA_INDEX = _text(
    [
        'Stationscode;Datum;"Feinstaub (PM₁₀) stündlich gleitendes Tagesmittel in µg/m³";'
        '"Ozon (O₃) Ein-Stunden-Mittelwert in µg/m³";'
        '"Stickstoffdioxid (NO₂) Ein-Stunden-Mittelwert in µg/m³";Luftqualitätsindex'
    ]
    + [f"DEHE001;\"'01.01.2020 {h:02}:00'\";29;{50 + h};-;gut" for h in range(1, 25)]
    + ["", '"Einheiten: µg/m³"', '"Quelle: Umweltbundesamt"']
)
UKAIR = _text(
    ["Date&Time,Ozone,Carbon monoxide,PM2.5 particulate matter (Hourly measured),"]
    + [f"2023-12-01 {h:02}:00:00,{20 + h}.5,0.{h},{h}.25," for h in range(1, 24)]
    + ["2023-12-02 00:00:00,44.5,0.1,No data,"]
)

#: name of the file, its text, options, first stamp and value of a variable, and its number.
FILES = {
    "airnow": (
        "HourlyData_2024010200.dat", AIRNOW, {"stations": places("000010102")},
        "no2", ("2024-01-02T00:00", 10 * PPB_NO2), 3,
    ),
    "airnow_obs": (
        "HourlyAQObs_2024010200.dat", AIRNOW_OBS, {}, "pm25", ("2024-01-02T00:00", 5.0), 3,
    ),
    "eea_e1a": (
        "MT_8_2013_timeseries.csv", EEA_E1A, {"stations": places("MT00003")},
        "no2", ("2012-12-31T23:00", 20.0), 3,
    ),
    "madrid": (
        "ene_mo19.csv", MADRID, {"stations": places("28079004")},
        "co", ("2019-01-01T00:00", 1500.0), 46,
    ),
    "cnemc": (
        "china_sites_20240101.csv", CHINA, {"stations": places("1001A", "1002A", "1003A")},
        "co", ("2023-12-31T16:00", 500.0), 6,
    ),
    "airkorea": (
        "2019-01.csv", KOREA.encode("cp949"), {"stations": places("111121")},
        "pm25", ("2018-12-31T16:00", 21.0), 24,
    ),
    "siata": (
        "estacion_12.csv", SIATA, {"stations": places("12")},
        "pm25", ("2018-01-01T05:00", 8.0), 2,
    ),
    "purpleair": (
        "history.csv", PURPLE, {"stations": places("11394"), "resample": "1h"},
        "pm25", ("2024-01-01T00:00", 12.5), 2,
    ),
    "sensor_community": (
        "2024-01-01_sds011.csv", SENSOR, {"resample": "1h"},
        "pm10", ("2024-01-01T00:00", 20.5), 3,
    ),
    "openaq": (
        "location-2178-20240101.csv", OPENAQ_V3, {},
        "no2", ("2024-01-01T08:00", 1.01e3 * PPB_NO2), 3,
    ),
    "aqs_daily": (
        "daily_88101_2019.csv", DAILY, {}, "pm25", ("2019-01-01T00:00", 10.0), 2,
    ),
    "uba": (
        "uba.csv", UBA, {"stations": places("DEHE001")},
        "pm25", ("2020-06-30T23:00", 6.0), 23,
    ),
    "uba_index": (
        "index.csv", UBA_INDEX, {"stations": places("DEHE001")},
        "o3", ("2020-01-01T00:00", 51.0), 24,
    ),
    "ukair": (
        "AirQualityDataHourly.csv", UKAIR, {"station": "BLAC", "stations": places("BLAC")},
        "pm25", ("2023-12-01T01:00", 1.25), 23,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_recognised_and_read(tmp_path, kind, caplog):
    name, text, options, variable, expected, count = FILES[kind]
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        obs = open_observations(path, **options)
    assert find_faults(obs) == []
    assert f"recognised as {registry.sources[kind].title} ({kind})" in caplog.text
    stamp, value = first(obs, variable)
    assert (stamp, value) == (expected[0], pytest.approx(expected[1], rel=1e-5))
    assert int(obs[variable].notnull().sum()) == count
    stated = open_observations(path, source=kind, **options)
    assert stated.equals(obs)
    assert f"read as {registry.sources[kind].title} ({kind})" in stated.attrs["history"]


def test_what_is_no_pollutant_is_counted_and_named(tmp_path, caplog):
    path = tmp_path / "HourlyData_2024010200.dat"
    path.write_text(AIRNOW.replace("RHUM", "XYZ"))
    open_observations(path, stations=places("000010102"))
    assert (
        "parameters not used: XYZ (3 values)"
        in open_observations(path, stations=places("000010102")).attrs["history"]
    )
    with pytest.raises(ObservationError, match=r"not known: XYZ \(3 values\)"):
        open_observations(path, stations=places("000010102"), strict=True)


def test_a_zip_of_parquet_with_the_list_of_stations_of_eea(tmp_path):
    """Sampling points of one station become one; a day among hours is left out and counted."""
    start = pd.date_range("2023-01-01", periods=4, freq="h")

    def rows(point, pollutant, values):
        return pd.DataFrame(
            {
                "Samplingpoint": f"MT/{point}",
                "Pollutant": pollutant,
                "Start": start,
                "End": start + pd.Timedelta("1h"),
                "Value": values,
                "Unit": "ug.m-3",
                "AggType": "hour",
                "Validity": [1, 1, -1, 2],
                "Verification": 1,
            }
        )

    daily = rows("SPO-2", 8, [99.0] * 4).iloc[:1]
    daily = daily.assign(End=daily.Start + pd.Timedelta("1D"), AggType="day")
    tables = {
        "SPO-1.parquet": rows("SPO-1", 6001, [1.0, 2.0, 3.0, 4.0]),
        "SPO-2.parquet": pd.concat([rows("SPO-2", 8, [5.0, 6.0, 7.0, 8.0]), daily]),
    }
    with zipfile.ZipFile(tmp_path / "E1a.zip", "w") as archive:
        for name, table in tables.items():
            stream = io.BytesIO()
            table.to_parquet(stream)
            archive.writestr(f"E1a/{name}", stream.getvalue())
    listing = pd.DataFrame(
        {
            "Air Quality Station EoI Code": "MT00003",
            "Air Quality Station Name": "Kordin",
            "Sampling Point Id": ["SPO-1", "SPO-2", "SPO-3"],
            "Longitude": 14.5,
            "Latitude": 35.9,
            "Altitude": 40.0,
        }
    )
    listing.to_csv(tmp_path / "DataExtract.csv", index=False)
    obs = open_observations(tmp_path / "E1a.zip", stations=tmp_path / "DataExtract.csv")
    assert obs.station.values.tolist() == ["MT00003"]
    np.testing.assert_array_equal(obs.pm25, [[1, 2, np.nan, 4]])
    np.testing.assert_array_equal(obs.no2, [[5, 6, np.nan, 8]])
    assert str(obs.time.values[0])[:16] == "2022-12-31T23:00"
    assert "1 rows are of other periods than 1 h" in obs.attrs["history"]


def _report(stations: list[str]) -> io.BytesIO:
    """A workbook of CPCB: a heading and a table for each station, one below the other."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for number, station in enumerate(stations):
        sheet.append(["CENTRAL POLLUTION CONTROL BOARD"])
        sheet.append(["State", "Karnataka"])
        sheet.append(["Station", station])
        sheet.append([])
        sheet.append(["From Date", "To Date", "PM2.5", "CO", "Ozone"])
        for hour in range(3):
            stamps = [f"01-04-2020 {h:02}:00" for h in (hour, hour + 1)]
            sheet.append([*stamps, 10 * number + hour, 0.5, "None"])
        sheet.append(["01-04-2020 03:00", "01-04-2020 03:30", "None", "None", "None"])
    stream = io.BytesIO()
    book.save(stream)
    return stream


@pytest.mark.parametrize("names", [["Hill - CPCB"], ["Hill - CPCB", "Sea - CPCB"]])
def test_a_report_of_cpcb_of_one_station_and_of_many(tmp_path, names):
    (tmp_path / "report.xlsx").write_bytes(_report(names).getvalue())
    obs = open_observations(tmp_path / "report.xlsx", stations=places(*names))
    assert obs.station.values.tolist() == names
    expected = [[10 * n + h for h in range(3)] for n in range(len(names))]
    np.testing.assert_array_equal(obs.pm25, expected)
    assert first(obs) == ("2020-03-31T18:30", 0.0)
    assert float(obs.co[0, 0]) == 500.0


def test_answers_of_the_openaq_api(tmp_path):
    results = [
        {
            "value": 9.0 + hour,
            "parameter": {"id": 2, "name": "pm25", "units": "µg/m³"},
            "period": {
                "datetimeFrom": {"utc": f"2024-01-01T{hour:02}:00:00Z"},
                "datetimeTo": {"utc": f"2024-01-01T{hour + 1:02}:00:00Z"},
            },
            "coordinates": None,
        }
        for hour in range(3)
    ]
    (tmp_path / "v3.json").write_text(json.dumps({"meta": {"found": 3}, "results": results}))
    obs = open_observations(tmp_path / "v3.json", station="A", stations=places("A"))
    assert first(obs) == ("2024-01-01T00:00", 9.0)
    old = [
        {
            "location": "Kolkata",
            "parameter": "pm25",
            "date": {"utc": f"2020-01-01T{h:02}:00:00Z", "local": f"2020-01-01T{h:02}:00:00Z"},
            "value": h + 1.0,
            "unit": "µg/m³",
            "coordinates": {"latitude": 22.5, "longitude": 88.4},
        }
        for h in range(3)
    ]
    (tmp_path / "v2.json").write_text(json.dumps({"results": old}))
    obs = open_observations(tmp_path / "v2.json")
    assert first(obs) == ("2020-01-01T00:00", 1.0)
    assert obs.time.attrs["time_label"] == "end"


def test_the_list_of_the_chinese_mirror_in_its_own_encoding(tmp_path):
    (tmp_path / "china_sites_20240101.csv").write_text(CHINA)
    lines = ["监测点编码,监测点名称,城市,经度,纬度"]
    lines += [f"100{n}A,万寿西宫{n},北京,116.{n},39.{n}" for n in (1, 2, 3)]
    for encoding in ("utf-8-sig", "gb18030"):
        (tmp_path / "list.csv").write_bytes(_text(lines).encode(encoding))
        obs = open_observations(
            tmp_path / "china_sites_20240101.csv", stations=tmp_path / "list.csv"
        )
        assert obs.longitude.values.tolist() == [116.1, 116.2, 116.3]


def test_the_list_of_sites_of_airnow_has_no_line_of_names(tmp_path):
    (tmp_path / "HourlyData_2024010200.dat").write_text(AIRNOW)
    site = "000010102|{}|0102|St. John's|Active|NL1|Canada|CA|47.65|-52.82|7.0|-3.5|CA|||"
    (tmp_path / "sites.dat").write_text(_text([site.format(name) for name in ("PM2.5", "NO2")]))
    obs = open_observations(tmp_path / "HourlyData_2024010200.dat", stations=tmp_path / "sites.dat")
    assert (float(obs.longitude[0]), float(obs.latitude[0])) == (-52.82, 47.65)


def test_two_sensors_of_a_place_are_averaged(tmp_path):
    second = OPENAQ_V3.replace("2178,9,", "2178,11,").replace(",4.0", ",6.0").split("\n", 1)[1]
    (tmp_path / "a.csv").write_text(OPENAQ_V3 + second)
    obs = open_observations(tmp_path / "a.csv")
    assert obs.station.values.tolist() == ["2178"]
    assert "3 values of pm25 come from a further monitor" in obs.attrs["history"]
    assert find_faults(obs) == []


def test_another_spelling_of_a_pollutant_does_not_vanish(tmp_path):
    text = UKAIR.replace("PM2.5 particulate", "PM<sub>2.5</sub> particulate")
    (tmp_path / "a.csv").write_text(text)
    obs = open_observations(tmp_path / "a.csv", station="B", stations=places("B"))
    assert first(obs) == ("2023-12-01T01:00", 1.25)


def test_a_purpleair_file_holds_its_sensor_in_its_name(tmp_path):
    name = "Hill Road (outside) (37.5 -122.25) Primary Real Time 01_01_2024 01_02_2024.csv"
    lines = ["created_at,PM1.0_CF1_ug/m3,PM2.5_CF1_ug/m3,PM2.5_ATM_ug/m3,UptimeMinutes"]
    lines += [f"2024-01-01 {h:02}:00:00 UTC,1,2,{h + 3.0},9" for h in range(3)]
    (tmp_path / name).write_text(_text(lines))
    obs = open_observations(tmp_path / name, station="hill")
    assert first(obs) == ("2024-01-01T00:00", 3.0)
    assert (float(obs.longitude[0]), float(obs.latitude[0])) == (-122.25, 37.5)


def test_taiwan_with_its_line_of_names_flags_and_rain(tmp_path):
    lines = ["日期,測站,測項," + ",".join(f"{h:02}" for h in range(24))]
    values = ["5#", "6*", "7x", *map(str, range(3, 24))]
    lines += ["2014/01/01,左營,PM2.5," + ",".join(values)]
    lines += ["2014/01/01,左營,RAINFALL," + ",".join(["NR", "1.5"] * 12)]
    (tmp_path / "2014.csv").write_bytes(_text(lines).encode("big5"))
    obs = open_observations(tmp_path / "2014.csv", stations=places("左營"))
    np.testing.assert_array_equal(obs.pm25[0, :5], [np.nan, np.nan, np.nan, 3, 4])
    np.testing.assert_array_equal(obs.rain[0, :2], [0, 1.5])


def test_a_folder_of_files_of_one_station_each(tmp_path):
    folder = tmp_path / "airbase"
    folder.mkdir()
    for code, base in (("BETN029", 10.0), ("BETR801", 20.0)):
        rows = [
            f"2010-07-{day:02}" + "".join(f"\t{base + h}\t{-1 if h == 2 else 1}" for h in range(24))
            for day in (1, 2)
        ]
        name = f"{code}0000800100hour.1-1-1990.31-12-2012"
        (folder / name).write_text(_text(rows).replace(f"{base + 2}", "-9999.000"))
    (folder / "readme.txt").write_text("Nothing here is a table\n")
    (folder / "notes.md").write_text("Nor here\n")
    obs = open_observations(folder, source="airbase", stations=places("BETN029", "BETR801"))
    assert obs.station.values.tolist() == ["BETN029", "BETR801"]
    assert int(obs.no2.notnull().sum()) == 2 * 2 * 23
    assert first(obs, "no2") == ("2010-06-30T23:00", 10.0)
    assert "not read, since they are no tables: notes.md, readme.txt" in obs.attrs["history"]


def test_files_of_two_kinds_are_not_mixed(tmp_path):
    (tmp_path / "a.csv").write_text(UKAIR)
    (tmp_path / "b.csv").write_text(OPENAQ_V3)
    with pytest.raises(ObservationError, match=r"a.csv is a UK-AIR file and b.csv is an OpenAQ"):
        open_observations(tmp_path, station="A", stations=places("A"))


def test_a_file_that_is_not_of_the_source_told_says_what_it_lacks(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ObservationError, match="a London Air file lacks the columns Site, Species"):
        open_observations(tmp_path / "a.csv", source="laqn", stations=places("A"))
    with pytest.raises(ObservationError, match=r"source must be one of long.*found 'mars'"):
        open_observations(tmp_path / "a.csv", source="mars")


def test_local_time_without_a_zone_is_asked_for(tmp_path):
    lines = ["Site,Parameter,Date (LT),NowCast Conc.,Raw Conc.,Conc. Unit,QC Name"]
    lines += [
        f"Chennai,PM2.5 - Principal,2020-02-04 {h:02}:00 PM,1,{20 + h}.0,UG/M3,"
        + ("Invalid" if h == 3 else "Valid")
        for h in (12, 1, 2, 3, 4)
    ]
    (tmp_path / "a.csv").write_text(_text(lines))
    with pytest.raises(ObservationError, match="local time without a zone: pass time_zone="):
        open_observations(tmp_path / "a.csv", stations=places("Chennai"))
    zone = {"stations": places("Chennai"), "time_zone": "UTC+05:30"}
    obs = open_observations(tmp_path / "a.csv", **zone)
    np.testing.assert_array_equal(obs.pm25, [[32, 21, 22, np.nan, 24]])
    assert first(obs)[0] == "2020-02-04T06:30"
    whole = open_observations(tmp_path / "a.csv", resample="1h", **zone)
    np.testing.assert_allclose(whole.pm25[0, :2], [(32 + 21) / 2, (21 + 22) / 2])
    assert str(whole.time.values[0])[:16] == "2020-02-04T07:00"


def test_maxima_of_epa_stay_maxima_in_a_product(tmp_path):
    table = pd.DataFrame(
        {
            "Date": ["01/02/2020", "01/03/2020", "01/04/2020"] * 2,
            "Site ID": ["360010012"] * 3 + ["360010013"] * 3,
            "POC": 1,
            "Daily Max 8-hour Ozone Concentration": [0.03, 0.04, 0.05, 0.03, 0.04, 0.06],
            "UNITS": "ppm",
            "Site Name": "HILL",
            "AQS_PARAMETER_CODE": 44201,
            "SITE_LATITUDE": [42.6] * 3 + [42.9] * 3,
            "SITE_LONGITUDE": [-73.7] * 3 + [-73.2] * 3,
        }
    )
    table.to_csv(tmp_path / "ad_viz.csv", index=False)
    obs = open_observations(tmp_path / "ad_viz.csv")
    assert obs.o3.attrs["cell_methods"] == "time: maximum"
    assert str(obs.time.values[0])[:10] == "2020-01-02"
    obs.to_netcdf(tmp_path / "a.nc")
    again = open_observations(tmp_path / "a.nc")
    product = again.aqnet.reanalyse("o3", grid=0.2, method="idw")
    assert product.o3.attrs["cell_methods"] == "time: maximum"


def test_the_page_of_the_sources_is_that_of_their_descriptions():
    from tools.make_source_pages import PAGE, page

    assert PAGE.read_text() == page(), "run python tools/make_source_pages.py"


# Other packages' sources


def test_a_package_adds_a_source_by_an_entry_point(tmp_path, monkeypatch, caplog):
    from tools.make_source_pages import HEAD

    page: dict = {}
    exec(HEAD.partition("```python\n")[2].partition("```")[0], page)

    class Point:
        value = "atlantis:source"

        def __init__(self, gives):
            self.gives = gives

        def load(self):
            return self.gives

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point(page["SOURCE"]), Point([3])])
    registry._catalogue.cache_clear()
    registry._spellings.cache_clear()
    try:
        assert "atlantis" in aqr.sources
        assert "the sources of atlantis:source are left out: int is no Source" in caplog.text
        lines = [f"B1,2020-01-01 {h:02}:00,{h}" for h in range(1, 4)]
        (tmp_path / "a.csv").write_text(_text(["Buoy,When,Smoke", *lines]))
        obs = open_observations(tmp_path / "a.csv", stations=places("B1"))
        assert first(obs) == ("2020-01-01T04:00", 1.0)
    finally:
        registry._catalogue.cache_clear()
        registry._spellings.cache_clear()


def test_a_reader_of_pyaro_becomes_observations():
    timeseries = pytest.importorskip("pyaro.timeseries")

    class Ebas(timeseries.Reader):
        def __init__(self):
            pass

        def data(self, name):
            data = timeseries.NpStructuredData(name, {"concpm25": "ug m-3", "concno2": "ppb"}[name])
            for hour in range(3):
                start = np.datetime64("2020-01-01") + np.timedelta64(hour, "h")
                flag = timeseries.Flag.INVALID if hour == 1 else timeseries.Flag.VALID
                data.append(
                    10.0 + hour, "NO0002R", 58.4, 8.25, 219.0, start,
                    start + np.timedelta64(1, "h"), flag, np.nan,
                )  # fmt: skip
            return data

        def stations(self):
            return {
                "NO0002R": timeseries.Station(
                    {
                        "station": "NO0002R", "longitude": 8.25, "latitude": 58.4,
                        "altitude": 219.0, "country": "NO", "url": "", "long_name": "Birkenes II",
                    }
                )
            }  # fmt: skip

        def variables(self):
            return ["concpm25", "concno2", "od550aer"]

        def close(self):
            pass

    obs = open_observations(Ebas())
    assert find_faults(obs) == []
    np.testing.assert_array_equal(obs.pm25, [[10, np.nan, 12]])
    np.testing.assert_allclose(obs.no2[0, 0], 10 * PPB_NO2, rtol=1e-6)
    assert obs["name"].values.tolist() == ["Birkenes II"]
    assert obs.time.attrs["time_label"] == "start"


# The files themselves, where they are


def read(field, name, **options):
    return open_observations(field / name, **options)


def test_rama_as_it_is_and_by_options_alone(field):
    listing = field / "rama_mexico" / "cat_estacion.csv"
    obs = read(field, "rama_mexico/2019PM25.csv", source="rama", stations=listing)
    assert int(obs.pm25.notnull().sum()) == 4003
    assert round(float(obs.pm25.mean(dtype=float)), 3) == 31.997
    assert float(obs.pm25.sel(station="AJM")[0]) == 19.0
    assert str(obs.aqnet.network)
    assert str(obs.time.values[0])[:16] == "2019-01-01T07:00"  # the end of the first hour
    assert "COY, FAR, MPA, SAC, SJA" in obs.attrs["history"]
    options = {"missing": -99, "time_zone": "UTC-6", "time_label": "end", "skip_unplaced": True}
    own = read(
        field, "rama_mexico/2019PM25.csv", format="wide", stations=listing,
        columns={"date": "FECHA", "hour": "HORA", "variable": "pm25"}, **options,
    )  # fmt: skip
    assert own.equals(obs)


def test_uk_air_kdd_cpcb_and_taiwan(field):
    blac = {"station": "BLAC", "stations": places("BLAC")}
    obs = read(field, "uk_air/AirQualityDataHourly.csv", **blac)
    assert (obs.sizes["time"], round(float(obs.pm25.mean(dtype=float)), 4)) == (240, 9.3422)
    obs = read(field, "kdd_beijing")
    assert obs.sizes["station"] == 35
    assert round(float(obs.co.mean(dtype=float)), 1) == 1167.2
    name = "BWSSB Kadabesanahalli, Bengaluru - CPCB"
    obs = read(field, "cpcb_hourly/BWSSB.xlsx", stations=places(name))
    assert first(obs) == ("2020-03-31T18:30", 9.46)
    obs = read(field, "taiwan_epa/train.csv", stations=places("豐原"))
    assert first(obs) == ("2013-12-31T16:00", 26.0)


def test_files_of_the_united_states(field):
    obs = read(field, "airnowtech/airnowtech_reference.csv", stations=places("370630099"))
    counts = {name: int(obs[name].notnull().sum()) for name in ("no2", "o3", "pm25")}
    assert counts == {"no2": 72, "o3": 72, "pm25": 72}
    assert round(float(obs.pm25.mean(dtype=float)), 3) == 8.075
    obs = read(field, "epa_adviz/ad_viz_plotval_data_pm2.csv")
    assert obs.sizes["station"] == 13
    assert "the mean is taken" in obs.attrs["history"]
    assert read(field, "epa_adviz/ad_viz_plotval_data_ozone.csv").o3.attrs["cell_methods"] == (
        "time: maximum"
    )
    zone = {"time_zone": "UTC+05:30", "stations": places("Chennai")}
    obs = read(field, "airnow_embassy/AirNow.csv", **zone)
    assert int(obs.pm25.notnull().sum()) == 236


def test_files_of_europe_and_others(field):
    obs = read(field, "eea_utd/eea.csv", source="eea")
    assert int(obs.no2.notnull().sum()) == 38
    prague = obs.sel(station="CZ0AKAL")
    assert float(prague.longitude) == pytest.approx(14.442, abs=0.001)
    assert float(prague.latitude) == pytest.approx(50.094, abs=0.01)
    obs = read(field, "airbase_raw", stations=places("BETN029", "BETR801"))
    assert obs.sizes["station"] == 2
    obs = read(field, "laqn/LaqnData.csv", stations=places("BL0"))
    assert obs.sizes["time"] == 31
    obs = read(field, "openaq_v1/OpenAQ.csv")
    assert {name: int(v.notnull().sum()) for name, v in obs.data_vars.items()} == dict.fromkeys(
        ["co", "no2", "o3", "pm25", "so2"], 40
    )
    listing = pd.read_csv(field / "eea_stations" / "DataExtract.csv")
    code = listing["Air Quality Station EoI Code"].iloc[0]
    table = pd.DataFrame({"station": code, "time": hours(3), "pm25": 1.0})
    assert open_observations(table, stations=listing).station.values.tolist() == [code]
