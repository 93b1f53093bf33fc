"""Training of outlooks: closed forms, then gradients, and calibrated spreads."""

import copy
import hashlib
import logging
import math
import pickle
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from aqreanalysis.atomic import atomic_file
from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.spread import COVERAGE, SMALLEST, half_width
from aqreanalysis.methods.neural.checkpoint import CheckpointError, check_identity
from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.outlook.aqnet import OutlookModule
from aqreanalysis.outlook.inputs import Examples

logger = logging.getLogger(__name__)

#: Number of how training computes. Raise it with every change: a training that an earlier version
#: began is then refused.
FORMAT = 1
#: Steps in which the spread around an estimated mean, and with it the median, is found.
MEAN_STEPS = 4


@dataclass(frozen=True)
class OutlookSchedule:
    """How long and how fast an outlook learns.

    Parameters
    ----------
    updates, batch : int
        Steps of the optimiser, none for what closed forms give alone, and histories in each.
    rate, decay : float
        Largest learning rate, which rises for a tenth of the updates and falls along a cosine,
        and weight decay.
    constant : bool
        Whether the rate stays the same instead.
    check_every, patience : int
        Updates between validations, and validations without gain before stopping.
    concentration_share : float
        Weight of the error in concentration, added to the continuous ranked probability score.
    average : float
        Decay of the running mean of the weights, which is validated and returned; 0 for none.
    examples : int
        Histories of the training period that are learned from, about.
    validation_examples : int
        Histories of the validation period that are used.
    """

    updates: int = 400
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.3
    constant: bool = False
    check_every: int = 50
    patience: int = 2
    concentration_share: float = 3.0
    average: float = 0.99
    examples: int = 70_000
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
    level: Standardisation,
    schedule: OutlookSchedule,
    seed: int,
    progress: bool = False,
    title: str = "training",
    checkpoint: Path | None = None,
) -> Trained:
    """Return the model, trained and its spread calibrated; ``title`` is that of the progress bar.

    Closed forms are solved first; networks are then trained by gradient and take the weights with
    the least loss in the validation period. The same seed gives the same model on the same machine,
    also where the training was cut off and goes on from its checkpoint.

    Raises
    ------
    CheckpointError
        If the file there is that of another training.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        model.solve(training, validation, level)
        if model.trainable and schedule.updates:
            descent = _Descent.of(model, schedule, seed)
            if checkpoint is not None:
                settings = (FORMAT, model, level, schedule, seed)
                descent.file = checkpoint, _identity(training, validation, *settings)
            model = _descend(
                descent, training, validation, level, schedule, title if progress else None
            )
        return _calibrated(model.eval(), validation, level)


@dataclass
class _Descent:
    """All that changes while a network learns.

    Attributes
    ----------
    model, best : OutlookModule
        As it learns, and with the least loss in the validation period.
    average : AveragedModel
        The running mean of its weights.
    rows : Generator
        Draws the examples.
    without_gain : int
        Validations since the least loss.
    file : (Path, str), optional
        Where it is saved at each validation, and the identity of the training.
    """

    model: OutlookModule
    best: OutlookModule
    average: torch.optim.swa_utils.AveragedModel
    optimiser: torch.optim.Optimizer
    rate: torch.optim.lr_scheduler.LRScheduler
    rows: torch.Generator
    least: float = math.inf
    without_gain: int = 0
    update: int = 0
    file: tuple[Path, str] | None = None

    @classmethod
    def of(cls, model: OutlookModule, schedule: OutlookSchedule, seed: int) -> "_Descent":
        """Return the beginning."""
        model = model.to(best_device())
        average = torch.optim.swa_utils.AveragedModel(
            model,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average),
            use_buffers=True,
        )
        optimiser = torch.optim.AdamW(
            model.parameters(), schedule.rate, weight_decay=schedule.decay
        )
        schedulers = torch.optim.lr_scheduler
        rate: torch.optim.lr_scheduler.LRScheduler
        if schedule.constant:
            rate = schedulers.ConstantLR(optimiser, factor=1.0)
        else:
            rate = schedulers.OneCycleLR(
                optimiser, schedule.rate, total_steps=schedule.updates, pct_start=0.1
            )
        rows = torch.Generator().manual_seed(seed)
        return cls(model, copy.deepcopy(model), average, optimiser, rate, rows)

    def save(self, path: Path, identity: str, *, finished: bool = False) -> None:
        """Write all of it to one file, which appears when it is whole; see `Learning.save`."""
        state = {name: getattr(self, name).state_dict() for name in _STATES}
        state |= {name: getattr(self, name) for name in ("least", "without_gain", "update")}
        state |= {"rows": self.rows.get_state(), "random": torch.get_rng_state()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            torch.save(state | {"identity": identity, "finished": finished}, partial)

    def restore(self, path: Path, identity: str) -> None:
        """Go on where the file left off; from the beginning if another training finished it."""
        state = _read(path)
        if state.get("finished") and state.get("identity") != identity:
            return
        check_identity(path, state.get("identity"), identity)
        for name in _STATES:
            getattr(self, name).load_state_dict(state[name])
        for name in ("least", "without_gain", "update"):
            setattr(self, name, state[name])
        self.rows.set_state(state["rows"])
        torch.set_rng_state(state["random"])


def _read(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds; nothing in it is executed."""
    try:
        with zipfile.ZipFile(path):  # torch fails in many ways at what is none
            state = torch.load(path, weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path} is no checkpoint of a training: {error}") from error
    return state if isinstance(state, dict) else {}


