"""Attributes of places: altitude, relief, people around, distance to the coast.

`fields` is a global field of them that comes with the package, and `at` gives its values at places.
`attributes` makes a background for methods of it, with stations' own altitudes before the field's.
"""

from aqreanalysis.geography.background import Attributes, Geography, attributes, learned_names
from aqreanalysis.geography.errors import GeographyError
from aqreanalysis.geography.shipped import NAMES, at, fields

__all__ = [
    "NAMES",
    "Attributes",
    "Geography",
    "GeographyError",
    "at",
    "attributes",
    "fields",
    "learned_names",
]
