"""What is published from hourly fields: probabilities above a limit, and air-quality indices."""

from aqreanalysis.derived.exceedance import exceedance
from aqreanalysis.derived.index import air_quality_index
from aqreanalysis.derived.tables import INDICES, IndexTable

__all__ = ["INDICES", "IndexTable", "air_quality_index", "exceedance"]
