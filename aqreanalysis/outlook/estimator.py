"""The `Outlook`: from the last two weeks of a network to its next one, and to places between."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.grid import Grid
from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import step_hours, validate
from aqreanalysis.outlook.aqnet import OutlookConfiguration, Prediction
from aqreanalysis.outlook.dataset import Issued, attention_by_day, outlook_dataset
from aqreanalysis.outlook.inputs import Histories
from aqreanalysis.outlook.methods import OUTLOOK_METHODS, covariates_for
from aqreanalysis.outlook.periods import check_validation, split_hours, stations_with_values
from aqreanalysis.outlook.requests import (
    LEAST_HISTORY_HOURS,
    Starts,
    horizon_steps,
    start_columns,
)
from aqreanalysis.outlook.saved import OutlookState, load_outlook, save_outlook
from aqreanalysis.outlook.training import Examples, Learned, Level, OutlookSchedule, learn
from aqreanalysis.predictive import Statistic, check_quantiles, check_statistic
from aqreanalysis.product import input_digest

OutlookMethod = Literal["aqnet", "paper", "lstm", "patchtst", "ridge", "climatology", "persistence"]
#: Hours between the starts of the validation examples, and about how many examples to learn from.
VALIDATION_EVERY, EXAMPLES = 12, 70_000
#: Stations without which nothing can be learned of the places between them.
FEWEST_STATIONS = 3


class Outlook:
    """What comes next: from the history of each station to all leads at once, with an uncertainty.

    The method of AQ-Net (arXiv 2502.11941) for the near future: a causal LSTM over the last 336
    hours of a station, its surroundings and its meteorology, multi-head attention that each
    predicted time directs by its cyclic encoding, and heads for all leads. Its output starts as a
    penalised linear regression, of which it learns what is missing. Stations' outlooks go to
    places without a station as observations would, through the learned covariance of the neural
    kNN.

    Parameters
    ----------
    method : {"aqnet", "paper", "lstm", "patchtst", "ridge", "climatology", "persistence"}
        ``"paper"`` is AQ-Net as its code was released, less its errors, see
        `aqreanalysis.outlook.paper.PaperNetwork`; the last five are what an outlook has to beat.
    configuration : OutlookConfiguration, optional
        Length of history and horizon, sizes of the network.
    schedule : OutlookSchedule, optional
        How long and how fast to learn.
    covariates : sequence of str, optional
        Variables beside the predicted one that are used; all that the observations have by
        default. A station that lacks one counts it as missing.
    seed : int
        The same seed gives the same model on the same machine.
    progress : bool
        Whether learning shows a progress bar.
    between : Estimator, optional
        A fitted estimator that takes outlooks to places without a station. By default the
        covariance of a `Reanalyser` is learned in seconds, from three stations on.

    Attributes
    ----------
    name : str
        The method.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=240, seed=1).observations
    >>> sizes = OutlookConfiguration(history=48, leads=24)
    >>> outlook = Outlook("ridge", configuration=sizes, progress=False).fit(obs, "pm25")
    >>> ahead = outlook.predict(obs, horizon=12)
    >>> dict(ahead.sizes), bool((ahead.pm25 >= 0).all())
    ({'station': 45, 'time': 12, 'bnds': 2}, True)
    """

    def __init__(
        self,
        method: OutlookMethod = "aqnet",
        *,
        configuration: OutlookConfiguration | None = None,
        schedule: OutlookSchedule | None = None,
        covariates: Sequence[str] | None = None,
        seed: int = 0,
        progress: bool = True,
        between: Any = None,
    ) -> None:
        if method not in OUTLOOK_METHODS:
            raise ValueError(
                f"an outlook's method is one of {', '.join(OUTLOOK_METHODS)}; found {method!r}"
            )
        self.name: str = method
        self.configuration = configuration or OutlookConfiguration()
        self.schedule = schedule or OUTLOOK_METHODS[method].schedule
        self.covariates = None if covariates is None else tuple(covariates)
        self.seed, self.progress = seed, progress
        self.between = self._given = between
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
        """What a product's provenance tells of the model."""
        facts = self._fitted().facts
        return {k: facts[k] for k in ("seed", "stations", "period", "covariates", "data_hash")}

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
            Period, UTC, that learning is stopped and spreads are calibrated by; what comes before
            it is learned from and scaled by. By default the last sixth of the hours.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If there are too few hours for one history, one horizon and a validation of a day.
        """
        validate(observations)
        kept = stations_with_values(observations, variable)
        first, last = split_hours(kept, validation, leads=self.configuration.leads)
        learned_from = stations_with_values(kept.isel({TIME: slice(0, first)}), variable)
        kept = kept.isel({TIME: slice(0, last)}).sel({STATION: learned_from[STATION]})
        check_validation(kept.isel({TIME: slice(first, None)}), variable)
        chosen = covariates_for(self.name, kept, variable, self.covariates)
        scaling = Scaling.of(learned_from, variable, chosen)
        seasons = clock_of(learned_from)[0].seasons
        histories = Histories.of(kept, scaling, leads=self.configuration.leads, seasons=seasons)
        learned = self._learn(histories, scaling, first, last, step_hours(kept))
        self.between = self._given
        if self.between is None and kept.sizes[STATION] >= FEWEST_STATIONS:
            quick = Schedule(updates=0)
            between = Reanalyser(schedule=quick, seed=self.seed, progress=self.progress)
            self.between = between.fit(learned_from, variable)
        facts = self._facts(kept, variable, first, scaling)
        facts |= {"seasons": seasons, "scores": learned.scores}
        self._state = OutlookState(
            self.configuration, learned.model, learned.log_factor, scaling, facts
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
    ) -> xr.Dataset:
        """Return the outlook as a CF product.

        Parameters
        ----------
        observations : Dataset
            Its values before a start are the history; later ones are not looked at. May be another
            period or other stations than those learned from.
        at : Grid or Dataset, optional
            Places instead of the stations themselves.
        start : time or sequence of times, optional
            Beginning of the first predicted hour, UTC; by default the end of the observations. One
            in the past gives a hindcast, several a set of them.
        horizon : number of hours or str, optional
            How far, such as 24 or "7D"; by default as far as was learned.
        attention : bool
            Whether ``attention`` tells how each predicted day weighed the past days.
        statistic : {"median", "mean"}
            What the estimate is.
        quantiles : sequence of float, optional
            Probabilities, of each of which a layer ``<variable>_q05`` is added.
        creator : str, optional
            Written into the product.

        Returns
        -------
        Dataset
            ``(station, time)`` or ``(time, lat, lon)``: the variable (the mean of what may come),
            ``<variable>_uncertainty`` (one standard error), ``<variable>_flag`` and
            ``distance_to_nearest_station``, with ``forecast_reference_time`` and ``lead_time``. A
            set has the dimensions ``forecast_reference_time`` and ``lead_time``, and ``time`` on
            both. A station without any value in the history is estimated like a hidden one, which
            is logged.

        Raises
        ------
        ValueError
            If the model is not fitted or has no such part, the step differs, the history is
            shorter than a day, a start or a horizon cannot be, or no station has a value in a
            history.
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
        found = self.issue(observations, columns, attention=attention)
        return outlook_dataset(
            found,
            observations,
            variable=variable,
            leads=leads,
            at=at,
            between=self.between,
            method=self.name,
            settings={**self.settings, "horizon_hours": leads * step},
            statistic=statistic,
            quantiles=quantiles,
            creator=creator,
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Return the folder that now holds the outlook as plain files.

        Raises
        ------
        ValueError
            If what takes outlooks between stations is no `Reanalyser`, which alone can be saved.
        """
        return save_outlook(self._fitted(), self.between, Path(folder))

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
        loaded._state, loaded.between = state, between
        return loaded

    def issue(
        self, observations: xr.Dataset, columns: np.ndarray, *, attention: bool = False
    ) -> Issued:
        """Return what the model says before columns of the observations, at their stations.

        It is what `predict` makes its product of: roots and their spread, without any place
        between the stations.
        """
        state = self._fitted()
        facts, model = state.facts, state.model
        level = Level(state.scaling.variable.centre, state.scaling.variable.scale)
        history, leads = state.configuration.history, state.configuration.leads
        begin = max(int(columns.min()) - history, 0)
        needed = observations.isel({TIME: slice(begin, int(columns.max()))})
        histories = Histories.of(needed, state.scaling, leads=leads, seasons=facts["seasons"])
        examples = Examples.of(histories, (columns - begin).tolist())
        means, spreads, weights = [], [], []
        with torch.inference_mode(), single_thread():
            for part in examples.batches():
                found: Prediction = model(part.history(model), attention=attention)
                means.append(found.mean.double())
                spreads.append((found.log_spread + state.log_factor).double().exp())
                if attention and found.attention is not None:
                    weights.append(found.attention)
        shape = (observations.sizes[STATION], columns.size, -1)
        mean, spread = (
            torch.cat(t).numpy().reshape(shape).swapaxes(0, 1) for t in (means, spreads)
        )
        counts, starts = histories.counts[..., 0], torch.from_numpy(columns - begin)
        seen = counts[:, starts] - counts[:, (starts - history).clamp_min(0)]
        by_day = None
        if weights:
            joined = torch.cat(weights).double().numpy()
            by_day = attention_by_day(joined, self.configuration, facts["step_hours"])
            by_day = by_day.reshape(*shape[:2], *by_day.shape[1:]).swapaxes(0, 1)
        return Issued(
            columns,
            np.clip(level.centre + level.scale * mean, 0, None),
            level.scale * spread,
            model.root_of_mean,
            history,
            (seen > 0).numpy().T,
            by_day,
        )

    def _learn(
        self, histories: Histories, scaling: Scaling, first: int, last: int, step: float
    ) -> Learned:
        """Return what was learned before the first column of the validation period."""
        day = round(LEAST_HISTORY_HOURS / step) or 1
        ends = first - self.configuration.leads + 1
        every = max(1, round((ends - day) * len(histories.value) / EXAMPLES))
        looked_at = range(first, last, max(1, round(VALIDATION_EVERY / step)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            channels = histories.sums.shape[-1]
            model = OUTLOOK_METHODS[self.name].network(self.configuration, channels)
        return learn(
            model,
            Examples.of(histories, range(day, ends, every)),
            Examples.of(histories, looked_at),
            level=Level(scaling.variable.centre, scaling.variable.scale),
            schedule=self.schedule,
            seed=self.seed,
            progress=self.progress,
        )

    def _facts(
        self, learned_from: xr.Dataset, variable: str, first: int, scaling: Scaling
    ) -> dict[str, Any]:
        """Return what a description tells of the model, beside its scores."""
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
        """Return the state, or an error that tells how to come by one."""
        if self._state is None:
            raise ValueError(
                "this Outlook is not fitted; call fit(observations, variable), "
                "or Outlook.load(folder)"
            )
        return self._state

    def _check(self, observations: xr.Dataset, attention: bool) -> None:
        """Refuse observations that are not valid, another pollutant or step, and absent parts."""
        validate(observations)
        facts = self._fitted().facts
        variable = facts["variable"]
        if variable not in observations.data_vars:
            raise ValueError(
                f"this outlook learned {variable!r}; the observations have "
                f"{', '.join(map(str, observations.data_vars))}. Fit one for another pollutant"
            )
        found = step_hours(observations)
        if found != facts["step_hours"]:
            raise ValueError(
                f"this outlook learned steps of {facts['step_hours']:g} h; found observations "
                f"every {found:g} h. Fit another one to them"
            )
        if attention and self.name != "aqnet":
            raise ValueError(f"method {self.name!r} gives no attention by day; 'aqnet' does")
