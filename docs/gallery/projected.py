"""Cells in a projection.

Squares of 10 km in UTM, only on land. `like=` takes the very cells of another file.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse(
    "pm25", grid=10_000, crs="EPSG:32650", land=True, method="kriging", time="2020-11-02T20"
)
figure = product.aqnet.map(observations=obs)
