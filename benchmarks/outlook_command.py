"""The commands ``outlook`` and ``outlook-pictures`` of the benchmarks."""

import argparse
from pathlib import Path
from typing import Any, get_args

from aqreanalysis.predictive import Statistic
from benchmarks import outlook, outlook_tables
from benchmarks.progress import reporting
from benchmarks.sources import data_folder


def add_outlook(commands: Any) -> None:
    """Add ``outlook`` and ``outlook-pictures`` to the commands."""
    parser = commands.add_parser("outlook", help="two weeks in, one out, 12 Beijing stations (p9)")
    names = ", ".join(outlook.METHODS)
    parser.add_argument(
        "--methods", type=_words, default=list(outlook.METHODS), help=f"by comma, of {names}"
    )
    parser.add_argument("--folds", type=_numbers, default=[0, 1, 2], help="default: 0,1,2")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="default: 0,1,2")
    parser.add_argument("--csv", type=Path, help="file to which the record is added")
    parser.add_argument("--from-csv", type=Path, help="print the tables of a record, run nothing")
    parser.add_argument(
        "--checkpoints", type=Path, help="folder from which trainings go on that were cut off"
    )
    parser.add_argument("--note", default="", help="is written beside the scores of the record")
    parser.add_argument(
        "--statistic",
        choices=get_args(Statistic),
        default="mean",
        help="estimate of the tables (default: mean); the record has both",
    )
    parser.add_argument("--data", type=Path, help="folder of data (default: AQREANALYSIS_DATA_DIR)")
    parser.set_defaults(run=_outlook)
    pictures = commands.add_parser("outlook-pictures", help="a hindcast week, attention, cycles")
    pictures.add_argument("folder", type=Path, help="where the PNGs are written")
    pictures.add_argument("--data", type=Path, help="folder of data, as above")
    pictures.set_defaults(run=_pictures)


def _outlook(options: argparse.Namespace) -> None:
    """Run what was asked for and print the tables."""
    wrong = [name for name in options.methods if name not in outlook.METHODS]
    if wrong:
        raise ValueError(f"methods are {', '.join(outlook.METHODS)}; found {', '.join(wrong)}")
    if options.from_csv:
        rows = outlook_tables.read(options.from_csv)
        print(outlook_tables.tables(rows, options.statistic))
        print(outlook_tables.differences(outlook_tables.read_fortnights(options.from_csv)))
        print(outlook_tables.summary(rows))
        return
    seeded = [name for name in options.methods if name not in outlook.UNSEEDED]
    others = len(options.methods) - len(seeded)
    total = len(options.folds) * (others + len(seeded) * len(options.seeds))
    with reporting(total) as reporter:
        rows = outlook.measure(
            data_folder(options.data),
            methods=options.methods,
            folds=options.folds,
            seeds=options.seeds,
            path=options.csv,
            reporter=reporter,
            checkpoints=options.checkpoints,
            note=options.note,
        )
    print(outlook_tables.tables(rows, options.statistic))


def _pictures(options: argparse.Namespace) -> None:
    """Draw, and tell what was written."""
    from benchmarks.outlook_pictures import draw

    print(*draw(data_folder(options.data), options.folder), sep="\n")


def _words(text: str) -> list[str]:
    """Return words by comma, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(text: str) -> list[int]:
    """Return whole numbers by comma."""
    return [int(word) for word in _words(text)]
