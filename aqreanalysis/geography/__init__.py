"""Attributes of places: altitude, relief, people around, distance to the coast.

`fields` is a global field of them that comes with the package, and `at` gives its values at places.
"""

from aqreanalysis.geography.errors import GeographyError
from aqreanalysis.geography.shipped import NAMES, at, fields

__all__ = ["NAMES", "GeographyError", "at", "fields"]
