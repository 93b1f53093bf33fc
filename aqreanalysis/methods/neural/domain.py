"""Which stations a grid sees: the others of a large network are neither completed nor encoded."""

import math

import numpy as np
import xarray as xr

from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging.gaps import CANDIDATES
from aqreanalysis.methods.neural.batches import STATIONS_TOGETHER
from aqreanalysis.network import StationNetwork

#: Stations below which, and cells above which, looking for those in sight is not worth its time.
FEWEST_STATIONS, MOST_CELLS = 512, 2**17


def stations_in_sight(network: StationNetwork, at: Grid | xr.Dataset, k: int) -> np.ndarray:
    """Return the rows of the stations on which values at a grid depend, ascending.

    They are the k nearest of each cell and the first left out, where the outermost fade; the k
    nearest others of each of these, which its encoding knows by their mean; and those from which
    the gaps of all of them are filled. Rows beside these do no harm.

    Parameters
    ----------
    network : StationNetwork
    at : Grid or Dataset
        Single targets are mixed from all stations, and so see all of them.
    k : int
        Neighbours of the model.

    Examples
    --------
    Of a thousand stations along the equator, a cell sees some near to it, and a part's worth:

    >>> line = StationNetwork(np.linspace(0, 100, 1000), np.zeros(1000))
    >>> rows = stations_in_sight(line, Grid((50, 51, 0, 1), 1.0), k=4)
    >>> rows.size < 200, bool(np.isin(np.arange(495, 515), rows).all())
    (True, True)
    """
    everyone = np.arange(network.size)
    if not isinstance(at, Grid) or math.prod(at.shape) > MOST_CELLS:
        return everyone
    if network.size < FEWEST_STATIONS:
        return everyone
    longitude, latitude = (positions.ravel() for positions in at.longitude_latitude())
    seen = np.unique(network.neighbours(longitude, latitude, k=min(k + 1, network.size)).index)
    others = network.nearest_others(k=max(k, CANDIDATES)).index
    seen = np.union1d(seen, others[seen, :k])
    seen = np.union1d(seen, others[seen, :CANDIDATES])
    # A part of very few stations takes another way through a matrix product, to other bits.
    seen = np.union1d(seen, everyone[:STATIONS_TOGETHER])
    return seen if seen.size < network.size / 2 else everyone
