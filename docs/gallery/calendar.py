"""Days as a calendar.

Daily means of a station in classes; grey days have fewer than three quarters of their hours.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=24 * 60, seed=0).observations
figure = obs.aqnet.plot_calendar("S01", levels=[0, 35, 75, 115, 150], local_time="Asia/Shanghai")
