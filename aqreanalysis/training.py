"""Training by hiding stations: covariance first, then the network, stopped on hidden stations."""

import copy
import logging
import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.model import Configuration, NeuralKNN, single_thread
from aqreanalysis.samples import Batch, Samples, Standardisation, Window, assemble, narrowed

logger = logging.getLogger(__name__)

#: Places below which nothing but the covariance is learned: too few to prove more.
FEWEST_FOR_HEADS = 8
#: Nominal coverage to which the spread is calibrated, and its half-width in standard errors.
COVERAGE, HALF_WIDTH = 0.90, 1.6449


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    covariance_updates, updates : int
        Steps of the optimiser for the covariance alone, then for everything else.
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

    covariance_updates: int = 60
    updates: int = 400
    windows: int = 6
    crop: int = 48
    covariance_rate: float = 0.04
    rate: float = 4e-3
    hidden: tuple[float, float] = (0.05, 0.4)
    check_every: int = 50
    patience: int = 4
    concentration_share: float = 0.5
    average: float = 0.98
    validation_windows: int = 24


class Look(NamedTuple):
    """One look at the validation stations, in units of the variable."""

    update: int
    rmse: float
    mae: float
    crps: float
    coverage: float  # of the 90 % interval

    def gain_over(self, other: "Look") -> float:
        """Return the mean relative gain in RMSE and MAE; positive is better than the other."""
        return 1 - (self.rmse / other.rmse + self.mae / other.mae) / 2


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes
    ----------
    model : NeuralKNN
    standardisation : Standardisation
        With the share of the variance in the estimate that serves hidden stations best.
    kriging, kept : Look
        Of the learned covariance alone, and of the model as it is kept.
    history : tuple of Look
    heads : bool
        Whether the network beats the covariance alone, and so is used.
    """

    model: NeuralKNN
    standardisation: Standardisation
    kriging: Look
    kept: Look
    history: tuple[Look, ...]
    heads: bool


def train(
    samples: Samples,
    standardisation: Standardisation,
    *,
    configuration: Configuration,
    schedule: Schedule | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Trained:
    """Return a model trained on the samples, the same for the same seed and machine.

    A quarter of the places is never a target. After every few updates these stations are hidden
    all at once and found from the others; the weights with the best RMSE and MAE there are kept,
    and the network is left out if it does not beat the covariance alone.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        spacing = samples.network.spacing_km
        model = NeuralKNN(configuration, spacing_km=spacing if math.isfinite(spacing) else 1.0)
        rng = np.random.default_rng(seed)
        trainer = _Trainer(samples, standardisation, model, schedule or Schedule(), rng)
        return trainer.run(progress=progress)


