"""Stations as points, zones as polygons: a row for each and step, or for each method of scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION, STATION_TYPES, TIME, ZONE
from aqreanalysis.exports.choice import (
    check_classes,
    check_room,
    check_sizes,
    fitting_layers,
    named_layers,
)
from aqreanalysis.exports.tables import Extent
from aqreanalysis.maps.layers import classes_of
from aqreanalysis.product import ProductError
from aqreanalysis.product.regions import progress_bar, region_values, regions, value_count
from aqreanalysis.product.times import is_set, restore_periods
from aqreanalysis.product.zones import GEOMETRY, ZONE_ID

if TYPE_CHECKING:
    import geopandas

#: Of scores: methods are rows, thresholds of events are columns.
_METHOD, _EVENT = "estimator", "event"
_PLACE = ("longitude", "latitude")
#: What a station is called and where it is, in the order of columns.
_STATION_COLUMNS = ("name", "altitude", *STATION_TYPES)
#: Columns that are no layers; fid and geom are of GeoPackage.
_OWN_COLUMNS = (
    STATION,
    ZONE,
    "time_begin",
    "time_end",
    _METHOD,
    "variable",
    "period_begin",
    "period_end",
    "geometry",
    "geom",
    "fid",
)
#: The largest class of a small column, and of any.
_INT16, _LAST_CLASS = 2**15 - 1, 2**31 - 1


class StationTable:
    """Layers at stations, which become points block by block; lazy ones stay lazy.

    Parameters
    ----------
    dataset : Dataset
        A product, observations, or scores by station.
    variable : str or sequence of str, optional
        Layers; by default all for which there is room.
    format : str
        For messages.

    Raises
    ------
    ProductError
        If positions are missing, or a layer has dimensions for which there is no room.
    """

    geometry = "Point"
    #: The dimension of what has a geometry.
    place = STATION

    def __init__(
        self, dataset: xr.Dataset, variable: str | Sequence[str] | None, format: str
    ) -> None:
        self._check_place(dataset)
        check_sizes(dataset)
        timed = TIME in dataset.variables and not is_set(dataset)
        self._dataset = restore_periods(dataset) if timed else dataset
        further = TIME if timed else _METHOD
        room = {self.place, further, _EVENT} if further == _METHOD else {self.place, further}
        if variable is None:
            names = fitting_layers(self._dataset, room, format)
        else:
            names = named_layers(self._dataset, variable)
            check_room(self._dataset, names, room, format)
        _check_columns(names)
        for name in names:
            check_classes(name, classes_of(self._dataset[name]), _LAST_CLASS, "tables")
        self._rows = [dim for dim in (self.place, further) if dim in self._dataset.dims]
        self.layers = _bare(self._dataset[names])
        self._shapes = self._geometries()

    def _check_place(self, dataset: xr.Dataset) -> None:
        """Refuse stations without a place."""
        missing = [name for name in _PLACE if name not in dataset.variables]
        if missing:
            raise ProductError(
                f"stations need a place; found no {' and no '.join(missing)}. Add them as "
                "coordinates on 'station'"
            )

    def _geometries(self) -> np.ndarray:
        """Return the points of the stations; refuse those of which the place is unknown."""
        import shapely

        longitude, latitude = (self._dataset[name].values.astype(np.float64) for name in _PLACE)
        lost = np.flatnonzero(~np.isfinite(longitude + latitude))
        if lost.size:
            first = self._dataset[STATION].values[lost[0]]
            raise ProductError(
                f"{lost.size} of {longitude.size} stations have no place, such as {first!s}: "
                "give longitude and latitude, or leave them out with product.isel(station=...)"
            )
        points: np.ndarray = shapely.points(
            np.where(longitude > 180, longitude - 360, longitude), latitude
        )
        return points

    @property
    def extent(self) -> Extent:
        """West, south, east and north of all."""
        import shapely

        west, south, east, north = shapely.total_bounds(self._shapes)
        return west, south, east, north

    def blocks(
        self, target: Path, scratch: Path, *, progress: bool
    ) -> Iterator["geopandas.GeoDataFrame"]:
        """Yield the rows in blocks of a region each, for which no scratch folder is needed."""
        import geopandas

        for columns, rows in self._parts(f"writing {target.name}", progress):
            geometry = self._spread(self._shapes[rows[self.place]], self.place, rows)
            yield geopandas.GeoDataFrame(columns, geometry=geometry, crs="EPSG:4326")

    def frames(self, words: str, *, progress: bool) -> Iterator[pd.DataFrame]:
        """Yield the rows in blocks without geometries."""
        for columns, _ in self._parts(words, progress):
            yield pd.DataFrame(columns)

    def _parts(
        self, words: str, progress: bool
    ) -> Iterator[tuple[dict[str, Any], dict[str, slice]]]:
        """Yield the columns of a region each, and which rows they are."""
        cuts = regions(self.layers.isel({_EVENT: 0}, missing_dims="ignore"))  # by rows alone
        with progress_bar(cuts, words, progress) as bar:
            for cut in cuts:
                rows = {dim: cut.get(dim, slice(0, self._dataset.sizes[dim])) for dim in self._rows}
                computed = region_values(self.layers, cut)
                # Of layers without time, values for these rows as well.
                rest = [name for name in self.layers if name not in computed]
                computed = computed.assign(self.layers[rest].isel(cut, missing_dims="ignore"))
                yield self._columns(computed[list(self.layers)], rows), rows
                bar.update(value_count(cut))

    def _columns(self, computed: xr.Dataset, rows: dict[str, slice]) -> dict[str, Any]:
        """Return the columns of a block."""
        columns = {
            name: self._spread(values[rows[self.place]], self.place, rows)
            for name, values in self._of_places().items()
        }
        if TIME in rows:
            bounds = self._dataset[f"{TIME}_bnds"].values[rows[TIME]]
            for name, edge in zip(("time_begin", "time_end"), bounds.T, strict=True):
                columns[name] = self._spread(_stamps(edge), TIME, rows)
        else:
            columns |= self._of_scores(rows)
        for layer, series in computed.items():
            columns |= self._values(str(layer), series, rows)
        return columns

    def _of_places(self) -> dict[str, np.ndarray]:
        """Return what is said of the places, each along their dimension."""
        names = self._dataset.get("station_id", self._dataset[STATION])
        stated = [name for name in _STATION_COLUMNS if name in self._dataset.coords]
        return {
            STATION: names.values.astype(str),
            **{name: self._dataset[name].values for name in stated},
        }

    def _of_scores(self, rows: dict[str, slice]) -> dict[str, Any]:
        """Return what scores are of: the method, the pollutant and the period."""
        columns: dict[str, Any] = {}
        if _METHOD in rows:
            methods = self._dataset[_METHOD].values[rows[_METHOD]].astype(str)
            columns[_METHOD] = self._spread(methods, _METHOD, rows)
        size = int(np.prod([cut.stop - cut.start for cut in rows.values()]))
        attributes = self._dataset.attrs
        if "variable" in attributes:
            columns["variable"] = np.full(size, str(attributes["variable"]))
        if len(period := attributes.get("period", ())) == 2:
            for name, instant in zip(("period_begin", "period_end"), period, strict=True):
                stamp = _stamps(np.array([np.datetime64(instant)]))
                columns[name] = stamp.repeat(size)
        if "distance_km" in self._dataset.coords:
            values = self._dataset["distance_km"].values[rows[STATION]]
            columns["distance_km"] = self._spread(values, STATION, rows)
        return columns

    def _values(self, name: str, layer: xr.DataArray, rows: dict[str, slice]) -> dict[str, Any]:
        """Return the column of a layer, with one beside it for the meaning of classes.

        Of a layer with events there is a column for each.
        """
        if _EVENT in layer.dims:
            events = self._dataset[_EVENT].values
            return {
                f"{name}_{event:g}": self._filled(layer.isel({_EVENT: at}), rows)
                for at, event in enumerate(events)
            }
        values = self._filled(layer, rows)
        classes = classes_of(self.layers[name])
        if classes is None:
            return {name: values}
        numbers = pd.Series(values).where(np.isin(values, classes.values))  # others are missing
        meanings = dict(zip(classes.values, classes.names, strict=True))
        return {
            name: numbers.astype("Int16" if max(classes.values) <= _INT16 else "Int32"),
            f"{name}_meaning": numbers.map(meanings).astype("string"),
        }

    def _filled(self, layer: xr.DataArray, rows: dict[str, slice]) -> np.ndarray:
        """Return a layer's value in each row."""
        sizes = {dim: cut.stop - cut.start for dim, cut in rows.items()}
        template = xr.DataArray(np.empty(list(sizes.values()), bool), dims=list(sizes))
        return layer.broadcast_like(template).transpose(*sizes).values.ravel()

    def _spread(self, values: Any, dim: str, rows: dict[str, slice]) -> Any:
        """Return values along one dimension in each row."""
        count = {name: cut.stop - cut.start for name, cut in rows.items()}
        number = np.arange(count[dim])
        index = np.broadcast_to(
            number if dim == list(rows)[-1] else number[:, None], list(count.values())
        )
        return values[index.ravel()]


