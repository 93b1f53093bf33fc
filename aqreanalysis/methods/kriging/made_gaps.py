"""How far fillings err, as gaps prove it that are made where values are known."""

import math
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.calibration import Kriged, LeftOut, SpreadLaw
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import (
    FILLING_STATIONS,
    OWN_REACH_STEPS,
    NearbyStations,
    complete,
    last_and_next,
)
from aqreanalysis.methods.kriging.spread import FEWEST, fit_freedom, interval_factor

#: Stations whose values at the steps of a station's own last and next value are used too.
NEIGHBOURS = 4
#: Longest gap that is made, steps: in its middle no own value is in reach. In a short series no
#: gap takes more than a share.
LONGEST, LARGEST_SHARE = 3 * OWN_REACH_STEPS, 0.25
#: Draws of outages of all, of which a draw has few; gaps of single stations are many. Errors of
#: a draw from which is learned, at most.
OUTAGE_DRAWS, ERRORS = 3, 100_000
#: Steps to the nearest own value at which the factor of the spread is estimated; in between it
#: follows their logarithm. Gaps there that count as much as all others together.
KNOTS, GAPS = np.array([1, 2, 4, 8, 16, 32]), 50


class Fillings(NamedTuple):
    """Complete series, and what is known of the error of what was filled.

    Attributes
    ----------
    mean, spread : (station, time) float64
        Standardised; the spread is that of kriging, 0 where measured.
    disagreement : (station, time) float64
        Mean squared difference of the nearest stations from the mean; where these do not report,
        of what fills them.
    constrained : (station, time) bool
        Where values constrain the mean.
    steps : (station, time) int
        To the nearest value of the station.
    silent : (station, time) bool
        Where no station reports.
    """

    mean: np.ndarray
    spread: np.ndarray
    disagreement: np.ndarray
    constrained: np.ndarray
    steps: np.ndarray
    silent: np.ndarray

    @classmethod
    def of(cls, covariance: SpaceTimeCovariance, series: Tensor, nearby: NearbyStations) -> Self:
        """Return series (station, time) that are filled; NaN is missing."""
        value, variance = complete(covariance, series, nearby, at_own_steps=NEIGHBOURS)
        mean, reported = value.numpy(), torch.isfinite(series).numpy()
        last, following = last_and_next(reported)
        step = np.arange(mean.shape[1])
        return cls(
            mean,
            variance.sqrt().numpy(),
            _disagreement(mean, nearby),
            covariance.constrained(variance).numpy(),
            np.minimum(step - last, following - step),
            np.broadcast_to(~reported.any(axis=0), mean.shape),
        )

    def part(self, where: np.ndarray | tuple[np.ndarray, ...]) -> Self:
        """Return what is known of some stations and steps, (n,) each."""
        return type(self)(*(each[where] for each in self))

    @property
    def kriged(self) -> Kriged:
        """What a law of the spread takes in."""
        return Kriged(self.mean, self.spread, self.disagreement)


def _disagreement(mean: np.ndarray, nearby: NearbyStations) -> np.ndarray:
    """Return the mean squared difference of each station's nearest others from it."""
    others = nearby.rows[:, 1 : 1 + FILLING_STATIONS].T
    total = np.zeros_like(mean)
    for rows in others:  # one by one: all at once would take their number times the memory
        total += (mean[rows] - mean) ** 2
    return total / max(len(others), 1)


class _Errors(NamedTuple):
    """Errors in gaps that were made, (n,), in units of their spread by a law."""

    law: SpreadLaw
    error: np.ndarray
    steps: np.ndarray
    gap: np.ndarray  # its number

    def factor(self, freedom: float) -> np.ndarray:
        """Return what the law lacks for 90 % intervals to hold 90 %, at each of the `KNOTS`.

        The fewer gaps there are near one, the closer its factor is to that of all.
        """
        spread = np.ones_like(self.error)
        of_all = interval_factor(self.error, spread, freedom)
        factor = np.full(len(KNOTS), of_all)
        nearest = np.abs(_logarithm(self.steps)[:, None] - np.log2(KNOTS)).argmin(1)
        for knot in range(len(KNOTS)):
            near = nearest == knot
            if near.sum() >= FEWEST:
                own = interval_factor(self.error[near], spread[near], freedom)
                gaps = len(np.unique(self.gap[near]))
                factor[knot] *= (own / of_all) ** (gaps / (gaps + GAPS))
        return factor


