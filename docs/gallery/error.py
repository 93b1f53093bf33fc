"""How far to trust it.

The standard error of the same hour: small beside a station, up to the spread of all measurements
far from one.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.05, method="kriging", time="2020-11-02T20")
figure = product.aqnet.map(observations=obs, what="uncertainty")
