"""Stations by what they measure.

Circles in the colours of PM2.5 at one hour; diamonds are stations that no method sees.
"""

import aqreanalysis as aqr

network = aqr.synthetic_network(hours=48, seed=0)
figure = network.observations.aqnet.map("pm25", time="2020-11-02T20", hidden=network.hidden)
