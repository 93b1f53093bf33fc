"""A hidden station with its interval.

What kriging says at a station that it never saw, the interval of 90 %, and what was measured
there.
"""

import aqreanalysis as aqr

network = aqr.synthetic_network(hours=168, seed=0)
obs, hidden = network.observations, network.hidden.isel(station=[0])
series = obs.aqnet.reanalyse("pm25", at=hidden, method="kriging")
figure = series.aqnet.plot_series(observations=hidden)
