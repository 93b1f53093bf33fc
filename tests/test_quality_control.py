"""Quality control: bits for what was put in, a table, a page, and what estimators use."""

import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from product_cases import quick_model
from report_cases import HOSTILE

from aqreanalysis.methods.covariates import ABOUT_OTHERS
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    QC_FLAGS,
    ObservationError,
    QualityLimits,
    bits_of,
    open_observations,
    qc,
    qc_table,
    usable,
)
from aqreanalysis.observations.checks.clocks import clock_shifts
from aqreanalysis.observations.quality_control import FAULTS, REJECTED
from aqreanalysis.report import write_quality_report
from aqreanalysis.verification import cross_validate, match_product
from benchmarks import sources
from benchmarks.quality import planted

HOURS = 600


@pytest.fixture(scope="module")
def clean() -> xr.Dataset:
    """Twelve stations in weather that they share, with a diurnal cycle and noise of their own."""
    rng = np.random.default_rng(0)
    weather = np.cumsum(rng.normal(0, 0.35, HOURS + 40))
    root = 6 + weather - np.convolve(weather, np.ones(49) / 49, "same")
    root = root[20 : HOURS + 20] + 0.6 * np.sin(2 * np.pi * np.arange(HOURS) / 24)
    values = np.maximum(root + rng.normal(0, 0.25, (12, HOURS)), 1.5) ** 2
    time = pd.date_range("2020-01-01", periods=HOURS, freq="h")
    dataset = xr.Dataset(
        {
            "pm25": (("station", "time"), values.round(1), {"units": "ug m-3"}),
            "pm10": (("station", "time"), (values * 1.6).round(1), {"units": "ug m-3"}),
        },
        coords={
            "station": [f"s{number:02d}" for number in range(12)],
            "time": time,
            "longitude": ("station", 10 + rng.uniform(0, 0.5, 12)),
            "latitude": ("station", 50 + rng.uniform(0, 0.5, 12)),
        },
    )
    return open_observations(dataset)


def _with(dataset: xr.Dataset, station: int, hours, values) -> xr.Dataset:
    changed = dataset.pm25.values.copy()
    changed[station, hours] = values
    return dataset.assign(pm25=dataset.pm25.copy(data=changed))


def _failing(checked: xr.Dataset, name: str, variable: str = "pm25") -> np.ndarray:
    """Return where a check fails, (station, time)."""
    return (checked[f"{variable}_qc"].values & QC_FLAGS[name]) != 0


def _faults(checked: xr.Dataset) -> dict[str, int]:
    counts = {name: int(_failing(checked, name).sum()) for name in FAULTS}
    return {name: count for name, count in counts.items() if count}


def test_clean_observations_pass(clean):
    assert _faults(qc(clean)) == {}
    assert usable(clean, "pm25", "mask") is clean


@pytest.mark.parametrize(
    ("hours", "values", "name"),
    [
        (slice(100, 130), 47.3, "flat_line"),
        (slice(100, 180), 0.0, "flat_line"),
        (100, 600.0, "spike"),
        (100, 2500.0, "out_of_range"),
        (100, -11.0, "out_of_range"),
        ([50, 90, 91, 300], -99.0, "missing_code"),
        (slice(100, 104), [400.0, 410.0, 405.0, 402.0], "neighbour_outlier"),
    ],
)
def test_what_is_wrong_has_its_bit_and_nobody_else_has(clean, hours, values, name):
    checked = qc(_with(clean, 3, hours, values), "pm25")
    expected = np.zeros((12, HOURS), bool)
    expected[3, hours] = True
    np.testing.assert_array_equal(_failing(checked, name), expected)
    assert not np.delete(checked.pm25_qc.values, 3, axis=0).any()


def test_a_step_is_where_the_level_changes(clean):
    raised = clean.pm25[3, 300:].values + 200
    checked = qc(_with(clean, 3, slice(300, None), raised), "pm25")
    assert np.argwhere(_failing(checked, "step")).tolist() == [[3, 300]]


