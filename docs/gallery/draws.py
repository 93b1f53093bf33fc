"""Fields that may all have been.

Four draws of one hour: each agrees with the stations, and all together have the spread of the
product. Whatever is made of hours and places is made of each draw.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.1, method="kriging", draws=4)
figure = product.aqnet.map(time="2020-11-02T20", panels=[0, 1, 2, 3], limits=(0, 200))
