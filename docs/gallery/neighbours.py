"""What one target depends on.

The weights that kriging gives to the stations around a place: close ones shield those behind them.
"""

import aqreanalysis as aqr
from aqreanalysis.figures import plot_neighbours

obs = aqr.synthetic_network(hours=168, seed=0).observations
figure = plot_neighbours(aqr.OrdinaryKriging().fit(obs, "pm25"), obs, (116.6, 39.7))
