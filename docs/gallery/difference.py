"""One method less another.

Differences diverge from zero. Far from stations, where no station can judge, methods differ most.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
products = [
    obs.aqnet.reanalyse("pm25", grid=0.1, method=method, time="2020-11-02T20")
    for method in ("idw", "kriging")
]
difference = products[1].assign(pm25=products[0].pm25 - products[1].pm25)
difference.pm25.attrs = {
    "long_name": "difference of PM2.5: inverse distance less kriging",
    "units": "ug m-3",
}
figure = difference.aqnet.map(observations=None, title="Inverse distance less kriging")
