"""Hourly operation: a store that is brought up to date holds what one reanalysis would."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by arguments)

from pathlib import Path

import numpy as np
import xarray as xr
from operation_cases import (
    GRID,
    HOURS,
    assert_same,
    begun,
    changed,
    files,
    layers,
    made,
    model,
    observed,
    store,
    until,
    whole,
)
from shapely.geometry import box

import aqreanalysis as aqr


def test_hour_by_hour_with_late_and_corrected_values_is_one_reanalysis(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    rng = np.random.default_rng(0)
    for hours in [60, 61, 63, 80, 100, 118, 149]:
        given = until(observed, hours)
        given = changed(given, int(rng.integers(10)), slice(hours - 20, None))  # late
        given = changed(given, int(rng.integers(10)), slice(hours - 3, hours - 1), 5.0)  # wrong
        aqr.update(store, given, model=model, **GRID)
    result = aqr.update(store, observed, model=model)
    assert (result.added, result.reporting, result.too_late) == (1, 10, 0)
    assert_same(layers(store), whole)


def test_an_estimate_does_not_depend_on_how_much_is_handed_over(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    aqr.update(store, until(observed, 120), model=model, **GRID)
    for hours in (125, 133, HOURS):  # the window of 3 d and what it depends on
        recent = observed.isel(time=slice(max(hours - 125, 0), hours))
        result = aqr.update(store, recent, model=model, last="3d")
        assert not result.incomplete
    assert_same(layers(store), whole)


def test_how_far_back_is_revised_follows_from_the_method(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    assert model.reach == (12, 4 + 24 + 1)
    before = layers(begun)
    corrected = changed(until(observed, 140), 4, slice(100, 101), 150.0)
    result = aqr.update(begun, corrected, model=model)
    after = layers(begun)
    differs = np.flatnonzero((after.pm25 != before.pm25).any(("lat", "lon")))
    first = result.revised_from.rstrip("Z")
    assert np.datetime64(first) <= before.time.values[differs[0]]
    assert differs[0] >= 100 - 29 - 12
    assert differs[-1] <= 100 + 29 + 12
    # What was not estimated again is the same file.
    revised = int((before.time.values >= np.datetime64(first)).sum())
    assert result.revised <= revised <= 29 + 12 + 1 + 40


def test_nothing_changes_when_nothing_is_new(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    before = files(begun)
    result = aqr.update(begun, until(observed, 140), model=model)
    assert (result.state, result.added, result.revised) == ("nothing new", 0, 0)
    assert files(begun) == before
    shuffled = until(observed, 140).isel(station=slice(None, None, -1))
    assert aqr.update(begun, shuffled, model=model).state == "nothing new"


def test_chunks_that_do_not_change_are_links_to_those_of_the_version_before(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    before = files(begun / "pm25")
    aqr.update(begun, until(observed, 141), model=model)
    after = files(begun / "pm25")
    same = {name for name in before if before[name] == after.get(name)}
    assert {"0.0.0", "5.0.0"} <= same
    assert "11.0.0" not in same


def test_a_reader_with_the_metadata_of_one_version_can_read_the_next(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    metadata = (begun / ".zmetadata").read_bytes()
    with aqr.open_product(begun) as opened:
        aqr.update(begun, observed, model=model)
        assert opened.pm25.load().notnull().all()
    (begun / ".zmetadata").write_bytes(metadata)
    product = layers(begun)
    assert product.sizes["time"] == 140
    np.testing.assert_array_equal(product.time, observed.time[:140])
    assert product.pm25.notnull().all()


def test_what_comes_too_late_is_counted_and_a_longer_window_has_it_count(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    corrected = changed(observed, 2, slice(20, 24), 99.0)
    result = aqr.update(begun, corrected, model=model)
    assert result.too_late == 4
    assert "measurements of 4 h changed too late" in str(result)
    whole = corrected.aqnet.reanalyse(method=model, grid=0.5, quality="ignore", progress=False)
    assert not np.allclose(layers(begun).pm25[20:24], whole.pm25[20:24], rtol=1e-5)
    result = aqr.update(begun, corrected, model=model, last="7d")
    assert result.too_late == 0
    assert result.revised
    assert_same(layers(begun), whole.compute())


def test_stations_appear_vanish_and_move_and_each_block_knows_those_that_report(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, tmp_path: Path
) -> None:
    moved = observed.station.values.astype(object)
    moved[7] = f"{moved[7]}#2"
    new = observed.isel(station=[7]).assign_coords(
        station=moved[[7]], longitude=("station", [116.3])
    )
    new = changed(new, 0, slice(0, 110))
    final = changed(changed(observed, 7, slice(110, None)), 5, slice(0, 100))
    final = xr.concat([changed(final, 3, slice(60, None)), new], "station")
    for hours in (70, 115, HOURS):
        present = until(final, hours)
        present = present.isel(station=present.pm25.notnull().any("time").values)
        aqr.update(store, present, model=model, **GRID)
    at_once = tmp_path / "at_once.zarr"
    aqr.update(at_once, final, model=model, **GRID)
    assert_same(layers(store), layers(at_once))


def test_a_store_at_stations_and_one_that_is_clipped(
    tmp_path: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    places = observed[["station", "longitude", "latitude"]].isel(station=slice(3))
    area = box(115.9, 38.9, 117.1, 40.1)
    for name, where in (("at", {"at": places}), ("clip", {"grid": 0.25, "clip": area})):
        store = tmp_path / f"{name}.zarr"
        options = where | {"quality": "ignore", "quantiles": (0.05, 0.95)}
        some = until(observed, 50)
        aqr.update(store, until(some, 44), model=model, significant_digits=None, **options)
        aqr.update(store, some, model=model)
        whole = some.aqnet.reanalyse(method=model, progress=False, **options).compute()
        result = layers(store)
        assert_same(result, whole)
        assert result.pm25.attrs == {**result.pm25.attrs, **whole.pm25.attrs}
    assert int((result.pm25_flag == 127).sum()) > 0


def test_metadata_and_history_stay_those_of_the_store(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    aqr.update(begun, until(observed, 145), model=model, creator="A. Person")
    aqr.update(begun, observed, model=model)
    product = layers(begun)
    assert product.attrs["creator_name"] == "A. Person"
    lines = product.attrs["history"].splitlines()
    assert len(lines) == 2
    assert "median of pm25 by neural" in lines[0]
    assert "run 3 of update, to 2020-11-07T05:00Z" in lines[1]
    assert product.attrs["time_coverage_end"] == "2020-11-07T06:00:00Z"
    assert len(product.pm25_uncertainty.attrs["error_time_scales_h"]) > 1
