"""P9: two weeks of the 12 Beijing stations in, the next one out, at visible and hidden stations."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
import torch
import xarray as xr

from aqreanalysis import Reanalyser, Schedule
from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.geography.likeness import coordinates
from aqreanalysis.methods.neural.batches import neighbourhood_of
from aqreanalysis.methods.neural.neural_knn import LEAST_SQUARE, spread_features
from aqreanalysis.methods.neural.saved import State, known_noise
from aqreanalysis.network import StationNetwork
from aqreanalysis.outlook.aqnet import OutlookConfiguration, distribution_of
from aqreanalysis.outlook.training import OutlookSchedule
from aqreanalysis.predictive import Statistic
from benchmarks.outlook_rivals import RivalOutlook
from benchmarks.progress import Reporter
from benchmarks.record import append, source_digest
from benchmarks.sources import beijing12

VARIABLE = "pm25"
#: Beijing's time is eight hours ahead; periods and starts of the protocol are local.
ZONE = np.timedelta64(8, "h")
VALIDATION = (np.datetime64("2016-01-01T00"), np.datetime64("2016-06-30T23"))
STARTS = (np.datetime64("2016-07-01T00"), np.datetime64("2017-02-22T00"))
LEADS, DAY, FOLDS = 168, 24, 3
#: Hours of a day without which its mean is not scored.
FEWEST_HOURS = 18
INVERSE_DISTANCE = "hidden, inverse distance"
#: Starts of a fortnight, by which the errors of methods are compared, and what is compared.
FORTNIGHT, COMPARED = 28, ("hour 6", "hour 12", "hour 24", "7 days, hourly")
#: Inverse distance as in the paper: neighbours and power.
NEIGHBOURS, POWER = 20, 2.0
_POLLUTANTS = tuple(name for name in POLLUTANTS if name not in (VARIABLE, "no"))


def _named(method: str, **settings: Any) -> tuple[str, dict[str, Any]]:
    """Return what makes an outlook."""
    return method, settings


#: As released: at most 50 epochs of starts every 12 h, until the validation period has not gained
#: for ten.
RELEASED = OutlookSchedule(
    updates=51_500,
    batch=16,
    rate=1e-3,
    decay=0.01,
    constant=True,
    check_every=1030,
    patience=10,
    average=0.0,
    examples=16_500,
)
#: What is compared. All see the same hours of the same stations.
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "persistence": _named("persistence"),
    "climatology": _named("climatology"),
    "ridge": _named("ridge", covariates=()),
    "ridge_all": _named("ridge"),
    "boosting": _named("boosting"),
    "lstm": _named("lstm"),
    "patchtst": _named("patchtst"),
    "paper": _named("paper", covariates=_POLLUTANTS, schedule=RELEASED),
    # Ridge regression of the root, covariates penalised more: AQ-Net without any update.
    "aqnet_start": _named("aqnet", schedule=OutlookSchedule(updates=0)),
    "aqnet_start_alone": _named("aqnet", covariates=(), schedule=OutlookSchedule(updates=0)),
    "ridge_lstm": _named("ridge_lstm"),
    "aqnet": _named("aqnet"),
    "aqnet_alone": _named("aqnet", covariates=()),
    "aqnet_without_cycles": _named("aqnet", configuration=OutlookConfiguration(cycles=False)),
    "aqnet_without_meteorology": _named("aqnet", covariates=_POLLUTANTS),
}
#: Methods that do not depend on a seed.
UNSEEDED = (
    "persistence",
    "climatology",
    "ridge",
    "ridge_all",
    "boosting",
    "aqnet_start",
    "aqnet_start_alone",
)


@dataclass(frozen=True)
class Split:
    """A third of the stations hidden.

    Attributes
    ----------
    fold : int
    visible, hidden : Dataset
        Observations; those of hidden stations are for scores only.
    learned_from : Dataset
        The visible stations up to the end of the validation period.
    columns : (start,) int64
    """

    fold: int
    visible: xr.Dataset
    hidden: xr.Dataset
    learned_from: xr.Dataset
    columns: np.ndarray

    @classmethod
    def of(cls, folder: Path, fold: int) -> "Split":
        """Return the split in which every third station, from the fold's number on, is hidden."""
        observations = beijing12(folder)
        local = observations["time"].values + ZONE
        hidden = np.arange(observations.sizes["station"]) % FOLDS == fold
        stop = int(np.searchsorted(local, VALIDATION[1])) + 1
        starts = np.arange(STARTS[0], STARTS[1], np.timedelta64(12, "h"))
        visible = observations.isel(station=~hidden)
        return cls(
            fold,
            visible,
            observations[[VARIABLE]].isel(station=hidden),
            visible.isel(time=slice(0, stop)),
            np.searchsorted(local, starts),
        )

    def truth(self, observations: xr.Dataset) -> np.ndarray:
        """Return what came after the starts, (start, station, lead)."""
        values = observations[VARIABLE].transpose("station", "time").values.astype(np.float64)
        return values[:, self.columns[:, None] + np.arange(LEADS)].swapaxes(0, 1)


