"""An index of air quality.

China's index (HJ 633-2012) of the estimates, in its own colours.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.1, method="kriging")
index = product.aqnet.index("china")
figure = index.aqnet.map("index_category", time="2020-11-02T20")
