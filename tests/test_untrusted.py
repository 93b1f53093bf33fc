"""Binary files that hang, declare too much or lead elsewhere are refused before they are read."""

import os
import signal
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import open_netcdf
from aqreanalysis.observations import ObservationError, open_observations
from aqreanalysis.product import ProductError, open_product
from aqreanalysis.untrusted import UnreadableError, inspect, inspection


@pytest.fixture
def series(tmp_path):
    """Return the path of a file of two stations and three hours."""
    path = tmp_path / "series.nc"
    hours = np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"], "datetime64[ns]")
    data = xr.Dataset(
        {"pm25": (("station", "time"), np.arange(6.0).reshape(2, 3), {"units": "ug m-3"})},
        coords={
            "station": ["A", "B"],
            "time": hours,
            "longitude": ("station", [10.0, 11.0]),
            "latitude": ("station", [50.0, 51.0]),
        },
    )
    data.to_netcdf(path)
    return path


@pytest.fixture
def pipe(tmp_path):
    """Return what no reading of comes to an end, as a damaged file may."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")


def _refused(path, words):
    for opener, error in ((open_observations, ObservationError), (open_product, ProductError)):
        with pytest.raises(error, match=words):
            opener(path)
    with pytest.raises(ForeignError, match=words):
        open_netcdf(path)


@posix
def test_a_file_that_hangs_is_given_up_and_the_next_one_read(pipe, series, monkeypatch):
    inspect([series], "series")
    monkeypatch.setattr(inspection, "SECONDS", 0.05)
    with pytest.raises(UnreadableError, match=r"longer than 0 s: the file is damaged; fetch it"):
        inspect([pipe], "series")
    monkeypatch.undo()
    assert open_observations(series).sizes["time"] == 3


@posix
def test_a_file_that_takes_too_much_memory_is_given_up(pipe, series, monkeypatch):
    inspect([series], "series")
    monkeypatch.setattr(inspection, "MEMORY", 2**20)
    with pytest.raises(UnreadableError, match="more than 1 MB of memory"):
        inspect([pipe], "series")


@posix
def test_an_interruption_is_heard_at_once(pipe, series):
    inspect([series], "series")
    busy = inspection._inspector.process
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            inspect([pipe], "series")
        assert time.monotonic() - start < 5
    finally:
        signal.signal(signal.SIGALRM, before)
    assert busy.poll() is not None


def test_a_library_that_crashes_is_a_damaged_file(series, tmp_path, monkeypatch):
    inspect([series], "series")
    inspection._inspector.process.kill()  # as a machine without memory does
    assert open_observations(series).sizes["time"] == 3
    crashing = tmp_path / "crashing.py"
    crashing.write_text("import os\nprint('{}', flush=True)\ninput()\nos.abort()\n")
    inspection._inspector.close()
    monkeypatch.setattr(inspection.worker, "__file__", str(crashing))
    with pytest.raises(UnreadableError, match="the library that reads it fails"):
        inspect([series], "series")


def test_files_are_looked_through_here_where_no_process_can_be(series, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/usr/bin/qgis")
    monkeypatch.setattr(inspection, "_inspector", None)
    assert open_observations(series).sizes["time"] == 3
    assert "'/usr/bin/qgis' is no Python" in caplog.text
    with h5py.File(series, "a") as file:
        file["more"] = h5py.ExternalLink("other.nc", "pm25")
    _refused(series, "/more is a link to another file")


def test_links_to_other_files_are_refused(series):
    with h5py.File(series, "a") as file:
        del file["pm25"]
        file["pm25"] = h5py.ExternalLink(str(series), "pm25")
    _refused(series, r"/pm25 is a link to another file, which is not followed. Copy")


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_values_in_other_files_are_refused(series, tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(48)))
    with h5py.File(series, "a") as file:
        del file["pm25"]
        if kind == "external":
            file.create_dataset("pm25", (2, 3), "f8", external=[(str(secret), 0, 48)])
        else:
            layout = h5py.VirtualLayout((2, 3), "f8")
            layout[...] = h5py.VirtualSource(str(secret), "pm25", (2, 3))
            file.create_virtual_dataset("pm25", layout)
    _refused(series, "the values of /pm25 lie in another file, which is not read")


def test_the_values_of_grin_lie_in_the_file_itself(tmp_path):
    path = tmp_path / "small36.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "pm25/block0_values", (8, 3), "f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        )
    with pytest.raises(ObservationError, match="block0_values lie in another file"):
        open_observations(path)


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [(), ("time",)])
def test_a_classic_file_that_is_cut_off_holds_no_zeros(series, tmp_path, format, unlimited):
    import netCDF4

    path = tmp_path / "classic.nc"
    with netCDF4.Dataset(path, "w", format=format) as file:
        file.createDimension("time", None if unlimited else 3)
        file.createDimension("station", 2)
        for name, dimensions, values, units in (
            ("longitude", ("station",), [10.0, 11.0], "degrees_east"),
            ("latitude", ("station",), [50.0, 51.0], "degrees_north"),
            ("time", ("time",), [0, 1, 2], "hours since 2020-01-01"),
            ("pm25", ("time", "station"), [[5.0, 6.0]] * 3, "ug m-3"),
        ):
            variable = file.createVariable(name, "i2" if name == "time" else "f8", dimensions)
            variable.units = units
            variable[:] = values
    assert open_observations(path).pm25.values.tolist() == [[5.0] * 3, [6.0] * 3]
    path.write_bytes(path.read_bytes()[:-5])
    _refused(path, "it is cut off; fetch it anew")


def test_what_is_declared_and_not_stored_is_refused(series):
    with h5py.File(series, "a") as file:
        file.create_dataset("more", (10**5, 10**5), "f8", chunks=(8, 8))
    with pytest.raises(ObservationError, match=r"more is said to hold 80000 MB in a file of"):
        open_observations(series)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("units", np.arange(3), "'units' of pm25 must be text"),
        ("standard_name", 1.5, "'standard_name' of pm25 must be text"),
        ("scale_factor", 0.0, "'scale_factor' of pm25 must be a number"),
        ("scale_factor", "two", "'scale_factor' of pm25 must be a number"),
        ("_FillValue", [1.0, 2.0], "."),
    ],
)
def test_attributes_of_another_type_are_named(series, key, value, words):
    with h5py.File(series, "a") as file:
        file["pm25"].attrs[key] = value
    _refused(series, words)


@pytest.mark.parametrize("number", [1e300, 1e38, 9.96921e36, -1e20, np.inf])
def test_a_number_that_no_air_can_hold_is_refused(series, number):
    with h5py.File(series, "a") as file:
        file["pm25"][1, 2] = number
    with pytest.raises(ObservationError, match=r"pm25 is .* at station B, 2020-01-01T02:00 UTC"):
        open_observations(series)


def test_stamps_far_apart_do_not_fill_the_memory_of_many_stations(series):
    with xr.open_dataset(series) as opened:
        data = opened.load().isel(station=np.zeros(2000, int), time=[0, 1, 2])
    data = data.assign_coords(station=np.arange(2000).astype(str))
    data["time"] = pd.to_datetime(["1900-01-01T00:00", "2020-01-01T00:00", "2020-01-01T00:01"])
    with pytest.raises(ObservationError, match="too long for 2000 stations with 3 rows"):
        open_observations(data)


@pytest.mark.parametrize("content", [b"<OGRVRTDataSource/>", b"GIF89a", b"\0" * 4096])
def test_another_format_is_no_netcdf(tmp_path, content):
    path = tmp_path / "a.nc"
    path.write_bytes(content)
    _refused(path, "does not begin as NetCDF does")
