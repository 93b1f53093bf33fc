r"""How much the likeness of places counts beside their distance, as left-out stations ask for it.

Coordinates of places, such as of `aqreanalysis.geography.likeness`, have lengths that large
networks taught. In one network they may count more or less: all lengths are multiplied by one
strength. The usual one is used without any proof, for it is what other networks say; more or less
only if stations left out show a gain or a loss that exceeds its own standard error.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.fitting import STATIONS_OF_UPDATE, BandSeries

logger = logging.getLogger(__name__)

#: Strengths that are tried, and the usual one.
STRENGTHS, USUAL = (0.0, 1 / 3, 2 / 3, 1.0, 1.5), 2 / 3
#: Covariances that are fitted at most, beside the one without any likeness.
MOST_TRIED = 3


class Likeness(NamedTuple):
    """Coordinates of the stations of a network, and what they are worth elsewhere.

    Attributes
    ----------
    coordinates : (station, coordinate) float64
    lengths : (coordinate,) float64
        How far one unit sets places apart in other networks, in spacings of their stations.
    """

    coordinates: Tensor
    lengths: Tensor


def chosen_strength(errors: Callable[[float], np.ndarray]) -> float:
    """Return the strength that is used.

    Parameters
    ----------
    errors : callable
        From a strength to the mean absolute and mean squared error (station, 2) of each station,
        estimated from the others.

    Examples
    --------
    Where stations left out say nothing, the usual strength is used; where they lose, less:

    >>> even = np.ones((9, 2)) + np.linspace(-0.1, 0.1, 9)[:, None]
    >>> round(chosen_strength(lambda strength: even if strength else even[::-1]), 2)
    0.67
    >>> chosen_strength(lambda strength: even + strength)
    0.0
    >>> chosen_strength(lambda strength: even - strength / 3 * even[::-1])
    1.5
    """
    without = errors(0.0)

    def gain(strength: float) -> tuple[float, float]:
        """Return the mean gain over no likeness, and its standard error, in mean errors."""
        usual = np.maximum(without.mean(axis=0), np.finfo(np.float64).tiny)
        of_each = ((without - errors(strength)) / usual).mean(axis=1)
        if of_each.size < 2:
            return 0.0, np.inf
        mean, error = of_each.mean(), of_each.std(ddof=1) / np.sqrt(of_each.size)
        logger.info(
            "likeness of places at strength %.2f: errors at left-out stations %+.2f %% (standard "
            "error %.2f)",
            strength,
            -100 * mean,
            100 * error,
        )
        return float(mean), float(error)

    strength, (mean, error) = USUAL, gain(USUAL)
    if mean < -error:
        smaller = [each for each in reversed(STRENGTHS) if 0 < each < USUAL]
        for strength in smaller:
            mean, error = gain(strength)
            if mean >= -error:
                return strength
        return 0.0
    for larger in (each for each in STRENGTHS if each > USUAL):
        more, error = gain(larger)
        if more <= max(mean, error):
            break
        strength, mean = larger, more
    return strength


@torch.no_grad()
def errors_of_stations(
    series: BandSeries, bands: BandCovariance, log_noise: Tensor, rng: np.random.Generator
) -> np.ndarray:
    """Return the mean absolute and mean squared error (station, 2) of stations left out.

    Stations of a large network are left out of random parts of it. Those that are in no part, or
    have no value at the steps of it, are not among the stations.
    """
    sums = torch.zeros(series.network.size, 3, dtype=torch.float64)
    for part in series.everywhere(bands, log_noise, rng, together=STATIONS_OF_UPDATE):
        error = part.error_of_sum()
        of_each = [error.abs().sum(1), error.square().sum(1), part.known.sum(1).double()]
        sums.index_add_(0, torch.from_numpy(part.rows), torch.stack(of_each, 1))
    estimated = sums[:, 2] > 0
    return (sums[estimated, :2] / sums[estimated, 2:]).numpy()
