"""Gaps of a station, filled.

Measured values stay as they are; each estimate has its interval of 90 %.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
filled = obs.aqnet.fill("pm25", progress=False)
gaps = (filled.pm25_origin == 1).sum("time")
station = filled.station.values[int(gaps.argmax("station"))]
figure = filled.aqnet.plot_series(station, local_time="Asia/Shanghai")
