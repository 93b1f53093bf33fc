"""How alike places are.

Dots are what pairs of stations have by their distance, the line is what kriging uses.
"""

import aqreanalysis as aqr
from aqreanalysis.figures import plot_variogram

obs = aqr.synthetic_network(hours=168, seed=0).observations
figure = plot_variogram(aqr.OrdinaryKriging().fit(obs, "pm25"), obs)
