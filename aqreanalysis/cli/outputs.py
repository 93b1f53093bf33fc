"""Inputs and outputs that several commands share: products, models, tables, a cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aqreanalysis.cli.options import pairs_of


def check_product_name(path: Path, *, resume: bool = False) -> None:
    """Refuse a name that no product can be written to, before the computation."""
    from aqreanalysis.atomic import check_target
    from aqreanalysis.product import check_store

    if path.suffix.lower() == ".zarr":
        if resume:
            raise ValueError("--resume is for NetCDF; end the name in .nc, or leave it out")
        check_store(Path(os.path.realpath(path)), overwrite=True)
        return
    if path.suffix.lower() not in (".nc", ".nc4"):
        raise ValueError(
            f"a product is NetCDF, or Zarr: end its name in .nc or .zarr; found {str(path)!r}"
        )
    check_target(Path(os.path.realpath(path)), overwrite=True)


def check_csv(path: Path) -> None:
    """Refuse a name that no table can be written to, before hours are spent on it."""
    from aqreanalysis.atomic import check_target

    if path.suffix.lower() != ".csv":
        raise ValueError(f"--csv takes the name of a .csv file; found {path}")
    check_target(Path(os.path.realpath(path)), overwrite=True)


def write_csv(table: Any, path: Path, float_format: str) -> None:
    """Write a table as CSV under its name when it is whole."""
    from aqreanalysis.atomic import atomic_file, explained

    with explained(path), atomic_file(path) as partial:
        table.to_csv(partial, float_format=float_format)


def check_points(path: Path) -> None:
    """Refuse a name that no table of points can be written to, before hours are spent on it."""
    from aqreanalysis.exports import check_export

    if path.suffix.lower() not in (".gpkg", ".parquet"):
        raise ValueError(f"--points takes a name in .gpkg or .parquet; found {str(path)!r}")
    check_export(path, overwrite=True)


def blocks_to_resume(path: Path, *, at_stations: bool) -> dict[str, int] | None:
    """Blocks of an interrupted run, unless they are of another kind of product."""
    from aqreanalysis.conventions import STATION
    from aqreanalysis.product import interrupted_blocks

    blocks = interrupted_blocks(path)
    return blocks if blocks and (STATION in blocks) == at_stations else None


def write_product(
    product: Any,
    path: Path,
    *,
    progress: bool,
    resume: bool = False,
    dimension_order: str = "station_time",
) -> Path:
    """Write a product as NetCDF or Zarr, and return its path."""
    if path.suffix.lower() == ".zarr":
        return product.aqnet.to_zarr(path)
    return product.aqnet.to_netcdf(
        path, progress=progress, resume=resume, dimension_order=dimension_order
    )


@contextmanager
def opened_product(path: Path, output: Path) -> Iterator[Any]:
    """Open a product, unless what is made of it would take its place."""
    from aqreanalysis.product import open_product

    if output.exists() and path.exists() and output.samefile(path):
        raise ValueError(f"{output} is the product itself, which would be lost; name another file")
    with open_product(path) as opened:
        yield opened


def check_dimension_order(order: str, path: Path, *, at_stations: bool) -> None:
    """Refuse an order of dimensions that the product cannot have, before the computation."""
    from aqreanalysis.product import check_order

    check_order(order, at_stations=at_stations)
    if order != "station_time" and path.suffix.lower() == ".zarr":
        raise ValueError("--dimension-order is for NetCDF; end the name in .nc, or leave it out")


def metadata_of(file: Path | None, attributes: list[str] | None) -> dict[str, str]:
    """Return what a TOML file and options state of a product; options come first."""
    import tomllib

    from aqreanalysis.product import checked_metadata

    stated: dict[str, Any] = {}
    if file is not None:
        try:
            stated = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"--metadata: there is no file {file}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f'--metadata: {file} is no TOML: {error}. A line is name = "text"'
            ) from error
    return checked_metadata(stated | pairs_of("--attribute", attributes or []))


@contextmanager
def cluster(scheduler: str | None) -> Iterator[None]:
    """Compute blocks on the dask cluster of an address, if one is given."""
    if scheduler is None:
        yield
        return
    from dask.distributed import Client

    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no dask scheduler answers at {scheduler!r} ({error}); start one with "
            "'dask scheduler', and name the address that it prints"
        ) from error
    with client:
        yield


#: What says that a folder is a saved model.
_MODEL = "reanalyser.json"


def check_model_folder(folder: Path, description: str = _MODEL) -> None:
    """Refuse a folder that no model can be written to, before it is trained."""
    if folder.exists() and not (folder / description).is_file():
        raise ValueError(f"{folder} exists and is no saved model; choose another name")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write {folder}: {above} is no folder to write into")


def check_model_folders(folder: Path, variables: str | list[str] | None) -> None:
    """Refuse a folder that the models of several pollutants, or of one, cannot be written to."""
    if not isinstance(variables, list):
        if folder.is_dir() and model_folders(folder):
            raise ValueError(f"{folder} holds models of several pollutants; choose another name")
        check_model_folder(folder)
        return
    if (folder / _MODEL).is_file():
        raise ValueError(f"{folder} is the model of one pollutant; choose another name")
    for name in variables:
        check_model_folder(folder / name)


def model_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of saved models in a folder, by their names."""
    within = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: path for path in within if (path / _MODEL).is_file()}


def saved_models(folder: Path, variables: str | list[str] | None) -> Any:
    """Return the saved model of a folder, or those in it by pollutant, the ones that are asked for.

    A folder of several has one for each pollutant, as ``fit --variable pm25,no2`` writes them.
    """
    from aqreanalysis.conventions import pollutant
    from aqreanalysis.methods.neural.reanalyser import Reanalyser

    within = {} if (folder / _MODEL).is_file() else model_folders(folder)
    if not within:
        return Reanalyser.load(folder)
    asked = [variables] if isinstance(variables, str) else variables
    names = list(within) if asked is None else [pollutant(name).name for name in asked]
    lacking = [name for name in names if name not in within]
    if lacking:
        raise ValueError(
            f"{folder} has no model of {', '.join(lacking)}; it has those of {', '.join(within)}"
        )
    return {name: Reanalyser.load(within[name]) for name in names}


def sizes(product: Any) -> str:
    """Sizes of a product in words."""
    return ", ".join(f"{size} {name}" for name, size in product.sizes.items() if "bnds" not in name)


def open_background(path: Path | None) -> Any:
    """Open a file of background fields lazily, if one is given."""
    if path is None:
        return None
    from aqreanalysis.foreign.files import open_netcdf

    return open_netcdf(path, chunks={})


def geography_of(text: str | None) -> Any:
    """Return what `--geography` names: all, some by comma, files, or none at all."""
    if text is None:
        return None
    if text.strip() == "none":
        return False
    words = [word.strip() for word in text.split(",") if word.strip()]
    return True if words == ["all"] else words
