"""Training of outlooks: closed forms, then gradients, and calibrated spreads."""

import copy
import logging
import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.spread import COVERAGE, SMALLEST, half_width
from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.outlook.aqnet import OutlookModule
from aqreanalysis.outlook.inputs import Examples, Level

logger = logging.getLogger(__name__)

#: Steps in which the spread around an estimated mean, and with it the median, is found.
MEAN_STEPS = 4


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
        Updates between validations, and validations without gain before stopping.
    concentration_share : float
        Weight of the error in concentration, added to the continuous ranked probability score.
    average : float
        Decay of the running mean of the weights, which is validated and returned.
    validation_examples : int
        Histories of the validation period that are used.
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


class Trained(NamedTuple):
    """A trained model and its calibration.

    The log-factor (lead,) is added to the log-spread, so that 90 % intervals hold 90 % in the
    validation period, in which the scores, RMSE in the units of the variable and coverage, are.
    """

    model: OutlookModule
    log_factor: Tensor
    scores: dict[str, float]


def train(
    model: OutlookModule,
    training: Examples,
    validation: Examples,
    *,
    level: Level,
    schedule: OutlookSchedule,
    seed: int,
    progress: bool = False,
) -> Trained:
    """Return the model, trained and its spread calibrated.

    Closed forms are solved first; networks are then trained by gradient and take the weights with
    the least loss in the validation period. The same seed gives the same model on the same machine.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        model.solve(training, validation, level)
        if model.trainable:
            model = _descend(model, training, validation, level, schedule, seed, progress)
        return _calibrated(model.eval(), validation, level)


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
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.rate, total_steps=schedule.updates, pct_start=0.1
    )
    chosen = torch.randperm(len(validation.start), generator=rows)[: schedule.validation_examples]
    validated = validation.take(chosen.sort().values)
    best, least, without_gain = copy.deepcopy(model), math.inf, 0
    bar = tqdm(range(1, schedule.updates + 1), desc="training", disable=not progress, leave=False)
    for update in bar:
        model.train()
        drawn = torch.randint(len(training.start), (schedule.batch,), generator=rows)
        loss = _loss(model, training.take(drawn), level, schedule)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        average.update_parameters(model)
        if update % schedule.check_every and update != schedule.updates:
            continue
        validation_loss = _validation_loss(running, validated, level, schedule)
        logger.debug("update %d: validation loss %.4f", update, validation_loss)
        without_gain += 1
        if validation_loss < least:
            best, least, without_gain = copy.deepcopy(running), validation_loss, 0
        if without_gain >= schedule.patience:
            break
    return best.cpu()


def _loss(
    model: OutlookModule, examples: Examples, level: Level, schedule: OutlookSchedule
) -> Tensor:
    """Return the loss of a batch."""
    device = model.spread.device
    history = moved(examples.history(model.edges, model.leads), device)
    truth = examples.truth(model.leads).to(device)
    return model.loss(history, truth, level, schedule.concentration_share)


@torch.no_grad()
def _validation_loss(
    model: OutlookModule, examples: Examples, level: Level, schedule: OutlookSchedule
) -> float:
    """Return the loss of all examples, without dropout."""
    model.eval()
    parts = [_loss(model, part, level, schedule) * len(part.start) for part in examples.batches()]
    return float(sum(parts)) / len(examples.start)


@torch.no_grad()
def _calibrated(model: OutlookModule, validation: Examples, level: Level) -> Trained:
    """Return the model with the factors that make 90 % of the truth lie in 90 % intervals."""
    parts = []
    for part in validation.batches():
        prediction = model(part.history(model.edges, model.leads))
        parts.append((prediction.mean, prediction.log_spread, part.truth(model.leads)))
    mean, log_spread, truth = (torch.cat(each) for each in zip(*parts, strict=True))
    centre = mean
    # The root of a mean lies above the middle of the distribution by more, the wider that is.
    for _ in range(MEAN_STEPS if model.estimates == "mean" else 1):
        ratio = ((truth - centre).abs() / log_spread.exp()).double()
        factor = torch.nanquantile(ratio, COVERAGE, dim=0) / half_width()
        # A lead whose hours are all missing in the validation period takes the mean of others.
        factor = torch.where(torch.isfinite(factor), factor, factor.nanmean()).clamp_min(SMALLEST)
        if model.estimates == "mean":
            variance = (level.scale * log_spread.exp() * factor) ** 2
            median = (level.concentration(mean) - variance).clamp_min(0)
            centre = (median.sqrt() - level.centre) / level.scale
    observed = torch.isfinite(truth)
    error = (level.concentration(mean) - level.concentration(truth))[observed]
    scores = {
        "rmse": float(error.double().square().mean().sqrt()),
        "coverage": float((ratio <= half_width() * factor)[observed].double().mean()),
    }
    return Trained(model, factor.log().float(), scores)
