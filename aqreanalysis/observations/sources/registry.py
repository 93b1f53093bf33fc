"""The known sources, those of other packages included, and recognition of a file's source."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points

from aqreanalysis.observations.journal import ObservationError, logger
from aqreanalysis.observations.sources.catalogue import CATALOGUE
from aqreanalysis.observations.sources.columns import is_known
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.variables import folded

#: Group of entry points by which another package adds a `Source`, or several.
ENTRY_POINTS = "aqreanalysis.sources"

#: Files that are no tables, and have a reader of their own.
NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")


class Sources(Mapping[str, Source]):
    """The sources that are read, by name: descriptions, those of other packages included.

    A package adds some by an entry point of the group ``aqreanalysis.sources``, which gives a
    `Source` or a sequence of them.

    Examples
    --------
    >>> sources["rama"].time_zone, sources["airnow_tech"].title
    ('UTC-6', 'an AirNow-Tech query')
    """

    def __getitem__(self, name: str) -> Source:
        return _catalogue()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_catalogue())

    def __len__(self) -> int:
        return len(_catalogue())

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{name:{width}}  {source.title}" for name, source in self.items())


#: The sources by name.
sources = Sources()


def named(name: str, option: str) -> tuple[Source, ...]:
    """Return the sources of a name or of a family, whatever its case and separators.

    Raises
    ------
    ObservationError
        If there is none.
    """
    key = folded(name)
    matching = tuple(s for s in sources.values() if key in (folded(s.family), folded(s.name)))
    if matching:
        return matching
    names = ["long", "wide", "netcdf", *(n for n in sources if n not in ("long", "wide"))]
    raise ObservationError(f"{option} must be one of {', '.join(names)}; found {name!r}")


def recognised(names: Sequence[str]) -> list[Source]:
    """Return the sources whose columns these are."""
    return _last(lambda source: source.recognises(names))


def recognised_line(line: str) -> list[Source]:
    """Return the sources whose files begin with such a line, without names."""
    return _last(lambda source: source.recognises_line(line))


def recognised_name(file_name: str) -> list[Source]:
    """Return the sources that call a file in their zips and folders so."""
    return _last(lambda source: source.recognises_name(file_name))


def encodings() -> list[str]:
    """Return the encodings of sources that do not use UTF-8."""
    return sorted({source.encoding for source in sources.values() if source.encoding})


def known(name: str) -> bool:
    """Return whether a column has a usual name, or one that a source gives it."""
    return is_known(name) or (folded(name) or name) in _spellings()


def _last(fits: Callable[[Source], bool]) -> list[Source]:
    """Return the sources that fit, those described last first."""
    return [source for source in reversed(list(sources.values())) if fits(source)]


@cache
def _spellings() -> frozenset[str]:
    """Return the names of columns in all sources, folded."""
    return frozenset(
        folded(spelling) or spelling
        for source in sources.values()
        for spellings in source.columns.values()
        for spelling in spellings
    )


@cache
def _catalogue() -> dict[str, Source]:
    """Return all sources by name; invalid ones of other packages are left out with a warning."""
    by_name = {source.name: source for source in CATALOGUE}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            given = point.load()
            for source in [given] if isinstance(given, Source) else list(given):
                if not isinstance(source, Source):
                    raise TypeError(f"{type(source).__name__} is no Source")
                by_name[source.name] = source
        except Exception as error:
            logger.warning("the sources of %s are left out: %s", point.value, error)
    return by_name