class _Trainer:
    """The loop, with what every part of it needs."""

    def __init__(
        self,
        samples: Samples,
        standardisation: Standardisation,
        model: NeuralKNN,
        schedule: Schedule,
        rng: np.random.Generator,
    ) -> None:
        self.samples, self.standardisation, self.model = samples, standardisation, model
        self.schedule, self.rng = schedule, rng
        places = int(samples.network.colocated_groups().max()) + 1
        self.proves = places >= FEWEST_FOR_HEADS
        fold = samples.network.folds(min(4, places), seed=int(rng.integers(2**31)))
        everyone = np.arange(samples.network.size)
        self.validation = np.flatnonzero(fold == 0)
        self.targets = np.setdiff1d(everyone, self.validation) if self.proves else everyone
        self.looked_at = self._validation_windows()

    def run(self, *, progress: bool) -> Trained:
        """Return the trained model, calibrated on the validation stations."""
        from tqdm.auto import tqdm

        updates = self.schedule.updates if self.proves else 0
        total = self.schedule.covariance_updates + updates
        with tqdm(total=total, desc="training", disable=not progress, leave=False) as bar:
            self._learn_covariance(bar)
            _, kriging = self._calibrate(self.model, 0, heads=False)
            history = [kriging]
            best = self.model
            for model, look in self._learn_heads(bar, kriging) if updates else ():
                best = model if look.gain_over(kriging) > _best_gain(history, kriging) else best
                history.append(look)
        heads = best is not self.model
        standardisation, kept = self._calibrate(best, len(history) - 1, heads=heads)
        logger.info("hidden stations: RMSE %.2f, kriging %.2f", kept.rmse, kriging.rmse)
        return Trained(best.eval(), standardisation, kriging, kept, tuple(history), heads)

    def _learn_covariance(self, bar: Any) -> None:
        """Fit the covariance to hidden stations."""
        bar.set_description("learning the covariance")
        parameters = [*self.model.covariance.parameters(), self.model.log_spread]
        optimiser = torch.optim.Adam(parameters, lr=self.schedule.covariance_rate)
        for _ in range(self.schedule.covariance_updates):
            batch = self._batch()
            self._step(optimiser, parameters, _outputs(self.model, batch, heads=False), batch)
            bar.update()
        self.model.covariance.requires_grad_(False)

    def _learn_heads(self, bar: Any, kriging: Look) -> Any:
        """Yield averaged models and how they do at the validation stations."""
        bar.set_description("learning the network")
        schedule = self.schedule
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=schedule.rate)
        falling = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, schedule.rate, total_steps=schedule.updates, pct_start=0.1
        )
        averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average)
        average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=averaging)
        gains = [0.0]
        for update in range(1, schedule.updates + 1):
            batch = self._batch()
            self._step(optimiser, parameters, _outputs(self.model, batch, heads=True), batch)
            falling.step()
            average.update_parameters(self.model)
            bar.update()
            if update % schedule.check_every:
                continue
            kept: Any = copy.deepcopy(average.module)
            _, look = self._calibrate(kept, update, heads=True)
            gains.append(look.gain_over(kriging))
            bar.set_postfix_str(f"hidden RMSE {look.rmse:.2f}, kriging {kriging.rmse:.2f}")
            yield kept, look
            if len(gains) - int(np.argmax(gains)) > schedule.patience:
                return

    def _step(
        self,
        optimiser: torch.optim.Optimizer,
        parameters: list[Any],
        outputs: tuple[Tensor, Tensor],
        batch: Batch,
    ) -> None:
        """Take one step down the gradient."""
        mean, log_variance = outputs
        there = torch.isfinite(batch.truth)
        loss = _loss(
            mean[there],
            log_variance[there],
            batch.truth[there],
            self.standardisation,
            self.schedule.concentration_share,
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    def _batch(self) -> Batch:
        """Return a batch of random windows, each with its own crop and hidden stations."""
        return self._assemble([self._window() for _ in range(self.schedule.windows)])

    def _window(self) -> Window:
        """Return a random window in which some hidden station has a value."""
        last = self.samples.value.shape[1] - self.model.configuration.window_steps
        start = int(self.rng.integers(0, last + 1))
        crop = self._crop(int(self.rng.choice(self.targets)))
        targets = np.intersect1d(crop, self.targets)
        most = min(len(targets), len(crop) - 1)
        count = int(np.ceil(len(targets) * self.rng.uniform(*self.schedule.hidden)))
        hidden = self.rng.permutation(targets)[: min(max(count, 1), most)]
        return Window(start, np.setdiff1d(crop, hidden), hidden)

    def _crop(self, centre: int) -> np.ndarray:
        """Return the stations nearest to one of them."""
        nearest = torch.argsort(self.samples.distance_km[centre], stable=True)
        return np.sort(nearest[: self.schedule.crop].numpy())

    def _validation_windows(self) -> list[Window]:
        """Return windows over the whole period in which the validation stations are hidden."""
        configuration = self.model.configuration
        last = self.samples.value.shape[1] - configuration.window_steps
        count = min(self.schedule.validation_windows, last // configuration.core_steps + 1)
        visible = np.setdiff1d(np.arange(self.samples.network.size), self.validation)
        starts = np.linspace(0, last, count).astype(int)
        return [Window(int(start), visible, self.validation) for start in starts]

    def _assemble(self, windows: list[Window]) -> Batch:
        """Return windows as a batch, gaps filled with the covariance as it stands."""
        model = self.model
        return assemble(
            self.samples, windows, covariance=model.covariance, configuration=model.configuration
        )

    @torch.no_grad()
    def _calibrate(
        self, model: NeuralKNN, update: int, *, heads: bool
    ) -> tuple[Standardisation, Look]:
        """Return how a model does at the validation stations after calibrating its spread there."""
        model.eval()
        outputs, truths = [], []
        for first in range(0, len(self.looked_at), self.schedule.windows):
            batch = self._assemble(self.looked_at[first : first + self.schedule.windows])
            outputs.append(torch.stack(_outputs(model, batch, heads=heads)))
            truths.append(batch.truth)
        truth = torch.cat(truths)
        there = torch.isfinite(truth)
        (mean, log_variance), truth = torch.cat(outputs, 1)[:, there].double(), truth[there]
        model.train()
        return _calibrated(model, update, mean, log_variance, truth.double(), self.standardisation)


def _outputs(model: NeuralKNN, batch: Batch, *, heads: bool) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance at the batch's targets, (n, core)."""
    weights = model.weights(batch.neighbourhood)
    series = narrowed(batch.series, model.configuration)
    if not heads:
        return model.krige(series, batch.neighbourhood, weights)
    encoding = narrowed(model.encode(batch.series), model.configuration)
    return model(series, encoding, batch.neighbourhood, weights, batch.cycles)


def _calibrated(
    model: NeuralKNN,
    update: int,
    mean: Tensor,
    log_variance: Tensor,
    truth: Tensor,
    standardisation: Standardisation,
) -> tuple[Standardisation, Look]:
    """Return standardisation and scores with spread and variance share fitted to the truth.

    The spread is scaled so that the 90 % interval holds 90 % of the truth; of eleven shares of
    the variance the one with the smallest sum of relative RMSE and MAE is kept.
    """
    ratio = (truth - mean).abs() / (log_variance / 2).exp()
    factor = float(torch.quantile(ratio[:: len(ratio) // 1_000_000 + 1], COVERAGE)) / HALF_WIDTH
    model.log_spread.data += 2 * math.log(max(factor, 1e-3))
    variance = log_variance.exp() * factor**2
    observed, _ = replace(standardisation, variance_share=0.0).backward(truth, variance * 0)
    choices = []
    for share in np.linspace(0, 1, 11):
        chosen = replace(standardisation, variance_share=float(share))
        error = chosen.backward(mean, variance)[0] - observed
        choices.append((float(error.square().mean().sqrt()), float(error.abs().mean()), chosen))
    median_rmse, median_mae, _ = choices[0]
    rmse, mae, chosen = min(choices, key=lambda c: c[0] / median_rmse + c[1] / median_mae)
    coverage = float(((truth - mean).abs() <= HALF_WIDTH * variance.sqrt()).double().mean())
    crps = float(_crps(mean, variance.log(), truth).mean())
    return chosen, Look(update, rmse, mae, crps, coverage)


def _loss(
    mean: Tensor, log_variance: Tensor, truth: Tensor, scale: Standardisation, share: float
) -> Tensor:
    """Return the CRPS of the standardised root plus a share of the error in concentration.

    The second is a Huber loss of ``(a + mean)^2 + variance / 2`` with ``a = centre / scale``,
    divided by its slope 2 a at the mean level, so that both are in standard deviations.
    """
    level = scale.centre / scale.scale
    expected = (level + truth).clamp_min(0) ** 2
    found = (level + mean).clamp_min(0) ** 2 + log_variance.exp() / 2
    huber = torch.nn.functional.smooth_l1_loss(found / (2 * level), expected / (2 * level))
    return _crps(mean, log_variance, truth).mean() + share * huber


def _crps(mean: Tensor, log_variance: Tensor, truth: Tensor) -> Tensor:
    """Return the continuous ranked probability score of a normal (Gneiting & Raftery 2007)."""
    spread = (log_variance / 2).exp()
    standard = (truth - mean) / spread
    density = torch.exp(-(standard**2) / 2) / math.sqrt(2 * math.pi)
    return spread * (
        standard * torch.erf(standard / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi)
    )


def _best_gain(history: list[Look], kriging: Look) -> float:
    """Return the best gain over kriging so far; kriging's own is 0."""
    return max(look.gain_over(kriging) for look in history)