def proven_spread(
    filled: Fillings, covariance: SpaceTimeCovariance, series: Tensor, nearby: NearbyStations
) -> tuple[np.ndarray, float]:
    """Return the spread of fillings, (station, time) standardised, and its degrees of freedom.

    The law is that of kriging at places, by the disagreement of the stations around, the level and
    the kriging variance; it is fitted to the errors in gaps that are made in the series, once while
    other stations report and once while none does. Its factor follows the steps to the nearest own
    value, as far as there are gaps to tell it. Where too little is known to fit a law, the spread
    is that of kriging.

    Parameters
    ----------
    filled : Fillings
        Of the series.
    covariance : SpaceTimeCovariance
    series : (station, time) float64
        Standardised; NaN is missing.
    nearby : NearbyStations
    """
    proven = {
        everyone: errors
        for everyone in (False, True)
        if (errors := _made_errors(covariance, series, nearby, everyone=everyone)) is not None
    }
    if not proven:
        return filled.spread, math.inf
    together = np.concatenate([errors.error for errors in proven.values()])
    freedom = fit_freedom(together, np.ones_like(together))
    spread = filled.spread.copy()
    for everyone, errors in proven.items():
        where = (filled.silent == everyone) & (filled.spread > 0)
        part = filled.part(where)
        along = np.interp(_logarithm(part.steps), np.log2(KNOTS), errors.factor(freedom))
        spread[where] = along * errors.law(part.kriged)
    return spread, freedom


def _made_errors(
    covariance: SpaceTimeCovariance, series: Tensor, nearby: NearbyStations, *, everyone: bool
) -> _Errors | None:
    """Return the errors where values are taken out of some series, or of all; None if too few."""
    parts = []
    for draw in range(OUTAGE_DRAWS if everyone else 1):
        made = made_gaps(series.shape, everyone=everyone, seed=draw)
        out = torch.from_numpy(made) & torch.isfinite(series)
        filled = Fillings.of(covariance, series.masked_fill(out, torch.nan), nearby)
        known = np.nonzero(out.numpy() & filled.constrained & (filled.silent == everyone))
        where = tuple(each[:: len(each) // ERRORS + 1] for each in known)
        number = _numbers(made[:1] if everyone else made) + draw * made.size
        gap = np.broadcast_to(number, made.shape)[where]
        parts.append((*filled.part(where), series.numpy()[where], gap))
    *columns, truth, gap = (np.concatenate(each) for each in zip(*parts, strict=True))
    filled = Fillings(*columns)
    if truth.size < FEWEST or np.ptp(truth) == 0:
        return None
    law = LeftOut(filled.kriged, truth).fitted("law")
    return _Errors(law, (truth - filled.mean) / law(filled.kriged), filled.steps, gap)


def made_gaps(shape: tuple[int, ...], *, everyone: bool, seed: int = 0) -> np.ndarray:
    """Return where values are taken out, (station, time) bool.

    A fifth of each series, or half of all at once: an outage of all takes nothing from what another
    is filled from. Half of the gaps last up to the root of the longest, so that all lengths count.

    Examples
    --------
    >>> made_gaps((2, 8760), everyone=True).mean(axis=1).round(1).tolist()
    [0.5, 0.5]
    """
    rng, gaps = np.random.default_rng(seed), np.zeros(shape, dtype=bool)
    longest = max(min(LONGEST, int(shape[1] * LARGEST_SHARE)), 1)
    for row in [slice(None)] if everyone else range(shape[0]):
        step = int(rng.integers(longest))
        while step < shape[1]:
            length = int(np.exp(rng.uniform(0, np.log(longest + 1))))
            gaps[row, step : step + length] = True
            step += (2 if everyone else 5) * length
    return gaps


def _numbers(gaps: np.ndarray) -> np.ndarray:
    """Return a number for each run of gaps in each row, where there are gaps."""
    return np.diff(gaps, axis=1, prepend=False).cumsum().reshape(gaps.shape)


def _logarithm(steps: np.ndarray) -> np.ndarray:
    """Return the logarithm of steps within the `KNOTS`."""
    return np.log2(np.clip(steps, KNOTS[0], KNOTS[-1]))
