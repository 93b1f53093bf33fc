"""Maps as cloud-optimised GeoTIFF: a file of many hours, or a folder with one for each."""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from aqreanalysis.atomic import atomic_file, atomic_folder, check_target, explained
from aqreanalysis.exports.choice import check_gis, named_layers, texts_of
from aqreanalysis.exports.maps import NO_CLASS, Maps, computed_maps, with_bar
from aqreanalysis.product import ProductError

Per = Literal["bands", "hour", "day"]

SUFFIXES = (".tif", ".tiff")
#: Endings of statistics, overviews and masks that GIS writes beside a GeoTIFF.
_SIDECARS = (".aux.xml", ".ovr", ".msk")
#: Cells along the side of a tile, and of the smallest overview.
_TILE = 512
#: What GDAL keeps of a raster in memory.
_CACHE_MB = 64
#: Attributes of the product by the tags of TIFF that mean the same.
_TAGS = {
    "TIFFTAG_IMAGEDESCRIPTION": "title",
    "TIFFTAG_ARTIST": "creator_name",
    "TIFFTAG_COPYRIGHT": "license",
}
#: Attributes of a layer that mean something beside other layers alone.
_RELATIONS = ("grid_mapping", "coordinates", "ancillary_variables")


def write_geotiff(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    per: Per | None = None,
    variable: str | Sequence[str] | None = None,
    overwrite: bool = True,
    significant_digits: int | None = 3,
    progress: bool = True,
) -> Path:
    """Return the path of the cloud-optimised GeoTIFF, or of the folder of them, with the maps.

    Rows go from north to south and columns from west to east, with longitudes below 180 where the
    grid does not cross it. Missing values are NaN, in classes such as flags 255, and stated as
    nodata. The description of a band has the period in UTC, the layer and the unit.

    Parameters
    ----------
    product : Dataset
        On a grid, in degrees or projected.
    path : path
        A name in .tif, or a folder; the folder that it is in must exist.
    per : {"bands", "hour", "day"}, optional
        What is in one file: all hours as bands, which is the default of a name in .tif; one hour,
        which is the default of a folder; or the hours of a day of UTC as bands. An "hour" is a
        step of the product, whatever its length.
    variable : str or sequence of str, optional
        Layers; by default the product's only pollutant. A name in .tif has room for one.
    overwrite : bool
        Whether an earlier file, or folder that holds GeoTIFF alone, is replaced.
    significant_digits : int or None
        Of numbers, as of `aqreanalysis.product.write_netcdf`.
    progress : bool
        Show a progress bar, where there is a terminal.

    Raises
    ------
    ProductError
        If rasterio is not installed, the product is of stations, has an irregular grid or a
        layer of more dimensions than time and place, or the target cannot be written.

    Examples
    --------
    >>> import aqreanalysis as aqr, tempfile
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_geotiff(product, f"{folder}/maps", progress=False)
    ...     print(*sorted(file.name for file in written.iterdir()), sep=", ")
    pm25_20201101T0000Z.tif, pm25_20201101T0100Z.tif, pm25_20201101T0200Z.tif
    """
    check_gis("GeoTIFF")
    names = named_layers(product, variable)
    target = check_geotiff(path, per=per, layers=len(names), overwrite=overwrite)
    single = _is_file(path)
    maps = Maps.of(product, names, "GeoTIFF")
    files = [_File(target.name, names[0], slice(0, maps.steps_of(names[0])))]
    if not single:
        files = [file for name in names for file in _files(maps, name, per or "hour")]
    writing: AbstractContextManager[Path] = (
        atomic_file(target, error=ProductError) if single else atomic_folder(target)
    )
    with writing as partial:
        scratch = Path(tempfile.mkdtemp(dir=partial.parent))
        stacks = computed_maps(maps, target, scratch, digits=significant_digits, progress=progress)
        with explained(target, ProductError):
            for file in with_bar(files, target, "file", progress):
                place = partial if single else partial / file.name
                _write(place, maps, file, stacks[file.layer], scratch / "raster.tif")
            if single:
                _remove_sidecars(target)
    return Path(path)


