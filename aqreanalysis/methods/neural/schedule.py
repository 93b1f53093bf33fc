"""How long and how fast to learn."""

from dataclasses import dataclass

#: Stations up to which a network is small, and how many times its updates a larger one may take.
SMALL_NETWORK, MOST = 40, 2


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    covariance_updates, updates : int
        Steps of the optimiser for each covariance, then for everything else. The second is that of
        a network of up to `SMALL_NETWORK` stations; a larger one has more to learn from and takes
        more in proportion, up to twice as many.
    windows : int
        Windows in a batch.
    crop : int
        Stations nearest to a random one that make a window's network; all of a smaller network.
    covariance_rate, rate : float
        Learning rates; the second rises for a tenth of the updates, then falls along a cosine.
    hidden : tuple of float
        Smallest and largest share of the crop's stations that are hidden.
    check_every, patience : int
        Updates between looks at the validation stations, and looks without gain before stopping.
    concentration_share : float
        Weight of the error in concentration beside the continuous ranked probability score.
    average : float
        Decay of the running mean of the weights, which is what is validated and kept.
    validation_windows : int
        Windows on which stations are hidden for validation, spread over the training period.
    """

    covariance_updates: int = 200
    updates: int = 300
    windows: int = 6
    crop: int = 48
    covariance_rate: float = 0.05
    rate: float = 4e-3
    hidden: tuple[float, float] = (0.05, 0.4)
    check_every: int = 75
    patience: int = 2
    concentration_share: float = 0.5
    average: float = 0.98
    validation_windows: int = 40

    def updates_for(self, stations: int) -> int:
        """Return the steps for a network of so many stations.

        Examples
        --------
        >>> [Schedule(updates=300).updates_for(stations) for stations in (5, 60, 5000)]
        [300, 450, 600]
        """
        return round(self.updates * min(max(stations / SMALL_NETWORK, 1), MOST))