def test_a_rise_of_the_whole_network_is_weather(clean):
    rising = clean.pm25.values.copy()
    rising[:, 300:] += 200
    rising[:, 120] += 300
    flagged = _faults(qc(clean[["pm25"]].assign(pm25=clean.pm25.copy(data=rising))))
    assert flagged.keys() <= {"neighbour_outlier"}


def test_noise_about_zero_and_short_runs_pass(clean):
    low = (clean.pm25 - clean.pm25.mean()).clip(-9).assign_attrs(clean.pm25.attrs)
    assert "out_of_range" not in _faults(qc(clean[["pm25"]].assign(pm25=low)))
    assert "flat_line" not in _faults(qc(_with(clean, 3, slice(100, 107), 47.3), "pm25"))


def test_coarse_steps_may_repeat_for_long(clean):
    """Values in steps of 20 repeat in runs of eight and more, and no instrument is stuck."""
    coarse = ((clean.pm25 / 20).round() * 20).assign_attrs(clean.pm25.attrs)
    checked = qc(clean[["pm25"]].assign(pm25=coarse))
    assert _failing(checked, "flat_line").mean() < 0.01


def test_a_station_with_an_offset_of_its_own_is_no_outlier(clean):
    threefold = _with(clean[["pm25"]], 3, slice(None), 3 * clean.pm25[3].values)
    assert _faults(qc(threefold)) == {}


def test_one_bad_station_does_not_flag_its_neighbours(clean):
    noise = np.random.default_rng(1).uniform(600, 900, 50)
    bits = qc(_with(clean, 3, slice(100, 150), noise), "pm25").pm25_qc.values
    assert not np.delete(bits, 3, axis=0).any()
    assert bits[3, 101:149].all()


def test_few_stations_and_stations_without_a_value(clean):
    for count in (1, 2, 5):
        assert _faults(qc(clean.isel(station=slice(count)))) == {}
    bits = qc(_with(clean, 3, slice(None), np.nan), "pm25").pm25_qc.values
    assert (bits[3] == QC_FLAGS["missing"]).all()
    assert not np.delete(bits, 3, axis=0).any()


def test_limits_are_checked_all_at_once():
    with pytest.raises(ValueError, match=r"flat_steps must be .*; .*neighbours must be .*; flat_c"):
        QualityLimits(flat_steps=1, neighbours=2, flat_chance=0.0)


def test_real_networks_mostly_pass_and_a_stuck_monitor_does_not(data_dir):
    """Station 26-163-0039 of the US reports 0.0 for 4117 hours of 2011."""
    us = open_observations(data_dir / "usepa_2011" / "pm25_frm_fem_hourly_2011.csv.gz")
    checked = qc(us, "pm25")
    flagged = (checked.pm25_qc & bits_of(FAULTS)) != 0
    assert float(flagged.sum() / us.pm25.count()) < 0.005
    stuck = us.pm25.where(_failing(checked, "flat_line")).sel(station="26-163-0039")
    assert int(stuck.count()) == 4117
    assert float(stuck.max()) == 0.0


def test_constant_air_is_not_stuck(clean):
    constant = xr.full_like(clean.pm25, 12.0)
    assert _faults(qc(clean[["pm25"]].assign(pm25=constant))) == {}


def test_a_full_scale_that_many_reach_is_not_stuck(clean):
    capped = clean[["pm25"]].assign(pm25=clean.pm25.clip(max=30).assign_attrs(clean.pm25.attrs))
    assert "flat_line" not in _faults(qc(capped))


def test_fine_particles_above_coarse_ones(clean):
    checked = qc(clean.assign(pm10=_with(clean, 2, 77, 5.0).pm25.assign_attrs(clean.pm10.attrs)))
    where = clean.pm25.values > 1.1 * checked.pm10.values + 10
    assert where.sum() == 1
    for variable in ("pm25", "pm10"):
        np.testing.assert_array_equal(_failing(checked, "pm25_above_pm10", variable), where)


def test_days_with_few_values_are_incomplete_and_no_fault(clean):
    checked = qc(_with(clean, 3, slice(24, 34), np.nan), "pm25")
    assert np.argwhere(_failing(checked, "incomplete_day").any(axis=1)).tolist() == [[3]]
    assert int(_failing(checked, "incomplete_day").sum()) == 14
    assert _faults(checked) == {}


