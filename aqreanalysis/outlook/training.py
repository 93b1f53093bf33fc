"""Training of outlooks: a linear one in closed form, networks by gradient, both on the calendar."""

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.methods.neural.validation import COVERAGE, HALF_WIDTH, SMALLEST, crps
from aqreanalysis.outlook.aqnet import (
    History,
    OutlookModule,
    OutlookNetwork,
    Prediction,
    design,
    penalties,
)
from aqreanalysis.outlook.baselines import Climatology, Persistence, Ridge, cells
from aqreanalysis.outlook.inputs import Histories
from aqreanalysis.outlook.paper import ENTROPY_SHARE, PaperNetwork, entropy

logger = logging.getLogger(__name__)

#: Penalties of the linear outlook that are tried, in numbers of training examples.
PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: Examples that are computed at a time where nothing is learned.
BATCH = 1024
#: Error, in units of the root at the mean level, up to which the error in concentration counts
#: squared: haze is what an outlook is for.
QUADRATIC = 10.0


@dataclass(frozen=True)
class OutlookSchedule:
    """How long and how fast an outlook learns.

    Parameters
    ----------
    updates, batch : int
        Steps of the optimiser, and histories in each.
    rate, decay : float
        Largest learning rate, which rises for a tenth of the updates and falls along a cosine,
        and weight decay.
    check_every, patience : int
        Updates between looks at the validation period, and looks without gain before stopping.
    concentration_share : float
        Weight of the error in concentration beside the continuous ranked probability score.
    average : float
        Decay of the running mean of the weights, which is what is validated and kept.
    validation_examples : int
        Histories of the validation period that are looked at.
    """

    updates: int = 400
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.3
    check_every: int = 50
    patience: int = 2
    concentration_share: float = 3.0
    average: float = 0.99
    validation_examples: int = 3000


class Examples(NamedTuple):
    """Stations and starts, of which each pair is a history and what came after it."""

    histories: Histories
    station: Tensor  # (n,) int64
    start: Tensor  # (n,) int64

    @classmethod
    def of(cls, histories: Histories, starts: Sequence[int]) -> "Examples":
        """Return the examples of all stations at all starts, station by station."""
        stations, start = len(histories.value), torch.tensor(list(starts), dtype=torch.int64)
        station = torch.arange(stations).repeat_interleave(len(start))
        return cls(histories, station, start.repeat(stations))

    def take(self, rows: Tensor) -> "Examples":
        """Return some of the examples."""
        return self._replace(station=self.station[rows], start=self.start[rows])

    def batches(self, size: int = BATCH) -> Iterator["Examples"]:
        """Yield the examples in their order, so many at a time."""
        for rows in torch.arange(len(self.start)).split(size):
            yield self.take(rows)

    def history(self, model: OutlookModule) -> History:
        """Return the histories as a model sees them."""
        edges, leads = model.edges, len(model.spread)
        return self.histories.at(self.station, self.start, edges=edges, leads=leads)

    def truth(self, leads: int) -> Tensor:
        """Return what came after, (n, lead)."""
        return self.histories.truth(self.station, self.start, leads)


class Level(NamedTuple):
    """Centre and scale of the root in the training period."""

    centre: float
    scale: float

    def of(self, root: Tensor) -> Tensor:
        """Return the concentration of a standardised root."""
        return (self.centre + self.scale * root).clamp_min(0) ** 2

    def concentration(self, found: Prediction, share: float) -> Tensor:
        """Return the estimate: the squared median of the root, and a share of its variance."""
        return self.of(found.mean) + share * (self.scale * found.log_spread.exp()) ** 2


class Learned(NamedTuple):
    """What learning an outlook gave.

    Attributes
    ----------
    model : Module
        From a `History` to a `Prediction`.
    log_factor : (lead,) Tensor
        Added to the log-spread, so that 90 % intervals hold 90 % in the validation period.
    scores : mapping
        RMSE and coverage in the validation period, in the units of the variable.
    """

    model: OutlookModule
    log_factor: Tensor
    scores: dict[str, float]


