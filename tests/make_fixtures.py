"""Files as this version writes them, for later ones to read: ``python tests/make_fixtures.py``.

`test_fixtures.py` loads them. Those of earlier formats, such as ``model-4`` and ``outlook-3``,
cannot be remade and stay; a model whose number has been raised since goes to a name with its number
first. Remake them only when a format or what is computed has changed on purpose and its number was
raised, and say so in the CHANGELOG.
"""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import dask.array as da
import xarray as xr
from product_cases import make_field, make_observations

from aqreanalysis.datasets import synthetic_network
from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.saved import _FOLDER as saved_model_folder
from aqreanalysis.methods.saved_model import ModelFolder
from aqreanalysis.operation import update
from aqreanalysis.outlook import Outlook
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.outlook.saved import _FOLDER as saved_outlook_folder
from aqreanalysis.outlook.training import OutlookSchedule
from aqreanalysis.product import build_product, write_netcdf, write_zarr
from aqreanalysis.product.netcdf_file import ProductFile
from aqreanalysis.reanalysis import reanalyse

FIXTURES = Path(__file__).parent / "fixtures"
#: Folder with the finished regions of an interrupted run.
FINISHED = "finished"
GRID = Grid((116.0, 117.0, 39.2, 39.9), 0.1)
SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=2, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)


def observations() -> xr.Dataset:
    """Return what the models learned from: five days at six stations."""
    return synthetic_network(hours=120, seed=2).observations.isel(station=slice(6))


def product_of(model: Reanalyser) -> xr.Dataset:
    """Return the product that was stored, as the model computes it now."""
    measured = observations()
    return reanalyse(
        measured,
        grid=Grid.around(measured.aqnet.network, 0.2),
        method=model,
        time=slice(*measured.time.values[[48, 53]]),
        quantiles=(0.05, 0.95),
        progress=False,
    )


def long_product() -> xr.Dataset:
    """Return a product of three blocks whose writing was interrupted.

    Its layers have fixed names: those of a real run depend on the version of dask.
    """
    measured = make_observations()
    field = make_field(GRID, measured)
    for name, layer in field.data_vars.items():
        if "time" in layer.dims:
            chunks = (10, *layer.shape[1:])
            field[name] = (layer.dims, da.from_array(layer.values, chunks, name=f"stored-{name}"))
        else:
            field[name] = layer.compute()
    return build_product(
        field, variable="pm25", grid=GRID, observations=measured, method="kriging", settings={}
    )


def interrupted_run(target: Path) -> Path:
    """Return the folder with two of three finished regions and their journal."""
    with (
        patch("aqreanalysis.product.regions.REGION_BYTES", 1),
        patch.object(ProductFile, "write", side_effect=KeyboardInterrupt),
        suppress(KeyboardInterrupt),
    ):
        write_netcdf(long_product(), target, progress=False, resume=True)
    folder = target.with_name(f".{target.name}.finished")
    # The third may have been computed while the first was written.
    (folder / "000002.npz").unlink(missing_ok=True)
    return folder


def updated_store(target: Path, model: Reanalyser) -> None:
    """Write a store of the last hours but ten, as a run of `update` leaves it."""
    update(target, observations().isel(time=slice(-10)), model=model, grid=0.5, last="40h")


def fitted() -> Reanalyser:
    """Return a model of today."""
    return Reanalyser(SMALL, schedule=QUICK, progress=False).fit(observations(), "pm25")


def save_outlook(between: Reanalyser, folder: Path) -> None:
    """Save an outlook, with the model between stations inside it."""
    outlook = Outlook(
        "persistence",
        configuration=OutlookConfiguration(history=24, leads=6, width=8),
        schedule=OutlookSchedule(updates=2, check_every=2, batch=8),
        progress=False,
        between=between,
    )
    outlook.fit(observations(), "pm25").save(folder)


def leave_earlier_format(name: str, today: ModelFolder) -> None:
    """Give a model that is of another format than today's a name with its number."""
    description = FIXTURES / name / today.description
    if description.is_file():
        number = json.loads(description.read_text(encoding="utf-8"))["format"]
        if number != today.format:
            (FIXTURES / name).rename(FIXTURES / f"{name}-{number}")


def main() -> None:
    """Write those of today's formats anew; those of earlier ones stay."""
    FIXTURES.mkdir(exist_ok=True)
    leave_earlier_format("model", saved_model_folder)
    leave_earlier_format("outlook", saved_outlook_folder)
    for name in (FINISHED, "updated.zarr"):
        shutil.rmtree(FIXTURES / name, ignore_errors=True)
    model = fitted()
    model.save(FIXTURES / "model")
    write_netcdf(product_of(model), FIXTURES / "product.nc", progress=False)
    write_zarr(product_of(model), FIXTURES / "product.zarr")
    save_outlook(model, FIXTURES / "outlook")
    updated_store(FIXTURES / "updated.zarr", model)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(interrupted_run(Path(folder, "product.nc")), FIXTURES / FINISHED)
    (FIXTURES / ".updated.zarr.lock").unlink()
    size = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{size / 1e3:.0f} kB in {FIXTURES}")


if __name__ == "__main__":
    main()
