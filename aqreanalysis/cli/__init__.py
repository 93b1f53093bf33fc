"""The command ``aqreanalysis``: station files in, CF products and maps out."""

from aqreanalysis.cli.application import app, main

__all__ = ["app", "main"]
