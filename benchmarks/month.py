"""``python -m benchmarks month``: a country's month, neural, to NetCDF, and what it took."""

import resource
from pathlib import Path
from time import perf_counter, process_time

from aqreanalysis import Grid
from aqreanalysis.reanalysis import reanalyse
from benchmarks.invented import network_of, stations_of

#: Stations, and the grid: 400 x 600 cells.
STATIONS, REGION, CELL = 1500, (73.0, 133.0, 15.0, 55.0), 0.1


def write_month(path: Path, hours: int, memory: str | None) -> str:
    """Return what writing so many hours took: seconds, and the most memory that was in use."""
    observations = stations_of(STATIONS, hours, region=REGION)
    model = network_of(observations)
    wall, cpu = perf_counter(), process_time()
    product = reanalyse(observations, grid=Grid(REGION, CELL), method=model, memory=memory)
    product.aqnet.to_netcdf(path)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    values = product["pm25"].size
    return (
        f"{hours} h, {values:,} cell-hours: {wall:.0f} s, {cpu:.0f} s of CPU, "
        f"{values / cpu / 1e6:.2f} million a CPU second; peak {peak:.2f} GB; "
        f"{path.stat().st_size / 1e6:.0f} MB written"
    )
