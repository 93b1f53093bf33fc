"""Zones: means over polygons, weighted by area or people, with errors from draws."""

from aqreanalysis.derived.zones.means import zone_means

__all__ = ["zone_means"]
