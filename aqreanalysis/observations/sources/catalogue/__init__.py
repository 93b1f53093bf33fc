"""The descriptions of the sources, by continent."""

from aqreanalysis.observations.sources.catalogue.america import AMERICA
from aqreanalysis.observations.sources.catalogue.asia import ASIA
from aqreanalysis.observations.sources.catalogue.europe import EUROPE
from aqreanalysis.observations.sources.catalogue.world import WORLD
from aqreanalysis.observations.sources.description import Source

#: All descriptions; the later are tried first where the source is not stated.
CATALOGUE: tuple[Source, ...] = (*WORLD, *AMERICA, *ASIA, *EUROPE)

__all__ = ["CATALOGUE"]
