"""Maps of products and stations, with coastlines that come with the package.

`map_field` draws a gridded product with the stations over it, `map_stations` the stations alone,
`map_scores` one number at each of them, `save_map` writes any of these as PNG, PDF or SVG.
Nothing is downloaded.
"""

from aqreanalysis.maps.drawing import map_field, map_scores, map_stations
from aqreanalysis.maps.frame import save_map
from aqreanalysis.maps.period import MapError

__all__ = ["MapError", "map_field", "map_scores", "map_stations", "save_map"]