@pytest.mark.parametrize("shift", [1, -1, 8, -5])
def test_a_clock_that_is_wrong_by_hours(clean, shift):
    checked = qc(_with(clean, 5, slice(None), clean.pm25[5].shift(time=shift).values), "pm25")
    assert np.flatnonzero(_failing(checked, "clock_shift").any(axis=1)).tolist() == [5]
    side = "later" if shift > 0 else "earlier"
    assert f"station s05 stands about {abs(shift)} h {side}" in checked.pm25_qc.comment


def test_the_labels_of_two_public_files_differ_by_an_hour(data_dir):
    """The 12 stations of UCI are among the 36, which label the end of the same hours."""
    own, others = sources.beijing12(data_dir).pm25, sources.beijing36(data_dir).pm25
    own = own.sel(time=slice(others.time.values[0], others.time.values[-1]))
    places = StationNetwork(others.longitude.values, others.latitude.values)
    same = places.neighbours(own.longitude.values, own.latitude.values, k=1).index[:, 0]
    rest = others.isel(station=np.setdiff1d(np.arange(36), same)).reindex(time=own.time)
    degrees = [np.r_[rest[n].values, own[n].values] for n in ("longitude", "latitude")]
    values = np.concatenate([rest.values, own.values]).astype(float)
    shifts = clock_shifts(values, StationNetwork(*degrees), step_hours=1.0)
    assert {shift.hours for shift in shifts} == {-1}
    assert min(shift.row for shift in shifts) == 24  # none of the 24 that are right
    assert len(shifts) >= 9


def test_bits_are_cf_and_values_stay(clean):
    before = clean.copy(deep=True)
    wrong = _with(clean, 3, 100, 600.0)
    checked = wrong.aqnet.qc()
    layer = checked.pm25_qc
    assert layer.dtype == layer.attrs["flag_masks"].dtype == np.int16
    assert layer.attrs["flag_meanings"].split() == list(QC_FLAGS)
    assert layer.attrs["flag_masks"].tolist() == [1 << n for n in range(len(QC_FLAGS))]
    assert layer.attrs["standard_name"] == "quality_flag"
    assert checked.pm25.attrs["ancillary_variables"] == "pm25_qc"
    xr.testing.assert_equal(checked.pm25, wrong.pm25)
    xr.testing.assert_identical(clean, before)
    assert "ancillary_variables" not in wrong.pm25.attrs
    assert layer.name.endswith(ABOUT_OTHERS)  # never a covariate


def test_flagged_observations_are_observations(clean, tmp_path):
    checked = qc(clean)
    checked.to_netcdf(tmp_path / "checked.nc")
    again = open_observations(tmp_path / "checked.nc")
    np.testing.assert_array_equal(again.pm25_qc.values, checked.pm25_qc.values)
    assert again.pm25_qc.dtype == np.int16


def test_the_table_counts_what_the_bits_say(clean):
    checked = qc(_with(_with(clean, 3, slice(100, 130), 47.3), 4, slice(0, 60), np.nan))
    table = qc_table(checked)
    assert table.index.names == ["variable", "station"]
    assert table.loc[("pm25", "s03"), ["values", "flagged", "flat_line"]].tolist() == [600, 30, 30]
    assert table.loc[("pm25", "s04"), "completeness"] == pytest.approx(0.9)
    assert int(table.loc["pm10", "flat_line"].sum()) == 0
    with pytest.raises(ObservationError, match=r"use obs.aqnet.qc\(\) first"):
        qc_table(clean)


def test_order_of_stations_does_not_matter(clean):
    wrong = _with(_with(clean, 3, slice(100, 130), 47.3), 5, 200, 500.0)
    order = np.random.default_rng(1).permutation(12)
    turned = qc(wrong.isel(station=order), "pm25").pm25_qc
    np.testing.assert_array_equal(turned.values, qc(wrong, "pm25").pm25_qc.values[order])


def test_what_is_no_pollutant_is_refused(clean):
    with pytest.raises(ObservationError, match="no such pollutant: o3; there are pm25, pm10"):
        clean.aqnet.qc("o3")