def check_geotiff(
    path: str | os.PathLike[str], *, per: Per | None, layers: int = 1, overwrite: bool
) -> Path:
    """Return the real path of a GeoTIFF or a folder of them; refuse one that cannot be written.

    Raises
    ------
    ProductError
        If the name does not go with what is asked for, there is something else, or no folder.
    """
    target = Path(os.path.realpath(path))
    if per not in (None, "bands", "hour", "day"):
        raise ProductError(f"per must be 'bands', 'hour' or 'day'; found {per!r}")
    if _is_file(path):
        if per in ("hour", "day"):
            raise ProductError(
                f"per={per!r} makes a folder of files; name one that does not end in "
                f"{target.suffix}, as {target.with_suffix('').name}"
            )
        if layers > 1:
            raise ProductError(
                f"a GeoTIFF has room for the hours of one layer, and {layers} are asked for. Name "
                f"one, or a folder for all: {target.with_suffix('').name}"
            )
        check_target(target, overwrite=overwrite, error=ProductError)
        return target
    if per == "bands":
        raise ProductError(f"per='bands' makes one file; end its name in .tif: {target.name}.tif")
    if not target.is_dir():
        check_target(target, overwrite=overwrite, error=ProductError)
        if target.exists():
            raise ProductError(f"{target} is a file, which no folder replaces. Name another folder")
        return target
    endings = (*SUFFIXES, *(tif + ending for tif in SUFFIXES for ending in _SIDECARS))
    others = [
        each.name
        for each in target.iterdir()
        if not (each.is_file() and each.name.lower().endswith(endings))
    ]
    if others:
        raise ProductError(
            f"{target} exists and holds more than GeoTIFF, such as {others[0]}. Name another folder"
        )
    if not overwrite and any(target.iterdir()):
        raise ProductError(
            f"{target} exists, and overwrite is False. Name another folder, or allow overwriting."
        )
    return target


@dataclass(frozen=True)
class _File:
    """One GeoTIFF: its name, and its layer and steps."""

    name: str
    layer: str
    steps: slice


def _is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file of GeoTIFF, and not a folder."""
    return Path(path).suffix.lower() in SUFFIXES and not os.fspath(path).endswith(("/", os.sep))


def _remove_sidecars(target: Path) -> None:
    """Remove what GIS wrote beside an earlier file, which would be taken for the new one's."""
    for ending in _SIDECARS:
        if os.path.exists(f"{target}{ending}"):
            os.remove(f"{target}{ending}")


def _files(maps: Maps, layer: str, per: Per) -> list[_File]:
    """Return the files of a layer in a folder.

    Raises
    ------
    ProductError
        If there is no time, or days are asked for of what has one value a day or fewer.
    """
    periods = maps.periods_of(layer)
    if maps.periods is None:
        raise ProductError(
            f"per={per!r} needs a time, and the product has none; name a file in .tif"
        )
    if per == "day" and (maps.step_hours or 0) >= 24:
        raise ProductError(
            f"per='day' puts the hours of a day into one file, and this product has steps of "
            f"{maps.step_hours:g} h. Use per='hour', a file for each step, or 'bands'"
        )
    if periods is None:
        return [_File(f"{layer}.tif", layer, slice(0, 1))]
    begins = periods[:, 0]
    if per == "hour":
        stamps = [_clock(begin).replace(":", "").replace("-", "") for begin in begins]
        return [
            _File(f"{layer}_{stamp}.tif", layer, slice(step, step + 1))
            for step, stamp in enumerate(stamps)
        ]
    days = begins.astype("datetime64[D]")
    first = [*np.flatnonzero(days[1:] != days[:-1]) + 1]
    return [
        _File(f"{layer}_{str(days[start]).replace('-', '')}.tif", layer, slice(start, stop))
        for start, stop in zip([0, *first], [*first, days.size], strict=True)
    ]


def _write(path: Path, maps: Maps, file: _File, stack: np.ndarray, scratch: Path) -> None:
    """Write one GeoTIFF: maps and their overviews first, then all in the order that clouds need.

    Raises
    ------
    OSError
        If GDAL cannot write it, as on a full disk.
    """
    import rasterio

    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):  # which is else a share of all memory
            _write_maps(scratch, maps, file, stack)
            _rearrange(scratch, path, maps.shape, stack.dtype)
            _check_whole(path, file, stack)
    except rasterio._err.CPLE_BaseError as error:  # GDAL's own errors have no public name
        raise OSError(str(error)) from error


