"""Reading of other gridded data by CF: positions, averaging periods and units."""

from aqreanalysis.foreign.background import Background, BackgroundError, BackgroundField
from aqreanalysis.foreign.errors import ForeignError

__all__ = ["Background", "BackgroundError", "BackgroundField", "ForeignError"]