def test_mask_flag_and_ignore(clean, caplog):
    wrong = _with(_with(clean, 3, slice(100, 130), 47.3), 4, slice(50, 54), [400, 410, 405, 402])
    masked = usable(wrong, "pm25", "mask")
    np.testing.assert_array_equal(
        np.isnan(masked.pm25.values), _failing(qc(wrong, "pm25"), "flat_line")
    )
    assert (
        "quality=mask: 30 of 7200 values of pm25, at 1 station, look wrong"
        in masked.attrs["history"]
    )
    assert "left out (flat_line 30)" in caplog.text
    flagged = usable(wrong, "pm25", "flag")
    xr.testing.assert_equal(flagged, wrong)
    assert "used as they are (flat_line 30)" in flagged.attrs["history"]
    caplog.clear()
    assert usable(wrong, "pm25", "ignore") is wrong
    assert not caplog.records
    with pytest.raises(ValueError, match="quality must be one of mask, flag, ignore; found 'drop'"):
        usable(wrong, "pm25", "drop")


def test_a_reanalysis_leaves_faults_out_by_default(clean, caplog):
    target = clean.isel(station=[3])
    known = clean.isel(station=[*range(3), *range(4, 12)])
    wrong = _with(known, 5, slice(None, None, 7), 985.0)
    moved = wrong.longitude.values.copy()
    moved[8] *= -1
    wrong = wrong.assign_coords(longitude=("station", moved))
    options = {"at": target, "method": "kriging", "progress": False}
    right = known.aqnet.reanalyse("pm25", **options).pm25
    error = {}
    for quality in ("mask", "flag", "ignore"):
        estimate = wrong.aqnet.reanalyse("pm25", quality=quality, **options).pm25
        error[quality] = float(abs(estimate - right).mean())
    assert error["mask"] < 0.5 * error["ignore"]
    assert error["flag"] == error["ignore"]
    product = wrong.aqnet.reanalyse("pm25", **options)
    assert "missing_code" in product.attrs["history"]
    assert product.attrs["input_stations"] == 10
    assert "station s09 is" in caplog.text


def test_planted_faults_spare_hidden_stations_and_are_found(clean):
    hidden = np.arange(12) < 2
    wrong = planted(clean, hidden)
    changed = (wrong.pm25 != clean.pm25).any("time") | (wrong.longitude != clean.longitude)
    assert np.flatnonzero(changed).min() >= 2
    assert int(changed.sum()) == 3
    assert usable(wrong, "pm25", "mask").pm25.count() < clean.pm25.count()


def test_units_that_are_implausible_stop_a_reanalysis(clean):
    wrong = clean[["pm25"]].assign(pm25=(clean.pm25 / 1000).assign_attrs(clean.pm25.attrs))
    with pytest.raises(ObservationError, match=r"--units pm25=mg/m3\), or pass quality='ignore'"):
        wrong.aqnet.reanalyse(method="idw", grid=0.1)
    product = wrong.aqnet.reanalyse(method="idw", grid=0.1, quality="ignore")
    assert float(product.pm25.max()) < 1


def test_one_station_in_other_units_is_left_out(clean, caplog):
    wrong = _with(clean, 3, slice(None), clean.pm25[3].values / 1000)
    used = usable(wrong, "pm25", "mask")
    assert np.flatnonzero(used.pm25.isnull().all("time")).tolist() == [3]
    assert "implausible_units 600" in caplog.text


def test_values_are_not_masked_until_none_is_left(clean, caplog):
    stuck = clean[["pm25"]].isel(station=[0])
    stuck = stuck.assign(pm25=xr.full_like(stuck.pm25, 12.0))
    assert usable(stuck, "pm25", "mask").pm25.notnull().all()
    assert "used as they are" in caplog.text


