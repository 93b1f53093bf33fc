"""Training by hiding stations: covariance first, then the network, stopped on hidden stations."""

import copy
import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.amortised import WIDTHS, AmortisedCovariance, Pretrained
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.fitting import (
    STATIONS_OF_UPDATE,
    BandSeries,
    crps,
    fit_bands,
    fit_filling,
    prior_weight,
)
from aqreanalysis.methods.kriging.likeness import (
    MOST_TRIED,
    Likeness,
    chosen_strength,
    errors_of_stations,
)
from aqreanalysis.methods.kriging.noise_of_types import drawn_to_types
from aqreanalysis.methods.neural.batches import Example, Samples, assemble
from aqreanalysis.methods.neural.checkpoint import Learning, identity_of
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.validation import (
    DEPARTURES,
    Errors,
    Passes,
    Scores,
    Split,
    Validated,
    calibrate,
    departing_outputs,
    fit_spread,
    kriging_outputs,
    network_outputs,
)
from aqreanalysis.network import StationNetwork

logger = logging.getLogger(__name__)

#: Places below which nothing but the covariance is learned: too few to prove more.
FEWEST_FOR_HEADS = 8
#: Parts of the places; one is hidden for validation and never a target of the network.
PARTS = 4
#: Shifts in which the validation stations are hidden, so that a target has about the neighbours
#: that it will have when nothing is hidden.
SHIFTS = 3
#: Parts of the network that are hidden in turn to calibrate kriging, stations at most, and of
#: these how many are left out in turn in an update of the bands that do without a part.
CALIBRATING_FOLDS, CALIBRATING, STATIONS_OF_FOLD = 5, 256, 64
#: Of the updates of a covariance one in so many follows in which the whole network is silent.
SILENT_SHARE = 2
#: Of the updates of a covariance one in so many is enough where it begins with a fitted one.
LIKENESS_SHARE = 2
#: Shares of the logarithm of a station's noise that are tried.
NOISE_SHARES = (1.0, 0.5, 0.0)
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
    """

    model: NeuralKNN
    kriging: Scores
    chosen: Scores
    history: tuple[Scores, ...]
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
    trend_covariance: Tensor | None = None,
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

    ``trend_covariance`` (attribute, attribute) is that of the errors of the coefficients of a trend
    that was taken off the samples. Of the ``likeness`` of the stations as much is used as those
    left out ask for. Stations of types of ``instruments`` (station,) have a noise like each other's
    if types differ.

    Raises
    ------
    CheckpointError
        If the file there is that of another training.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        model, setting = _begun(samples, standardisation, configuration, schedule, seed)
        setting = replace(setting, instruments=instruments)
        if trend_covariance is not None:
            model.bands.trend_covariance.copy_(trend_covariance)
        updates = setting.updates
        of_a_covariance = setting.schedule.covariance_updates
        total = (2 + len(setting.folds)) * of_a_covariance + of_a_covariance // SILENT_SHARE
        if likeness is not None:
            total += MOST_TRIED * (of_a_covariance // LIKENESS_SHARE)
        with _bar(total + updates, subject, progress=progress) as bar:
            file = None
            if checkpoint is not None:
                identity = (standardisation, configuration, setting.schedule, seed)
                file = checkpoint, identity_of(samples, *identity)
            setting = _with_covariances(model, setting, bar, likeness)
            drawn = setting.drawn(setting.samples.log_noise)
            setting = replace(setting, samples=replace(setting.samples, log_noise=drawn))
            setting = _calibrate_kriging(model, setting, bar)
            learner = _Learner.of(model, setting)
            if updates:
                learner.run(bar, file)
        kriging, learning = learner.kriging, learner.learning
        logger.info(
            "stations hidden for validation: RMSE %.2f, with the learned covariance alone %.2f",
            learning.best_validated.scores.rmse,
            kriging.scores.rmse,
        )
        return Trained(
            learning.best.cpu().eval(),
            kriging.scores,
            learning.best_validated.scores,
            tuple(learning.history),
            setting.samples.log_noise,
            learning.best_validated.proven_gain(kriging),
        )


def fit_covariances(
    samples: Samples,
    standardisation: Standardisation,
    *,
    configuration: Configuration,
    schedule: Schedule | None = None,
    seed: int = 0,
    progress: bool = True,
    subject: str = "",
) -> tuple[NeuralKNN, Tensor]:
    """Return a model of which the covariances are fitted, and the noise of the stations.

    This is the first part of `train`; the noise is the logarithm (station,) of each one's factor.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        model, setting = _begun(samples, standardisation, configuration, schedule, seed)
        updates = setting.schedule.covariance_updates
        total = 2 * updates + updates // SILENT_SHARE
        with _bar(total, subject, progress=progress) as bar:
            setting = _with_covariances(model, setting, bar)
        return model, setting.samples.log_noise


