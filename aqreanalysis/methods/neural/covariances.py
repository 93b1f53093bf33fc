"""Fitting the covariances: the one that fills gaps, and those of the bands of the day."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.bands import BandCovariance, reach_of, split_bands
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import Surroundings, complete, estimate_gaps
from aqreanalysis.methods.neural.batches import Samples, surroundings_of
from aqreanalysis.methods.neural.validation import crps

#: Longest outage that is made to learn from, and steps of a stretch in which they are made.
LONGEST_OUTAGE, STRETCH = 24, 144
#: Stations that are left out in turn in an update, and steps at which they are estimated.
STATIONS_OF_UPDATE, STEPS_OF_UPDATE = 128, 600
#: Weight of the squared logarithm of a station's noise beside the errors.
SHRINKAGE = 0.01


def fit_filling(
    covariance: SpaceTimeCovariance,
    samples: Samples,
    *,
    updates: int,
    rate: float,
    rng: np.random.Generator,
    crop: Callable[[], np.ndarray],
) -> Iterator[None]:
    """Fit the covariance that fills gaps to values that are taken out, an update at a time.

    Parameters
    ----------
    covariance : SpaceTimeCovariance
        Fitted in place.
    samples : Samples
    updates : int
    rate : float
        Of learning.
    rng : Generator
    crop : callable
        Gives the rows of a random part of the network.
    """
    parameters = list(covariance.parameters())
    optimiser = torch.optim.Adam(parameters, lr=rate)
    for _ in range(updates):
        rows = crop()
        value, gaps = _with_outages(samples.value[rows], rng)
        truth = value[tuple(gaps.T)]
        value[tuple(gaps.T)] = torch.nan
        around = Surroundings.among(samples.distance_km(rows, rows))
        mean, variance = estimate_gaps(covariance, value, around, gaps)
        if len(gaps):
            optimiser.zero_grad()
            crps(mean, variance.log(), truth).mean().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
        yield
    covariance.requires_grad_(False)


def _with_outages(value: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return a stretch of series, and the measured values in it that are to be taken out."""
    start = int(rng.integers(0, max(value.shape[1] - STRETCH, 0) + 1))
    value = value[:, start : start + STRETCH].clone()
    out = torch.zeros(value.shape, dtype=torch.bool)
    for row in rng.permutation(len(value))[: max(len(value) // 4, 1)]:
        first, length = rng.integers(0, value.shape[1]), rng.integers(1, LONGEST_OUTAGE + 1)
        out[row, first : first + length] = True
    return value, (out & torch.isfinite(value)).nonzero()


def fit_bands(
    bands: BandCovariance,
    samples: Samples,
    *,
    covariance: SpaceTimeCovariance,
    widths: tuple[float, ...],
    log_noise: Tensor,
    updates: int,
    rate: float,
    rng: np.random.Generator,
) -> Iterator[None]:
    """Fit the bands to stations estimated from the others, each at its measured hours.

    Nothing is drawn but hours and, of a large network, its parts: the leave-one-out estimates of
    all stations follow from one inverse, so this takes seconds. The loss is the sum of mean
    absolute and mean squared error of the standardised root, for a field good by both. The
    factors of the stations' noise, whose logarithm is ``log_noise`` (station,), are fitted with the
    bands and shrunk towards 1. A station's own values enter the gaps of the others a little.
    """
    value, split = _completed_bands(samples, covariance, widths)
    measured = torch.isfinite(samples.value)
    reporting = measured.any(dim=0).nonzero()[:, 0].numpy()
    optimiser = torch.optim.Adam([*bands.parameters(), log_noise], lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(updates, 1))
    for _ in range(updates):
        centre = int(rng.integers(samples.network.size))
        rows = samples.network.nearest_to(centre, count=STATIONS_OF_UPDATE)
        steps = torch.from_numpy(rng.choice(reporting, STEPS_OF_UPDATE))
        weights = bands.leave_one_out(
            samples.distance_km(rows, rows), samples.bearing(rows, rows), log_noise[rows]
        )
        estimate = torch.einsum("ijb,jtb->it", weights, split[rows][:, steps])
        error = (estimate - value[rows][:, steps])[measured[rows][:, steps]]
        loss = error.abs().mean() + error.square().mean() + SHRINKAGE * log_noise.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        yield
    bands.requires_grad_(False)


def _completed_bands(
    samples: Samples, covariance: SpaceTimeCovariance, widths: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Return completed series (station, time) and their bands (station, time, band)."""
    value, _ = complete(covariance, samples.value, surroundings_of(samples.network))
    padded = torch.nn.functional.pad(value, (reach_of(widths),) * 2, mode="replicate")
    return value, split_bands(padded, torch.ones_like(padded), widths)