def learn(
    model: OutlookModule,
    training: Examples,
    validation: Examples,
    *,
    level: Level,
    schedule: OutlookSchedule,
    seed: int,
    progress: bool = False,
) -> Learned:
    """Return a model that has learned from the training examples, its spread calibrated.

    Persistence has nothing to learn; climatology and ridge regression have closed forms; networks
    are trained by gradient and keep the weights that do best in the validation period. The same
    seed gives the same model on the same machine.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        if isinstance(model, Climatology):
            _learn_table(model, training, level)
        elif isinstance(model, Ridge):
            model.level = torch.tensor(level)
            model.weight = solve_linear(model, training, validation, level)
        elif not isinstance(model, Persistence):
            if isinstance(model, OutlookNetwork):
                model.weight = solve_linear(model, training, validation)
            if isinstance(model, PaperNetwork):
                model.level = torch.tensor(level)
            model = _descend(model, training, validation, level, schedule, seed, progress)
        return _calibrated(model.eval(), validation, level)


def solve_linear(
    model: OutlookNetwork | Ridge,
    training: Examples,
    validation: Examples,
    level: Level | None = None,
) -> Tensor:
    """Return the weights (feature, lead) of a ridge regression, one penalty for each lead.

    With a level the concentration is regressed and all weights are penalised alike; without one it
    is the standardised root, and covariates are penalised more. Missing truth is replaced by its
    mean at that lead: it then takes no side. The penalty of each lead is the one with the least
    error in the validation period (Hoerl & Kennard 1970).
    """

    def sides(examples: Examples) -> tuple[Tensor, Tensor]:
        history = examples.history(model)
        truth = examples.truth(history.cycles.shape[1])
        return design(history, cycles=cycles), truth if level is None else level.of(truth)

    cycles = model.cycles
    gram, moment = torch.zeros(()).double(), torch.zeros(()).double()
    for part in training.batches(8 * BATCH):
        known, truth = sides(part)
        there = torch.isfinite(truth)
        mean = truth.nan_to_num().sum(0) / there.sum(0).clamp_min(1)
        gram = gram + (known.T @ known).double()
        moment = moment + (known.T @ torch.where(there, truth, mean)).double()
    channels = training.histories.sums.shape[-1]
    tokens = len(model.edges) - 1
    weighed = penalties(tokens, channels, len(gram)) if level is None else torch.ones(len(gram))
    penalty = torch.diag(weighed.double()) * len(training.start)
    solved = torch.stack(
        [torch.linalg.solve(gram + share * penalty, moment) for share in PENALTIES]
    ).float()
    errors = torch.zeros(len(PENALTIES), moment.shape[1])
    for part in validation.batches():
        known, truth = sides(part)
        errors += (known @ solved - truth).square().nan_to_num().sum(1)
    leads = torch.arange(moment.shape[1])
    return solved[errors.argmin(0), :, leads].T.contiguous()


def _learn_table(model: Climatology, training: Examples, level: Level) -> None:
    """Put the mean concentrations of the training period into a climatology."""
    total, count = torch.zeros_like(model.table), torch.zeros_like(model.table)
    for part in training.batches():
        history = part.history(model)
        truth = level.of(part.truth(history.cycles.shape[1]))
        there = torch.isfinite(truth)
        cell = cells(history.cycles)[there]
        total += torch.bincount(cell, truth[there], minlength=len(total))
        count += torch.bincount(cell, minlength=len(total))
    mean = torch.where(count > 0, total / count.clamp_min(1), total.sum() / count.sum())
    model.table.copy_((mean.sqrt() - level.centre) / level.scale)


def _descend(
    model: OutlookModule,
    training: Examples,
    validation: Examples,
    level: Level,
    schedule: OutlookSchedule,
    seed: int,
    progress: bool,
) -> OutlookModule:
    """Return the running mean of the weights that does best in the validation period."""
    from tqdm import tqdm

    rows = torch.Generator().manual_seed(seed)
    model = model.to(best_device())
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average),
        use_buffers=True,
    )
    running = cast(OutlookModule, average.module)
    optimiser = torch.optim.AdamW(model.parameters(), schedule.rate, weight_decay=schedule.decay)
    falling = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.rate, total_steps=schedule.updates, pct_start=0.1
    )
    chosen = torch.randperm(len(validation.start), generator=rows)[: schedule.validation_examples]
    looked_at = validation.take(chosen.sort().values)
    best, least, waited = copy.deepcopy(model), math.inf, 0
    bar = tqdm(range(1, schedule.updates + 1), desc="training", disable=not progress, leave=False)
    for update in bar:
        model.train()
        drawn = torch.randint(len(training.start), (schedule.batch,), generator=rows)
        loss = _loss(model, training.take(drawn), level, schedule.concentration_share)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        falling.step()
        average.update_parameters(model)
        if update % schedule.check_every and update != schedule.updates:
            continue
        found = _validation_loss(running, looked_at, level, schedule)
        logger.debug("update %d: validation loss %.4f", update, found)
        waited = waited + 1
        if found < least:
            best, least, waited = copy.deepcopy(running), found, 0
        if waited >= schedule.patience:
            break
    return best.cpu()


def _loss(model: OutlookModule, examples: Examples, level: Level, share: float) -> Tensor:
    """Return the loss of a batch.

    It is the CRPS of the standardised root and a share of a Huber loss of the concentration, in
    units of the root at the mean level. AQ-Net as released has the squared error instead, in
    units of the squared scale of the root, and a share of the entropy of its attention.
    """
    released = isinstance(model, PaperNetwork)
    device = model.spread.device
    found = model(moved(examples.history(model), device), attention=released)
    truth = examples.truth(found.mean.shape[1]).to(device)
    there = torch.isfinite(truth)
    truth = truth.nan_to_num()
    expected = level.of(truth)[there]
    if released:
        off = (level.concentration(found, 0.0)[there] - expected) / level.scale**2
        return off.square().mean() + ENTROPY_SHARE * entropy(found.attention)
    unit = 2 * level.centre * level.scale
    estimate = level.concentration(found, 1.0)[there]
    huber = nn.functional.smooth_l1_loss(estimate / unit, expected / unit, beta=QUADRATIC)
    return crps(found.mean, 2 * found.log_spread, truth)[there].mean() + share * huber


@torch.no_grad()
def _validation_loss(
    model: OutlookModule, examples: Examples, level: Level, schedule: OutlookSchedule
) -> float:
    """Return the loss over examples in which nothing is left out."""
    model.eval()
    parts = [
        _loss(model, part, level, schedule.concentration_share) * len(part.start)
        for part in examples.batches()
    ]
    return float(sum(parts)) / len(examples.start)


@torch.no_grad()
def _calibrated(model: OutlookModule, validation: Examples, level: Level) -> Learned:
    """Return the model with the factors that make 90 % of the truth lie in 90 % intervals."""
    parts = []
    for part in validation.batches():
        found = model(part.history(model))
        parts.append((found.mean, found.log_spread, part.truth(found.mean.shape[1])))
    mean, log_spread, truth = (torch.cat(each) for each in zip(*parts, strict=True))
    ratio = ((truth - mean).abs() / log_spread.exp()).double()
    factor = torch.nanquantile(ratio, COVERAGE, dim=0) / HALF_WIDTH
    # A lead whose hours are all missing in the validation period takes the mean of the others.
    factor = torch.where(torch.isfinite(factor), factor, factor.nanmean()).clamp_min(SMALLEST)
    log_factor = factor.log().float()
    prediction = Prediction(mean, log_spread + log_factor)
    off = level.concentration(prediction, 0.0) - level.of(truth)
    inside = ratio <= HALF_WIDTH * factor
    there = torch.isfinite(truth)
    scores = {
        "rmse": float(off[there].double().square().mean().sqrt()),
        "coverage": float(inside[there].double().mean()),
    }
    return Learned(model, log_factor, scores)
