"""Training by hiding stations: covariances first, then the network, stopped on hidden stations."""

import copy
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.amortised import Pretrained
from aqreanalysis.methods.kriging.fitting import crps
from aqreanalysis.methods.kriging.likeness import MOST_TRIED, Likeness
from aqreanalysis.methods.neural.batches import Example, Samples, assemble
from aqreanalysis.methods.neural.checkpoint import Learning, identity_of
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.covariances import (
    LIKENESS_SHARE,
    SILENT_SHARE,
    Setting,
    calibrate_kriging,
    fits_folds,
    learn_covariances,
    learn_likeness,
    spacing_km,
)
from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.proof import Proof, Proven
from aqreanalysis.methods.neural.validation import (
    DEPARTURES,
    Passes,
    Scores,
    Split,
    Validated,
    calibrate,
    departing_outputs,
    kriging_outputs,
    network_outputs,
)
from aqreanalysis.methods.trend import Trend

logger = logging.getLogger(__name__)

#: Shifts in which the validation stations are hidden, so that a target has about the neighbours
#: that it will have when nothing is hidden.
SHIFTS = 3
#: Share of the updates in which the learning rate rises.
RISE = 0.1
#: Largest norm of a gradient.
LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes
    ----------
    model : NeuralKNN
    kriging, chosen : Scores
        Of the learned covariance alone, and of the model.
    history : tuple of Scores
        Of each validation.
    log_noise : (station,) float64 Tensor
        Logarithm of the factor of each station's noise.
    gain : float
        Relative gain over the covariance alone at the validation stations, less its standard
        error; 0 where that was not beaten.
    trend : Trend, optional
        Departures from which were learned, as far as it is proven.
    """

    model: NeuralKNN
    kriging: Scores
    chosen: Scores
    history: tuple[Scores, ...]
    log_noise: Tensor
    gain: float
    trend: Trend | None = None

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
    proof: Proof | None = None,
    likeness: Likeness | None = None,
    instruments: np.ndarray | None = None,
    subject: str = "",
) -> Trained:
    """Return a model trained on the samples, the same for the same seed and machine.

    The covariances are fitted to all stations. A quarter of the places is never a target of the
    network: after every few updates these stations are hidden, a part of them at a time, and
    estimated from the others. The weights are kept that prove most gain over the covariance alone;
    if none proves any, the network is left out.

    With a checkpoint, learning is written there at every validation. A training that was cut off
    goes on from it to the same model, bit for bit; that of a finished training is its end, and is
    replaced by that of the next one.

    What the ``proof`` finds in the stations is taken off, and all is learned anew of the departures
    from it. Of the ``likeness`` of the stations as much is used as those left out ask for. Stations
    of types of ``instruments`` (station,) have a noise like each other's if types differ.

    Raises
    ------
    CheckpointError
        If the file there is that of another training.
    """
    begun = partial(
        _begun,
        standardisation=standardisation,
        configuration=configuration,
        schedule=schedule,
        seed=seed,
        instruments=instruments,
    )
    with (
        torch.random.fork_rng(devices=[]),
        single_thread(),
        _bar(subject, progress=progress) as bar,
    ):
        model, setting = begun(samples)
        bar.total = _steps_of(setting, likeness)
        setting, series = learn_covariances(model, setting, bar)
        proven = None if proof is None else proof(model, setting.samples, series)
        if proven is not None and proven.trend.used:
            model, setting = begun(proven.samples)
            model.bands.trend_covariance.copy_(proven.covariance)
            model.bands.apart.copy_(proven.apart)
            bar.total += bar.n
            setting, series = learn_covariances(model, setting, bar)
        setting = _with_updates(setting, proven)
        file = None
        if checkpoint is not None:
            identity = (standardisation, configuration, setting.schedule, seed)
            file = checkpoint, identity_of(setting.samples, *identity)
        if likeness is not None:
            setting = learn_likeness(model, setting, series, likeness, bar)
        drawn = setting.drawn(setting.samples.log_noise)
        setting = replace(setting, samples=replace(setting.samples, log_noise=drawn))
        setting = calibrate_kriging(model, setting, bar)
        passes, kriging = _at_validation_stations(model, setting)
        best, validated, history = model, kriging, [kriging.scores]
        if setting.updates:
            bar.total += setting.updates
            learner = _Learner.of(model, setting, passes, kriging)
            learner.run(bar, file)
            learning = learner.learning
            best, validated, history = learning.best, learning.best_validated, learning.history
        logger.info(
            "stations hidden for validation: RMSE %.2f, with the learned covariance alone %.2f",
            validated.scores.rmse,
            kriging.scores.rmse,
        )
        return Trained(
            best.cpu().eval(),
            kriging.scores,
            validated.scores,
            tuple(history),
            setting.samples.log_noise,
            validated.proven_gain(kriging),
            None if proven is None else proven.trend,
        )


def _at_validation_stations(model: NeuralKNN, setting: Setting) -> tuple[Passes, Validated]:
    """Return the passes over the validation stations, and how the covariance alone does there."""
    samples, schedule = setting.samples, setting.schedule
    shifts = np.array_split(setting.rng.permutation(setting.validation), SHIFTS)
    everyone = np.arange(samples.network.size)
    splits = [Split(part, np.setdiff1d(everyone, part)) for part in shifts if part.size]
    passes = Passes.over(samples, model, splits, schedule.validation_windows)
    model.to(best_device())
    outputs = passes.outputs(model, kriging_outputs)
    # Of a copy: a network is compared with what is calibrated to the same stations.
    return passes, calibrate(copy.deepcopy(model), 0, outputs, passes, setting.standardisation)


def _bar(subject: str, *, progress: bool) -> tqdm:
    """Return a progress bar that begins with what is learned, such as the pollutant."""
    form = f"{subject}, {{l_bar}}{{bar}}{{r_bar}}" if subject else None
    return tqdm(total=1, desc="training", disable=not progress, leave=False, bar_format=form)


def _steps_of(setting: Setting, likeness: Likeness | None) -> int:
    """Return how many steps the covariances take: updates, and folds that are estimated."""
    of_one, folds = setting.schedule.covariance_updates, len(setting.folds)
    total = (2 + folds * fits_folds(setting)) * of_one + of_one // SILENT_SHARE + folds
    return total if likeness is None else total + MOST_TRIED * (of_one // LIKENESS_SHARE)


def _begun(
    samples: Samples,
    *,
    standardisation: Standardisation,
    configuration: Configuration,
    schedule: Schedule | None,
    seed: int,
    instruments: np.ndarray | None,
) -> tuple[NeuralKNN, Setting]:
    """Return a model that has learned nothing yet, and the setting in which it learns."""
    torch.manual_seed(seed)
    model = NeuralKNN(
        configuration,
        spacing_km=spacing_km(samples.network),
        covariates=samples.covariates.shape[-1] // 2,
        attributes=samples.attributes.shape[-1],
    )
    schedule = schedule or Schedule()
    if configuration.pretrained:
        schedule = replace(schedule, covariance_updates=0)
        filling = Pretrained.of(configuration.pretrained).filling_of(
            samples.clock.step_hours, spacing_km(samples.network)
        )
        model.covariance.begin_at(filling)
    setting = Setting.of(samples, standardisation, schedule, seed)
    return model, replace(setting, instruments=instruments)


def _with_updates(setting: Setting, proven: Proven | None) -> Setting:
    """Return a setting that says whether the network is trained, which a default leaves open.

    It is where it has something that neighbours do not have: covariates, or a proven background.
    """
    background = proven is not None and any(
        coefficient
        for name, coefficient in zip(proven.trend.names, proven.trend.coefficient, strict=True)
        if name in proven.trend.background
    )
    if setting.schedule.updates is not None or background or setting.samples.covariates.shape[-1]:
        return setting
    logger.info("neighbours have no covariates and no background: the network is not trained")
    return replace(setting, schedule=replace(setting.schedule, updates=0))


@dataclass(frozen=True)
class _Learner:
    """Learning of the network.

    Attributes
    ----------
    setting : Setting
    learning : Learning
        All that changes.
    covariance_head : NeuralKNN
        The model before the network learns, on the processor: it completes series and solves
        small systems.
    passes : Passes
        The validation stations, a part of them hidden at a time, over the whole period.
    kriging : Validated
        How the covariance head does there.
    """

    setting: Setting
    learning: Learning
    covariance_head: NeuralKNN
    passes: Passes
    kriging: Validated

    @classmethod
    def of(cls, model: NeuralKNN, setting: Setting, passes: Passes, kriging: Validated) -> Self:
        """Return learning at its beginning, where kriging is the best model."""
        schedule, covariance_head = setting.schedule, copy.deepcopy(model).cpu()
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=schedule.rate)
        # The rise takes two updates at least: torch divides by its length less one.
        updates = max(setting.updates, 1)
        rise = min(max(RISE, 2 / updates), 0.9)
        falling = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, schedule.rate, total_steps=updates, pct_start=rise
        )
        averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average)
        average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=averaging)
        parts = model, average, covariance_head, optimiser, falling, setting.rng
        learning = Learning(*parts, kriging, [kriging.scores], [0.0])
        return cls(setting, learning, covariance_head, passes, kriging)

    def run(self, bar: tqdm, checkpoint: tuple[Path, str] | None) -> None:
        """Let the network learn, and keep the weights that prove most at validation stations."""
        learning, setting = self.learning, self.setting
        bar.set_description("learning the network")
        if checkpoint and checkpoint[0].exists():
            learning.restore(*checkpoint)
            bar.update(learning.update)
        while learning.update < setting.updates and not self._is_stale():
            self._step()
            bar.update()
            if learning.update % setting.schedule.check_every:
                continue
            reached, kriging = self._validate().rmse, self.kriging.scores.rmse
            bar.set_postfix_str(f"hidden RMSE {reached:.2f}, kriging {kriging:.2f}")
            if checkpoint:
                learning.save(*checkpoint)
        if checkpoint:
            learning.save(*checkpoint, finished=True)

    def _is_stale(self) -> bool:
        """Return whether the last validations, as many as patience lasts, brought no gain."""
        gains = self.learning.gains
        return len(gains) - int(np.argmax(gains)) > self.setting.schedule.patience

    def _step(self) -> None:
        """Take one step down the gradient of a batch of random examples."""
        learning, setting, head = self.learning, self.setting, self.covariance_head
        examples = [self._example() for _ in range(setting.schedule.windows)]
        batch = assemble(
            setting.samples,
            examples,
            covariance=head.covariance,
            configuration=head.configuration,
        )
        weights, device = head.weights(batch.neighbourhood), learning.model.log_spread.device
        batch, weights = moved(batch, device), moved(weights, device)
        outputs = network_outputs(learning.model, batch, weights)
        share = setting.schedule.concentration_share
        loss = _loss(*outputs, batch.truth, setting.standardisation, share)
        learning.optimiser.zero_grad()
        loss.backward()
        parameters = learning.optimiser.param_groups[0]["params"]
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
        learning.optimiser.step()
        learning.falling.step()
        learning.average.update_parameters(learning.model)
        learning.update += 1

    def _example(self) -> Example:
        """Return a random window with random stations hidden, some always left visible."""
        setting = self.setting
        last = setting.samples.value.shape[1] - self.covariance_head.configuration.window_steps
        start = int(setting.rng.integers(0, last + 1))
        crop = setting.crop()
        targets = np.intersect1d(crop, setting.targets)
        most = min(len(targets), len(crop) - 1)
        count = int(np.ceil(len(targets) * setting.rng.uniform(*setting.schedule.hidden)))
        hidden = setting.rng.permutation(targets)[: min(max(count, 1), most)]
        return Example(start, np.setdiff1d(crop, hidden), hidden)

    def _validate(self) -> Scores:
        """Return the scores at the validation stations, and keep what proves more than before."""
        learning, kriging = self.learning, self.kriging
        model, validated = self._best_departure(cast(NeuralKNN, learning.average.module))
        gain = validated.proven_gain(kriging)
        if gain > learning.best_validated.proven_gain(kriging):
            learning.best, learning.best_validated = model, validated
        learning.gains.append(gain)
        learning.history.append(validated.scores)
        return validated.scores

    def _best_departure(self, model: NeuralKNN) -> tuple[NeuralKNN, Validated]:
        """Return a copy that departs from kriging as far as the validation stations prove."""
        outputs = self.passes.outputs(model.eval(), departing_outputs)
        model.train()
        update, standardisation = self.learning.update, self.setting.standardisation
        candidates = []
        for number, departure in enumerate(DEPARTURES):
            candidate, pair = copy.deepcopy(model), outputs[2 * number : 2 * number + 2]
            candidate.departure.fill_(departure)
            validated = calibrate(candidate, update, pair, self.passes, standardisation)
            candidates.append((candidate, validated))
        return max(candidates, key=lambda candidate: candidate[1].proven_gain(self.kriging))


def _loss(
    mean: Tensor, log_variance: Tensor, truth: Tensor, scale: Standardisation, share: float
) -> Tensor:
    """Return the CRPS of the standardised root plus a share of the error in concentration.

    The second is a Huber loss of ``(a + mean)^2 + variance / 2`` with ``a = centre / scale``,
    divided by its slope 2 a at the mean level, so that both are in standard deviations. A truth
    that is missing counts in neither.
    """
    measured = torch.isfinite(truth)
    mean, log_variance, truth = mean[measured], log_variance[measured], truth[measured]
    level = scale.centre / scale.scale
    expected = (level + truth).clamp_min(0) ** 2
    estimate = (level + mean).clamp_min(0) ** 2 + log_variance.exp() / 2
    huber = torch.nn.functional.smooth_l1_loss(estimate / (2 * level), expected / (2 * level))
    return crps(mean, log_variance, truth).mean() + share * huber
