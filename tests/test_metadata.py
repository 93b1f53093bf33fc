"""What a user states of a product: it reaches the file, and what cannot be stated is refused."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from product_cases import CASES, checked, everything, make_product

import aqreanalysis as aqr
from aqreanalysis.product import (
    ProductError,
    checked_metadata,
    open_product,
    restore_metadata,
    with_metadata,
    write_netcdf,
)


@pytest.mark.parametrize("case", CASES)
def test_catalogues_miss_nothing_that_can_be_stated(case: str, tmp_path: Path) -> None:
    product = make_product(case, metadata=everything(), references="Cressie 1990")
    path = write_netcdf(product, tmp_path / "product.nc")
    nameless = "distance_to_nearest_station has no standard_name"
    assert [text for _, text in checked(path, "acdd:1.3")] == [nameless]
    assert checked(path, "cf:1.11") == []


def test_what_is_stated_comes_back_from_the_file(tmp_path: Path) -> None:
    product = make_product(title="By the method", metadata={"title": "Mine", "project": "P"})
    with open_product(write_netcdf(product, tmp_path / "p.nc")) as again:
        assert (again.attrs["title"], again.attrs["project"]) == ("Mine", "P")
    later = with_metadata(product, {"project": "Q", "date_issued": date(2024, 5, 31)})
    assert (later.attrs["project"], later.attrs["date_issued"]) == ("Q", "2024-05-31")
    assert product.attrs["project"] == "P"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (
            {"licence": "CC0"},
            "no attribute 'licence'; those to state are title, summary, .*license",
        ),
        ({"history": "mine"}, "history follows from the product and cannot be stated"),
        ({"geospatial_lat_min": "0"}, "geospatial_lat_min follows from the product"),
        ({"license": ""}, "license must be a text that says something"),
        ({"license": 4}, "license must be a text .* found 4"),
        ({"creator_type": "human"}, "creator_type must be one of person, group"),
        ({"publisher_email": "nobody"}, "publisher_email must be an address with @"),
        ({"creator_url": "my page"}, "creator_url must begin with http:// or https://"),
        ({"date_issued": "soon"}, "date_issued must be a date such as 2024-05-31; found 'soon'"),
        ({"date_issued": "2024-05-31 or so"}, "date_issued must be a date such as"),
        ({"comment": "a\x00b"}, "comment has characters of control"),
        ({"project": "\udcff"}, "project has characters of control"),
        ({"id": "x", "creator": "y"}, "id follows from the product .*no attribute 'creator'"),
    ],
)
def test_what_cannot_be_stated_is_refused_before_any_work(metadata: dict, words: str) -> None:
    obs = aqr.synthetic_network(hours=2, seed=0).observations
    for ask in (
        lambda: checked_metadata(metadata),
        lambda: obs.aqnet.reanalyse(metadata=metadata),
        lambda: obs.aqnet.outlook(metadata=metadata),
    ):
        with pytest.raises(ProductError, match=words):
            ask()


def test_a_creator_is_said_once() -> None:
    same = make_product(creator="A", metadata={"creator_name": "A"})
    assert same.attrs["creator_name"] == "A"
    with pytest.raises(ProductError, match="'A' by creator and 'B' by metadata; say it once"):
        make_product(creator="A", metadata={"creator_name": "B"})


def test_outlooks_state_it_too() -> None:
    obs = aqr.synthetic_network(hours=96, seed=0).observations
    ahead = obs.aqnet.outlook(
        "6h", method="persistence", progress=False, metadata={"institution": "I"}
    )
    assert ahead.attrs["institution"] == "I"


@pytest.fixture
def station_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    obs = aqr.synthetic_network(hours=4, seed=0).observations
    return obs.aqnet.to_table(tmp_path / "obs.csv")


def test_the_command_reads_a_file_and_options_come_first(station_file: Path, run: Any) -> None:
    Path("meta.toml").write_text(
        'project = "P"\nlicense = "CC0"\nkeywords = ["dust", "smoke"]\ndate_issued = 2024-05-31\n',
        encoding="utf-8-sig",  # as editors of Windows write it
    )
    arguments = ("--method", "idw", "--metadata", "meta.toml", "--attribute", "license=CC BY 4.0")
    status, _, error = run("reanalyse", "obs.csv", "-o", "a.nc", "--grid", 0.2, *arguments)
    assert status == 0, error
    with open_product("a.nc") as product:
        attributes = product.attrs
    assert attributes["license"] == "CC BY 4.0"
    assert attributes["keywords"] == "dust, smoke"
    assert (attributes["project"], attributes["date_issued"]) == ("P", "2024-05-31")


def test_the_command_refuses_a_broken_file_and_unknown_names(station_file: Path, run: Any) -> None:
    Path("broken.toml").write_text("project: P\n")
    for arguments, words in (
        (("--metadata", "broken.toml"), "broken.toml is no TOML"),
        (("--metadata", "none.toml"), "there is no file none.toml"),
        (("--attribute", "project"), "--attribute takes NAME=VALUE, such as license='CC BY 4.0'"),
        (("--attribute", "history=mine"), "history follows from the product"),
        (("--dimension-order", "time_station"), "is of series at stations"),
        (
            ("--at", "obs.csv", "--dimension-order", "x"),
            "must be one of station_time, time_station",
        ),
    ):
        status, _, error = run("reanalyse", "obs.csv", "-o", "a.nc", "--method", "idw", *arguments)
        assert status == 1
        assert words in error
    assert not Path("a.nc").exists()


def test_series_at_stations_have_time_first_for_cdo(station_file: Path, run: Any) -> None:
    import netCDF4

    order = ("--dimension-order", "time_station")
    status, _, error = run(
        "reanalyse", "obs.csv", "-o", "a.nc", "--at", "obs.csv", "--method", "idw", *order
    )
    assert status == 0, error
    assert run("export", "a.nc", "-o", "b.nc", *order)[0] == 0
    assert run("export", "a.nc", "-o", "c.nc")[0] == 0
    dims = {}
    for name in ("a.nc", "b.nc", "c.nc"):
        with netCDF4.Dataset(name) as file:
            dims[name] = file["pm25"].dimensions
    assert dims["a.nc"] == dims["b.nc"] == ("time", "station")
    assert dims["c.nc"] == ("station", "time")
    zarr = run("reanalyse", "obs.csv", "-o", "a.zarr", "--at", "obs.csv", *order)
    assert "--dimension-order is for NetCDF" in zarr[2]


def test_the_height_of_the_air_is_nominal_unless_it_is_stated(tmp_path: Path) -> None:
    for case in CASES:
        product = make_product(case)
        assert product["height"].item() == 3.0
        assert product["height"].attrs["comment"].startswith("nominal")
        path = write_netcdf(product.assign_coords(height=4.0), tmp_path / "high.nc")
        with open_product(path) as stated:
            assert stated["height"].item() == stated.attrs["geospatial_vertical_max"] == 4.0
            assert stated["height"].attrs["axis"] == "Z"
            assert "comment" not in stated["height"].attrs
        assert checked(path, "cf:1.11") == []


def test_a_stated_height_is_one_in_metres() -> None:
    product = make_product()
    stated = product.assign_coords(height=((), 400.0, {"units": "cm"}))
    assert restore_metadata(stated)["height"].item() == 4.0
    for height, words in (
        (np.nan, "found nan"),
        ("2 m", "found '2 m'. State a number"),
        (((), 2.0, {"units": "kg"}), "expected units that convert to 'm'"),
    ):
        with pytest.raises(ProductError, match=words):
            restore_metadata(product.assign_coords(height=height))
