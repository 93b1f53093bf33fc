"""A field with its stations.

Ordinary kriging of one hour. Where the field fits, stations vanish; hatched cells are flagged,
and a value there should not be used alone.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.05, method="kriging", time="2020-11-02T20")
figure = product.aqnet.map(observations=obs)
