"""The cycle of the day.

Mean, median and middle half of all stations by the local hour; there are `"week"` and `"year"` too.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=720, seed=0).observations
figure = obs.aqnet.plot_cycle("day", local_time="Asia/Shanghai")