def measure(
    folder: Path,
    *,
    methods: Sequence[str],
    folds: Sequence[int],
    seeds: Sequence[int],
    reporter: Reporter,
    path: Path | None = None,
    checkpoints: Path | None = None,
    note: str = "",
) -> list[dict[str, Any]]:
    """Return the record of all runs, also appended to a CSV file as they end.

    Beside that file another, of which the name ends in ``_fortnights``, gets the sums of each
    fortnight of starts. With a folder of checkpoints a training that was cut off goes on. The note
    is written beside every score.
    """
    source_digest()
    record: list[dict[str, Any]] = []
    splits = {fold: Split.of(folder, fold) for fold in folds}
    ways = {fold: Way.of(split) for fold, split in splits.items()}
    for seed in seeds:
        for fold, split in splits.items():
            for method in methods:
                if method in UNSEEDED and seed != seeds[0]:
                    continue
                reporter.start(f"fold {fold} seed {seed} {method}")
                checkpoint = checkpoints and checkpoints / f"{method}-{fold}-{seed}.pt"
                run = Run.of(split, ways[fold], method, seed, checkpoint)
                rows = [row | {"note": note} for row in run.rows()]
                if path is not None:
                    append(path, rows)
                    append(fortnights_path(path), list(run.fortnights()))
                record += rows
                reporter.finish(_summary(rows))
    return record


def fortnights_path(path: Path) -> Path:
    """Return where the sums of fortnights are, beside a record.

    Examples
    --------
    >>> fortnights_path(Path("outlook.csv")).name
    'outlook_fortnights.csv'
    """
    return path.with_stem(f"{path.stem}_fortnights")


