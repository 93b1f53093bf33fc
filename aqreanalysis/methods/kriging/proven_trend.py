r"""A trend in covariates, as far as left-out stations prove it.

Where a station departs from what the others say of it, and its covariates depart from what the same
weights make of theirs, a trend shows that the field does not know already. With the leave-one-out
weights w of the learned covariance

.. math::

    e_i = \sum_j w_{ij} z_j - z_i, \qquad c_i = \sum_j w_{ij} x_j - x_i, \qquad
    e_i = c_i^T b + \text{noise},

so that a pattern of large scale, which a covariate shares with the field by accident, is on neither
side. Least squares over all stations and hours give b. Leaving out one place at a time gives its
covariance (the jackknife: Miller 1974, Biometrika 61, 1), for the hours of a station are not
independent. Of covariates whose coefficient is not proven the least certain is dropped until all
are. What remains is shrunk by :math:`1 - 1 / t^2`, as its own error asks (James & Stein 1961).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.fitting import BandSeries, bands_of, departures

#: Probability with which noise is used if places are independent, all covariates together. They are
#: not quite: one covariate of noise is used in about 1 of 100 networks of 60 stations.
MISTAKEN = 0.005
#: Places below which nothing is proven.
FEWEST_PLACES = 8
#: Sum of squares of a standardised covariate's departures below which it is constant.
CONSTANT = 1e-9
#: Share of the largest normal equation that keeps covariates of the same numbers apart.
RIDGE = 1e-6


class ProvenTrend(NamedTuple):
    """Coefficients of covariates, 0 where nothing is proven.

    Attributes
    ----------
    coefficient : (covariate,) float64
    covariance : (covariate, covariate) float64
        Of the coefficients' errors; 0 where nothing is used.
    t : (covariate,) float64
        Coefficient over its error, when it was left out or in the end.
    """

    coefficient: np.ndarray
    covariance: np.ndarray
    t: np.ndarray


class Equations(NamedTuple):
    """Normal equations of each of n places.

    ``left`` is (n, covariate, covariate) and ``right`` (n, covariate).
    """

    left: np.ndarray
    right: np.ndarray

    def of(self, covariates: Sequence[int]) -> "Equations":
        """Return the equations of some covariates."""
        columns = list(covariates)
        return Equations(self.left[:, columns][:, :, columns], self.right[:, columns])

    def solved(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients, and their covariance by leaving out each place in turn."""
        left, right = self.left.sum(axis=0), self.right.sum(axis=0)
        ridge = RIDGE * left.diagonal().max() * np.eye(len(left))
        without = np.linalg.solve(left - self.left + ridge, (right - self.right)[..., None])[..., 0]
        apart = without - without.mean(axis=0)
        places = len(self.right)
        covariance = (places - 1) / places * apart.T @ apart
        return np.linalg.solve(left + ridge, right), covariance


def proven_trend(equations: Equations) -> ProvenTrend:
    """Return the trend that the equations of places prove.

    Examples
    --------
    Forty places, of which the first covariate explains the departures and the second does not:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 2))
    >>> e = 0.5 * x[:, 0] + 0.3 * rng.normal(size=40)
    >>> trend = proven_trend(Equations(x[:, :, None] * x[:, None], x * e[:, None]))
    >>> trend.coefficient.round(1).tolist()
    [0.5, 0.0]
    """
    places, count = equations.right.shape
    coefficient, t = np.zeros(count), np.zeros(count)
    covariance = np.zeros((count, count))
    varies = np.einsum("ncc->c", equations.left) > CONSTANT
    used: list[int] = np.flatnonzero(varies).tolist() if places >= FEWEST_PLACES else []
    least = stdtrit(max(places - 1, 1), 1 - MISTAKEN / (2 * max(len(used), 1)))
    while used:
        solved, spread = equations.of(used).solved()
        ratio = solved / np.sqrt(spread.diagonal())
        t[used] = ratio
        weakest = int(np.abs(ratio).argmin())
        if np.abs(ratio[weakest]) > least:
            coefficient[used] = solved * (1 - 1 / ratio**2)
            covariance[np.ix_(used, used)] = spread
            break
        del used[weakest]
    return ProvenTrend(coefficient, covariance, t)


@torch.no_grad()
def left_out_equations(
    series: BandSeries,
    bands: BandCovariance,
    log_noise: Tensor,
    covariates: Sequence[Tensor],
    rng: np.random.Generator,
    *,
    widths: tuple[float, ...],
) -> Equations:
    """Return the equations of departures at left-out stations, those of one place together.

    Parameters
    ----------
    series : BandSeries
    bands : BandCovariance
        Fitted to the series.
    log_noise : (station,) float64
        Logarithm of the factor of each station's noise.
    covariates : sequence of (station, time or 1) float64
        Standardised; of one column where constant in time.
    rng : Generator
    widths : tuple of float
        Of the bands.
    """
    place = series.network.colocated_groups()
    places, count = int(place.max()) + 1, len(covariates)
    left, right = np.zeros((places, count, count)), np.zeros((places, count))
    split = [_split(each, widths, series.split.shape[-1]) for each in covariates]
    for part in series.everywhere(bands, log_noise, rng):
        columns = [
            departures(part.weight, each[part.rows][:, part.steps if each.shape[1] > 1 else [0]])
            .sum(-1)
            .expand(part.known.shape)
            for each in split
        ]
        contrast = torch.stack(columns, -1) * part.known[..., None]  # (n, t, covariate)
        error = part.error_of_sum()
        np.add.at(left, place[part.rows], torch.einsum("itc,itd->icd", contrast, contrast).numpy())
        np.add.at(right, place[part.rows], torch.einsum("itc,it->ic", contrast, error).numpy())
    reporting = np.einsum("ncc->n", left) > 0
    return Equations(left[reporting], right[reporting])


def _split(covariate: Tensor, widths: tuple[float, ...], bands: int) -> Tensor:
    """Return a covariate in bands; one that is constant in time is all in the slowest."""
    if covariate.shape[1] > 1:
        return bands_of(covariate, widths)
    constant = covariate.new_zeros(len(covariate), 1, bands)
    constant[..., -1] = covariate
    return constant
