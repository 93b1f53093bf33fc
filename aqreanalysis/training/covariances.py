"""Fitting the covariances: of what fills gaps, and of the bands of the day."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.model import BandCovariance, SpaceTimeCovariance, complete, estimate_gaps
from aqreanalysis.model.bands import reach_of, split_bands
from aqreanalysis.samples import Samples
from aqreanalysis.training.validation import crps

#: Longest outage that is made to learn from, and steps of a stretch in which they are made.
LONGEST_OUTAGE, STRETCH = 24, 144
#: Stations found from each other at once, and steps at which they are.
TOGETHER, AT_ONCE = 128, 600
#: Stations that are left out for calibration, and hours of each.
LEFT_OUT, EACH = 256, 2000


def fit_filling(
    covariance: SpaceTimeCovariance,
    samples: Samples,
    *,
    updates: int,
    rate: float,
    rng: np.random.Generator,
    crop: Callable[[], np.ndarray],
) -> Iterator[None]:
    """Fit what fills gaps to values that are taken out, an update at a time.

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
        apart = samples.distance_km[rows][:, rows]
        mean, variance = estimate_gaps(covariance, value, apart, gaps)
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
    updates: int,
    rate: float,
    rng: np.random.Generator,
) -> Iterator[None]:
    """Fit the bands to stations found from the others, each at its measured hours.

    Nothing is drawn but hours and, of a large network, its parts: the leave-one-out estimates of
    all stations follow from one inverse, so this takes seconds. The loss is the sum of mean
    absolute and mean squared error of the standardised root, for a field good by both.
    """
    value, split = _completed_bands(samples, covariance, widths)
    there = torch.isfinite(samples.value)
    reporting = there.any(dim=0).nonzero()[:, 0].numpy()
    optimiser = torch.optim.Adam(bands.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(updates, 1))
    for _ in range(updates):
        centre = int(rng.integers(samples.network.size))
        rows = samples.distance_km[centre].argsort(stable=True)[:TOGETHER]
        steps = torch.from_numpy(rng.choice(reporting, AT_ONCE))
        weights, _ = bands.leave_one_out(
            samples.distance_km[rows][:, rows], samples.bearing[rows][:, rows]
        )
        found = torch.einsum("ijb,jtb->it", weights, split[rows][:, steps])
        error = (found - value[rows][:, steps])[there[rows][:, steps]]
        optimiser.zero_grad()
        (error.abs().mean() + error.square().mean()).backward()
        optimiser.step()
        falling.step()
        yield
    bands.requires_grad_(False)


class LeftOut(NamedTuple):
    """Stations found from the others, at measured hours."""

    mean: Tensor  # (n,) standardised
    log_variance: Tensor  # (n,)
    truth: Tensor  # (n,)
    station: Tensor  # (n,) int


@torch.no_grad()
def leave_out(
    bands: BandCovariance,
    samples: Samples,
    *,
    covariance: SpaceTimeCovariance,
    widths: tuple[float, ...],
    neighbours: int,
    rng: np.random.Generator,
) -> LeftOut:
    """Return how each station, of many a random part, is found from its nearest others."""
    value, split = _completed_bands(samples, covariance, widths)
    measured = torch.isfinite(samples.value)
    stations = np.sort(rng.permutation(samples.network.size)[:LEFT_OUT])
    parts = []
    for number, station in enumerate(stations):
        rows = samples.distance_km[station].argsort(stable=True)
        rows = torch.cat([torch.tensor([station]), rows[rows != station][:neighbours]])
        weight, variance = bands.leave_one_out(
            samples.distance_km[rows][:, rows], samples.bearing[rows][:, rows]
        )
        steps = measured[station].nonzero()[:, 0]
        steps = steps[:: len(steps) // EACH + 1]
        found = torch.einsum("jb,jtb->t", weight[0], split[rows][:, steps])
        spread = variance[0].log().expand_as(found)
        truth = value[station, steps]
        parts.append(LeftOut(found, spread, truth, torch.full(truth.shape, number)))
    return LeftOut(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _completed_bands(
    samples: Samples, covariance: SpaceTimeCovariance, widths: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Return completed series (station, time) and their bands (station, time, band)."""
    value, _ = complete(covariance, samples.value, samples.distance_km)
    padded = torch.nn.functional.pad(value, (reach_of(widths),) * 2, mode="replicate")
    return value, split_bands(padded, torch.ones_like(padded), widths)
