"""Damaged products: refused with a word of what is wrong, or read as what they still are."""

import contextlib
import random

import netCDF4
import numpy as np
import pytest
import xarray as xr

from aqreanalysis import Grid, open_product
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.product import ProductError

#: What else stands where an attribute or a name should.
JUNK = ("", "x", 5, -1.5, np.nan, [1, 2, 3], "{", "null", "hours since 2014-13-45", "a" * 5000)


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A grid, and the same at stations, as files."""
    folder = tmp_path_factory.mktemp("whole")
    observations = synthetic_network(
        stations=14, hidden=3, hours=24, resolution=0.2, seed=1
    ).observations
    grid = observations.aqnet.reanalyse("pm25", grid=Grid((115, 118, 37, 40), 1.0), method="idw")
    grid.aqnet.to_netcdf(folder / "grid.nc")
    at = observations.isel(station=slice(0, 4))
    observations.aqnet.reanalyse("pm25", at=at, method="idw").aqnet.to_netcdf(folder / "at.nc")
    return {name: (folder / f"{name}.nc").read_bytes() for name in ("grid", "at")}


def written(tmp_path, content, edit):
    """Return the path of a file with this content, edited as by NCO."""
    path = tmp_path / "product.nc"
    path.write_bytes(content)
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_mask(False)
        edit(file)
    return path


def set_values(name, values):
    def edit(file):
        file[name][:] = values

    return edit


def rewritten(tmp_path, content, change):
    """Return the path of a file that a program without knowledge of CF wrote again."""
    source, path = tmp_path / "source.nc", tmp_path / "product.nc"
    source.write_bytes(content)
    with xr.open_dataset(source, decode_cf=False) as file:
        change(file.load()).to_netcdf(path)
    return path


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda f: f["time"].delncattr("units"), "time holds numbers, not dates: its units"),
        (lambda f: f.renameDimension("time", "record"), "time lies on the dimension 'record'"),
        (lambda f: f.renameVariable("time", "when"), "the labels of 'time' are lost"),
        (lambda f: f["pm25_flag"].setncattr("averaging_hours", "one"), "hours, a number; found"),
        (set_values("lat", np.nan), "lat has missing values"),
        (set_values("lat", 1e30), "latitudes lie within -90 and 90; lat has 1e"),
        (lambda f: f.renameVariable("lon", "east"), "lon is lost, the positions of 3 cells"),
    ],
)
def test_what_is_wrong_with_a_product_is_said(edit, said, products, tmp_path):
    with pytest.raises(ProductError, match=r"product\.nc holds no product: .*") as caught:
        open_product(written(tmp_path, products["grid"], edit))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"), [("lat", "lat holds texts"), ("pm25", "pm25 holds texts, not numbers")]
)
def test_texts_are_no_numbers(name, what, products, tmp_path):
    path = rewritten(
        tmp_path, products["grid"], lambda file: file.assign({name: file[name].astype("U")})
    )
    with pytest.raises(ProductError, match=what):
        open_product(path)


def test_bounds_that_are_no_numbers_are_made_anew(products, tmp_path):
    path = rewritten(
        tmp_path, products["grid"], lambda file: file.assign(lat_bnds=file.lat_bnds.astype("U"))
    )
    with open_product(path) as product:
        assert product.lat_bnds.values[0].tolist() == [37.0, 38.0]


def test_identifiers_of_letters_are_joined(products, tmp_path):
    path = rewritten(tmp_path, products["at"], lambda file: file.drop_vars("pm25_flag"))
    whole = written(tmp_path / "..", products["at"], lambda file: None)
    with open_product(path) as product, open_product(whole) as wanted:
        assert product.station.values.tolist() == wanted.station.values.tolist()


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_in_an_error_of_another_kind(seed, products, tmp_path):
    chance = random.Random(seed)
    name = chance.choice(sorted(products))
    kind = chance.choice(["bytes", "end", "attribute", "values"])
    content = bytearray(products[name])
    if kind == "bytes":
        for _ in range(20):
            content[chance.randrange(len(content))] = chance.randrange(256)
    if kind == "end":
        del content[chance.randrange(len(content)) :]

    def edit(file):
        variable = file[chance.choice(sorted(file.variables))]
        if kind == "attribute" and variable.ncattrs():
            attribute = chance.choice(sorted(set(variable.ncattrs()) - {"_FillValue"}))
            variable.setncattr(attribute, chance.choice(JUNK))
        if kind == "values" and variable.dtype != str and variable.dtype.kind in "fi":
            variable[:] = chance.choice([0, -1, 127])

    path = tmp_path / "damaged.nc"
    if kind in ("bytes", "end"):
        path.write_bytes(content)
    else:
        path = written(tmp_path, content, edit)
    with contextlib.suppress(ProductError), open_product(path) as product:
        product.load()
