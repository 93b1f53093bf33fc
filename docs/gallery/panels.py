"""Hours side by side.

`panels=` takes hours, layers, draws, products and outlooks; what is of one kind shares its colours.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.1, method="kriging")
hours = ["2020-11-02T00", "2020-11-02T08", "2020-11-02T16"]
figure = product.aqnet.map(panels=hours, observations=obs)
