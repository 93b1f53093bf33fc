"""What is published of fields: means, probabilities above a limit, air-quality indices, zones."""

from aqreanalysis.derived.aggregate import aggregate
from aqreanalysis.derived.exceedance import exceedance
from aqreanalysis.derived.index import air_quality_index
from aqreanalysis.derived.tables import INDICES, IndexTable
from aqreanalysis.derived.zones import zone_means

__all__ = [
    "INDICES",
    "IndexTable",
    "aggregate",
    "air_quality_index",
    "exceedance",
    "zone_means",
]
