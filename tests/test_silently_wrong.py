"""Files of kinds that once gave wrong numbers without a word: they are read right, or refused."""

import numpy as np
import pandas as pd
import pytest

from aqreanalysis.observations import ObservationError, open_observations

PLACES = pd.DataFrame({"station": ["A"], "longitude": [10.0], "latitude": [50.0]})
HOURS = pd.date_range("2021-03-05", periods=48, freq="h")
VALUES = np.round(20 + 8 * np.sin(np.arange(48) / 5), 1)


@pytest.fixture
def read(tmp_path):
    """Return the observations of station A in a CSV of some lines."""

    def observations(lines: list[str], **options):
        path = tmp_path / "a.csv"
        path.write_text("\n".join(lines) + "\n")
        return open_observations(path, **{"stations": PLACES, "station": "A", **options})

    return observations


def table(header: str, row: str = "{t:%Y-%m-%d %H:%M},{v}", values=VALUES) -> list[str]:
    """Return the lines of a table of the hours."""
    return [header, *(row.format(t=t, v=v) for t, v in zip(HOURS, values, strict=True))]


def test_units_behind_the_name_of_values_count(read):
    milligrams = table("Time,Conc(mg/m3),WS(MPS)", "{t:%m/%d/%y %H:%M},{v:.4f},1.2", VALUES / 1000)
    obs = read(["BAM 1020, Serial Number: T16322", "", *milligrams])
    np.testing.assert_allclose(obs.pm25[0], VALUES, rtol=1e-5)


@pytest.mark.parametrize("decimal", [".", ","])
def test_thousands_that_look_like_decimals_are_asked_for(read, decimal):
    sign = {".": ",", ",": "."}[decimal]
    values = [f"{round(60 * v):,}".replace(",", sign) for v in VALUES]
    lines = table("Time;PM10", "{t:%Y-%m-%d %H:%M};{v}", values)
    with pytest.raises(ObservationError, match=r"PM10 such as 1.206 beside 9\d\d may be thousands"):
        read([lines[0], "2021-03-04 23:00;" + f"1{sign}206", *lines[1:]])
    obs = read(lines, decimal=decimal)
    np.testing.assert_array_equal(obs.pm10[0], np.round(60 * VALUES))


def test_thousands_with_decimals_behind_them_are_clear(read):
    obs = read(table("Time,PM10", '{t:%Y-%m-%d %H:%M},"{v:,.1f}"', 60 * VALUES))
    np.testing.assert_allclose(obs.pm10[0], 60 * VALUES, rtol=1e-6)
    three = table("Time;PM10", "{t:%Y-%m-%d %H:%M};{v:.3f}")
    np.testing.assert_allclose(read(three).pm10[0], VALUES, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "hours"),
    [("Time (EST)", -5), ("Time (UTC+8)", 8), ("time_gmt-3", -3), ("Time [CET]", 1), ("UTC", 0)],
)
def test_the_zone_in_the_name_of_a_column_counts(read, name, hours):
    obs = read(table(f"{name},PM2.5"), columns={"time": name})
    assert obs.time.values[0] == (HOURS[0] - pd.Timedelta(hours=hours)).to_datetime64()


@pytest.mark.parametrize("name", ["Local time", "Time (CST)", "Date Time Local"])
def test_local_times_of_no_zone_are_asked_for(read, name):
    lines = table(f"{name},PM2.5")
    with pytest.raises(ObservationError, match=r"they are local.*pass time_zone="):
        read(lines, columns={"time": name})
    obs = read(lines, columns={"time": name}, time_zone="UTC+8")
    assert str(obs.time.values[0])[:16] == "2021-03-04T16:00"


@pytest.mark.parametrize(
    ("zones", "first"),
    [(["UTC+2"], "2021-03-04T22:00"), (["-5"], "2021-03-05T05:00"),
     (["CET", "+01:00"], "2021-03-04T23:00"),
     (["Asia/Tokyo"], "2021-03-04T15:00")],
)  # fmt: skip
def test_a_column_of_zones_counts(read, zones, first):
    lines = [
        "Time,Time zone,PM2.5",
        *(f"{t:%Y-%m-%d %H:%M},{zones[i % len(zones)]},{VALUES[i]}" for i, t in enumerate(HOURS)),
    ]
    assert str(read(lines).time.values[0])[:16] == first
    with pytest.raises(ObservationError, match="the column of zones has"):
        read([*lines, "2021-03-07 00:00,Europe/Paris,5", "2021-03-07 01:00,Asia/Tokyo,5"])


def test_abbreviations_of_zones_in_stamps(read):
    obs = read(table("Time,PM2.5", "{t:%Y-%m-%d %H:%M} CET,{v}"))
    assert str(obs.time.values[0])[:16] == "2021-03-04T23:00"
    with pytest.raises(ObservationError, match="00:00 CST', which is no stamp"):
        read(table("Time,PM2.5", "{t:%Y-%m-%d %H:%M} CST,{v}"))


def test_the_end_of_a_span_is_no_zone(read):
    spans = [f"{(t.hour + 1) % 24:02}:00,{v}" for t, v in zip(HOURS, VALUES, strict=True)]
    with pytest.raises(ObservationError, match="times such as 00:00-01:00 are spans: write their"):
        read(table("Time,PM2.5", "{t:%Y-%m-%d %H:00}-{v}", spans))
    obs = read(table("Time,PM2.5", "{t:%Y-%m-%d %H:00}-05:00,{v}"))
    assert str(obs.time.values[0])[:16] == "2021-03-05T05:00"


