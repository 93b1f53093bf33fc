"""Cross-validation: methods are fitted without hidden stations and estimate them."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, quantile_name
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.geography import Geography, attributes
from aqreanalysis.methods import METHODS, Method, fit, method_of, predict
from aqreanalysis.methods.persistence import TIME_SCALES_H, persistence
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    Quality,
    selected_hours,
    usable,
    utc_period,
    valid_variable,
    values_of,
)
from aqreanalysis.predictive import Statistic, check_statistic, freedom_of
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.folds import Design, Fold, describe_design, folds_of
from aqreanalysis.verification.pairs import build_pairs, quality_remarks
from aqreanalysis.verification.strata import HOURS_PER_DAY, period_hours
from aqreanalysis.verification.summing import check_events, statistics

logger = logging.getLogger(__name__)


def cross_validate(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    methods: Sequence[str | Method] = tuple(METHODS),
    by: Design = "station",
    folds: int = 5,
    buffer_km: float | None = None,
    time: slice | None = None,
    statistic: Statistic = "median",
    geography: Geography | None = None,
    seed: int = 0,
    progress: bool = True,
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return each method's estimates at stations that were hidden from it, with the truth.

    In each fold every method is fitted anew: its scalers, variograms and weights depend on the
    stations that are not hidden only. Failures of a method in a fold are reported; the others
    continue.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    variable : str, optional
        Pollutant; pm25 if it is there, else the only one.
    methods : sequence of {"neural", "pretrained", "kriging", "space_time_kriging", "idw"} or Method
        A method of your own is copied and fitted in each fold.
    by : {"station", "block", "month", "leave_one_out"}
        - "station": random folds; stations within 500 m of each other share one.
        - "block": neighbouring stations share a fold, and stations within ``buffer_km`` of a
          hidden one are left out (Roberts et al. 2017, Ecography 40, 913).
        - "month": stations and calendar months are divided into folds, and the stations of a fold
          are scored in its months, to which no method is fitted (Meyer et al. 2018, Environ.
          Model. Softw. 101, 1: leave location and time out).
        - "leave_one_out": each place in turn.
    folds : int
        Number of folds, unless each place is left out in turn.
    buffer_km : float, optional
        By default the median spacing of the stations for blocks, 0 for others.
    time : slice of labels, optional
        Hours to score, in UTC unless a label states its zone; all by default. Methods are fitted
        to all hours.
    statistic : {"median", "mean"}
        What the estimates are; probabilities and CRPS are those of the distribution either way.
    geography : bool, str, path, DataArray, Dataset or sequence of these, optional
        Attributes of places, as of `aqreanalysis.reanalysis.reanalyse`: a background for the
        methods that take one; False keeps the neural method from those that it has in any case.
    seed : int
        Of the folds and of training.
    progress : bool
        Whether a progress bar is shown.
    quality : {"mask", "flag", "ignore"}
        As of `aqreanalysis.reanalysis.reanalyse`: what "mask" leaves out is neither learned from
        nor scored. ``remarks`` state it.

    Returns
    -------
    Dataset
        ``truth`` (station, time), ``estimate`` and ``standard_error`` (estimator, station, time),
        with ``error_shares``, how the errors of a method last, by which daily means have an error,
        and with ``distance_km`` to the nearest station that is not hidden and ``silence_hours``
        (station, time) since that one reported. `statistics` and
        `aqreanalysis.report.write_report` take it.

    Raises
    ------
    ObservationError
        If the observations are not valid.
    VerificationError
        If there are fewer places or months than folds, or every method fails in every fold.
    ValueError
        If a method is unknown, or no hour lies within the time asked for.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> pairs = cross_validate(obs, methods=["idw"], by="block", folds=3, progress=False)
    >>> pairs.estimate.dims
    ('estimator', 'station', 'time')
    """
    variable = valid_variable(observations, variable)
    check_statistic(statistic)
    by_name = _methods_by_name(methods, seed=seed, geography=geography is not False)
    given, observations = observations, usable(observations, variable, quality)
    scored = np.zeros(observations.sizes[TIME], bool)
    scored[selected_hours(observations[TIME], utc_period(observations[TIME], time))] = True
    parts = folds_of(
        observations, variable, by=by, count=folds, seed=seed, buffer_km=buffer_km, scored=scored
    )
    known = attributes(geography, observations)
    run = _Run(observations, variable, by_name, statistic, known.background)
    # By month, folds have no hour to score where a part of the time is asked for.
    run.add([fold for fold in parts if fold.scored.any()], progress=progress)
    if not np.isfinite(run.estimate).any():
        raise VerificationError(
            "no method gave any estimate at a hidden station. " + "; ".join(run.failures[:3])
        )
    network = StationNetwork.from_dataset(observations)
    pairs = build_pairs(
        observations,
        variable,
        truth=run.truth,
        estimate=run.estimate,
        standard_error=run.standard_error,
        median=None if statistic == "median" else run.median,
        freedom=run.freedom,
        lasting=(TIME_SCALES_H, run.shares) if run.of_days else None,
        silence_hours=run.silence_hours,
        methods=list(by_name),
        stations={
            "distance_km": run.distance_km,
            "place": network.colocated_groups(),
            "fold": run.fold.astype(str),
        },
        attributes={
            "by": by,
            "design": f"{describe_design(by, parts, buffer_km, seed)} Estimates are {statistic}s.",
            "statistic": statistic,
            "failures": run.failures,
            "remarks": [*quality_remarks(given, observations), *known.facts().values()],
        },
    )
    # Leave out stations and hours outside of what the folds score.
    first, last = np.flatnonzero(scored)[[0, -1]]
    return pairs.isel({STATION: run.fold != "", TIME: slice(int(first), int(last) + 1)})


