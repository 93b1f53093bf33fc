"""Who reported when.

A row a station, a column a span of time: blue with values, orange and red where checks found
fault.
"""

import aqreanalysis as aqr

obs = aqr.synthetic_network(hours=480, seed=0).observations
figure = obs.aqnet.completeness("pm25")
