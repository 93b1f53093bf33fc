"""The hour as a point on a circle.

Sine and cosine of the hour, so that 23 and 0 are neighbours; `animate_time_encoding` lets it run.
"""

from aqreanalysis.figures import plot_time_encoding

figure = plot_time_encoding()