def test_the_page_is_one_file_that_runs_nothing(clean, tmp_path):
    names = [*HOSTILE, *clean.station.values[len(HOSTILE) :]]
    wrong = _with(clean, 0, slice(None, None, 9), -99.0).assign_coords(station=names)
    degrees = {n: ("station", np.r_[0.0, clean[n].values[1:]]) for n in ("longitude", "latitude")}
    wrong = wrong.assign_coords(degrees)
    path = tmp_path / "page.html"
    checked = wrong.aqnet.qc(report=path)
    page = path.read_text(encoding="utf-8")
    assert "<script>document" not in page
    assert "https://example.org" not in page.replace("&#39;https://example.org/x.png&#39;", "")
    assert page.count('<img src="data:image/png;base64,') == 4
    assert "probably a missing code" in page
    assert all(name in page.lower() for name in ("flat line", "buddy check", "pm2.5 above pm10"))
    assert write_quality_report(checked, path) == path


def test_a_picture_of_completeness(clean):
    gap = _with(clean, 3, slice(100, 300), np.nan)
    figure = gap.aqnet.completeness("pm25")
    (mesh,) = figure.axes[0].collections
    classes = mesh.get_array().reshape(12, -1)
    assert (classes[3] == 0).sum() == 66  # of 200 hours in columns of three, whole ones
    assert set(np.unique(np.delete(classes, 3, axis=0))) == {4}


def test_the_command(clean, tmp_path, run, caplog):
    caplog.set_level(logging.INFO)
    wrong = _with(clean, 3, slice(100, 130), 47.3)
    wrong.aqnet.to_table(tmp_path / "obs.csv")
    status, out, err = run(
        "qc", tmp_path / "obs.csv", "-o", tmp_path / "page.html", "--csv", tmp_path / "t.csv",
        "--flags", tmp_path / "flags.nc",
    )  # fmt: skip
    assert status == 0, err
    assert "flat_line" in out
    assert (tmp_path / "page.html").is_file()
    assert pd.read_csv(tmp_path / "t.csv")["flat_line"].sum() == 30
    with xr.open_dataset(tmp_path / "flags.nc") as flags:
        assert int((flags.pm25_qc.values & QC_FLAGS["flat_line"] != 0).sum()) == 30


def test_the_command_refuses_a_name_before_it_reads(tmp_path, run):
    status, _, err = run("qc", tmp_path / "absent.csv", "-o", tmp_path / "page.pdf")
    assert status == 1
    assert "a report is written as .html" in err


def test_rejected_checks_are_checks():
    assert set(REJECTED) < set(FAULTS) < set(QC_FLAGS)


@pytest.fixture
def coded(clean):
    """The clean network with a code for missing at 30 hours of a station."""
    return _with(clean, 2, slice(100, 400, 10), -99.0)


def test_verification_neither_learns_from_nor_scores_what_is_left_out(coded):
    options = {"methods": ["idw"], "folds": 3, "progress": False}
    masked = cross_validate(coded, **options)
    assert float(masked.truth.min()) > 0
    assert "quality=mask: 30 of" in masked.attrs["remarks"][0]
    as_it_is = cross_validate(coded, quality="ignore", **options)
    assert float(as_it_is.truth.min()) == -99
    assert as_it_is.attrs["remarks"] == []


def test_a_product_is_verified_by_what_is_usable(coded):
    product = coded.aqnet.reanalyse(method="idw", grid=0.2)
    masked = match_product(product, coded)
    assert float(masked.truth.min()) > 0
    assert "quality=mask: 30 of" in masked.attrs["remarks"][0]
    assert float(match_product(product, coded, quality="flag").truth.min()) == -99


def test_what_is_left_out_is_filled_and_told(coded):
    model = quick_model(coded)
    filled = coded.aqnet.fill(method=model)
    assert float(filled.pm25.min()) > 0
    assert (filled.pm25_origin.values[2, 100:400:10] == 1).all()
    assert "quality=mask: 30 of" in filled.attrs["history"]
    assert float(coded.aqnet.fill(method=model, quality="flag").pm25.min()) == -99


def test_an_outlook_does_not_start_from_what_is_left_out(coded):
    last = _with(coded, 2, slice(-3, None), -99.0)
    ahead = last.aqnet.outlook("3h", method="persistence", progress=False)
    assert float(ahead.pm25.min()) >= 0
    assert "quality=mask: 33 of" in ahead.attrs["history"]
    as_it_is = last.aqnet.outlook("3h", method="persistence", progress=False, quality="ignore")
    assert not as_it_is.pm25.equals(ahead.pm25)