def _bar(total: int, subject: str, *, progress: bool) -> tqdm:
    """Return a progress bar that begins with what is learned, such as the pollutant."""
    form = f"{subject}, {{l_bar}}{{bar}}{{r_bar}}" if subject else None
    return tqdm(total=total, desc="training", disable=not progress, leave=False, bar_format=form)


def _begun(
    samples: Samples,
    standardisation: Standardisation,
    configuration: Configuration,
    schedule: Schedule | None,
    seed: int,
) -> tuple[NeuralKNN, "_Setting"]:
    """Return a model that has learned nothing yet, and the setting in which it learns."""
    torch.manual_seed(seed)
    model = NeuralKNN(
        configuration,
        spacing_km=_spacing_km(samples.network),
        covariates=samples.covariates.shape[-1] // 2,
        attributes=samples.attributes.shape[-1],
    )
    schedule = schedule or Schedule()
    if configuration.pretrained:
        schedule = replace(schedule, covariance_updates=0)
        filling = Pretrained.of(configuration.pretrained).filling_of(
            samples.clock.step_hours, _spacing_km(samples.network)
        )
        model.covariance.begin_at(filling)
    return model, _Setting.of(samples, standardisation, schedule, seed)


@dataclass(frozen=True)
class _Setting:
    """What all stages of training share.

    Attributes
    ----------
    places : int
        Places at which stations are.
    folds : list of Split
        A fifth of the places hidden at a time; of a large network only some stations of them.
    validation, targets : (n,) int
        Stations that are hidden for validation, and in training; rows of the network.
    instruments : (station,) str, optional
        Type of each one's instrument.
    """

    samples: Samples
    standardisation: Standardisation
    schedule: Schedule
    seed: int
    rng: np.random.Generator
    places: int
    folds: list[Split]
    validation: np.ndarray
    targets: np.ndarray
    instruments: np.ndarray | None = None

    @classmethod
    def of(
        cls, samples: Samples, standardisation: Standardisation, schedule: Schedule, seed: int
    ) -> Self:
        """Return a setting with random validation stations, all of a place or none.

        Raises
        ------
        ValueError
            If all stations are at one place.
        """
        network, rng = samples.network, np.random.default_rng(seed)
        places = int(network.colocated_groups().max()) + 1
        if places < 2:
            raise ValueError(
                "training hides a place and finds it from others; found all stations at one place "
                f"({network!r}). Add stations elsewhere."
            )
        hidden = network.folds(min(PARTS, places), seed=int(rng.integers(2**31))) == 0
        targets = np.flatnonzero(~hidden | (places < FEWEST_FOR_HEADS))
        validation = np.flatnonzero(hidden)
        fold = network.folds(min(CALIBRATING_FOLDS, places), seed=int(rng.integers(2**31)))
        chosen = rng.permutation(network.size)[:CALIBRATING]
        folds = [
            Split(chosen[fold[chosen] == number], np.flatnonzero(fold != number))
            for number in np.unique(fold[chosen])
        ]
        parts = folds, validation, targets
        return cls(samples, standardisation, schedule, seed, rng, places, *parts)

    @property
    def updates(self) -> int:
        """Updates of the network; none where there are too few places to prove anything."""
        enough = self.places >= FEWEST_FOR_HEADS
        return self.schedule.updates_for(self.samples.network.size) if enough else 0

    def drawn(self, log_noise: Tensor, rows: np.ndarray | slice = slice(None)) -> Tensor:
        """Return the noise of some stations, drawn towards that of their types of instruments."""
        if self.instruments is None:
            return log_noise
        return torch.from_numpy(drawn_to_types(log_noise.numpy(), self.instruments[rows]))

    def crop(self) -> np.ndarray:
        """Return the stations nearest to a random target, ascending."""
        centre = int(self.rng.choice(self.targets))
        return np.sort(self.samples.network.nearest_to(centre, count=self.schedule.crop))