def verify(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    methods: Sequence[str | Method] = tuple(METHODS),
    by: Design = "station",
    folds: int = 5,
    buffer_km: float | None = None,
    time: slice | None = None,
    statistic: Statistic = "median",
    events: Sequence[float] | None = None,
    geography: Geography | None = None,
    seed: int = 0,
    progress: bool = True,
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return the statistics of each method at stations that were hidden from it.

    Parameters
    ----------
    observations, variable, methods, by, folds, buffer_km, time, statistic, geography, seed,
    progress, quality
        As of `cross_validate`.
    events : sequence of float, optional
        Thresholds of events, ug m-3; by default those of the pollutant.

    Returns
    -------
    Dataset
        Of `statistics`; `metrics`, `intervals` and `differences` make scores of it.

    Raises
    ------
    ObservationError, VerificationError, ValueError
        As of `cross_validate`, and if events are not positive numbers.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> summed = verify(obs, methods=["idw", "kriging"], folds=3, progress=False)
    >>> summed["count"].dims
    ('resolution', 'estimator', 'station', 'stratum')
    """
    if events is not None:
        check_events(events)
    pairs = cross_validate(
        observations,
        variable,
        methods=methods,
        by=by,
        folds=folds,
        buffer_km=buffer_km,
        time=time,
        statistic=statistic,
        geography=geography,
        seed=seed,
        progress=progress,
        quality=quality,
    )
    return statistics(pairs, events=events)


class HiddenEstimates(NamedTuple):
    """Estimates of hidden stations, (hidden, time) float64; NaN in hours that are not scored.

    ``freedom`` are the degrees of freedom of their distributions.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    median: np.ndarray
    freedom: float


def estimate_hidden(
    method: Method,
    observations: xr.Dataset,
    variable: str,
    fold: Fold,
    *,
    statistic: Statistic = "median",
    background: BackgroundField | None = None,
) -> HiddenEstimates:
    """Return what a fitted method gives at the hidden stations of a fold."""
    inputs, targets = fold.inputs(observations), fold.targets(observations)
    labels = inputs[TIME].values
    layers = (variable, f"{variable}_uncertainty", quantile_name(variable, 0.5))
    results = np.full((len(layers), targets.sizes[STATION], labels.size), np.nan)
    for span in fold.spans():
        window = slice(labels[span.start], labels[span.stop - 1])
        predicted = predict(
            method,
            inputs,
            targets,
            time=window,
            background=background,
            statistic=statistic,
            quantiles=(0.5,),
        ).compute(scheduler="synchronous")
        for row, name in enumerate(layers):
            results[row, :, span] = predicted[name].transpose(STATION, TIME).values
    estimate, standard_error, median = results
    return HiddenEstimates(estimate, standard_error, median, freedom_of(method.settings))


class _Run:
    """Truth, estimates and failures, which the folds fill in."""

    def __init__(
        self,
        observations: xr.Dataset,
        variable: str,
        methods: Mapping[str, Method],
        statistic: Statistic,
        background: BackgroundField | None,
    ) -> None:
        self.observations, self.variable = observations, variable
        self.methods, self.statistic = methods, statistic
        self.background = background
        #: Whether there are daily means of the values, whose error depends on how errors last.
        self.of_days = period_hours(observations) < HOURS_PER_DAY
        size, hours = observations.sizes[STATION], observations.sizes[TIME]
        self.truth = np.full((size, hours), np.nan)
        self.estimate, self.standard_error, self.median = np.full(
            (3, len(methods), size, hours), np.nan, np.float32
        )
        self.freedom = np.full((len(methods), size), np.inf)
        self.shares = np.full((len(methods), size, len(TIME_SCALES_H)), np.nan)
        self.distance_km = np.full(size, np.nan)
        self.silence_hours = np.full((size, hours), np.nan, np.float32)
        self.fold = np.full(size, "", dtype=object)
        self.failures: list[str] = []

    def add(self, folds: Sequence[Fold], *, progress: bool) -> None:
        """Fill in the truth and the estimates of every method in every fold."""
        from tqdm import tqdm

        values = values_of(self.observations, self.variable)
        total = len(folds) * len(self.methods)
        words = f"verification of {self.variable}"
        with tqdm(total=total, desc=words, disable=not progress, leave=False) as bar:
            for fold in folds:
                scored = np.ix_(fold.hidden, fold.scored)
                self.fold[fold.hidden] = fold.name
                self.truth[scored] = values[scored]
                if not fold.known.any():
                    reason = "no station is left to know; use a smaller buffer_km"
                    self._fail("all methods", fold, reason)
                    bar.update(len(self.methods))
                    continue
                self.distance_km[fold.hidden] = fold.distance_km(self.observations)
                silence = fold.silence_hours(self.observations, self.variable)
                self.silence_hours[scored] = silence[:, fold.scored]
                for row, name in enumerate(self.methods):
                    bar.set_postfix_str(f"{name}, fold {fold.name}")
                    self._estimate(fold, row, name)
                    bar.update()

    def _estimate(self, fold: Fold, row: int, name: str) -> None:
        """Fill in the estimates of a method in a fold, or record its failure."""
        try:
            method = copy.deepcopy(self.methods[name])
            background = self.background if method.takes_background else None
            training = fold.training(self.observations)
            fit(method, training, self.variable, background)
            result = estimate_hidden(
                method,
                self.observations,
                self.variable,
                fold,
                statistic=self.statistic,
                background=background,
            )
        except Exception as error:  # a method may fail in any way; the others continue
            message = isinstance(error, ValueError) and str(error)
            self._fail(name, fold, message or f"{type(error).__name__}: {error}")
            return
        arrays = (self.estimate, self.standard_error, self.median, self.freedom)
        for array, values in zip(arrays, result, strict=True):
            array[row, fold.hidden] = values
        if self.of_days:
            self.shares[row, fold.hidden] = self._shares(method, name, training)

    def _shares(self, method: Method, name: str, training: xr.Dataset) -> np.ndarray | float:
        """Return how the errors of a fitted method last, by stations that it knows, or NaN."""
        background = self.background if method.takes_background else None
        try:
            lasting = persistence(method, training, background)
        except Exception as error:  # a method may fail in any way; its estimates are there
            logger.warning("%s: daily means have no error, since %s", name, error)
            return np.nan
        return np.nan if lasting is None else np.array(lasting.errors.shares)

    def _fail(self, name: str, fold: Fold, reason: object) -> None:
        """Record and log why there is no estimate in a fold."""
        message = f"{name}, fold {fold.name}: {reason}"
        self.failures.append(message)
        logger.warning("%s; verification goes on without it", message)


def _methods_by_name(
    methods: Sequence[str | Method], *, seed: int, geography: bool
) -> dict[str, Method]:
    """Return the methods by name; refuse an empty list and two of the same name."""
    if isinstance(methods, str) or not isinstance(methods, Sequence) or not methods:
        raise VerificationError(
            f"methods must be a list such as {list(METHODS)}; found {methods!r}"
        )
    by_name: dict[str, Method] = {}
    for given in methods:
        method, _ = method_of(given, seed=seed, progress=False, geography=geography)
        name = given if isinstance(given, str) else method.name
        if name in by_name:
            raise VerificationError(
                f"two methods are called {name!r}: give one of the estimators another name"
            )
        by_name[name] = method
    return by_name