class ZoneRows(StationTable):
    """Layers of zones as rows without polygons; parameters and errors are of `StationTable`.

    Examples
    --------
    >>> zones = xr.Dataset({"pm25": ("zone", [4.0])}, coords={"zone": ["A"], "code": ("zone", [7])})
    >>> [frame.values.tolist() for frame in ZoneRows(zones, None, "CSV").frames("", progress=False)]
    [[['A', 7, 4.0]]]
    """

    place = ZONE

    def _check_place(self, dataset: xr.Dataset) -> None:
        """Take zones without polygons."""

    def _geometries(self) -> np.ndarray:
        """Return nothing in place of each polygon."""
        return np.full(self._dataset.sizes[ZONE], None)

    def _of_places(self) -> dict[str, np.ndarray]:
        """Return the name of each zone, and the columns of its polygon."""
        own = {ZONE, ZONE_ID, GEOMETRY}
        columns = {
            str(name): values.values
            for name, values in self._dataset.coords.items()
            if values.dims == (ZONE,) and name not in own
        }
        return {ZONE: self._dataset[ZONE].values.astype(str), **columns}


class ZoneTable(ZoneRows):
    """Layers of zones, which become polygons block by block; lazy ones stay lazy.

    Parameters and errors are of `StationTable`; polygons that are missing are refused.
    """

    geometry = "MultiPolygon"

    def _check_place(self, dataset: xr.Dataset) -> None:
        """Refuse zones without polygons."""
        if GEOMETRY not in dataset.coords:
            raise ProductError(
                "these zones have lost their polygons, product.geometry: take them anew with "
                "product.aqnet.zones, or write a table (.csv)"
            )

    def _geometries(self) -> np.ndarray:
        """Return the polygons of the zones, in degrees."""
        import shapely

        shapes = np.empty(self._dataset.sizes[ZONE], object)
        shapes[:] = [
            shapely.MultiPolygon(list(shapely.get_parts(shape)))
            for shape in self._dataset[GEOMETRY].values
        ]
        return shapes


def _check_columns(names: Sequence[str]) -> None:
    """Refuse layers of the name of another column, whatever its case: one would be lost."""
    seen = set(_OWN_COLUMNS)
    for name in names:
        if name.lower() in seen:
            raise ProductError(
                f"the table has a column {name.lower()!r} already; give the layer another name: "
                f"product.rename({{{name!r}: ...}})"
            )
        seen.add(name.lower())


def _bare(layers: xr.Dataset) -> xr.Dataset:
    """Return layers without coordinates, which regions need not compute."""
    return layers.drop_vars(list(layers.coords))


def _stamps(instants: np.ndarray) -> pd.DatetimeIndex:
    """Return instants in UTC, with their zone."""
    return pd.DatetimeIndex(instants.astype("datetime64[ms]")).tz_localize("UTC")
