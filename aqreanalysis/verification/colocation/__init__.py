"""A field that exists already, matched with stations: its layer, periods, cells and units."""

from aqreanalysis.verification.colocation.products import match_product, verify_product

__all__ = ["match_product", "verify_product"]
