"""Maps of products and stations, with coastlines that come with the package.

`map_field` draws a gridded product with the stations over it, `map_stations` the stations alone,
`save_map` writes either as PNG, PDF or SVG. No map ever waits for the network.
"""

from aqreanalysis.maps.drawing import map_field, map_stations
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.writing import save_map

__all__ = ["MapError", "map_field", "map_stations", "save_map"]