@dataclass(frozen=True)
class Run:
    """One method on one split, both statistics of one fit.

    Attributes
    ----------
    head, tail : dict
        What was run, and times and source.
    estimates : mapping
        By statistic and place: estimates and truth, (start, station, lead).
    """

    head: dict[str, Any]
    tail: dict[str, Any]
    estimates: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls, split: Split, way: "Way", method: str, seed: int, checkpoint: Path | None = None
    ) -> "Run":
        """Learn and predict."""
        name, settings = METHODS[method]
        began = perf_counter()
        model = RivalOutlook(
            name, seed=seed, progress=False, checkpoint=checkpoint, between=way.between, **settings
        )
        first, last = (instant - ZONE for instant in VALIDATION)
        model.fit(split.learned_from, VARIABLE, validation=slice(first, last))
        fitted = perf_counter()
        forecast = model.issue(split.visible, split.columns)
        known, estimates = forecast.distribution, forecast.estimates
        predicted = perf_counter()
        past = split.visible[VARIABLE].transpose("station", "time").values
        estimated = np.sqrt(known.mean) if estimates == "mean" else known.root
        root = way.hidden(estimated, past, split.columns)
        hidden = distribution_of(root, way.spread(root, estimated, known.spread), estimates)
        truths = (split.truth(split.visible), split.truth(split.hidden))
        head = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "fold": split.fold,
            "method": method,
            "seed": "" if method in UNSEEDED else seed,
        }
        tail = {
            "fit_seconds": round(fitted - began, 1),
            "predict_seconds": round(predicted - fitted, 1),
            "source": source_digest(),
        }
        by_place: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        for statistic in get_args(Statistic):
            visible = known.estimate(statistic)
            by_place |= {
                (statistic, "visible"): (visible, truths[0]),
                (statistic, "hidden"): (hidden.estimate(statistic), truths[1]),
                (statistic, INVERSE_DISTANCE): (way.inverse_distance(visible), truths[1]),
            }
        return cls(head, tail, by_place)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the record of the run."""
        for (statistic, place), (estimate, truth) in self.estimates.items():
            for target, sums in _sums(estimate, truth):
                part = {"statistic": statistic, "place": place, "target": target}
                yield {**self.head, **part, **sums, **self.tail}

    def fortnights(self) -> Iterator[dict[str, Any]]:
        """Yield the errors of means in each fortnight of starts."""
        head = {name: self.head[name] for name in ("fold", "method", "seed")}
        for place in ("visible", "hidden"):
            estimate, truth = self.estimates["mean", place]
            for first in range(0, len(truth), FORTNIGHT):
                part = slice(first, first + FORTNIGHT)
                for target, sums in _sums(estimate[part], truth[part]):
                    if target in COMPARED:
                        at = {"place": place, "target": target, "fortnight": first // FORTNIGHT}
                        names = ("values", "squares", "absolute")
                        yield {**head, **at, **{name: round(sums[name]) for name in names}}


def _sums(estimate: np.ndarray, truth: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is scored with its sums: lead hours, first days hourly, and daily means."""
    for hour in (6, 12, 24):
        yield f"hour {hour}", _summed(estimate[..., hour - 1], truth[..., hour - 1])
    shape = (*truth.shape[:2], LEADS // DAY, DAY)
    enough = np.isfinite(truth).reshape(shape).sum(-1) >= FEWEST_HOURS
    # An hour without truth takes part in neither of the two means.
    mask = np.where(np.isfinite(truth), 1.0, np.nan)
    daily = [
        np.where(enough, np.nansum((each * mask).reshape(shape), -1), np.nan)
        / np.maximum(np.isfinite(truth).reshape(shape).sum(-1), 1)
        for each in (estimate, truth)
    ]
    for days in (2, 4, 7):
        hours = slice(0, days * DAY)
        yield f"{days} days, hourly", _summed(estimate[..., hours], truth[..., hours])
        yield f"{days} days, daily", _summed(*(each[..., :days] for each in daily))


def _summed(estimate: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return sums from which scores of any union of runs follow."""
    observed = np.isfinite(truth)
    known, error = truth[observed], (estimate - truth)[observed]
    sums = {
        "squares": (error**2).sum(),
        "absolute": np.abs(error).sum(),
        "errors": error.sum(),
        "truth": known.sum(),
        "truth_squares": (known**2).sum(),
    }
    return {"values": int(observed.sum()), **{name: round(float(s), 3) for name, s in sums.items()}}


@dataclass(frozen=True)
class Way:
    """How outlooks of visible stations get to hidden ones, as `Outlook.predict` does it.

    Where all series are complete, a learned covariance is a fixed linear filter of the roots over
    stations and hours. It is computed once, as the response to impulses, so that hundreds of starts
    take a second.

    Attributes
    ----------
    between : Reanalyser
    response : (target, station, lag) float64
    own : Spread
        Variance of the interpolation.
    weights : (target, station) float64
        Of inverse distance.
    """

    between: Reanalyser
    response: np.ndarray
    own: "Spread"
    weights: np.ndarray

    @classmethod
    def of(cls, split: Split) -> "Way":
        """Return the way of a split, learned before the validation period."""
        until = VALIDATION[0] - ZONE - np.timedelta64(1, "h")
        learned_from = split.learned_from[[VARIABLE]].sel(time=slice(None, until))
        quick = Schedule(updates=0)
        between = Reanalyser(schedule=quick, progress=False).fit(learned_from, VARIABLE)
        stations, spacing = split.visible.sizes["station"], 2 * REACH + 1
        level, impulse = 10.0, 4.0
        roots = np.full((stations, (stations + 2) * spacing), level)
        peaks = (1 + np.arange(stations)) * spacing + REACH
        roots[np.arange(stations), peaks] += impulse
        series = split.visible[[VARIABLE]].isel(time=slice(0, roots.shape[1]))
        series = series.assign(
            {VARIABLE: series[VARIABLE].copy(data=roots.astype(np.float32) ** 2)}
        )
        field = between.predict(series, split.hidden).compute()
        root = np.sqrt(field[VARIABLE].values.astype(np.float64))
        response = np.stack(
            [(root[:, peak - REACH : peak + REACH + 1] - level) / impulse for peak in peaks], 1
        )
        visible, hidden = (StationNetwork.from_dataset(d) for d in (split.visible, split.hidden))
        near = visible.neighbours(hidden.longitude, hidden.latitude, k=min(NEIGHBOURS, stations))
        raw = np.zeros((hidden.size, stations))
        np.put_along_axis(raw, near.index, near.distance_km**-POWER, axis=1)
        return cls(
            between,
            response,
            Spread.of(between.state_for(series), visible, hidden),
            raw / raw.sum(1, keepdims=True),
        )

    def hidden(self, root: np.ndarray, past: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return roots (start, target, lead) of the stations' (start, station, lead)."""
        before = past[:, columns[:, None] - np.arange(REACH, 0, -1)].swapaxes(0, 1)
        # A measured hour that is missing repeats the one that comes after it.
        for hour in range(REACH - 1, -1, -1):
            after = root[..., 0] ** 2 if hour == REACH - 1 else before[..., hour + 1]
            before[..., hour] = np.where(np.isnan(before[..., hour]), after, before[..., hour])
        after = np.repeat(root[..., -1:], REACH, -1)
        padded = np.concatenate([np.sqrt(np.clip(before, 0, None)), root, after], -1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1, -1)
        # The response to an impulse is the filter backwards.
        return np.einsum("bslk,tsk->btl", windows, self.response[..., ::-1], optimize=True)

    def spread(self, hidden: np.ndarray, root: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return spreads of roots at the targets, (start, target, lead).

        Parameters
        ----------
        hidden : (start, target, lead)
            Of `hidden`.
        root, spread : (start, station, lead)
            Of the stations' outlooks.
        """
        return np.sqrt(self.own.variance(hidden, root) + self.inverse_distance(spread) ** 2)

    def inverse_distance(self, values: np.ndarray) -> np.ndarray:
        """Return values (start, target, lead) weighed by inverse squared distance."""
        return np.einsum("bsl,ts->btl", values, self.weights)


@dataclass(frozen=True)
class Spread:
    """The spread law of a `Reanalyser` at targets, where all series are complete.

    Attributes
    ----------
    state : State
        Of a fitted `Reanalyser`.
    shares : (target, station) float64
        Of the stations in mean and spread.
    kriging : (target,) float64
        Kriging variance.
    """

    state: State
    shares: np.ndarray
    kriging: np.ndarray

    @classmethod
    def of(cls, state: State, visible: StationNetwork, hidden: StationNetwork) -> "Spread":
        """Return the law at hidden stations, from visible ones that it was learned from."""
        model = state.model
        noise = torch.from_numpy(known_noise(state.network, visible))
        attributes = None
        if model.bands.coordinates:
            of_visible, of_hidden = (
                torch.from_numpy(coordinates(each.longitude, each.latitude))
                for each in (visible, hidden)
            )
            attributes = of_visible, of_hidden
        place = neighbourhood_of(
            visible,
            hidden.longitude,
            hidden.latitude,
            noise,
            neighbours=model.configuration.neighbours,
            attributes=attributes,
        )
        weights = model.weights(place)
        shares = place.scatter(model.shares(weights), visible.size)
        return cls(state, shares.double().numpy(), weights.variance.numpy())

    def variance(self, hidden: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Return the variance of the root at targets (start, target, lead)."""
        scale = self.state.standardisation
        estimate, value = ((each - scale.centre) / scale.scale for each in (hidden, root))
        mean = np.einsum("bsl,ts->btl", value, self.shares)
        square = np.einsum("bsl,ts->btl", value**2, self.shares) - mean**2
        kriging = np.broadcast_to(self.kriging[:, None], mean.shape)
        parts = (estimate, mean, np.sqrt(np.clip(square, 0, None) + LEAST_SQUARE), kriging)
        features = spread_features(*(torch.from_numpy(part.copy()) for part in parts))
        model = self.state.model
        complete = torch.zeros(mean.shape)  # nothing is filled in an outlook
        log_variance = model.log_variance(features, complete).detach()
        return scale.scale**2 * log_variance.exp().numpy()


#: Hours to either side that the bands of the covariance look at.
REACH = 24


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of a run's means in one line."""
    scores = [
        f"{row['place']} {row['target']} {np.sqrt(row['squares'] / row['values']):.2f}"
        for row in rows
        if row["target"] in ("hour 6", "hour 24", "7 days, hourly")
        and row["place"] != INVERSE_DISTANCE
        and row["statistic"] == "mean"
    ]
    head = rows[0]
    return (
        f"fold {head['fold']} seed {head['seed']} {head['method']}: {', '.join(scores)}; "
        f"fit {head['fit_seconds']} s, predict {head['predict_seconds']} s"
    )
