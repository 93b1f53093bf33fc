"""Fields that may all have been.

Four draws of one hour: each agrees with the stations, and all together have the spread of the
product. Whatever is made of hours and places is made of each draw.
"""

import cartopy.crs as ccrs
from matplotlib.figure import Figure

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=48, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.1, method="kriging", draws=4)
hour = product.sel(time=["2020-11-02T20"]).load()
figure = Figure(figsize=(11, 9), layout="constrained")
for number in range(4):
    axes = figure.add_subplot(2, 2, number + 1, projection=ccrs.Mercator(117))
    drawn = hour.assign(pm25=hour.pm25_draws.isel(draw=number).assign_attrs(hour.pm25.attrs))
    drawn.aqnet.map("pm25", axes=axes, limits=(0, 200), title=f"Draw {number + 1}")