def remove_finished(path: Path) -> None:
    """Remove the checkpoint of a training that is finished, once its model is saved."""
    with suppress(CheckpointError):
        if _read(path).get("finished"):
            path.unlink()


#: Parts of a `_Descent` that have a state of their own.
_STATES = ("model", "best", "average", "optimiser", "rate")


def _identity(training: Examples, validation: Examples, *settings: Any) -> str:
    """Return a digest of all that a training depends on."""
    digest = hashlib.sha256(repr(settings).encode())
    for part in (training, validation):
        for tensor in (part.inputs.sums, part.inputs.value, part.station, part.start):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _descend(
    descent: _Descent,
    training: Examples,
    validation: Examples,
    level: Standardisation,
    schedule: OutlookSchedule,
    title: str | None,
) -> OutlookModule:
    """Return the running mean of the weights that does best in the validation period.

    Without a title there is no progress bar.
    """
    from tqdm import tqdm

    running = cast(OutlookModule, descent.average.module)
    chosen = torch.randperm(len(validation.start), generator=descent.rows)
    validated = validation.take(chosen[: schedule.validation_examples].sort().values)
    if descent.file and descent.file[0].exists():
        descent.restore(*descent.file)
    bar = tqdm(
        desc=title,
        disable=title is None,
        leave=False,
        total=schedule.updates,
        initial=descent.update,
    )
    while descent.update < schedule.updates and descent.without_gain < schedule.patience:
        _step(descent, training, level, schedule)
        bar.update()
        if descent.update % schedule.check_every and descent.update != schedule.updates:
            continue
        validation_loss = _validation_loss(running, validated, level, schedule)
        logger.debug("update %d: validation loss %.4f", descent.update, validation_loss)
        descent.without_gain += 1
        if validation_loss < descent.least:
            descent.best.load_state_dict(running.state_dict())
            descent.least, descent.without_gain = validation_loss, 0
        if descent.file:
            descent.save(*descent.file)
    bar.close()
    if descent.file:
        descent.save(*descent.file, finished=True)
    return descent.best.cpu()


def _step(
    descent: _Descent, training: Examples, level: Standardisation, schedule: OutlookSchedule
) -> None:
    """Take one step down the gradient of a batch of random examples."""
    model = descent.model.train()
    drawn = torch.randint(len(training.start), (schedule.batch,), generator=descent.rows)
    loss = _loss(model, training.take(drawn), level, schedule)
    descent.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    descent.optimiser.step()
    descent.rate.step()
    descent.average.update_parameters(model)
    descent.update += 1


def _loss(
    model: OutlookModule, examples: Examples, level: Standardisation, schedule: OutlookSchedule
) -> Tensor:
    """Return the loss of a batch."""
    device = model.spread.device
    history = moved(examples.history(model.edges, model.leads), device)
    truth = examples.truth(model.leads).to(device)
    return model.loss(history, truth, level, schedule.concentration_share)


@torch.no_grad()
def _validation_loss(
    model: OutlookModule, examples: Examples, level: Standardisation, schedule: OutlookSchedule
) -> float:
    """Return the loss of all examples, without dropout."""
    model.eval()
    parts = [_loss(model, part, level, schedule) * len(part.start) for part in examples.batches()]
    return float(sum(parts)) / len(examples.start)


@torch.no_grad()
def _calibrated(model: OutlookModule, validation: Examples, level: Standardisation) -> Trained:
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