def test_a_flag_behind_a_number_is_no_exponent(read):
    lines = table("Time,PM10", "{t:%Y-%m-%d %H:%M},{v:.0f}E1")
    with pytest.raises(ObservationError, match=r"found '20E1'.*missing='\*E1'"):
        read(lines)
    obs = read(table("Time,PM10", "{t:%Y-%m-%d %H:%M},{v:.3e}"))
    np.testing.assert_allclose(obs.pm10[0], VALUES, rtol=1e-3)


def test_years_of_two_digits_in_front_are_asked_for(read):
    with pytest.raises(ObservationError, match="may begin with the year, of two digits"):
        read(table("Time,PM2.5", "{t:%y/%m/%d %H:%M},{v}"))
    obs = read(table("Time,PM2.5", "{t:%y/%m/%d %H:%M},{v}"), time_format="%y/%m/%d %H:%M")
    assert obs.time.values[0] == HOURS[0].to_datetime64()
    behind = read(table("Time,PM2.5", "{t:%d/%m/%y %H:%M},{v}"), date_order="day")
    assert behind.time.equals(obs.time)


def test_the_last_minute_of_an_hour_is_its_end(read):
    obs = read(table("Time,PM2.5", "{t:%Y-%m-%d %H}:59:59,{v}"))
    assert str(obs.time.values[0])[:16] == "2021-03-05T01:00"
    assert obs.time.attrs["time_label"] == "end"


def test_a_column_of_values_below_a_heading_is_no_station(tmp_path):
    lines = table("Datum;Wert;Status", "{t:%d.%m.%Y %H:%M};{v};1")
    heading = ["Station:;Hill", "Longitude:;10.0", "Latitude:;50.0", "Pollutant:;PM10", ""]
    (tmp_path / "x.csv").write_text("\n".join([*heading, *lines]))
    obs = open_observations(tmp_path / "x.csv")
    assert obs.station.values.tolist() == ["Hill"]
    np.testing.assert_allclose(obs.pm10[0], VALUES, rtol=1e-6)


def test_numbers_of_rows_without_a_name_above_them(read):
    lines = [f'"{number}",{line}' for number, line in enumerate(table("Time,PM2.5"))]
    obs = read(["Time,PM2.5", *lines[1:]])
    np.testing.assert_allclose(obs.pm25[0], VALUES, rtol=1e-6)


def test_errors_of_spreadsheets_are_missing_and_a_sign_of_minus_is_one(read):
    values = [*VALUES[:40], "#N/A", "#DIV/0!", "InVld", "***", "\u22121.5", "-1.3", "0.4", "-0.2"]
    obs = read(table("Time,PM2.5", values=values))
    expected = [*VALUES[:40], *[np.nan] * 4, -1.5, -1.3, 0.4, -0.2]
    np.testing.assert_allclose(obs.pm25[0], expected, rtol=1e-6)


def test_the_usual_flag_is_suggested(read):
    lines = [f"{line},{'N' if i == 1 else 'V'}" for i, line in enumerate(table("Time,PM2.5"))]
    obs = read(["Time,PM2.5,PM2.5 status", *lines[1:]])
    assert "valid='PM2.5 status=V' or the like" in obs.attrs["history"]


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("Time,Parameter,Value", "{t:%Y-%m-%d %H:%M},CO [mg/m³],{v}", "a.csv"),
        ("Time,Parameter,Value", "{t:%Y-%m-%d %H:%M},CO (mg/m3),{v}", "a.csv"),
        ("Time,Value", "{t:%Y-%m-%d %H:%M},{v}", "CO_mgm3_2021.csv"),
        ("Time,A\n,mg/m3", "{t:%Y-%m-%d %H:%M},{v}", "CO_2021.csv"),
    ],
)
def test_units_of_a_parameter_a_file_and_a_line_count(tmp_path, header, row, name):
    (tmp_path / name).write_text("\n".join(table(header, row, VALUES / 20)) + "\n")
    alone = {} if header.endswith("m3") else {"station": "A"}
    obs = open_observations(tmp_path / name, stations=PLACES, **alone)
    np.testing.assert_allclose(obs.co[0], 50 * VALUES, rtol=1e-5)


def test_what_a_column_of_statistics_says_is_said(read):
    maxima = table("Time,Statistic,PM2.5", "{t:%Y-%m-%d %H:%M},Max,{v}")
    assert "the column Statistic says Max" in read(maxima).attrs["history"]
    both = [*maxima, *(line.replace("Max", "Mean") for line in maxima[1:])]
    with pytest.raises(
        ObservationError, match=r"Statistic says Max, Mean: .*valid='Statistic=Max'"
    ):
        read(both)
    means = read(table("Time,Statistic,PM2.5", "{t:%Y-%m-%d %H:%M},Hourly mean,{v}"))
    assert "Statistic says" not in means.attrs["history"]


def test_the_first_of_months_may_be_days_of_january(read):
    months = [f"01/{month:02}/2020,{month}" for month in range(1, 13)]
    with pytest.raises(ObservationError, match="the order of day and month is not clear"):
        read(["Time,PM2.5", *months])
    obs = read(["Time,PM2.5", *months], date_order="month")
    assert str(obs.time.values[-1])[:10] == "2020-01-12"


def test_time_since_a_beginning_is_refused(read):
    lines = ["Time (hours since 2016-01-01),PM2.5", *(f"{45000 + h},5" for h in range(9))]
    with pytest.raises(ObservationError, match="counts time from a beginning: write stamps"):
        read(lines, columns={"time": lines[0].partition(",")[0]})
