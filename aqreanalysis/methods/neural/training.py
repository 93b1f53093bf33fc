"""Training by hiding stations: covariance first, then the network, stopped on hidden stations."""

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.covariance import Weights
from aqreanalysis.methods.kriging.fitting import crps, fit_bands, fit_filling
from aqreanalysis.methods.neural.batches import Batch, Samples, Standardisation, Window, assemble
from aqreanalysis.methods.neural.checkpoint import Learning, identity_of
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.devices import best_device, moved
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.outputs import (
    DEPARTURES,
    covariance_head,
    departing,
    kriged,
    network,
)
from aqreanalysis.methods.neural.schedule import Schedule
from aqreanalysis.methods.neural.spread import fit_spread_law
from aqreanalysis.methods.neural.threads import single_thread
from aqreanalysis.methods.neural.validation import Look, Validated, calibrate
from aqreanalysis.methods.neural.validation_passes import Hiding, Looks

logger = logging.getLogger(__name__)

#: Places below which nothing but the covariance is learned: too few to prove more.
FEWEST_FOR_HEADS = 8
#: Shifts in which the validation stations are hidden, so that a target has about the neighbours
#: that it will have when nothing is hidden.
SHIFTS = 3
#: Parts of the network that are hidden in turn to calibrate kriging, and stations at most.
CALIBRATING_FOLDS, CALIBRATING = 5, 256


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes
    ----------
    model : NeuralKNN
    kriging, kept : Look
        Of the learned covariance alone, and of the model as it is kept.
    history : tuple of Look
    log_noise : (station,) float64 Tensor
        Logarithm of the factor of each station's noise.
    gain : float
        Relative gain over the covariance alone at the validation stations, less its standard
        error; 0 where that was not beaten.
    """

    model: NeuralKNN
    kriging: Look
    kept: Look
    history: tuple[Look, ...]
    log_noise: Tensor
    gain: float

    @property
    def heads(self) -> bool:
        """Whether the network beats the covariance alone, and so is used."""
        return self.gain > 0


def train(
    samples: Samples,
    standardisation: Standardisation,
    *,
    configuration: Configuration,
    schedule: Schedule | None = None,
    seed: int = 0,
    progress: bool = True,
    checkpoint: Path | None = None,
) -> Trained:
    """Return a model trained on the samples, the same for the same seed and machine.

    The covariances are fitted to all stations. A quarter of the places is never a target of the
    network: after every few updates these stations are hidden, a part of them at a time, and found
    from the others. The weights are kept that prove most gain
    over the covariance alone; if none proves any, the network is left out.

    With a checkpoint, learning is written there at every look. A training that was cut off goes on
    from it to the same model, bit for bit; the file is removed when the training is done.

    Raises
    ------
    CheckpointError
        If the file there is that of another training.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        spacing = samples.network.spacing_km
        model = NeuralKNN(
            configuration,
            spacing_km=spacing if math.isfinite(spacing) else 1.0,
            covariates=samples.covariates.shape[-1] // 2,
        )
        rng = np.random.default_rng(seed)
        schedule = schedule or Schedule()
        trainer = _Trainer(samples, standardisation, model, schedule, rng)
        if checkpoint is not None:
            identity = identity_of(samples, standardisation, configuration, schedule, seed)
            trainer.keep_at(checkpoint, identity)
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
        self.places = int(samples.network.colocated_groups().max()) + 1
        if self.places < 2:
            raise ValueError(
                "training hides a place and finds it from others; found all stations at one place "
                f"({samples.network!r}). Add stations elsewhere."
            )
        self.updates = schedule.updates_for(samples.network.size)
        self.proves = self.places >= FEWEST_FOR_HEADS
        fold = samples.network.folds(min(4, self.places), seed=int(rng.integers(2**31)))
        everyone = np.arange(samples.network.size)
        self.validation = np.flatnonzero(fold == 0)
        self.targets = np.setdiff1d(everyone, self.validation) if self.proves else everyone
        # Covariances stay on the processor: they complete series and solve small systems.
        self.device = best_device()
        self.checkpoint: tuple[Path, str] | None = None

    def keep_at(self, path: Path, identity: str) -> None:
        """Write learning to a file at every look, and begin with what is there."""
        self.checkpoint = (path, identity)

    def run(self, *, progress: bool) -> Trained:
        """Return the trained model, calibrated on the validation stations."""
        from tqdm import tqdm

        updates = self.updates if self.proves else 0
        total = 2 * self.schedule.covariance_updates + updates
        with tqdm(total=total, desc="training", disable=not progress, leave=False) as bar:
            self._learn_covariances(bar)
            self._calibrate_kriging(self.model)
            # The network learns in place; kriging is kept aside, with its own calibration.
            self.alone = copy.deepcopy(self.model)
            self.model.to(self.device)
            mean, log_variance = self._looked(self.model, covariance_head)
            kriging = self._calibrated(self.model, 0, (mean, log_variance))
            learning = self._learning(self.alone, kriging)
            if updates:
                self._learn_heads(bar, learning, kriging)
        kept = learning.kept
        logger.info(
            "stations hidden for validation: RMSE %.2f, with the learned covariance alone %.2f",
            kept.look.rmse,
            kriging.look.rmse,
        )
        return Trained(
            learning.best.cpu().eval(),
            kriging.look,
            kept.look,
            tuple(learning.history),
            self.samples.log_noise,
            kept.proven_gain(kriging),
        )

    def _learn_covariances(self, bar: Any) -> None:
        """Fit what fills gaps, then the bands and the noise of each station."""
        schedule, model = self.schedule, self.model
        bar.set_description("learning the covariance")
        filling = fit_filling(
            model.covariance,
            self.samples.value,
            self.samples.network,
            updates=schedule.covariance_updates,
            rate=schedule.covariance_rate,
            rng=self.rng,
            crop=lambda: self._crop(int(self.rng.choice(self.targets))),
        )
        for _ in filling:
            bar.update()
        log_noise = torch.zeros_like(self.samples.log_noise, requires_grad=True)
        bands = fit_bands(
            model.bands,
            self.samples.value,
            self.samples.network,
            covariance=model.covariance,
            widths=model.configuration.bands,
            updates=schedule.covariance_updates,
            rate=schedule.covariance_rate,
            log_noise=log_noise,
            rng=self.rng,
        )
        for _ in bands:
            bar.update()
        self.samples = replace(self.samples, log_noise=log_noise.detach())

    def _calibrate_kriging(self, model: NeuralKNN) -> None:
        """Fit the spread of kriging to the network, a fifth of the places hidden at a time.

        Of a large network some stations and fewer windows must do.
        """
        stations = self.samples.network
        fold = stations.folds(
            min(CALIBRATING_FOLDS, self.places), seed=int(self.rng.integers(2**31))
        )
        chosen = self.rng.permutation(stations.size)[:CALIBRATING]
        hidings = [
            Hiding(chosen[fold[chosen] == number], np.flatnonzero(fold != number))
            for number in np.unique(fold[chosen])
        ]
        share = min(1, CALIBRATING / stations.size)
        count = math.ceil(self.schedule.validation_windows * share)
        looks = Looks.over(self.samples, model, hidings, count)
        mean, *told = looks.gathered(partial(kriged, model))
        log_variance = fit_spread_law(model, mean, told, looks.truth)
        outputs = (mean, log_variance)
        calibrate(model, 0, outputs, looks.truth, looks.station, self.standardisation)

    def _learning(self, alone: NeuralKNN, kriging: Validated) -> Learning:
        """Return learning at its beginning, where kriging is what is kept."""
        schedule = self.schedule
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=schedule.rate)
        # The rise takes two updates at least: torch divides by its length less one.
        updates = max(self.updates, 1)
        rise = min(max(0.1, 2 / updates), 0.9)
        falling = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, schedule.rate, total_steps=updates, pct_start=rise
        )
        averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average)
        average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=averaging)
        return Learning(
            self.model, average, alone, optimiser, falling, self.rng, kriging, [kriging.look], [0.0]
        )

    def _learn_heads(self, bar: Any, learning: Learning, kriging: Validated) -> None:
        """Let the network learn, and keep the weights that prove most at validation stations."""
        bar.set_description("learning the network")
        if self.checkpoint and self.checkpoint[0].exists():
            learning.restore(*self.checkpoint)
            bar.update(learning.update)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        while learning.update < self.updates and not self._is_stale(learning.gains):
            batch = self._batch()
            weights = self.alone.weights(batch.neighbourhood)
            batch, weights = moved(batch, self.device), moved(weights, self.device)
            outputs = network(self.model, batch, weights)
            self._step(learning.optimiser, parameters, outputs, batch)
            learning.falling.step()
            learning.average.update_parameters(self.model)
            learning.update += 1
            bar.update()
            if learning.update % self.schedule.check_every:
                continue
            self._look(bar, learning, kriging)
            if self.checkpoint:
                learning.save(*self.checkpoint)
        if self.checkpoint:
            self.checkpoint[0].unlink(missing_ok=True)

    def _is_stale(self, gains: list[float]) -> bool:
        """Return whether the last looks, as many as patience lasts, brought no gain."""
        return len(gains) - int(np.argmax(gains)) > self.schedule.patience

    def _look(self, bar: Any, learning: Learning, kriging: Validated) -> None:
        """Look at the validation stations, and keep what proves more than the kept does."""
        model, found = self._least_departing(learning.average.module, learning.update, kriging)
        if found.proven_gain(kriging) > learning.kept.proven_gain(kriging):
            learning.best, learning.kept = model, found
        learning.gains.append(found.proven_gain(kriging))
        learning.history.append(found.look)
        bar.set_postfix_str(f"hidden RMSE {found.look.rmse:.2f}, kriging {kriging.look.rmse:.2f}")

    def _least_departing(
        self, model: Any, update: int, kriging: Validated
    ) -> tuple[NeuralKNN, Validated]:
        """Return a copy that departs from kriging as far as the validation stations prove."""
        outputs = self._looked(model.eval(), departing)
        model.train()
        candidates = []
        for departure, output in zip(
            DEPARTURES, zip(outputs[::2], outputs[1::2], strict=True), strict=True
        ):
            candidate = copy.deepcopy(model)
            candidate.departure.fill_(departure)
            candidates.append((candidate, self._calibrated(candidate, update, output)))
        return max(candidates, key=lambda candidate: candidate[1].proven_gain(kriging))

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
        """Return a random window with random stations hidden, some always left visible."""
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
        return np.sort(self.samples.network.nearest_to(centre, count=self.schedule.crop))

    def _assemble(self, windows: list[Window]) -> Batch:
        """Return windows as a batch, gaps filled with the learned covariance."""
        model = self.alone
        return assemble(
            self.samples, windows, covariance=model.covariance, configuration=model.configuration
        )

    @cached_property
    def looks(self) -> Looks:
        """The validation stations, a part of them hidden at a time, over the whole period."""
        shifts = np.array_split(self.rng.permutation(self.validation), SHIFTS)
        everyone = np.arange(self.samples.network.size)
        hidings = [Hiding(part, np.setdiff1d(everyone, part)) for part in shifts if part.size]
        return Looks.over(self.samples, self.alone, hidings, self.schedule.validation_windows)

    def _looked(
        self, model: NeuralKNN, outputs: Callable[[NeuralKNN, Batch, Weights], Sequence[Tensor]]
    ) -> list[Tensor]:
        """Return outputs of a model at the validation stations, (n,) float64 each."""
        return self.looks.gathered(partial(outputs, model), self.device)

    def _calibrated(
        self, model: NeuralKNN, update: int, outputs: tuple[Tensor, Tensor]
    ) -> Validated:
        """Return how a model does at the validation stations, its spread calibrated there."""
        truth, station = self.looks.truth, self.looks.station
        return calibrate(model, update, outputs, truth, station, self.standardisation)


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
    return crps(mean, log_variance, truth).mean() + share * huber
