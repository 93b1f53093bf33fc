"""The commands of ``python -m benchmarks faults``, what they read, and what tells their results."""

import hashlib
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.cli import main
from aqreanalysis.cli.statuses import NOTHING_NEW
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.outlook import Outlook
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.outlook.training import OutlookSchedule

GRID = ("--grid", "0.5")
#: A model is small and quick to learn here, since saving is what is tried.
SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)
#: Texts of a result that differ from run to run.
_DATED = (".zattrs", ".zmetadata", ".update.json")
#: When a page, a picture or a table was made.
_STAMP = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?|D:\d{14}[^)]*"
)


@dataclass(frozen=True)
class Case:
    """A command that writes: its files or folders, the file it reads, and how it is run.

    The version of the data is 0 for the earlier result, and 1 for the new one.
    """

    name: str
    targets: tuple[str, ...]
    reads: str
    run: Callable[[int], None]


def cases() -> list[Case]:
    """Return the commands; stations-0.csv, stations-1.csv, field-0.nc and so on are there."""

    def case(name: str, *targets: str, line: str = "", ends: Callable | None = None) -> Case:
        """Return the case of a command line; # stands for the version."""
        first = targets[0]
        words = (line or f"{name} field-#.nc -o {first}").split()
        reads = next(word for word in words if "#" in word)
        run = partial(_command, words)
        return Case(name, targets, reads, partial(ends, run) if ends else run)

    grid = "--method kriging --grid 0.5"
    return [
        case("reanalyse", "a.nc", line=f"reanalyse stations-#.csv -o a.nc {grid}"),
        case(
            "reanalyse --resume",
            "r.nc",
            line=f"reanalyse stations-#.csv -o r.nc --resume {grid}",
        ),
        case("reanalyse (Zarr)", "a.zarr", line=f"reanalyse stations-#.csv -o a.zarr {grid}"),
        case(
            "reanalyse --model",
            "m.nc",
            line="reanalyse stations-#.csv -o m.nc --model known --grid 0.5",
        ),
        Case("fit", ("model",), "stations-#.csv", partial(_saved, "model", None)),
        Case("fit --checkpoint", ("saved",), "stations-#.csv", partial(_saved, "saved", "c.ckpt")),
        case(
            "update",
            "u.zarr",
            line="update u.zarr stations-#.csv --model known --quality ignore --grid 0.5",
            ends=_updated,
        ),
        case("aggregate", "d.nc", line="aggregate field-#.nc -o d.nc"),
        case("aggregate (Zarr)", "d.zarr", line="aggregate field-#.nc -o d.zarr"),
        case("zones", "z.gpkg", line="zones field-#.nc areas.geojson -o z.gpkg"),
        case("exceedance", "e.nc", line="exceedance field-#.nc -o e.nc --limit 35"),
        case("index", "i.nc", line="index field-#.nc -o i.nc --index china"),
        case("export (.tif)", "x.tif", line="export field-#.nc -o x.tif --overwrite"),
        case("export (folder)", "maps", line="export field-#.nc -o maps --overwrite"),
        case(
            "export (.gpkg)",
            "x.gpkg",
            line="export field-#.nc -o x.gpkg --level 100 --overwrite",
        ),
        case(
            "outlook",
            "o.nc",
            line="outlook stations-#.csv -o o.nc --model ahead --horizon 6",
        ),
        case(
            "verify",
            "v.html",
            "v.csv",
            line="verify stations-#.csv -o v.html --csv v.csv --methods idw --folds 2",
        ),
        case("convert", "t.parquet", line="convert stations-#.csv -o t.parquet"),
        case("convert (.csv)", "t.csv", line="convert stations-#.csv -o t.csv"),
        case("convert (archive)", "t.zarr", line="convert stations-#.csv -o t.zarr"),
        case(
            "qc",
            "q.html",
            "q.csv",
            "q.nc",
            line="qc stations-#.csv -o q.html --csv q.csv --flags q.nc",
        ),
        case("map", "m.png", line="map field-#.nc -o m.png"),
        case("map (.pdf)", "m.pdf", line="map field-#.nc -o m.pdf"),
        case(
            "animate",
            "w.gif",
            line="animate field-#.nc -o w.gif --time 2020-11-01T00 2020-11-01T02",
        ),
        case("view", "p.html", line="view field-#.nc -o p.html"),
    ]


def _command(words: list[str], version: int) -> None:
    """Run the command line."""
    sys.argv = ["aqreanalysis", "-q", *(word.replace("#", str(version)) for word in words)]
    main()


