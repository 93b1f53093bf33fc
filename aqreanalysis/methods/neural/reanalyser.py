"""The `Reanalyser`: the neural kNN behind the estimator's contract; fit, predict, save, load."""

import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.fields.blocks import predict_blocks
from aqreanalysis.foreign.background import Background, BackgroundError
from aqreanalysis.grid import Grid
from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.kriging.gaps import OWN_REACH_STEPS
from aqreanalysis.methods.neural.batches import Samples, Standardisation, clock_of
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.domain import stations_in_sight
from aqreanalysis.methods.neural.field import NeuralField
from aqreanalysis.methods.neural.saved import (
    State,
    known_noise,
    load_state,
    network_record,
    save_state,
)
from aqreanalysis.methods.neural.schedule import Schedule
from aqreanalysis.methods.neural.training import train
from aqreanalysis.methods.neural.trend import Trend
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import selected_hours, step_hours, validate, values_of
from aqreanalysis.product import input_digest

logger = logging.getLogger(__name__)

#: Stations without which nothing can be hidden and found from two others.
FEWEST_STATIONS = 3


class Reanalyser:
    """The neural kNN: learns from a network, then gives fields on grids and at any stations.

    Kriging in space and time with a learned covariance, attention heads over the nearest stations
    and a decoder beside it, fed by a temporal encoder (LSTM, multi-head attention, cyclic time).
    It is trained by hiding stations; the network is used only if it finds them better than the
    learned covariance alone does.

    Parameters
    ----------
    configuration : Configuration, optional
        Sizes of the network.
    schedule : Schedule, optional
        How long and how fast to learn.
    seed : int
        The same seed gives the same model on the same machine.
    progress : bool
        Whether training shows a progress bar.
    checkpoint : path, optional
        File to which training is written as it goes. If it was cut off, the same `fit` goes on from
        there to the same model; the file is removed when training is done.

    Attributes
    ----------
    name : str
        ``"neural"``.
    variable : str
        What was learned, after `fit` or `load`.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=72, seed=1).observations
    >>> quick = Schedule(covariance_updates=2, updates=0)
    >>> model = Reanalyser(schedule=quick, progress=False).fit(obs, "pm25")
    >>> field = model.predict(obs, Grid.around(obs.aqnet.network, 0.5))
    >>> bool((field.pm25 >= 0).all())
    True
    """

    name = "neural"

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        schedule: Schedule | None = None,
        seed: int = 0,
        progress: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.configuration = configuration or Configuration()
        self.schedule = schedule or Schedule()
        self.seed, self.progress = seed, progress
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self._state: State | None = None

    def __repr__(self) -> str:
        if self._state is None:
            return f"<Reanalyser (neural): not fitted, seed {self.seed}>"
        facts = self._state.facts
        scores = facts["scores"]
        return (
            f"<Reanalyser {facts['variable']} (neural): {facts['stations']} stations, "
            f"{facts['period'][0]} to {facts['period'][1]}; at hidden stations RMSE "
            f"{scores['kept']['rmse']:.2f}, learned covariance alone "
            f"{scores['kriging']['rmse']:.2f} ug m-3>"
        )

    @property
    def variable(self) -> str:
        """Name of the variable that was learned."""
        return self._fitted().facts["variable"]

    @property
    def trend(self) -> Trend | None:
        """What was learned of a background, if there was one."""
        facts = self._fitted().facts["trend"]
        return None if facts is None else Trend.from_facts(facts)

    @property
    def scores(self) -> Mapping[str, Any]:
        """RMSE, MAE, CRPS and coverage at the stations hidden in training, by what made them."""
        return self._fitted().facts["scores"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a product's provenance tells of the model."""
        facts = self._fitted().facts
        return {key: facts[key] for key in ("seed", "stations", "period", "heads", "data_hash")}

    def fit(
        self,
        observations: xr.Dataset,
        variable: str,
        *,
        background: xr.DataArray | xr.Dataset | None = None,
    ) -> Self:
        """Return self, trained on the observations.

        Parameters
        ----------
        observations : Dataset
            ``(station, time)``; values are used where they are, missing ones are masks.
        variable : str
            Name of the variable to learn.
        background : DataArray or Dataset, optional
            Fields known at stations and targets alike, such as that of a model, or elevation: see
            `aqreanalysis.foreign.background.Background`. What they tell is taken as a trend, and
            the departures from it are learned; `predict` then needs the same fields.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If fewer than three stations report, all values are the same, or the background covers
            no measurement.
        """
        validate(observations)
        kept = _reporting(observations, variable)
        values = values_of(kept, variable)
        standardisation = Standardisation.of(values)
        clock, _ = clock_of(kept)
        field = None if background is None else Background(background)
        trend = None
        if field is not None:
            trend = Trend.of(field, _at_stations(field, kept), standardisation.forward(values))
        left_out = "covariates" in self.configuration.without
        scaling = Scaling.of(kept, variable, covariates=[] if left_out else None)
        samples = Samples.of(
            kept,
            variable,
            standardisation=standardisation,
            configuration=self.configuration,
            seasons=clock.seasons,
            trend=_trend_of(trend, field, kept),
            covariates=scaling.forward(kept)[..., 1:],
        )
        trained = train(
            samples,
            standardisation,
            configuration=self.configuration,
            schedule=self.schedule,
            seed=self.seed,
            progress=self.progress,
            checkpoint=self.checkpoint,
        )
        stamps = pd.DatetimeIndex(kept[TIME].values).strftime("%Y-%m-%dT%H:%M")
        facts = {
            "variable": variable,
            "units": str(kept[variable].attrs.get("units", "ug m-3")),
            "stations": int(kept.sizes[STATION]),
            "period": [stamps[0], stamps[-1]],
            "step_hours": clock.step_hours,
            "seasons": clock.seasons,
            "seed": self.seed,
            "heads": trained.heads,
            "trend": None if trend is None else trend.facts(),
            "scaling": scaling.facts(),
            "data_hash": input_digest(kept, variable),
            "scores": {"kept": trained.kept._asdict(), "kriging": trained.kriging._asdict()},
        }
        network = network_record(kept, trained.log_noise.numpy())
        self._state = State(trained.model, standardisation, facts, network)
        return self

    def predict(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset,
        *,
        time: slice | None = None,
        chunks: Mapping[str, int] | None = None,
        background: xr.DataArray | xr.Dataset | None = None,
    ) -> xr.Dataset:
        """Return the lazy field on a grid or at stations, from the observations' values.

        Parameters
        ----------
        observations : Dataset
            May be another period or other stations than those learned from.
        at : Grid or Dataset
            Where; a Dataset needs longitude and latitude on ``station``.
        time : slice of labels, optional
            Output hours; hours around them are still used as input.
        chunks : mapping, optional
            Size of a block; the numbers do not depend on it.
        background : DataArray or Dataset, optional
            The fields that the model learned with, at the stations and at the targets.

        Raises
        ------
        ValueError
            If the model is not fitted, learned with a background and none is given or the reverse,
            the step differs from the learned one, no station reports or no hour is selected.
        """
        state = self._fitted()
        variable = state.facts["variable"]
        kept = _reporting(observations, variable, fewest=2)
        self._check_step(kept)
        trend, field = self._trend(background)
        selected = selected_hours(kept[TIME], time)
        start, stop = self._needed(kept, selected)
        kept = kept.isel({TIME: slice(start, stop)})
        network = StationNetwork.from_dataset(kept)
        neighbours = state.model.configuration.neighbours
        near = kept.isel({STATION: stations_in_sight(network, at, neighbours)})
        samples = Samples.of(
            near,
            variable,
            standardisation=state.standardisation,
            configuration=state.model.configuration,
            seasons=state.facts["seasons"],
            trend=_trend_of(trend, field, near),
            covariates=Scaling.from_facts(state.facts["scaling"]).forward(near)[..., 1:],
            log_noise=known_noise(state.network, StationNetwork.from_dataset(near)),
        )
        _, begin = clock_of(kept)
        engine = NeuralField(
            state.model,
            state.standardisation,
            samples,
            heads=state.facts["heads"],
            offset=begin - samples.first,
            trend=partial(_trend_at, trend, field, kept[TIME].values) if trend and field else None,
            grid=at if isinstance(at, Grid) else None,
        )
        return predict_blocks(
            engine,
            at=at,
            network=network,
            observed=np.isfinite(values_of(kept, variable)),
            time=kept[TIME],
            variable=variable,
            hours=slice(selected.start - start, selected.stop - start),
            chunks=chunks,
            alignment=state.model.configuration.core_steps,
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Return the folder that now holds the model as plain files: JSON, safetensors, NetCDF."""
        return save_state(self._fitted(), Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the model of a folder; nothing in it is executed.

        Raises
        ------
        SavedModelError
            If a file is missing, foreign or was changed after saving; it is named.
        """
        state = load_state(Path(folder))
        loaded = cls(state.model.configuration, seed=state.facts["seed"])
        loaded._state = state
        return loaded

    def state_for(self, observations: xr.Dataset) -> State:
        """Return all that was learned, for observations of the step that was learned.

        Raises
        ------
        ValueError
            If the model is not fitted, or the step differs.
        """
        self._check_step(observations)
        return self._fitted()

    def _fitted(self) -> State:
        """Return the state, or an error that tells how to come by one."""
        if self._state is None:
            raise ValueError(
                "this Reanalyser is not fitted; call fit(observations, variable), "
                "or Reanalyser.load(folder)"
            )
        return self._state

    def _trend(
        self, background: xr.DataArray | xr.Dataset | None
    ) -> tuple[Trend | None, Background | None]:
        """Return what was learned of a background, and the one given now; both or neither."""
        facts = self._fitted().facts["trend"]
        if (facts is None) != (background is None):
            raise BackgroundError(
                "this model learned without a background; leave it out, or fit again with one"
                if facts is None
                else f"this model learned with the background {', '.join(facts['names'])}; pass "
                "it as background=, for the targets and the period that are asked for"
            )
        if facts is None or background is None:
            return None, None
        trend, field = Trend.from_facts(facts), Background(background)
        trend.check(field)
        return trend, field

    def _check_step(self, observations: xr.Dataset) -> None:
        """Refuse observations whose step is not the learned one."""
        found, learned = step_hours(observations), self._fitted().facts["step_hours"]
        if found != learned:
            raise ValueError(
                f"this model learned steps of {learned:g} h; found observations every {found:g} h. "
                "Fit another model to them."
            )

    def _needed(self, observations: xr.Dataset, selected: slice) -> tuple[int, int]:
        """Return the steps that some selected hour depends on."""
        configuration = self._fitted().model.configuration
        reach = configuration.core_steps + configuration.margin_steps + OWN_REACH_STEPS
        start = max(selected.start - reach, 0)
        return start, min(selected.stop + reach, observations.sizes[TIME])


def _reporting(
    observations: xr.Dataset, variable: str, *, fewest: int = FEWEST_STATIONS
) -> xr.Dataset:
    """Return the stations that report at all; a silent one would stand in the others' place."""
    reports = np.isfinite(values_of(observations, variable)).any(axis=1)
    silent = observations[STATION].values[~reports]
    if reports.sum() < fewest:
        raise ValueError(
            f"the neural method needs at least {fewest} stations with values of {variable!r}; "
            f"found {int(reports.sum())} of {reports.size}. Use method='idw', or add stations."
        )
    if silent.size:
        logger.warning(
            "%d stations never report %s and are left out, for example %s",
            silent.size,
            variable,
            silent[0],
        )
    return observations.isel({STATION: reports})


def _at_stations(field: Background, observations: xr.Dataset) -> np.ndarray:
    """Return a background's covariates at the stations, (station, time, covariate)."""
    network = StationNetwork.from_dataset(observations)
    return field.at(network.longitude, network.latitude, observations[TIME].values)


def _trend_of(
    trend: Trend | None, field: Background | None, observations: xr.Dataset
) -> np.ndarray | None:
    """Return the trend at the stations (station, time), if there is one."""
    if trend is None or field is None:
        return None
    return trend(_at_stations(field, observations))


def _trend_at(
    trend: Trend,
    field: Background,
    time: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    hours: slice,
) -> np.ndarray:
    """Return the trend at targets (n, hours)."""
    return trend(field.at(longitude, latitude, time[hours]))
