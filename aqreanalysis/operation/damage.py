"""Damage to a store, before a run builds on it: what is missing, or is not as its journal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aqreanalysis.conventions import TIME
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.versions import chunk_numbers, chunks_of
from aqreanalysis.product import ProductError, open_product
from aqreanalysis.untrusted import text_of


def check_undamaged(store: Path, journal: Journal) -> None:
    """Refuse a store that lacks arrays or chunks, or whose hours are not those of its journal.

    A chunk that is missing reads as missing values, and each later version would go on with that.

    Raises
    ------
    ProductError
        Naming what is damaged, and the remedy.
    """
    fault = next(_faults(store, journal), None)
    if fault is not None:
        raise ProductError(
            f"{store} is damaged: {fault}. Take it from a backup, or remove it, and the next run "
            "makes it anew from the observations"
        )


def _faults(store: Path, journal: Journal) -> Iterator[str]:
    """Yield what is wrong with a store."""
    try:
        arrays = json.loads(text_of(store / ".zmetadata"))["metadata"]
    except (OSError, ValueError, KeyError, TypeError) as failure:
        yield f"its .zmetadata cannot be read ({type(failure).__name__}: {failure})"
        return
    for path in [key for key in arrays if key.endswith("/.zarray")]:
        name = path.removesuffix("/.zarray")
        try:
            described = json.loads(text_of(store / path))
            json.loads(text_of(store / name / ".zattrs"))
            yield from _faults_of_chunks(store / name, described)
        except (OSError, ValueError, KeyError, TypeError) as failure:
            yield f"{name} cannot be read ({type(failure).__name__}: {failure})"
    with open_product(store) as product:
        _, first = clock_of(product)
        if (first, product.sizes[TIME]) != (journal.first, journal.hours.size):
            yield f"its {product.sizes[TIME]} hours are not those of its journal"
    chunk = chunks_of(store, journal.request["variable"])[TIME]
    if set(journal.blocks) != set(range(journal.first // chunk, -(-journal.stop // chunk))):
        yield "its journal does not have all blocks of its hours"


def _faults_of_chunks(array: Path, described: dict[str, Any]) -> Iterator[str]:
    """Yield how many chunks an array lacks."""
    if not described["shape"]:
        return
    expected = 1
    for size, chunk in zip(described["shape"], described["chunks"], strict=True):
        expected *= -(-size // chunk)
    whole = sum(path.stat().st_size > 0 for path, _ in chunk_numbers(array))
    if whole < expected:
        yield f"{expected - whole} of {expected} chunks of {array.name} are missing or empty"
