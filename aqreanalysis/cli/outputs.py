"""What a command writes: its name is checked beforehand, its sizes are told afterwards."""

import os
from pathlib import Path
from typing import Any


def check_product_name(path: Path) -> None:
    """Refuse a name that no product can be written to, before hours are spent on it."""
    from aqreanalysis.product import check_target

    if path.suffix.lower() not in (".nc", ".nc4"):
        raise ValueError(f"a product is NetCDF: end its name in .nc; found {str(path)!r}")
    check_target(Path(os.path.realpath(path)), overwrite=True)


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that no model can be written to, before it is trained."""
    if folder.exists() and not (folder / "reanalyser.json").is_file():
        raise ValueError(f"{folder} exists and is no saved model; choose another name")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write {folder}: {above} is no folder to write into")


def sizes(product: Any) -> str:
    """Return the sizes of a product in words."""
    return ", ".join(f"{size} {name}" for name, size in product.sizes.items() if "bnds" not in name)


def open_background(path: Path | None) -> Any:
    """Return the lazy Dataset of a file of background fields, if one is given."""
    if path is None:
        return None
    import xarray as xr

    return xr.open_dataset(path, chunks={})
