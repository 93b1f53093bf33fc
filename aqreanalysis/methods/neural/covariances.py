"""Covariances of the neural method: of gaps and bands, by what places are, and their spread."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

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
    fit_bands,
    fit_filling,
    prior_weight,
)
from aqreanalysis.methods.kriging.likeness import Likeness, chosen_strength, errors_of_stations
from aqreanalysis.methods.kriging.noise_of_types import drawn_to_types
from aqreanalysis.methods.neural.batches import Samples
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.validation import Errors, Passes, Split, fit_spread
from aqreanalysis.network import StationNetwork

#: Places below which nothing but the covariance is learned: too few to prove more.
FEWEST_FOR_HEADS = 8
#: Parts of the places; one is hidden for validation and never a target of the network.
PARTS = 4
#: Parts of the network that are hidden in turn to calibrate kriging, stations at most, and of
#: these how many are left out in turn in an update of the bands that do without a part.
CALIBRATING_FOLDS, CALIBRATING, STATIONS_OF_FOLD = 5, 256, 64
#: Of the updates of a covariance one in so many follows in which the whole network is silent.
SILENT_SHARE = 2
#: Of the updates of a covariance one in so many is enough where it begins with a fitted one.
LIKENESS_SHARE = 2
#: Shares of the logarithm of a station's noise that are tried.
NOISE_SHARES = (1.0, 0.5, 0.0)


@dataclass(frozen=True)
class Setting:
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


def spacing_km(network: StationNetwork) -> float:
    """Return the spacing of the stations, or 1 km where they are at one place."""
    return network.spacing_km if math.isfinite(network.spacing_km) else 1.0


def learn_covariances(model: NeuralKNN, setting: Setting, bar: tqdm) -> tuple[Setting, BandSeries]:
    """Fit the covariances.

    Returns
    -------
    setting : Setting
        With the noise of each station.
    series : BandSeries
        To which the bands were fitted.
    """
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
    return replace(setting, samples=replace(samples, log_noise=log_noise.detach())), series


def learn_likeness(
    model: NeuralKNN, setting: Setting, plain: BandSeries, likeness: Likeness, bar: tqdm
) -> Setting:
    """Fit the bands anew with as much of the stations' likeness as left-out stations ask for.

    Returns
    -------
    Setting
        Unchanged where they ask for none; else the likeness comes first among the attributes.
    """
    bar.set_description("learning what places have in common")
    samples = setting.samples
    attributes = torch.cat([likeness.coordinates, samples.attributes], 1)
    usual_km = likeness.lengths * spacing_km(samples.network)
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
    model: NeuralKNN, setting: Setting, rows: np.ndarray | slice = slice(None)
) -> BandSeries:
    """Return the bands of the series of some stations, gaps filled from these alone."""
    samples = setting.samples
    some, value = samples.network.part(rows), samples.value[rows]
    widths = model.configuration.bands
    return BandSeries.of(value, some, model.covariance, widths, samples.attributes[rows])


def _fit_bands(
    bands: BandCovariance,
    series: BandSeries,
    setting: Setting,
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


def _prior(setting: Setting) -> float:
    """Return how much a departure from the usual covariance counts."""
    return prior_weight(setting.samples.value, setting.samples.clock.step_hours)


def _amortised(model: NeuralKNN, setting: Setting) -> AmortisedCovariance | None:
    """Return where bands begin that are pretrained, or of which stations or days are few."""
    weights = model.configuration.pretrained
    if not weights and model.configuration.bands == WIDTHS and _prior(setting):
        weights = setting.schedule.prior
    return Pretrained.of(weights).bands if weights else None


def calibrate_kriging(model: NeuralKNN, setting: Setting, bar: tqdm) -> Setting:
    """Fit the spread of kriging to the network, a fifth of the places hidden at a time.

    Their errors are those of bands that were fitted without them, for a covariance flatters the
    stations that it was fitted to; the kriging variance is that of the model. Of a large network
    some stations and fewer windows must do.

    Returns
    -------
    Setting
        With as much of the noise of each station as hidden stations are estimated best with.
    """
    bar.set_description("learning the spread")
    size = setting.samples.network.size
    windows = math.ceil(setting.schedule.validation_windows * min(1, CALIBRATING / size))
    unseen = fits_folds(setting)
    folds: Iterable[_Fold] = _folds(model, setting, windows, bar, unseen=unseen)
    share = 1.0
    if unseen:
        folds = list(folds)
        share = min(NOISE_SHARES, key=partial(_loss, folds))
    errors = (
        [
            Errors.of(each.fitted, passes.with_variance_of(model))
            for passes in (each.reporting(share), each.silent(share))
        ]
        for each in folds
    )
    fit_spread(model, *map(Errors.joined, zip(*errors, strict=True)))
    samples = replace(setting.samples, log_noise=share * setting.samples.log_noise)
    return replace(setting, samples=samples)


def fits_folds(setting: Setting) -> bool:
    """Return whether bands are fitted without the stations of each fold."""
    fewest = min(len(split.visible) for split in setting.folds)
    return setting.samples.network.size <= CALIBRATING and fewest >= FEWEST_FOR_HEADS


@dataclass(frozen=True)
class _Fold:
    """A fifth of the places hidden: what is fitted without them, and where it is tried.

    ``passes`` are those of reporting stations; with the argument ``silent`` ``over`` makes those
    in which nobody reports.
    """

    fitted: NeuralKNN
    passes: Passes
    over: Callable[..., Passes]

    def reporting(self, share: float) -> Passes:
        """Return the passes with a share of the stations' noise."""
        return self.passes.with_noise(share, self.fitted)

    def silent(self, share: float) -> Passes:
        """Return those in which nobody reports."""
        return self.over(silent=True).with_noise(share, self.fitted)


def _loss(folds: Iterable[_Fold], share: float) -> float:
    """Return the loss at reporting stations that are hidden, with a share of the noise."""
    return Errors.joined([Errors.of(each.fitted, each.reporting(share)) for each in folds]).loss()


def _folds(
    model: NeuralKNN, setting: Setting, windows: int, bar: tqdm, *, unseen: bool
) -> Iterator[_Fold]:
    """Yield folds, with bands that have not seen what is hidden, or with those of the model."""
    for split in setting.folds:
        fitted, samples = model, setting.samples
        if unseen:
            fitted, samples = _without(split, model, setting, bar)
        over = partial(Passes.over, samples, fitted, [split], windows)
        fold = _Fold(fitted, over(), over)
        bar.update()
        yield fold


def _without(
    split: Split, model: NeuralKNN, setting: Setting, bar: tqdm
) -> tuple[NeuralKNN, Samples]:
    """Return the model with bands, and samples with a noise of stations, of the visible alone."""
    rows, samples = split.visible, setting.samples
    fitted = copy.deepcopy(model)
    fitted.bands = BandCovariance(
        len(model.configuration.bands) + 1,
        spacing_km(samples.network),
        samples.attributes.shape[-1] - model.bands.coordinates,
        model.bands.coordinate_km.tolist(),
    )
    fitted.bands.trend_covariance.copy_(model.bands.trend_covariance)
    fitted.bands.apart.copy_(model.bands.apart)
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
