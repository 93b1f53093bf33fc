"""The probability that a limit is exceeded.

Of a new measurement of that hour, from the estimate and its error: where the map of a median says
yes or no, this one says how sure.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.05, method="kriging", time="2020-11-02T20")
above = product.aqnet.exceedance(75.0)
figure = above.aqnet.map("pm25_above_75", limits=(0, 1))
