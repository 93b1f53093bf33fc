"""The viewer: a product as one page to look through, in any browser and without a network."""

from aqreanalysis.viewer.contents import ViewerError
from aqreanalysis.viewer.writing import write_viewer

__all__ = ["ViewerError", "write_viewer"]
