"""The NetCDF file of a product: its dimensions, coordinates and layers, filled region by region."""

from collections.abc import Hashable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME, missing_class
from aqreanalysis.product.attributes import CF_VERSIONS, coordinates_attribute
from aqreanalysis.product.classes import are_classes, check_classes, class_type
from aqreanalysis.product.regions import Region, file_chunks
from aqreanalysis.product.rounding import digits_of, quantization_attributes, rounded
from aqreanalysis.product.variables import ProductError, check_concentrations, check_support

#: HDF5 needs room for one row of chunks, which regions may fill in several turns, and some more.
_CACHE_BYTES = 2**26
#: Level of deflate: 4 takes half as long again for files that are 5 % smaller.
COMPRESSION = 2
#: Name of the variable that describes the rounding (CF 1.12, section 8.4.2).
_QUANTIZATION = "quantization_info"


class ProductFile:
    """A NetCDF file that is being filled with a product; the path must not exist.

    The product has all its metadata. Coordinates are written at once, layers by `write`.
    """

    def __init__(
        self,
        path: Path,
        product: xr.Dataset,
        *,
        compress: bool,
        significant_digits: int | None,
        cf_version: str,
    ) -> None:
        import netCDF4
        from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

        self._lock = NETCDF4_PYTHON_LOCK  # the NetCDF library is not thread-safe
        self._product = product
        self._filters: dict[str, Any] = (
            {"compression": "zlib", "complevel": COMPRESSION, "shuffle": True} if compress else {}
        )
        self._digits = significant_digits
        self._cf_version = cf_version
        with self._lock:
            self._file = netCDF4.Dataset(path, "w", format="NETCDF4", clobber=False)

    def define(self) -> Self:
        """Return the file after writing everything but the layers' values."""
        # Computed first: they may come from a file that is read under the same lock.
        coordinates = {str(name): axis.compute() for name, axis in self._product.coords.items()}
        with self._lock:
            self._file.set_fill_off()
            self._file.setncatts(_characters(self._product.attrs))
            self._file.Conventions = f"CF-{self._cf_version}, ACDD-1.3"
            for dim, size in self._product.sizes.items():
                unlimited = dim == TIME and self._has_records
                self._file.createDimension(str(dim), None if unlimited else size)
            for name, coordinate in coordinates.items():
                self._write_coordinate(name, coordinate)
            for layer in self._product.data_vars:
                self._define_layer(str(layer))
            if self._states_quantization:
                rounding = self._file.createVariable(_QUANTIZATION, "i4", (), fill_value=False)
                rounding.algorithm = quantization_attributes(1)["quantization_algorithm"]
                rounding.implementation = f"aqreanalysis {version('aqreanalysis')}"
        return self

    @property
    def _has_records(self) -> bool:
        """Whether time comes first, so that NCO can join and average files along it."""
        layers = self._product.data_vars.values()
        return all(layer.dims[0] == TIME for layer in layers if TIME in layer.dims)

    @property
    def _states_quantization(self) -> bool:
        """Whether the rounding is described as CF does from 1.12 on."""
        return self._digits is not None and self._cf_version != CF_VERSIONS[0]

    def write(self, computed: xr.Dataset, region: Region) -> None:
        """Write the computed layers of one region, under the lock of xarray's readers."""
        for name, layer in computed.data_vars.items():
            if (flag := f"{name}_flag") in computed:
                flags = computed[flag].transpose(*layer.dims)
                check_support(layer.values, flags.values, str(name))
            values = self._encoded(layer)
            with self._lock:
                variable = self._file[str(name)]
                variable[tuple(region[dim] for dim in variable.dimensions) or ...] = values

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file.isopen():
                self._file.close()

    def _write_coordinate(self, name: str, coordinate: xr.DataArray) -> None:
        """Write one coordinate, with a fill value only where one is missing, as an altitude may."""
        attributes = dict(coordinate.attrs)
        values = coordinate.values
        dims = _names(coordinate)
        if values.dtype.kind == "M":
            units = self._product[TIME].encoding["units"]
            values = _since_epoch(values, units)
            if name != f"{TIME}_bnds":
                attributes |= {"units": units, "calendar": "standard"}
        elif values.dtype.kind in "OUS":
            self._write_texts(name, coordinate)
            return
        kind = _number_type(name, values.dtype)
        missing = np.isnan(values)
        fill = _fill(kind) if missing.any() else False
        # Along an unlimited dimension, the library would make a chunk of each step.
        records = TIME in dims and self._has_records
        whole = [max(size, 1) for size in values.shape] if records else None
        variable = self._file.createVariable(name, kind, dims, fill_value=fill, chunksizes=whole)
        variable.set_auto_maskandscale(False)
        variable.setncatts(_characters(attributes))
        variable[...] = np.where(missing, fill, values).astype(kind)

    def _write_texts(self, name: str, coordinate: xr.DataArray) -> None:
        """Write texts as characters, since some clients do not read netCDF strings."""
        encoded = np.char.encode(coordinate.values.astype(str), "utf-8")
        width = max(1, encoded.dtype.itemsize)
        self._file.createDimension(f"{name}_length", width)
        dims = (*_names(coordinate), f"{name}_length")
        variable = self._file.createVariable(name, "S1", dims, fill_value=False)
        variable.setncatts(_characters({**coordinate.attrs, "_Encoding": "utf-8"}))
        variable.set_auto_chartostring(False)
        padded = encoded.astype(f"S{width}")
        variable[...] = padded.view("S1").reshape(*coordinate.shape, width)

    def _define_layer(self, name: str) -> None:
        """Define one layer: its type, chunks, filters and attributes."""
        layer = self._product[name]
        kind = self._dtype(name, layer)
        options: dict[str, Any] = {"fill_value": False}
        if kind.kind == "f":
            options["fill_value"] = _fill(kind)
        elif are_classes(layer.attrs):
            options["fill_value"] = kind.type(missing_class(kind))
        if layer.dims:
            chunks = file_chunks({str(dim): layer.sizes[dim] for dim in layer.dims})
            options |= {"chunksizes": list(chunks.values()), **self._filters}
        variable = self._file.createVariable(name, kind, _names(layer), **options)
        variable.set_auto_maskandscale(False)
        if layer.dims:
            variable.set_var_chunk_cache(size=_CACHE_BYTES, nelems=10007, preemption=1.0)
        auxiliary = coordinates_attribute(self._product, name)
        extra = {"coordinates": auxiliary} if auxiliary else {}
        variable.setncatts(_characters(dict(layer.attrs) | extra))
        if kind.kind == "f" and (digits := digits_of(self._product, name, self._digits)):
            stated = {"quantization_nsd": np.int32(digits)}  # int would become int64
            words = quantization_attributes(digits)
            if self._states_quantization:
                words = {"quantization": _QUANTIZATION}
            variable.setncatts(words | stated)

    def _encoded(self, layer: xr.DataArray) -> np.ndarray:
        """Return values as the file holds them: flags checked, rounded, missing ones filled."""
        values, name = layer.values, str(layer.name)
        described = self._product[name]
        digits, kind = digits_of(self._product, name, self._digits), self._dtype(name, described)
        if are_classes(described.attrs):
            check_classes(values, name, described.attrs)
        check_concentrations(values, name, described.attrs)
        if kind.kind == "f":
            values = values.astype(kind) if digits is None else rounded(values, digits)
            values[np.isnan(values)] = _fill(kind)
        return values.astype(kind, copy=False)

    def _dtype(self, name: str, layer: xr.DataArray) -> np.dtype:
        """Return the type in the file: that of its classes, float32 for rounded values."""
        if are_classes(layer.attrs):
            return class_type(layer.attrs)
        if layer.dtype.kind == "f" and digits_of(self._product, name, self._digits) is not None:
            return np.dtype(np.float32)
        return _number_type(name, layer.dtype)


