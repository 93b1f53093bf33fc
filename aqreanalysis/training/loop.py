"""Training by hiding stations: covariance first, then the network, stopped on hidden stations."""

import copy
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.model import Configuration, NeuralKNN, single_thread
from aqreanalysis.samples import Batch, Samples, Standardisation, Window, assemble, narrowed
from aqreanalysis.training.checkpoint import Learning, identity_of
from aqreanalysis.training.covariances import fit_bands, fit_filling, leave_out
from aqreanalysis.training.schedule import Schedule
from aqreanalysis.training.validation import Look, Validated, calibrate, crps

logger = logging.getLogger(__name__)

#: Places below which nothing but the covariance is learned: too few to prove more.
FEWEST_FOR_HEADS = 8
#: Shares of the learned departure from kriging that are tried at each look; with none of it the
#: spread alone is learned.
DEPARTURES = (0.0, 0.5, 1.0)
#: Shifts in which the validation stations are hidden, so that a target has about the neighbours
#: that it will have when nothing is hidden.
SHIFTS = 3


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
    gain : float
        Relative gain over the covariance alone at the validation stations, less its standard
        error; 0 where that was not beaten.
    """

    model: NeuralKNN
    standardisation: Standardisation
    kriging: Look
    kept: Look
    history: tuple[Look, ...]
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

    A quarter of the places is never a target. After every few updates these stations are hidden,
    a part of them at a time, and found from the others. The weights are kept that prove most gain
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
        model = NeuralKNN(configuration, spacing_km=spacing if math.isfinite(spacing) else 1.0)
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
        places = int(samples.network.colocated_groups().max()) + 1
        if places < 2:
            raise ValueError(
                "training hides a place and finds it from others; found all stations at one place "
                f"({samples.network!r}). Add stations elsewhere."
            )
        self.updates = schedule.updates_for(samples.network.size)
        self.proves = places >= FEWEST_FOR_HEADS
        fold = samples.network.folds(min(4, places), seed=int(rng.integers(2**31)))
        everyone = np.arange(samples.network.size)
        self.validation = np.flatnonzero(fold == 0)
        self.targets = np.setdiff1d(everyone, self.validation) if self.proves else everyone
        self.looked_at: list[Batch] | None = None
        self.station = torch.empty(0, dtype=torch.int64)  # of each target that is looked at
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
            # The network learns in place; kriging is kept aside, with its own calibration.
            alone = copy.deepcopy(self.model)
            left_out = self._calibrate_kriging(alone)
            self.standardisation = left_out.standardisation
            kriging = self._validate(self.model, 0, heads=False)
            learning = self._learning(alone, kriging)
            if updates:
                self._learn_heads(bar, learning, kriging)
        kept = learning.kept
        logger.info(
            "stations hidden for validation: RMSE %.2f, with the learned covariance alone %.2f",
            kept.look.rmse,
            kriging.look.rmse,
        )
        return Trained(
            learning.best.eval(),
            kept.standardisation,
            kriging.look,
            kept.look,
            tuple(learning.history),
            kept.proven_gain(kriging),
        )

    def _learn_covariances(self, bar: Any) -> None:
        """Fit what fills gaps, then the bands; neither has a parameter for a single station."""
        schedule, model = self.schedule, self.model
        bar.set_description("learning the covariance")
        filling = fit_filling(
            model.covariance,
            self.samples,
            updates=schedule.covariance_updates,
            rate=schedule.covariance_rate,
            rng=self.rng,
            crop=lambda: self._crop(int(self.rng.choice(self.targets))),
        )
        for _ in filling:
            bar.update()
        bands = fit_bands(
            model.bands,
            self.samples,
            covariance=model.covariance,
            widths=model.configuration.bands,
            updates=schedule.covariance_updates,
            rate=schedule.covariance_rate,
            rng=self.rng,
        )
        for _ in bands:
            bar.update()

    def _calibrate_kriging(self, model: NeuralKNN) -> Validated:
        """Return how kriging does with each station left out, its spread calibrated there."""
        mean, log_variance, truth, station = leave_out(
            model.bands,
            self.samples,
            covariance=model.covariance,
            widths=model.configuration.bands,
            neighbours=model.configuration.neighbours,
            rng=self.rng,
        )
        return calibrate(model, 0, (mean, log_variance), truth, station, self.standardisation)

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
            outputs = _outputs(self.model, batch, heads=True)
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
        candidates = []
        for departure in DEPARTURES:
            candidate = copy.deepcopy(model)
            candidate.departure.fill_(departure)
            candidates.append((candidate, self._validate(candidate, update, heads=True)))
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
        nearest = torch.argsort(self.samples.distance_km[centre], stable=True)
        return np.sort(nearest[: self.schedule.crop].numpy())

    def _validation_windows(self) -> list[Window]:
        """Return windows over the whole period in which a validation station has a value."""
        configuration = self.model.configuration
        margin, core = configuration.margin_steps, configuration.core_steps
        there = torch.isfinite(self.samples.value[self.validation, margin:-margin]).any(dim=0)
        reporting = np.flatnonzero(there.reshape(-1, core).any(dim=1).numpy()) * core
        count = min(self.schedule.validation_windows, reporting.size)
        starts = reporting[np.linspace(0, reporting.size - 1, count).astype(int)]
        everyone = np.arange(self.samples.network.size)
        shifts = [
            part
            for part in np.array_split(self.rng.permutation(self.validation), SHIFTS)
            if part.size
        ]
        return [
            Window(int(start), np.setdiff1d(everyone, hidden), np.sort(hidden))
            for start in starts
            for hidden in shifts
        ]

    def _assemble(self, windows: list[Window]) -> Batch:
        """Return windows as a batch, gaps filled with the covariance as it stands."""
        model = self.model
        return assemble(
            self.samples, windows, covariance=model.covariance, configuration=model.configuration
        )

    @torch.no_grad()
    def _validate(self, model: NeuralKNN, update: int, *, heads: bool) -> Validated:
        """Return how a model does at the validation stations, its spread calibrated there."""
        model.eval()
        if self.looked_at is None:
            windows, size = self._validation_windows(), self.schedule.windows
            parts = [windows[first : first + size] for first in range(0, len(windows), size)]
            self.looked_at = [self._assemble(part) for part in parts]
            hidden = np.concatenate([window.hidden for window in windows])
            self.station = torch.from_numpy(np.searchsorted(self.validation, hidden))
        outputs = [torch.stack(_outputs(model, batch, heads=heads)) for batch in self.looked_at]
        truth = torch.cat([batch.truth for batch in self.looked_at])
        station = self.station
        there = torch.isfinite(truth)
        (mean, log_variance), truth = torch.cat(outputs, 1)[:, there].double(), truth[there]
        model.train()
        rows = station[:, None].expand(there.shape)[there]
        return calibrate(
            model,
            update,
            (mean, log_variance),
            truth.double(),
            rows,
            self.standardisation,
            shares=(self.standardisation.variance_share,),
        )


def _outputs(model: NeuralKNN, batch: Batch, *, heads: bool) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance at the batch's targets, (n, core)."""
    weights = model.weights(batch.neighbourhood)
    series = narrowed(batch.series, model.configuration)
    if not heads:
        return model.krige(series, batch.neighbourhood, weights)
    encoding = narrowed(model.encode(batch.series), model.configuration)
    return model(series, encoding, batch.neighbourhood, weights, batch.cycles)


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