def _spacing_km(network: StationNetwork) -> float:
    """Return the spacing of the stations, or 1 km where they are at one place."""
    return network.spacing_km if math.isfinite(network.spacing_km) else 1.0


def _with_covariances(
    model: NeuralKNN, setting: _Setting, bar: tqdm, likeness: Likeness | None = None
) -> _Setting:
    """Fit the covariances, and return the setting with the noise of each station."""
    bar.set_description("learning the covariance")
    samples, schedule = setting.samples, setting.schedule
    log_noise = torch.zeros_like(samples.log_noise, requires_grad=True)
    updates, rate = schedule.covariance_updates, schedule.covariance_rate
    filling = (
        fit_filling(
            model.covariance,
            samples.value,
            samples.network,
            updates=count,
            rate=rate,
            rng=setting.rng,
            crop=setting.crop,
            everyone=everyone,
        )
        for everyone, count in ((False, updates), (True, updates // SILENT_SHARE))
        if not model.configuration.pretrained
    )
    for _ in itertools.chain(*filling):
        bar.update()
    series = _band_series(model, setting)
    amortised = _amortised(model, setting)
    for _ in _fit_bands(model.bands, series, setting, log_noise, amortised):
        bar.update()
    setting = replace(setting, samples=replace(samples, log_noise=log_noise.detach()))
    return setting if likeness is None else _with_likeness(model, setting, series, likeness, bar)


def _with_likeness(
    model: NeuralKNN, setting: _Setting, plain: BandSeries, likeness: Likeness, bar: tqdm
) -> _Setting:
    """Fit the bands anew with as much of the stations' likeness as left-out stations ask for.

    Returns
    -------
    _Setting
        Unchanged where they ask for none; else the likeness comes first among the attributes.
    """
    bar.set_description("learning what places have in common")
    samples = setting.samples
    attributes = torch.cat([likeness.coordinates, samples.attributes], 1)
    usual_km = likeness.lengths * _spacing_km(samples.network)
    fitted = {0.0: (plain, model.bands, samples.log_noise)}
    updates = setting.schedule.covariance_updates // LIKENESS_SHARE
    schedule = replace(setting.schedule, covariance_updates=updates)

    def errors(strength: float) -> np.ndarray:
        if strength:
            series = replace(plain, attributes=attributes)
            bands = model.bands.with_coordinates(strength * usual_km)
            log_noise = samples.log_noise.clone().requires_grad_()
            # The stages that follow draw what they would draw without this one.
            own = replace(setting, schedule=schedule, rng=np.random.default_rng(setting.seed))
            for _ in _fit_bands(bands, series, own, log_noise):
                bar.update()
            fitted[strength] = series, bands, log_noise.detach()
        return errors_of_stations(*fitted[strength], np.random.default_rng(setting.seed))

    strength = chosen_strength(errors)
    if not strength:
        return setting
    _, model.bands, log_noise = fitted[strength]
    return replace(setting, samples=replace(samples, attributes=attributes, log_noise=log_noise))


def _band_series(
    model: NeuralKNN, setting: _Setting, rows: np.ndarray | slice = slice(None)
) -> BandSeries:
    """Return the bands of the series of some stations, gaps filled from these alone."""
    samples = setting.samples
    network, value = samples.network, samples.value[rows]
    some = StationNetwork(network.longitude[rows], network.latitude[rows])
    widths = model.configuration.bands
    return BandSeries.of(value, some, model.covariance, widths, samples.attributes[rows])


def _fit_bands(
    bands: BandCovariance,
    series: BandSeries,
    setting: _Setting,
    log_noise: Tensor,
    amortised: AmortisedCovariance | None = None,
    together: int = STATIONS_OF_UPDATE,
) -> Iterator[None]:
    """Fit bands to the series of some stations, and the noise of these, an update at a time."""
    schedule = setting.schedule
    return fit_bands(
        bands,
        series,
        log_noise=log_noise,
        updates=schedule.covariance_updates,
        rate=schedule.covariance_rate,
        rng=setting.rng,
        together=together,
        prior=_prior(setting),
        amortised=amortised,
    )


def _prior(setting: _Setting) -> float:
    """Return how much a departure from the usual covariance counts."""
    return prior_weight(setting.samples.value, setting.samples.clock.step_hours)


def _amortised(model: NeuralKNN, setting: _Setting) -> AmortisedCovariance | None:
    """Return where bands begin that are pretrained, or of which stations or days are few."""
    weights = model.configuration.pretrained
    if not weights and model.configuration.bands == WIDTHS and _prior(setting):
        weights = setting.schedule.prior
    return Pretrained.of(weights).bands if weights else None


def _calibrate_kriging(model: NeuralKNN, setting: _Setting, bar: tqdm) -> _Setting:
    """Fit the spread of kriging to the network, a fifth of the places hidden at a time.

    Their errors are those of bands that were fitted without them, for a covariance flatters the
    stations that it was fitted to; the kriging variance is that of the model. Of a large network
    some stations and fewer windows must do.

    Returns
    -------
    _Setting
        With as much of the noise of each station as hidden stations are estimated best with.
    """
    bar.set_description("learning the spread")
    size = setting.samples.network.size
    windows = math.ceil(setting.schedule.validation_windows * min(1, CALIBRATING / size))
    fewest = min(len(split.visible) for split in setting.folds)
    unseen = size <= CALIBRATING and fewest >= FEWEST_FOR_HEADS
    of_folds: dict[float, list[tuple[Errors, Errors]]] = {}
    for split in setting.folds:
        fitted, samples = model, setting.samples
        if unseen:
            fitted, samples = _without(split, model, setting, bar)
        passes = [
            Passes.over(samples, fitted, [split], windows, silent=nobody)
            for nobody in (False, True)
        ]
        for share in NOISE_SHARES if unseen else (1.0,):
            reporting, silent = (
                Errors.of(fitted, each.weighed(fitted, model, noise=share)) for each in passes
            )
            of_folds.setdefault(share, []).append((reporting, silent))
    chosen = {
        share: list(map(Errors.joined, zip(*each, strict=True))) for share, each in of_folds.items()
    }
    share = min(chosen, key=lambda share: chosen[share][0].loss())
    fit_spread(model, *chosen[share])
    samples = replace(setting.samples, log_noise=share * setting.samples.log_noise)
    return replace(setting, samples=samples)


def _without(
    split: Split, model: NeuralKNN, setting: _Setting, bar: tqdm
) -> tuple[NeuralKNN, Samples]:
    """Return the model with bands, and samples with a noise of stations, of the visible alone."""
    rows, samples = split.visible, setting.samples
    fitted = copy.deepcopy(model)
    fitted.bands = BandCovariance(
        len(model.configuration.bands) + 1,
        _spacing_km(samples.network),
        samples.attributes.shape[-1] - model.bands.coordinates,
        model.bands.coordinate_km.tolist(),
    )
    fitted.bands.trend_covariance.copy_(model.bands.trend_covariance)
    log_noise = torch.zeros(len(rows), dtype=torch.float64, requires_grad=True)
    series = _band_series(fitted, setting, rows)
    amortised = _amortised(model, setting)
    for _ in _fit_bands(
        fitted.bands, series, setting, log_noise, amortised, together=STATIONS_OF_FOLD
    ):
        bar.update()
    known = torch.zeros_like(samples.log_noise)
    known[torch.from_numpy(rows)] = setting.drawn(log_noise.detach(), rows)
    return fitted, replace(samples, log_noise=known)


@dataclass(frozen=True)
class _Learner:
    """Learning of the network.

    Attributes
    ----------
    setting : _Setting
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

    setting: _Setting
    learning: Learning
    covariance_head: NeuralKNN
    passes: Passes
    kriging: Validated

    @classmethod
    def of(cls, model: NeuralKNN, setting: _Setting) -> Self:
        """Return learning at its beginning, where kriging is the best model."""
        samples, schedule = setting.samples, setting.schedule
        covariance_head = copy.deepcopy(model)
        shifts = np.array_split(setting.rng.permutation(setting.validation), SHIFTS)
        everyone = np.arange(samples.network.size)
        splits = [Split(part, np.setdiff1d(everyone, part)) for part in shifts if part.size]
        passes = Passes.over(samples, covariance_head, splits, schedule.validation_windows)
        model.to(best_device())
        outputs = passes.outputs(model, kriging_outputs)
        # Of a copy: the network is compared with what is calibrated to the same stations.
        kriging = calibrate(copy.deepcopy(model), 0, outputs, passes, setting.standardisation)
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
