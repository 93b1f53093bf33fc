"""A hidden station with its interval.

What kriging says at a station that it never saw, the interval of 90 %, and what was measured
there.
"""

from matplotlib.figure import Figure

import aqreanalysis as aqr

network = aqr.synthetic_network(hours=168, seed=0)
obs, hidden = network.observations, network.hidden.isel(station=[0])
series = obs.aqnet.reanalyse("pm25", at=hidden, method="kriging", quantiles=(0.05, 0.95))
series = series.isel(station=0).load()
figure = Figure(figsize=(9, 3), layout="constrained")
axes = figure.subplots()
axes.fill_between(series.time, series.pm25_q05, series.pm25_q95, alpha=0.25, label="90 % interval")
axes.plot(series.time, series.pm25, label="estimate")
axes.plot(hidden.time, hidden.pm25[0], ".", color="black", markersize=3, label="measured, hidden")
axes.set_ylabel("PM$_{2.5}$ (μg m$^{-3}$)")
axes.legend(ncols=3, frameon=False)
