"""The `Outlook`: forecasts of the next days from the last two weeks of a network."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.foreign.files import Source
from aqreanalysis.foreign.polygons import PolygonSource
from aqreanalysis.grid import Grid
from aqreanalysis.methods import Method, NotFittedError
from aqreanalysis.methods.covariates import Scaling, Standardisation
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    Quality,
    input_digest,
    step_hours,
    usable,
    valid_variable,
    validate,
)
from aqreanalysis.outlook.aqnet import OutlookConfiguration, Prediction, distribution_of
from aqreanalysis.outlook.inputs import Examples, ForecastInputs
from aqreanalysis.outlook.methods import (
    OUTLOOK_METHODS,
    MethodDescription,
    OutlookMethod,
    covariates_for,
)
from aqreanalysis.outlook.periods import (
    LEAST_HISTORY_HOURS,
    Periods,
    Starts,
    horizon_steps,
    start_columns,
)
from aqreanalysis.outlook.product import Forecast, Request, attention_by_day, forecast_product
from aqreanalysis.outlook.saved import OutlookState, load_outlook, save_outlook
from aqreanalysis.outlook.training import OutlookSchedule, Trained, remove_finished, train
from aqreanalysis.predictive import Statistic, check_quantiles, check_statistic
from aqreanalysis.product import checked_metadata
from aqreanalysis.product.targets import Region, Resolution, target_of

#: Hours between the starts of the validation examples.
VALIDATION_EVERY = 12
#: Least stations to learn a covariance of the places between them.
FEWEST_STATIONS = 3
#: Steps ahead that a model may learn here: a month of hours.
MOST_STEPS = 744
#: Parts of a description that a product's provenance contains.
SETTINGS = (
    "seed",
    "stations",
    "period",
    "validation",
    "history_hours",
    "covariates",
    "data_hash",
)


class Outlook:
    """Forecasts of all leads at once from the history of each station, with an uncertainty.

    The method of AQ-Net (arXiv 2502.11941) for the near future: a causal LSTM over the last 336
    hours of a station, its surroundings and its meteorology, multi-head attention of which the
    queries are the cyclic encodings of the predicted times, and heads for all leads. The network
    corrects a penalised linear regression. Forecasts are interpolated between stations as
    observations would be, by the learned covariance of the neural kNN.

    Parameters
    ----------
    method : {"aqnet", "paper", "lstm", "patchtst", "ridge", "climatology", "persistence"}
        ``"paper"`` is AQ-Net as its code was released, less its errors, see
        `aqreanalysis.outlook.paper.PaperNetwork`; the last five are baselines.
    configuration : OutlookConfiguration, optional
        Length of history and horizon, sizes of the network.
    schedule : OutlookSchedule, optional
        How long and how fast to learn.
    covariates : sequence of str, optional
        Further variables that are used; all that the observations have by default. At a station
        that lacks one it is missing.
    seed : int
        The same seed gives the same model on the same machine.
    progress : bool
        Whether learning shows a progress bar.
    checkpoint : path, optional
        File in which learning is saved at each validation. A learning that was cut off goes on from
        it; it is removed when the model is saved.
    between : Method, optional
        A fitted method that interpolates forecasts between stations. By default the covariance of
        a `Reanalyser` is learned from three stations on, when an outlook is first wanted elsewhere
        than at stations that report.

    Attributes
    ----------
    name : str
        The method.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=240, seed=1, stations=12).observations
    >>> sizes = OutlookConfiguration(history=48, leads=24)
    >>> outlook = Outlook("ridge", configuration=sizes, progress=False).fit(obs, "pm25")
    >>> ahead = outlook.predict(obs, horizon=12)
    >>> dict(ahead.sizes), bool((ahead.pm25 >= 0).all())
    ({'station': 12, 'time': 12, 'bnds': 2}, True)
    """

    _methods: ClassVar[Mapping[Any, MethodDescription]] = OUTLOOK_METHODS  # a subclass may add

    def __init__(
        self,
        method: OutlookMethod = "aqnet",
        *,
        configuration: OutlookConfiguration | None = None,
        schedule: OutlookSchedule | None = None,
        covariates: Sequence[str] | None = None,
        seed: int = 0,
        progress: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        between: Method | None = None,
    ) -> None:
        if method not in self._methods:
            raise ValueError(
                f"an outlook's method is one of {', '.join(self._methods)}; found {method!r}"
            )
        self.name: OutlookMethod = method
        self.configuration = configuration or OutlookConfiguration()
        self.schedule = schedule or self._methods[method].schedule
        self.covariates = None if covariates is None else tuple(covariates)
        self.seed, self.progress = seed, progress
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self._between = self._given = between
        self._learned_from: xr.Dataset | None = None  # until the covariance is needed
        self._state: OutlookState | None = None

    def __repr__(self) -> str:
        if self._state is None:
            return f"<Outlook ({self.name}): not fitted, seed {self.seed}>"
        facts = self._state.facts
        return (
            f"<Outlook {facts['variable']} ({self.name}): {facts['history_hours']:g} h to the next "
            f"{facts['horizon_hours']:g} h, {facts['stations']} stations, {facts['period'][0]} to "
            f"{facts['period'][1]}; in its last part RMSE {facts['scores']['rmse']:.2f} ug m-3>"
        )

    @property
    def variable(self) -> str:
        """Name of the variable that was learned."""
        return self._fitted().facts["variable"]

    @property
    def scores(self) -> Mapping[str, float]:
        """RMSE and coverage of the 90 % interval in the validation period, over all leads."""
        return self._fitted().facts["scores"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the numbers follow from, for a product's provenance."""
        facts = self._fitted().facts
        return {name: facts[name] for name in SETTINGS}

    @property
    def references(self) -> str:
        """Where the method is described."""
        return self._methods[self.name].references

    @property
    def between(self) -> Method | None:
        """What interpolates forecasts between stations; None with fewer than three of them."""
        if self._between is None and self._learned_from is not None:
            quick = Schedule(updates=0)
            between = Reanalyser(schedule=quick, seed=self.seed, progress=self.progress)
            self._between = between.fit(self._learned_from, self.variable)
            self._learned_from = None
        return self._between

    def fit(
        self, observations: xr.Dataset, variable: str, *, validation: slice | None = None
    ) -> Self:
        """Return self, after learning from the observations.

        Parameters
        ----------
        observations : Dataset
            ``(station, time)``; missing values are masks.
        variable : str
            Pollutant to predict.
        validation : slice of labels, optional
            Period, UTC, for early stopping and the calibration of spreads; the hours before it
            are for training and scaling. By default the last sixth of the hours.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If there are too few hours for one history, one horizon and a validation of a day.
        """
        validate(observations, variable)
        leads = self.configuration.leads
        used, first = Periods.of(observations, variable, validation, leads=leads)
        learned_from = used.isel({TIME: slice(0, first)})
        kind = self._methods[self.name].covariates
        covariates = covariates_for(kind, used, variable, self.covariates)
        scaling = Scaling.of(learned_from, variable, covariates)
        seasons = clock_of(learned_from)[0].seasons
        inputs = ForecastInputs.of(used, scaling, leads=leads, seasons=seasons)
        trained = self._train(inputs, scaling.variable, first, step_hours(used), variable)
        self._between = self._given
        enough = self._given is None and used.sizes[STATION] >= FEWEST_STATIONS
        self._learned_from = learned_from if enough else None
        facts = self._facts(used, variable, first, scaling)
        facts |= {"seasons": seasons, "scores": trained.scores}
        self._state = OutlookState(
            self.configuration, trained.model, trained.log_factor, scaling, facts
        )
        return self

    def predict(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset | None = None,
        *,
        start: Starts | None = None,
        horizon: int | float | str | None = None,
        attention: bool = False,
        statistic: Statistic = "median",
        quantiles: Sequence[float] = (),
        creator: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Return the outlook as a CF product.

        Parameters
        ----------
        observations : Dataset
            Its values before a start are the history; later ones are not used. May be another
            period or other stations than those learned from.
        at : Grid or Dataset, optional
            Places instead of the stations themselves.
        start : time or sequence of times, optional
            Beginning of the first predicted hour, UTC; by default the end of the observations. One
            in the past gives a hindcast, several a set of them.
        horizon : number of hours or str, optional
            Such as 24 or "7D"; by default that of the training.
        attention : bool
            Whether the layer ``attention`` has the weight of each past day for each predicted day.
        statistic : {"median", "mean"}
            What the estimate is.
        quantiles : sequence of float, optional
            Probabilities, for each of which a layer such as ``<variable>_q05`` is added.
        creator : str, optional
            Written into the product.
        metadata : mapping, optional
            What else is stated of it, as of `aqreanalysis.reanalysis.reanalyse`.

        Returns
        -------
        Dataset
            ``(station, time)`` or ``(time, lat, lon)``: the variable, of which the attribute
            ``statistic`` says whether it is the median or the mean, ``<variable>_uncertainty``
            (one standard error), ``<variable>_flag`` and ``distance_to_nearest_station``, with
            ``forecast_reference_time`` and ``lead_time``. A set has the dimensions
            ``forecast_reference_time`` and ``lead_time``, and ``time`` on both. A station without
            any value in the history is estimated like a hidden one, which is logged.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the variable or the step differs from the learned one, the method has no attention,
            the history is shorter than a day, a start or a horizon is not possible, or no station
            has a value in a history.
        """
        state = self._fitted()
        self._check(observations, attention)
        if attention and at is not None:
            raise ValueError("attention is that of the stations; ask for it without at= and grid=")
        check_statistic(statistic)
        check_quantiles(quantiles)
        step, variable = state.facts["step_hours"], state.facts["variable"]
        longest = state.configuration.leads
        leads = longest if horizon is None else horizon_steps(horizon, step, longest)
        columns = start_columns(observations, start)
        forecast = self.issue(observations, columns, attention=attention)
        elsewhere = at is not None or not forecast.reported.all()
        return forecast_product(
            forecast,
            observations,
            Request(variable, leads, at, statistic, quantiles),
            between=self.between if elsewhere else None,
            method=self.name,
            settings={**self.settings, "horizon_hours": leads * step},
            references=self.references,
            creator=creator,
            metadata=metadata,
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Return the folder that now holds the outlook as plain files.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the method between stations is no `Reanalyser`, which alone can be saved.
        """
        saved = save_outlook(self._fitted(), self.between, Path(folder))
        if self.checkpoint is not None:
            remove_finished(self.checkpoint)
        return saved

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the outlook of a folder; nothing in it is executed.

        Raises
        ------
        SavedModelError
            If a file is missing, foreign or was changed after saving.
        """
        state, between = load_outlook(Path(folder))
        facts = state.facts
        loaded = cls(
            facts["method"],
            configuration=state.configuration,
            covariates=facts["asked"],
            seed=facts["seed"],
        )
        loaded._state, loaded._between = state, between
        return loaded

    def issue(
        self, observations: xr.Dataset, columns: np.ndarray, *, attention: bool = False
    ) -> Forecast:
        """Return the forecasts of the stations from columns of the observations.

        `predict` makes a product of them, at the stations or between them.
        """
        state = self._fitted()
        facts, model, level = state.facts, state.model, state.scaling.variable
        history, leads = state.configuration.history, state.configuration.leads
        begin = max(int(columns.min()) - history, 0)
        needed = observations.isel({TIME: slice(begin, int(columns.max()))})
        inputs = ForecastInputs.of(needed, state.scaling, leads=leads, seasons=facts["seasons"])
        starts = torch.from_numpy(columns - begin)
        roots, spreads, weights = [], [], []
        with torch.inference_mode(), single_thread():
            for part in Examples.of(inputs, starts.tolist()).batches():
                prediction: Prediction = model(
                    part.history(model.edges, leads), attention=attention
                )
                roots.append(level.centre + level.scale * prediction.mean.double())
                log_spread = prediction.log_spread + state.log_factor
                spreads.append(level.scale * log_spread.double().exp())
                if prediction.attention is not None:
                    weights.append(prediction.attention.double())

        def by_start(values: np.ndarray) -> np.ndarray:
            shape = (observations.sizes[STATION], columns.size, *values.shape[1:])
            return values.reshape(shape).swapaxes(0, 1)

        root, spread = (by_start(torch.cat(parts).numpy()) for parts in (roots, spreads))
        counts = inputs.counts[..., 0]
        reports = counts[:, starts] - counts[:, (starts - history).clamp_min(0)]
        by_day = None
        if attention and weights:
            joined = torch.cat(weights).numpy()
            by_day = by_start(attention_by_day(joined, state.configuration, facts["step_hours"]))
        distribution = distribution_of(root, spread, model.estimates)
        reported = (reports > 0).numpy().T
        return Forecast(columns, distribution, model.estimates, history, reported, by_day)

    def _train(
        self, inputs: ForecastInputs, level: Standardisation, first: int, step: float, name: str
    ) -> Trained:
        """Return the model, trained on the steps before the first of the validation period."""
        day = round(LEAST_HISTORY_HOURS / step) or 1
        ends = first - self.configuration.leads + 1
        every = max(1, round((ends - day) * len(inputs.value) / self.schedule.examples))
        steps = inputs.value.shape[1]
        validated = range(first, steps, max(1, round(VALIDATION_EVERY / step)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = self._methods[self.name].network(self.configuration, inputs.channels)
        return train(
            model,
            Examples.of(inputs, range(day, ends, every)),
            Examples.of(inputs, validated),
            level=level,
            schedule=self.schedule,
            seed=self.seed,
            progress=self.progress,
            title=f"training the outlook of {name}",
            checkpoint=self.checkpoint,
        )

    def _facts(
        self, learned_from: xr.Dataset, variable: str, first: int, scaling: Scaling
    ) -> dict[str, Any]:
        """Return the description of the model, without scores."""
        stamps = pd.DatetimeIndex(learned_from[TIME].values).strftime("%Y-%m-%dT%H:%M")
        step = step_hours(learned_from)
        return {
            "method": self.name,
            "variable": variable,
            "stations": int(learned_from.sizes[STATION]),
            "period": [stamps[0], stamps[-1]],
            "validation": [stamps[first], stamps[-1]],
            "step_hours": step,
            "history_hours": self.configuration.history * step,
            "horizon_hours": self.configuration.leads * step,
            "asked": self.covariates,
            "covariates": [channel.name for channel in scaling.channels[1:]],
            "seed": self.seed,
            "data_hash": input_digest(learned_from, variable),
        }

    def _fitted(self) -> OutlookState:
        """Return the state, or raise an error that says how to get one."""
        if self._state is None:
            raise NotFittedError(
                "this Outlook is not fitted; call fit(observations, variable), "
                "or Outlook.load(folder)"
            )
        return self._state

    def _check(self, observations: xr.Dataset, attention: bool) -> None:
        """Refuse invalid observations, another pollutant or step, and attention without any."""
        facts = self._fitted().facts
        variable = facts["variable"]
        validate(observations, variable)
        if variable not in observations.data_vars:
            raise ValueError(
                f"this outlook learned {variable!r}; the observations have "
                f"{', '.join(map(str, observations.data_vars))}. Fit one for another pollutant"
            )
        step = step_hours(observations)
        if step != facts["step_hours"]:
            raise ValueError(
                f"this outlook learned steps of {facts['step_hours']:g} h; found observations "
                f"every {step:g} h. Fit another one to them"
            )
        if attention and self.name != "aqnet":
            raise ValueError(f"method {self.name!r} gives no attention by day; 'aqnet' does")


def outlook(
    observations: xr.Dataset,
    horizon: int | float | str = "7D",
    variable: str | None = None,
    *,
    start: Starts | None = None,
    grid: Grid | Resolution | None = None,
    region: Region | None = None,
    at: xr.Dataset | None = None,
    crs: str | None = None,
    like: Source | None = None,
    clip: PolygonSource | None = None,
    land: bool = False,
    method: OutlookMethod | Outlook = "aqnet",
    seed: int = 0,
    progress: bool = True,
    creator: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    attention: bool = False,
    statistic: Statistic = "median",
    quantiles: Sequence[float] = (),
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return the outlook of observations; a method given by name is fitted to the hours before it.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    horizon : number of hours or str
        How far ahead.
    variable : str, optional
        Pollutant; pm25 if it is there, else the only one.
    start : time or sequence of times, optional
        Beginning of the first predicted hour, UTC; by default the end of the observations.
        Training uses no observation from the earliest start on.
    grid : Grid, float or tuple of float, optional
        A grid, or the size of a cell, instead of the stations.
    region, crs, like, clip, land
        Of the grid, as of `aqreanalysis.reanalysis.reanalyse`.
    at : Dataset, optional
        Places instead of the stations, with longitude and latitude on ``station``.
    method : str or Outlook
        A name is fitted first; a fitted outlook is used as it is.
    seed, progress
        Of the learning.
    creator, metadata, attention, statistic, quantiles
        As of `Outlook.predict`.
    quality : {"mask", "flag", "ignore"}
        As of `aqreanalysis.reanalysis.reanalyse`. Hours before the earliest start are judged for
        the training, those before the last one for the predictions.

    Raises
    ------
    ObservationError
        If the observations are not valid.
    ValueError
        If the request does not fit, as of `Outlook.fit` and `Outlook.predict`.
    """
    metadata = checked_metadata(metadata)  # before a long training
    variable = valid_variable(observations, variable)
    given, columns = observations, start_columns(observations, start)
    before = observations.isel({TIME: slice(0, int(columns.max()))})
    observations = usable(before, variable, quality)
    target = None
    if land or any(place is not None for place in (grid, region, at, crs, like, clip)):
        target = target_of(
            StationNetwork.from_dataset(observations),
            grid=grid,
            region=region,
            at=at,
            crs=crs,
            like=like,
            clip=clip,
            land=land,
        )
    if isinstance(method, Outlook):
        model = method
    else:
        is_single = columns.min() == columns.max()  # its hours are judged already
        model = fit_outlook(
            observations if is_single else given,
            horizon,
            variable,
            start=start,
            method=method,
            seed=seed,
            progress=progress,
            quality="ignore" if is_single else quality,
        )
    if model.variable != variable:
        raise ValueError(
            f"the fitted outlook knows {model.variable!r}; asked for {variable!r}. "
            f"Pass variable={model.variable!r}, or fit another one"
        )
    product = model.predict(
        observations,
        None if target is None else target.at,
        start=start,
        horizon=horizon,
        attention=attention,
        statistic=statistic,
        quantiles=quantiles,
        creator=creator,
        metadata=metadata,
    )
    return product if target is None else target.clipped(product)


def fit_outlook(
    observations: xr.Dataset,
    horizon: int | float | str = "7D",
    variable: str | None = None,
    *,
    start: Starts | None = None,
    method: OutlookMethod = "aqnet",
    seed: int = 0,
    progress: bool = True,
    quality: Quality = "mask",
) -> Outlook:
    """Return an outlook of that horizon, fitted to the hours before the earliest start.

    Raises
    ------
    ObservationError, ValueError
        As `outlook`.
    """
    variable = valid_variable(observations, variable)
    step = step_hours(observations)
    leads = horizon_steps(horizon, step, MOST_STEPS)
    first = int(start_columns(observations, start).min())
    # As much history in hours, whatever the step.
    history = max(1, round(OutlookConfiguration().history / step))
    sizes = OutlookConfiguration(history=history, leads=leads)
    model = Outlook(method, configuration=sizes, seed=seed, progress=progress)
    before = usable(observations.isel({TIME: slice(0, first)}), variable, quality)
    return model.fit(before, variable)
