"""A part enlarged, and contours.

`inset=` takes cities and bounds, three at most; `contours=True` draws lines at the numbers of the
colour bar.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.05, method="kriging", time="2020-11-02T20")
figure = product.aqnet.map(
    observations=obs, inset=(116.3, 117.0, 39.3, 39.9), contours=True, local_time="Asia/Shanghai"
)