def _write_maps(path: Path, maps: Maps, file: _File, stack: np.ndarray) -> None:
    """Write maps uncompressed, and behind them their overviews."""
    import rasterio
    from rasterio.enums import Resampling

    west, north = maps.corner
    width, height = maps.cell
    rows, columns = maps.shape
    numbers = stack.dtype.kind == "f"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=columns,
        height=rows,
        count=file.steps.stop - file.steps.start,
        dtype=stack.dtype.name,
        crs=rasterio.CRS.from_wkt(maps.crs.to_wkt()),
        transform=rasterio.Affine(width, 0, west, 0, -height, north),
        nodata=np.nan if numbers else NO_CLASS,
        interleave="band",
        bigtiff="if_safer",
    ) as raster:
        _describe(raster, maps, file)
        for band, step in enumerate(range(file.steps.start, file.steps.stop), 1):
            raster.write(stack[step], band)
        factors = [2**n for n in range(1, 20) if max(rows, columns) > _TILE * 2 ** (n - 1)]
        if factors:
            raster.build_overviews(factors, Resampling.average if numbers else Resampling.mode)


def _rearrange(raw: Path, path: Path, shape: tuple[int, int], kind: np.dtype) -> None:
    """Write a raster anew as compressed tiles, overviews and what describes all before the maps."""
    from rasterio.shutil import copy

    tile = min(_TILE, 16 * math.ceil(max(shape) / 16))  # a multiple of 16
    copy(
        raw,
        path,
        driver="GTiff",
        copy_src_overviews=True,
        tiled=True,
        blockxsize=tile,
        blockysize=tile,
        interleave="band",  # an hour is read without the others
        compress="deflate",
        predictor=3 if kind.kind == "f" else 1,
        bigtiff="if_safer",
    )


def _check_whole(path: Path, file: _File, stack: np.ndarray) -> None:
    """Refuse a file that does not hold the maps: GDAL may close one on a full disk without a word.

    It is compared tile by tile, since the maps of a file may be more than fits into memory.

    Raises
    ------
    OSError
    """
    import rasterio

    numbers = stack.dtype.kind == "f"
    with rasterio.open(path) as raster:
        for band, step in enumerate(range(file.steps.start, file.steps.stop), 1):
            for _, window in raster.block_windows(band):
                expected = stack[step][window.toslices()]
                stored = raster.read(band, window=window)
                if not np.array_equal(stored, expected, equal_nan=numbers):
                    raise OSError("it does not hold what was written to it")


def _describe(raster: Any, maps: Maps, file: _File) -> None:
    """Give a raster and its bands their words, and classes their colours."""
    layer = maps.layers[file.layer]
    units = str(layer.attrs.get("units", ""))
    texts = texts_of(
        {
            name: value
            for name, value in maps.attributes.items()
            if not str(name).startswith("time_coverage_")  # true of the product, not of a part
        }
    )
    raster.update_tags(**texts, **{tag: texts[n] for tag, n in _TAGS.items() if n in texts})
    own = texts_of({n: value for n, value in layer.attrs.items() if n not in _RELATIONS})
    classes = maps.classes(file.layer)
    if classes is not None:
        own["flag_values"] = ", ".join(f"{value:g}" for value in classes.values)
        own["flag_meanings"] = ", ".join(classes.names)
    periods = maps.periods_of(file.layer)
    for band, step in enumerate(range(file.steps.start, file.steps.stop), 1):
        words = [file.layer, units] if units else [file.layer]
        times = {}
        if periods is not None:
            begin, end = map(_clock, periods[step])
            words.insert(0, f"{begin} to {end}")
            times = {"time_begin": begin, "time_end": end}
        raster.set_band_description(band, ", ".join(words))
        raster.set_band_unit(band, units)
        raster.update_tags(band, **own, **times)
    if classes is not None and raster.count == 1:  # more bands have no room for colours
        raster.write_colormap(1, dict(_colours(classes.values, classes.colours)))


def _colours(values: Sequence[float], colours: Sequence[str]) -> Iterator[tuple[int, tuple]]:
    """Yield the number and the colour, red, green, blue and opacity, of each class."""
    from matplotlib.colors import to_rgba

    for value, colour in zip(values, colours, strict=True):
        yield int(value), tuple(round(255 * part) for part in to_rgba(colour))


def _clock(instant: np.datetime64) -> str:
    """Return an instant as ISO 8601, to the minute."""
    return f"{np.datetime_as_string(instant, unit='m')}Z"
