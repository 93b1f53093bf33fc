"""Files of others: where their cells lie, when their hours are, in which units they count."""

from aqreanalysis.foreign.background import Background, BackgroundError
from aqreanalysis.foreign.errors import ForeignError

__all__ = ["Background", "BackgroundError", "ForeignError"]
