"""Maps of products and stations, with coastlines that come with the package.

`map_field` draws a gridded product with the stations over it, `map_stations` the stations alone,
`map_panels` several of these side by side, `map_scores` one number at each station; `Style` is how
they are drawn. `save_map` writes any of them as PNG, PDF or SVG, `animate` hours as MP4 or GIF.
Nothing is downloaded.
"""

from aqreanalysis.maps.animation import animate
from aqreanalysis.maps.drawing import map_field, map_scores, map_stations
from aqreanalysis.maps.frame import save_map
from aqreanalysis.maps.panels import map_panels
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.style import Style

__all__ = [
    "MapError",
    "Style",
    "animate",
    "map_field",
    "map_panels",
    "map_scores",
    "map_stations",
    "save_map",
]