def _characters(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return attributes of types that all formats of NetCDF and all clients know.

    Texts beyond ASCII become characters, of which the library would make netCDF strings, and whole
    numbers of 64 bits become numbers of 32 where they fit.
    """
    return {str(name): _of_all_formats(value) for name, value in attributes.items()}


def _of_all_formats(value: Any) -> Any:
    """Return the value of an attribute in a type that the classic formats have."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode()
    numbers = np.asarray(value)
    small = numbers.dtype.kind == "i" and np.array_equal(numbers, numbers.astype(np.int32))
    return numbers.astype(np.int32) if small and numbers.dtype.itemsize > 4 else value


def _names(values: xr.DataArray) -> tuple[str, ...]:
    """Return the names of the dimensions."""
    return tuple(map(str, values.dims))


def _number_type(name: str, kind: np.dtype) -> np.dtype:
    """Return the type of a number in the file; refuse other types."""
    if kind.kind == "b":
        return np.dtype(np.int8)
    if kind.kind in "iuf":
        return kind
    raise ProductError(
        f"a product holds numbers, and texts for stations; {name!r} is {kind}. "
        f"Drop it: product.drop_vars({name!r})."
    )


def _fill(kind: np.dtype) -> np.floating:
    """Return the netCDF default fill value of a type."""
    import netCDF4

    return kind.type(netCDF4.default_fillvals[kind.str[1:]])


def _since_epoch(instants: np.ndarray, units: str) -> np.ndarray:
    """Return instants as float64 hours or minutes since 1970."""
    unit = np.timedelta64(1, "h" if units.startswith("hours") else "m")
    return (instants - np.datetime64("1970-01-01", "ns")) / unit