def _updated(run: Callable[[int], None], version: int) -> None:
    """Update a store; that there is nothing new is as good as done."""
    try:
        run(version)
    except SystemExit as ended:
        if ended.code != NOTHING_NEW.number:
            raise


def _saved(folder: str, checkpoint: str | None, version: int) -> None:
    """Fit a small model and save it, as ``aqreanalysis fit`` does."""
    from aqreanalysis.cli.outputs import check_model_folder
    from aqreanalysis.observations import open_observations

    try:
        check_model_folder(Path(folder))
        observed = open_observations(f"stations-{version}.csv")
        new = Reanalyser(SMALL, schedule=QUICK, progress=False, checkpoint=checkpoint)
        new.fit(observed, "pm25").save(folder)
    except (ValueError, OSError, RuntimeError) as error:  # of which the command line makes a line
        print(f"aqreanalysis: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def prepared(folder: Path) -> None:
    """Write what the commands read."""
    import geopandas
    import shapely

    for version in (0, 1):
        network = synthetic_network(hours=72, seed=version)
        observed = network.observations.isel(station=slice(12))
        observed.aqnet.to_table(folder / f"stations-{version}.csv")
        if not version:
            model = Reanalyser(SMALL, schedule=QUICK, progress=False).fit(observed, "pm25")
            model.save(folder / "known")
            ahead = Outlook(
                "persistence",
                configuration=OutlookConfiguration(history=24, leads=6, width=8),
                schedule=OutlookSchedule(updates=2, check_every=2, batch=8),
                progress=False,
                between=model,
            )
            ahead.fit(observed, "pm25").save(folder / "ahead")
        product = observed.aqnet.reanalyse(method="idw", grid=0.5, progress=False)
        product.aqnet.to_netcdf(folder / f"field-{version}.nc", progress=False)
    west, east, south, north = network.observations.aqnet.network.extent()
    middle = (west + east) / 2
    areas = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    table = geopandas.GeoDataFrame({"name": ["west", "east"]}, geometry=areas, crs="EPSG:4326")
    table.to_file(folder / "areas.geojson", driver="GeoJSON", engine="pyogrio")


def digest(target: Path) -> str | None:
    """Return what tells one result from another, whenever it was made; None if there is none.

    Of NetCDF that are the values, since the file has the date.
    """
    if not target.exists():
        return None
    if target.suffix == ".nc":
        import netCDF4

        with netCDF4.Dataset(target) as opened:
            opened.set_auto_mask(False)
            values = [np.asarray(opened[name][:]) for name in sorted(opened.variables)]
        texts = [str(v.tolist()).encode() if v.dtype.kind == "O" else v.tobytes() for v in values]
        return hashlib.sha256(b"".join(texts)).hexdigest()
    if target.suffix == ".gpkg":
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as opened:
            if opened.execute("pragma integrity_check").fetchone() != ("ok",):
                return "half"
            content = "\n".join(opened.iterdump()).encode()
        return hashlib.sha256(_STAMP.sub(b"", content)).hexdigest()
    if target.suffix == ".html":
        page = target.read_bytes()
        whole = page.rstrip().endswith(b"</html>")
        return hashlib.sha256(_STAMP.sub(b"", page)).hexdigest() if whole else "half"
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    parts = [
        str(path.relative_to(target)).encode() + _STAMP.sub(b"", path.read_bytes())
        for path in files
        if path.is_file() and path.name not in _DATED
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read(target: Path) -> str:
    """Return the digest of what a user reads: a product or a model as the package opens it."""
    if target.suffix in (".nc", ".zarr") and target.name not in ("q.nc", "t.zarr"):
        from aqreanalysis.product import open_product

        with open_product(target) as product:
            loaded = product.load()
    elif target.name == "t.zarr":
        from aqreanalysis.observations import open_observations

        loaded = open_observations(target).load()
    elif target.name in ("model", "saved"):
        return str(Reanalyser.load(target).settings["weights_sha256"])
    elif target.is_dir():  # of files that are read one by one
        return str(digest(min(target.iterdir())))
    else:
        return str(digest(target))
    return _sum(loaded)


def _sum(dataset: xr.Dataset) -> str:
    """Return a digest of all values."""
    names = sorted(map(str, dataset.variables))
    parts = [f"{n}{dataset[n].shape}{dataset[n].values.tolist()}" for n in names]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
