"""What is published of hourly fields: means, probabilities above a limit, air-quality indices."""

from aqreanalysis.derived.aggregate import aggregate
from aqreanalysis.derived.exceedance import exceedance
from aqreanalysis.derived.index import air_quality_index
from aqreanalysis.derived.tables import INDICES, IndexTable

__all__ = ["INDICES", "IndexTable", "aggregate", "air_quality_index", "exceedance"]
