"""The command line: ``python -m benchmarks hidden p3 p6 --methods idw,kriging``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aqreanalysis.datasets import DatasetError
from aqreanalysis.predictive import check_statistic
from benchmarks import (
    derived,
    districts,
    intervals,
    measuring,
    quality,
    record,
    sensors,
    silence,
    small,
    source_document,
    speed_commands,
    starts,
    tables,
)
from benchmarks.faults import add_faults
from benchmarks.filling import coverage_table, filling_table
from benchmarks.fuzz import add_fuzz
from benchmarks.measuring import Measured
from benchmarks.outlook_command import add_outlook
from benchmarks.picture import draw
from benchmarks.progress import Reporter, reporting
from benchmarks.protocols import PROTOCOLS, Protocol, Split
from benchmarks.published import NOTES
from benchmarks.soak import add_soak
from benchmarks.sources import MissingDataError, data_folder
from benchmarks.summary import summed_up

#: Where the records are.
HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, or 2 after an error, which is reported in one line."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (MissingDataError, DatasetError, ValueError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    known = "\n".join(f"  {p.key}  {p.title}" for p in PROTOCOLS.values())
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    hidden = commands.add_parser(
        "hidden",
        help="scores at stations hidden from every method",
        description=f"Scores at hidden stations, beside published figures.\n\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hidden.add_argument(
        "protocols", nargs="*", type=_protocol, metavar="protocol",
        help="default: all of them, which takes about an hour",
    )  # fmt: skip
    hidden.add_argument(
        "--methods", type=_words, default=list(measuring.DEFAULT_METHODS),
        help=f"by comma, of {', '.join(measuring.DEFAULT_METHODS)}, which are the default, and "
        f"{measuring.COVARIANCE}, which is neural without its network, {measuring.NETWORK}, of "
        "which the network is trained even without covariates, and "
        f"{', '.join(measuring.VARIANTS.keys() - {measuring.NETWORK})}, which leave a part of that "
        "out",
    )  # fmt: skip
    hidden.add_argument("--folds", type=_numbers, help="splits by number from 0 (default: all)")
    hidden.add_argument("--seeds", type=_numbers, default=[0], help="of neural (default: 0)")
    hidden.add_argument(
        "--by", type=_words, default=[], help="also errors by distance, level or both"
    )
    hidden.add_argument(
        "--statistic", type=_words, default=["median"],
        help="what the estimates are: median (default), mean, or both by comma, of one fit",
    )  # fmt: skip
    hidden.add_argument("--csv", type=Path, help="file to which the record is added")
    hidden.add_argument(
        "--stations", type=Path,
        help="file to which the scores at each station are added; intervals are made of them",
    )  # fmt: skip
    hidden.add_argument("--data", type=Path, help="folder of data (default: AQREANALYSIS_DATA_DIR)")
    hidden.set_defaults(run=_hidden)
    filling = commands.add_parser("filling", help="errors of filled gaps on the Beijing-36 mask")
    filling.add_argument("--data", type=Path, help="folder of data, as above")
    filling.add_argument(
        "--coverage", action="store_true", help="instead, what the intervals of fill hold, by gap"
    )
    filling.set_defaults(
        run=lambda options: print(
            (coverage_table if options.coverage else filling_table)(data_folder(options.data))
        )
    )
    _add_table(commands, "derived", derived, help="intervals of daily and monthly means")
    zones = commands.add_parser(
        "districts", help="intervals of means over districts, and draws beside the known truth"
    )
    zones.add_argument("--networks", type=int, default=20, help="default: %(default)s")
    zones.add_argument("--method", choices=districts.METHODS, default=districts.METHODS[0])
    zones.add_argument(
        "--urban-share", type=float, default=districts.URBAN_SHARES[0],
        help="of the stations in towns (default: %(default)s, anywhere)",
    )  # fmt: skip
    zones.add_argument("--picture", type=Path, help="folder for a map of four draws instead")
    zones.set_defaults(run=_districts)
    silent = commands.add_parser("silence", help="errors while a whole network is silent (p3)")
    silent.add_argument("--data", type=Path, help="folder of data, as above")
    silent.set_defaults(run=lambda options: print(silence.table(data_folder(options.data))))
    _add_table(commands, "small", small, help="networks of 8 stations and 72 steps")
    _add_table(commands, "sensors", sensors, help="types of sensors: bias detected and taken off")
    _add_table(commands, "intervals", intervals, help="how often intervals hold at hidden stations")
    starting = commands.add_parser(
        "starts", help="scores and stated errors of fits from random starts (p3)"
    )
    starting.add_argument("--data", type=Path, help="folder of data, as above")
    starting.add_argument("--starts", type=int, default=10, help="fits (default: %(default)s)")
    starting.add_argument("--hours", type=int, help="last hours to learn from (default: all)")
    starting.set_defaults(
        run=lambda options: print(
            starts.table(data_folder(options.data), starts=options.starts, hours=options.hours)
        )
    )
    control = commands.add_parser(
        "quality", help="hidden stations with and without quality control, and planted faults"
    )
    control.add_argument("--data", type=Path, help="folder of data, as above")
    control.set_defaults(run=lambda options: print(quality.table(data_folder(options.data))))
    summary = commands.add_parser("summary", help="the README's tables, of records; runs nothing")
    summary.add_argument("--csv", type=Path, default=HERE / "scores.csv", help="record of scores")
    summary.add_argument(
        "--stations", type=Path, default=HERE / "stations.csv", help="record of stations"
    )
    summary.set_defaults(run=lambda options: print(summed_up(options.csv, options.stations)))
    add_outlook(commands)
    add_fuzz(commands)
    add_faults(commands)
    add_soak(commands)
    picture = commands.add_parser(
        "picture", help="an hour by two methods; mountains with what places are"
    )
    picture.add_argument("folder", type=Path, help="where the PNGs are written")
    picture.add_argument("--data", type=Path, help="folder of data, as above")
    picture.set_defaults(
        run=lambda options: print(*draw(data_folder(options.data), options.folder), sep="\n")
    )
    source = commands.add_parser(
        "source-document", help="the pictures of the source document on the public part of its data"
    )
    source.add_argument("folder", type=Path, help="where the pictures are written")
    source.add_argument("--data", type=Path, help="folder of data, as above")
    source.set_defaults(
        run=lambda options: print(
            *source_document.draw(data_folder(options.data), options.folder), sep="\n"
        )
    )
    speed_commands.add_to(commands)
    return parser


def _districts(options: argparse.Namespace) -> None:
    """Print the table of means over districts, or draw a picture of draws."""
    if options.picture:
        print(districts.draw(options.picture))
        return
    print(districts.table(options.networks, method=options.method, urban_share=options.urban_share))


def _add_table(commands: Any, name: str, module: Any, *, help: str) -> None:
    """Add the command that prints a module's table of some protocols, by default its own."""
    parser = commands.add_parser(name, help=help)
    parser.add_argument(
        "protocols", nargs="*", type=_protocol, metavar="protocol",
        help=f"default: {', '.join(module.DEFAULT)}",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of data, as above")
    parser.set_defaults(
        run=lambda options: print(
            module.table(data_folder(options.data), options.protocols or module.DEFAULT)
        )
    )


def _hidden(options: argparse.Namespace) -> None:
    """Run what was asked for; print the tables of a protocol as soon as it is done."""
    measuring.check_methods(options.methods)
    wrong = [name for name in options.by if name not in measuring.STRATA]
    if wrong:
        raise ValueError(f"--by takes {', '.join(measuring.STRATA)}; found {', '.join(wrong)}")
    for statistic in options.statistic:
        check_statistic(statistic)
    protocols = options.protocols or list(PROTOCOLS)
    for key in protocols:
        PROTOCOLS[key].chosen(options.folds)
    folder = data_folder(options.data)
    record.source_digest()
    for key in protocols:
        protocol = PROTOCOLS[key]
        runs = measuring.runs(protocol, options.methods, options.seeds)
        splits = protocol.splits(folder, folds=options.folds)
        with reporting(len(splits) * len(runs)) as reporter:
            results = [
                result
                for method, seed in runs
                for split in splits
                for result in _measured(protocol, split, method, seed, options, reporter, folder)
            ]
        _print(results, options)


def _measured(
    protocol: Protocol,
    split: Split,
    method: str,
    seed: int | None,
    options: argparse.Namespace,
    reporter: Reporter,
    folder: Path,
) -> list[Measured]:
    """Return the results of one fit, recorded and reported."""
    what = f"{protocol.key} {split.name} {method}" + (f" seed {seed}" if seed is not None else "")
    reporter.start(what)
    results = measuring.measure(protocol, split, method, seed, folder, options.statistic)
    for result in results:
        if options.csv:
            record.append(options.csv, list(record.rows(result, options.by)))
        if options.stations:
            record.append(options.stations, record.stations(result))
    scores = results[0].scores
    reporter.finish(
        f"{what}: RMSE {scores.rmse:.2f}, MAE {scores.mae:.2f}, "
        f"fit {results[0].fit_seconds:.1f} s, predict {results[0].predict_seconds:.1f} s"
    )
    return results


def _print(results: list[Measured], options: argparse.Namespace) -> None:
    """Print the tables of one protocol."""
    protocol = results[0].protocol
    folds = protocol.chosen(options.folds)
    which = "" if folds is None else f", folds {', '.join(map(str, folds))} of {protocol.count}"
    print(f"\n## {protocol.key.upper()}: {protocol.title}{which}\n")
    print(tables.score_table(results, folds=folds))
    for line in tables.comparison_lines(results):
        print(f"\n{line}")
    if protocol.key in NOTES:
        print(f"\n{NOTES[protocol.key]}")
    for by in options.by:
        print(f"\nRMSE / MAE / bias, ug m-3, by {by}:\n")
        print(tables.strata_table(results, by))
    print(flush=True)


def _protocol(text: str) -> str:
    """Return the key of a protocol; `choices` would refuse none at all."""
    if text not in PROTOCOLS:
        raise argparse.ArgumentTypeError(f"one of {', '.join(PROTOCOLS)}; found {text!r}")
    return text


def _words(text: str) -> list[str]:
    """Return words by comma, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(text: str) -> list[int]:
    """Return whole numbers by comma."""
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers by comma, such as 0,1; found {text!r}"
        ) from None
