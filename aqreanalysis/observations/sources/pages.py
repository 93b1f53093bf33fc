"""A page of each source, made of its description."""

from collections.abc import Iterable
from itertools import groupby

from aqreanalysis.observations.sources.description import ASK, Source
from aqreanalysis.observations.variables import listed

_SHAPES = {
    "long": "a row a station and time",
    "wide": "a column a station",
    "hours": "a row a day, a column an hour",
}
_ORDERS = {"day": "day first", "month": "month first"}
_LABELS = {"start": "stamps are starts of periods", "end": "stamps are ends of periods"}


def page_of(source: Source) -> str:
    """Return what a user needs to know of a source, as Markdown.

    Examples
    --------
    >>> from aqreanalysis.observations.sources.registry import sources
    >>> print(page_of(sources["laqn"]))
    ### laqn
    <BLANKLINE>
    A London Air file. From <https://www.londonair.org.uk> (download data), or openair.
    ...
    """
    title = source.title[0].upper() + source.title[1:]
    lines = [f"### {source.name}", ""]
    where = f" From {_linked(source.obtain)}." if source.obtain else ""
    lines += [f"{title}.{where}", ""]
    if source.command:
        lines += ["```bash", source.command, "```", ""]
    lines += [f"- {sentence[0].upper()}{sentence[1:]}." for sentence in source.odd]
    lines += [f"- Read as: {'; '.join(_facts(source))}."]
    return "\n".join(lines) + "\n"


def pages(sources: Iterable[Source]) -> str:
    """Return the pages of all sources, those of one network after each other."""
    ordered = sorted(sources, key=lambda source: (source.family or source.name, source.name))
    families = groupby(ordered, key=lambda source: source.family or source.name)
    return "\n".join(page_of(source) for _, members in families for source in members)


def _facts(source: Source) -> list[str]:
    """Return the facts of the description in words."""
    zone = source.time_zone
    facts = [_SHAPES[source.layout]]
    if zone is not None:
        facts.append("local time, with time_zone=" if zone == ASK else f"zone {zone}")
    facts += [_LABELS[source.time_label]] if source.time_label else []
    facts += [_ORDERS[source.date_order]] if source.date_order else []
    if source.units:
        facts.append(", ".join(f"{name} in {units}" for name, units in source.units.items()))
    if source.missing:
        facts.append(f"missing is {listed(_plain(code) for code in source.missing)}")
    if source.valid:
        facts.append(f"used rows have {', '.join(source.valid)}")
    if not source.has_positions:
        facts.append("positions from a table of stations")
    return facts


def _plain(code: str | float) -> str:
    """Return a missing code as text."""
    return f"`{code}`" if isinstance(code, str) else f"{code:g}"


def _linked(text: str) -> str:
    """Return a text whose first word is a link, if it is one."""
    first, _, rest = text.partition(" ")
    if not first.startswith("http"):
        return text
    comma = "," if first.endswith(",") else ""
    return f"<{first.rstrip(',')}>{comma}{' ' + rest if rest else ''}"
