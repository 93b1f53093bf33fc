"""Products to test with, and what other programs and xarray say of them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.grid import Grid
from aqreanalysis.product import STATED_ATTRIBUTES, build_product

GRIDS = {
    "geographic": Grid((115.0, 117.0, 39.0, 40.0), 0.1),
    "date line": Grid((179.0, 181.0, -18.0, -17.0), 0.1),
    "projected": Grid((400_000.0, 500_000.0, 4_350_000.0, 4_450_000.0), 10_000.0, "EPSG:32650"),
}
CASES = [*GRIDS, "stations"]


def everything() -> dict[str, str]:
    """Return all that can be stated."""
    address = "https://example.org"
    values = {"email": "a@b.org", "url": address, "link": address, "type": "institution"}
    dated = {n: "2024-05-31" for n in STATED_ATTRIBUTES if n.startswith("date_")}
    return {n: values.get(n.rpartition("_")[2], "text") for n in STATED_ATTRIBUTES} | dated


def make_observations(*, hours: int = 30, label: str = "start") -> xr.Dataset:
    """Return three stations across Beijing, one of them without an altitude."""
    time = pd.date_range("2014-11-01", periods=hours, freq="h")
    values = np.random.default_rng(0).gamma(4, 10, (3, hours))
    return xr.Dataset(
        {"pm25": (("station", "time"), values)},
        coords={
            "station": ["a", "b", "ç"],
            "longitude": ("station", [116.0, 116.5, 116.9]),
            "latitude": ("station", [39.2, 39.9, 39.5]),
            "altitude": ("station", [50.0, np.nan, 43.0]),
            "name": ("station", ["Gate", "Lake", "Olympic"]),
            "time": ("time", time, {"time_label": label, "step_hours": 1.0}),
        },
    )


def make_field(at: Grid | xr.Dataset, observations: xr.Dataset, chunks: dict | None = None) -> Any:
    """Return a bare lazy field: a wave with one cell and one hour missing."""
    time = observations["time"]
    if isinstance(at, Grid):
        dims, shape = ("time", *at.dims), (time.size, *at.shape)
        places = {at.dims[0]: at.y, at.dims[1]: at.x}
    else:
        dims, shape = ("station", "time"), (at.sizes["station"], time.size)
        names = ("station", "longitude", "latitude", "altitude", "name")
        places = {name: at[name] for name in names}
    phase = np.arange(np.prod(shape)).reshape(shape)
    mean = (40 + 35 * np.sin(phase / 13) + phase % 7).astype(np.float32)
    mean[(0,) * len(shape)] = np.nan
    flag = np.where(np.isnan(mean), 3, phase % 3).astype(np.int8)
    layers = {"pm25": mean, "pm25_uncertainty": mean / 7, "pm25_flag": flag}
    field = xr.Dataset({name: (dims, values) for name, values in layers.items()}, {"time": time})
    field = field.assign_coords(places)
    horizontal = [dim for dim in dims if dim != "time"]
    distance = np.full([field.sizes[dim] for dim in horizontal], 12.34567, np.float32)
    field["distance_to_nearest_station"] = (horizontal, distance)
    return field.chunk(chunks or {"time": 7})


def make_product(case: str = "geographic", *, chunks: dict | None = None, **options: Any) -> Any:
    """Return the product of a case, with all that a user can give."""
    observations = make_observations(label=options.pop("label", "start"))
    grid = GRIDS.get(case)
    return build_product(
        make_field(observations if grid is None else grid, observations, chunks),
        variable="pm25",
        grid=grid,
        observations=observations,
        method="kriging",
        settings={"k": 16, "range_km": np.float64(160)},
        **options,
    )


def quick_model(observations: xr.Dataset) -> Any:
    """Return a `Reanalyser` that has hardly learned: for what holds of any."""
    quick = aqr.Schedule(covariance_updates=5, updates=0)
    return aqr.Reanalyser(schedule=quick, progress=False).fit(observations, "pm25")


def checked(path: Path, name: str) -> list[tuple[int, str]]:
    """Return the weight and text of all that the compliance checker has to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from compliance_checker.suite import CheckSuite

        CheckSuite.load_all_available_checkers()
        suite = CheckSuite()
        dataset = suite.load_dataset(str(path))
        try:
            results, errors = suite.run_all(dataset, [name])[name]
        finally:
            dataset.close()
    assert not errors, errors
    full = [r for r in results if not (r.value is True or _is_complete(r.value))]
    return [(r.weight, _of_variable(r.name, text)) for r in full for text in r.msgs or [r.name]]


def _of_variable(header: str, text: str) -> str:
    """Return what is said with the variable of which it is said, if it is of one."""
    if not header.startswith("variable "):
        return text
    _, variable, _ = header.split('"')
    return f"{variable} has no {text}"


def _is_complete(value: Any) -> bool:
    return isinstance(value, tuple) and value[0] == value[1]


def assert_same_metadata(result: xr.Dataset, expected: xr.Dataset) -> None:
    """Compare all coordinates and all attributes, but not the values of the layers."""
    assert result.attrs == expected.attrs
    layers = list(expected.data_vars)
    xr.testing.assert_identical(result.drop_vars(layers), expected.drop_vars(layers))
    for name in layers:
        assert result[name].dims == expected[name].dims
        empty = {dim: slice(0) for dim in result[name].dims}
        xr.testing.assert_identical(
            result[name].isel(empty).variable.compute(),
            expected[name].isel(empty).variable.compute(),
        )


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
