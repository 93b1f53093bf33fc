"""Methods at hidden stations.

A third of the stations is hidden at a time, and each method is fitted anew to the others. Errors
grow with the distance to the nearest station that is known.
"""

from matplotlib.figure import Figure

import aqreanalysis as aqr
from aqreanalysis.verification import metrics

obs = aqr.synthetic_network(hours=48, seed=0).observations
sums = obs.aqnet.verify("pm25", methods=["kriging", "idw"], folds=3, progress=False)
rmse = metrics(sums, by="distance").rmse.to_pandas().T.dropna()
figure = Figure(figsize=(7, 3.5), layout="constrained")
rmse.plot.bar(
    ax=figure.subplots(),
    rot=0,
    xlabel="km to the nearest station",
    ylabel="RMSE (μg m$^{-3}$)",
)
