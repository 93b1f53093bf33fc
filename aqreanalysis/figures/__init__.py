"""Pictures beside maps: series, cycles, calendars, roses, and what a method has learned.

Each function returns a matplotlib Figure, which is not registered with pyplot, or draws in the
``axes`` that it is given.
"""

from aqreanalysis.figures.attention import (
    animate_time_encoding,
    plot_attention,
    plot_time_encoding,
)
from aqreanalysis.figures.cycles import plot_calendar, plot_cycle
from aqreanalysis.figures.neighbours import plot_neighbours
from aqreanalysis.figures.roses import plot_rose
from aqreanalysis.figures.series import plot_series
from aqreanalysis.figures.sheet import FigureError
from aqreanalysis.figures.variograms import plot_bands, plot_variogram

__all__ = [
    "FigureError",
    "animate_time_encoding",
    "plot_attention",
    "plot_bands",
    "plot_calendar",
    "plot_cycle",
    "plot_neighbours",
    "plot_rose",
    "plot_series",
    "plot_time_encoding",
    "plot_variogram",
]
