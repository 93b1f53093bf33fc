"""A day's mean.

The mean of a day of China's time zone. Its error knows how the errors of hours are correlated.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=72, seed=0).observations
product = obs.aqnet.reanalyse("pm25", grid=0.1, method="kriging")
daily = product.aqnet.aggregate("day", time_zone="Asia/Shanghai")
figure = daily.aqnet.map(time=daily.time.values[1])
