"""Maps of products and stations, with coastlines that come with the package.

`map_field` draws a gridded product with the stations over it, `map_stations` the stations alone,
`map_scores` one number at each of them, `save_map` writes any of these as PNG, PDF or SVG. No map
ever waits for the network.
"""

from aqreanalysis.maps.drawing import map_field, map_stations
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.scores import map_scores
from aqreanalysis.maps.writing import save_map

__all__ = ["MapError", "map_field", "map_scores", "map_stations", "save_map"]
