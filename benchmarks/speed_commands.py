"""The commands that measure speed and size: speed, profile, growth, film, month, exports."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import archive, exporting, film, growth, month, speed
from benchmarks.measuring import measure
from benchmarks.profiling import profile
from benchmarks.protocols import PROTOCOLS
from benchmarks.sources import data_folder


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    table = commands.add_parser("speed", help="cell-hours a second, beside other packages")
    table.add_argument("--hours", type=int, default=speed.HOURS, help="default: %(default)s")
    table.add_argument("--training", action="store_true", help="also train on p3, some minutes")
    table.add_argument("--data", type=Path, help="folder of data, for reading and training")
    table.set_defaults(run=_speed)
    profiled = commands.add_parser("profile", help="where the time of the neural method goes")
    profiled.add_argument("--hours", type=int, default=speed.HOURS, help="default: %(default)s")
    profiled.add_argument("--covariance", action="store_true", help="without the network")
    profiled.set_defaults(
        run=lambda options: print(profile(options.hours, heads=not options.covariance))
    )
    grown = commands.add_parser("growth", help="time by stations, cells and hours")
    grown.add_argument("picture", type=Path, help="PNG to write")
    grown.set_defaults(run=_growth)
    animation = commands.add_parser("film", help="48 hours of 100 x 230 cells as an animation")
    animation.add_argument("output", type=Path, help="MP4 or GIF to write")
    animation.add_argument("--hours", type=int, default=film.HOURS, help="default: %(default)s")
    animation.set_defaults(run=_film)
    country = commands.add_parser("month", help="400 x 600 cells from 1500 stations to NetCDF")
    country.add_argument("output", type=Path, help="NetCDF to write")
    country.add_argument("--hours", type=int, default=744, help="default: %(default)s")
    country.add_argument("--memory", help="as of aqreanalysis reanalyse")
    country.set_defaults(
        run=lambda options: print(month.write_month(options.output, options.hours, options.memory))
    )
    exported = commands.add_parser("exports", help="a week of the United States to every format")
    exported.add_argument("folder", type=Path, help="where files are written")
    exported.add_argument("--data", type=Path, help="folder of data")
    exported.set_defaults(run=_exports)
    years = commands.add_parser("archive", help="years of monthly files to Zarr, beside a parser")
    years.add_argument("folder", type=Path, help="where files are made, once, and the store")
    years.add_argument("--years", type=int, nargs="+", default=[10], help="default: %(default)s")
    years.add_argument("--stations", type=int, default=1500, help="default: %(default)s")
    years.add_argument("--suffix", nargs="+", default=list(archive.PEERS), choices=archive.PEERS)
    years.add_argument("--alone", action="store_true", help="without the parser of others")
    years.set_defaults(run=_archive)


def _archive(options: argparse.Namespace) -> None:
    """Print the table as its rows come."""
    print(archive.HEAD, flush=True)
    for suffix in options.suffix:
        for number in options.years:
            case = options.folder, number, options.stations, suffix
            for line in archive.lines(*case, peer=not options.alone):
                print(line, flush=True)


def _speed(options: argparse.Namespace) -> None:
    """Print one table of all that is measured in this run."""
    results = [*speed.peers(options.hours), *speed.ours(options.hours)]
    print(speed.table(results))
    if options.data:
        read = speed.reading(data_folder(options.data))
        print(f"\n{read.name}: {read.wall_seconds:.1f} s, {read.cpu_seconds:.1f} s of CPU")
    if options.training:
        (split,) = PROTOCOLS["p3"].splits(data_folder(options.data))
        for method, seed in (("kriging", None), ("neural", 0)):
            (measured,) = measure(PROTOCOLS["p3"], split, method, seed)
            scores = measured.scores
            print(
                f"{method} on p3: fit in {measured.fit_seconds:.0f} s, "
                f"RMSE {scores.rmse:.2f}, MAE {scores.mae:.2f} at hidden stations"
            )


def _exports(options: argparse.Namespace) -> None:
    """Print the table as its rows come."""
    for line in exporting.written(options.folder, data_folder(options.data)):
        print(line, flush=True)


def _film(options: argparse.Namespace) -> None:
    """Print how long an animation took."""
    result = film.animated(options.output, options.hours)
    print(f"{result.name}: {result.wall_seconds:.1f} s, {result.cpu_seconds:.1f} s of CPU")


def _growth(options: argparse.Namespace) -> None:
    """Print the times as they come, and draw them."""
    results = []
    for result in growth.measured():
        results.append(result)
        print(*result, flush=True)
    print(growth.table(results))
    print(growth.picture(results, options.picture))
