"""What is said of many files or blocks, as one sentence each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aqreanalysis.observations.journal import Journal

_NUMBER = re.compile(r"(?<![\w-])-?\d[\d.,:T-]*(?!\w)")
#: One station and several are the same sentence.
_NOUN = re.compile(r"^(# \w+?)s?(?= )")
_EXAMPLE = re.compile(r"; for example .*|\(at .*?\)")


@dataclass
class _Entry:
    sentence: str
    first: str
    is_warning: bool
    total: int
    places: set[str]


class Tally:
    """Sentences that differ in their numbers and examples alone, counted as one.

    The number that begins a sentence is added up; the example is that of the first.

    Examples
    --------
    >>> tally = Tally("files", 3)
    >>> tally.add("2 rows are left out; for example row 7", "a.csv")
    >>> tally.add("3 rows are left out; for example row 1", "b.csv")
    >>> list(tally.sentences())
    [('5 rows are left out; for example row 7 (in 2 of 3 files, the first a.csv)', False)]
    """

    def __init__(self, what: str, count: int):
        self._what, self._count = what, count
        self._entries: dict[str, _Entry] = {}

    def add(self, sentence: str, place: str, *, key: str = "", is_warning: bool = False) -> None:
        """Add a sentence said of one place; those of one key are the same."""
        key = key or _NOUN.sub(r"\1s", _NUMBER.sub("#", _EXAMPLE.sub("", sentence)))
        entry = self._entries.setdefault(key, _Entry(sentence, place, is_warning, 0, set()))
        number = re.match(r"\d+(?= )", sentence)
        entry.total += int(number[0]) if number else 0
        entry.is_warning |= is_warning
        entry.places.add(place)

    def sentences(self) -> Iterator[tuple[str, bool]]:
        """Yield each sentence, with where it holds, and whether it is a warning."""
        for entry in self._entries.values():
            text = re.sub(r"^\d+(?= )", str(entry.total), entry.sentence)
            text = re.sub(r"^(\d+ \w+?)s?(?= )", r"\1s", text) if entry.total > 1 else text
            where = f"in {len(entry.places)} of {self._count} {self._what}, the first {entry.first}"
            everywhere = len(entry.places) == self._count
            yield (text if everywhere else f"{text} ({where})"), entry.is_warning

    def into(self, journal: Journal) -> None:
        """Make each sentence a decision of the journal."""
        for text, is_warning in self.sentences():
            (journal.warn if is_warning else journal.decide)(text)
