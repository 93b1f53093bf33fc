"""The `Reanalyser`: the neural kNN behind the contract of methods; fit, field, save, load."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, counted
from aqreanalysis.fields.blocks import Field
from aqreanalysis.fields.cache import Cache
from aqreanalysis.fields.memory import Cost
from aqreanalysis.foreign.background import Background
from aqreanalysis.geography.likeness import LENGTHS, Coordinates
from aqreanalysis.geography.shipped import NAMES
from aqreanalysis.grid import Grid, size_of
from aqreanalysis.methods.contract import BackgroundField, Fitted, NotFittedError
from aqreanalysis.methods.covariates import (
    COVARIATE_BYTES,
    WIND,
    WIND_COMPONENTS,
    Scaling,
    Standardisation,
    covariates_of,
)
from aqreanalysis.methods.kriging.gaps import OWN_REACH_STEPS
from aqreanalysis.methods.kriging.likeness import Likeness
from aqreanalysis.methods.neural.batches import Samples, clock_of
from aqreanalysis.methods.neural.checkpoint import remove_finished
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.field import (
    GEOMETRY_CACHE_BYTES,
    NeuralField,
    geometry_bytes,
    window_bytes,
)
from aqreanalysis.methods.neural.proof import Proof
from aqreanalysis.methods.neural.saved import (
    INSTRUMENT,
    State,
    known_noise,
    load_state,
    network_record,
    save_state,
)
from aqreanalysis.methods.neural.targets import (
    AttributesAt,
    TargetGeometry,
    station_subset,
    stations_of_a_tile,
)
from aqreanalysis.methods.neural.training import train
from aqreanalysis.methods.proven_types import proven_types
from aqreanalysis.methods.series import bounded, plausible_range
from aqreanalysis.methods.station_types import TypeFactors, labels_of
from aqreanalysis.methods.trend import ALTITUDE_OF_PLACES, Regressors, Trend, background_of
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import input_digest, step_hours, stored_values, validate, values_of
from aqreanalysis.predictive import DEGREES_OF_FREEDOM, stated_freedom

logger = logging.getLogger(__name__)

#: Stations of which one can be hidden and estimated from two others.
FEWEST_STATIONS = 3
#: Stations below which no trend with altitude is asked for: of 8 some prove one that costs 3 %.
FEWEST_FOR_ALTITUDE = 20
#: Share of the values, beside the largest one, that count as the next smaller one in learning.
OUTLIERS = 1e-5
#: Where the parts of the method are described.
KRIGING = "Chiles and Delfiner 2012, Geostatistics, https://doi.org/10.1002/9781118136188"
AQ_NET = "AQ-Net, https://arxiv.org/abs/2502.11941"
AMORTISED = "Neural methods for amortized inference, https://arxiv.org/abs/2404.12484"


class Reach(NamedTuple):
    """Which steps an estimate uses: those of its window, and so many before and after it.

    Attributes
    ----------
    window_steps : int
        Windows begin at multiples of it since 1970; their steps are estimated together.
    around_steps : int
        Before and after a window: the margin of its series, and, where these have gaps, how far a
        station's own values fill them.
    """

    window_steps: int
    around_steps: int


class Reanalyser(Fitted):
    """The neural kNN: learns from a network, then gives fields on grids and at any stations.

    Kriging in space and time with a learned covariance, attention heads over the nearest stations
    and a decoder in addition, fed by a temporal encoder (LSTM, multi-head attention, cyclic time).
    It is trained by hiding stations; the network is used only if it finds them better than the
    learned covariance alone does, and by default it is trained only where it has covariates or a
    proven background: see `Schedule.updates`.

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
    geography : bool
        Whether places are set apart by their altitude, relief, people around and distance to the
        coast as well, as far as stations ask for it (`aqreanalysis.geography.likeness`), and a
        trend may follow their altitude, if stations prove it.
    checkpoint : path, optional
        File to which training is written as it goes. If it was cut off, the same `fit` goes on from
        there to the same model; the file is removed when the model is saved.

    Attributes
    ----------
    name : str
        ``"neural"``, or ``"pretrained"`` where the covariance is not fitted.
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
    takes_background = True

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        schedule: Schedule | None = None,
        seed: int = 0,
        progress: bool = True,
        geography: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.configuration = configuration or Configuration()
        if not geography:
            without = {*self.configuration.without, "geography"}
            self.configuration = replace(self.configuration, without=tuple(sorted(without)))
        if self.configuration.pretrained:
            self.name = "pretrained"
        self.schedule = schedule or Schedule()
        self.seed, self.progress = seed, progress
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self._state: State | None = None
        self._geometry: Cache[TargetGeometry] = Cache(GEOMETRY_CACHE_BYTES)

    def __repr__(self) -> str:
        if self._state is None:
            return f"<{type(self).__name__} ({self.name}): not fitted, seed {self.seed}>"
        facts = self._state.facts
        kriging, chosen = (facts["scores"][name]["rmse"] for name in ("kriging", "kept"))
        scores = f"{chosen:.2f}, learned covariance only {kriging:.2f} ug m-3"
        if not facts["heads"]:
            scores = f"{chosen:.2f} ug m-3; learned covariance only, the network is not used"
        return (
            f"<{type(self).__name__} {facts['variable']} ({self.name}): "
            f"{facts['stations']} stations, {facts['period'][0]} to {facts['period'][1]}; "
            f"at hidden stations RMSE {scores}>"
        )

    @property
    def variable(self) -> str:
        """Name of the variable that was learned."""
        return self._fitted().facts["variable"]

    @property
    def trend(self) -> Trend | None:
        """What was learned of altitude and background, if there was any."""
        facts = self._fitted().facts["trend"]
        return None if facts is None else Trend.from_facts(facts)

    @property
    def station_types(self) -> TypeFactors:
        """By which factor stations of a type measure more than those of the usual type."""
        return TypeFactors.from_facts(self._fitted().facts["station_types"])

    @property
    def scores(self) -> Mapping[str, Any]:
        """RMSE, MAE, CRPS and coverage at the stations hidden in training, by what made them."""
        return self._fitted().facts["scores"]

    @property
    def reach(self) -> Reach:
        """How far from a window measurements count: beyond, none changes its estimates.

        Examples
        --------
        >>> Reanalyser().reach
        Reach(window_steps=36, around_steps=43)
        """
        configuration = self.configuration
        # One more, since a large value counts by what is before and after it (`bounded`).
        around = configuration.margin_steps + OWN_REACH_STEPS + 1
        return Reach(configuration.core_steps, around)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the observed variables that estimates depend on, the predicted one first."""
        facts = self._fitted().facts
        if not facts["heads"]:
            return (self.variable,)
        channels = [channel["name"] for channel in facts["scaling"]]
        names = (WIND if name in WIND_COMPONENTS else (name,) for name in channels)
        return tuple(dict.fromkeys(name for several in names for name in several))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a product's provenance says of the model."""
        facts, trend = self._fitted().facts, self.trend
        elsewhere = "covariance learned on other networks"
        learned = elsewhere if self.configuration.pretrained else "learned covariance"
        used = {} if trend is None else self._used(trend)
        return {
            "model": f"{learned} and network" if facts["heads"] else learned,
            "network_used": facts["heads"],
            **{key: facts[key] for key in ("seed", "stations", "period", "data_hash")},
            "geography_km": self._geography_km(),
            "station_types": self.station_types.facts(),
            "altitude_used": used.pop(ALTITUDE_OF_PLACES, {}),
            "background": [] if trend is None else list(trend.background),
            "background_used": used,
            DEGREES_OF_FREEDOM: stated_freedom(self._fitted().model.freedom),
            "configuration": asdict(self._fitted().model.configuration),
            "weights_sha256": self._fitted().digest[:16],
        }

    @property
    def references(self) -> str:
        """Where that is described which the numbers come from; AQ-Net only if its network is."""
        used = {AMORTISED: self.configuration.pretrained, AQ_NET: self._fitted().facts["heads"]}
        return "; ".join((KRIGING, *(name for name, is_used in used.items() if is_used)))

    def fit(
        self,
        observations: xr.Dataset,
        variable: str,
        *,
        background: BackgroundField | None = None,
    ) -> Self:
        """Return self, trained on the observations.

        Parameters
        ----------
        observations : Dataset
            ``(station, time)``; values are used where they are, missing ones are masks.
        variable : str
            Name of the variable to learn.
        background : DataArray, Dataset or sequence of these, optional
            Fields known at stations and targets alike, such as that of a model, or elevation: see
            `aqreanalysis.foreign.background.Background`. What left-out stations prove of them, and
            of the altitude of places where no field is of altitude, is taken as a trend
            (`aqreanalysis.methods.kriging.proven_trend`), and the departures from it are learned,
            by a covariance for which places also differ by what is proven and constant in time.
            Without any proof the model is that without a background. `predict` needs the same
            fields.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If fewer than three stations report, all values are the same, or the background covers
            no measurement.
        """
        validate(observations, variable)
        measured = _reporting(observations, variable)
        learned = _without_outliers(_in_order(measured), variable)
        types = proven_types(learned, variable)
        learned = types.of_usual(learned, variable)
        reporting = _reporting(learned, variable)
        configuration = self.configuration.of_network(reporting.sizes[STATION])
        left_out = "covariates" in self.configuration.without
        scaling = Scaling.of(reporting, variable, covariates=[] if left_out else None)
        standardisation = scaling.variable
        clock, begin = clock_of(reporting)
        sampled = partial(
            Samples.of,
            reporting,
            variable,
            standardisation=standardisation,
            configuration=configuration,
            seasons=clock.seasons,
            covariates=scaling.covariates(reporting),
        )
        samples = sampled()
        places = self._places([reporting])
        many = reporting.sizes[STATION] >= FEWEST_FOR_ALTITUDE
        regressors = _regressors(places if many else None, background)
        proof = None
        if regressors.names:
            columns = regressors.at(*_positions(reporting), reporting[TIME])
            values = standardisation.forward(values_of(reporting, variable))
            trend = regressors.trend(columns, values)
            coordinates = frozenset() if places is None else regressors.altitudes
            proof = Proof(trend, columns, begin - samples.first, sampled, coordinates)
        trained = train(
            samples,
            standardisation,
            configuration=configuration,
            schedule=self.schedule,
            seed=self.seed,
            progress=self.progress,
            checkpoint=self.checkpoint,
            proof=proof,
            likeness=None if places is None else self._likeness(places, reporting),
            instruments=_instruments(reporting),
            subject=variable,
        )
        trained.model.largest.fill_(_largest_root(standardisation, reporting, variable))
        stamps = pd.DatetimeIndex(reporting[TIME].values).strftime("%Y-%m-%dT%H:%M")
        facts = {
            "variable": variable,
            "units": str(reporting[variable].attrs.get("units", "ug m-3")),
            "stations": int(reporting.sizes[STATION]),
            "period": [stamps[0], stamps[-1]],
            "step_hours": clock.step_hours,
            "seasons": clock.seasons,
            "seed": self.seed,
            "heads": trained.heads,
            "trend": None if trained.trend is None else trained.trend.facts(),
            "scaling": scaling.facts(),
            "station_types": types.facts(),
            "data_hash": input_digest(measured, variable),
            "scores": {"kept": trained.chosen._asdict(), "kriging": trained.kriging._asdict()},
        }
        network = network_record(reporting, trained.log_noise.numpy())
        self._state = State(trained.model, standardisation, facts, network)
        return self

    def field(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset,
        hours: slice,
        *,
        background: BackgroundField | None = None,
    ) -> Field:
        """Return the field of observations, which may be of other stations or another period.

        Raises
        ------
        NotFittedError
            Before `fit`.
        BackgroundError
            If the model learned with a background and none is given, or the reverse.
        ValueError
            If the step differs from the learned one, or no station reports.
        """
        state = self._fitted()
        variable, configuration = state.facts["variable"], state.model.configuration
        reporting = _in_order(_reporting(observations, variable, fewest=2))
        reporting = self.station_types.of_usual(reporting, variable)
        self._check_step(reporting)
        trend, known = self.trend, background_of(self.trend, background)
        _, begin = clock_of(reporting)
        reach = configuration.core_steps + configuration.margin_steps + OWN_REACH_STEPS
        needed = slice(max(hours.start - reach, 0), hours.stop + reach)
        near = reporting.isel({TIME: needed})
        network = StationNetwork.from_dataset(near)
        near = near.isel({STATION: station_subset(network, at, configuration.neighbours)})
        time = observations[TIME]
        at_stations, trend_at, of_places = None, None, list[AttributesAt]()
        places = self._places([near] if isinstance(at, Grid) else [near, at])
        if places is not None and state.model.bands.coordinates:
            of_places.append(places)
        if trend is not None and trend.used:
            regressors = Regressors(places if trend.of_places else None, known)
            at_stations = trend(regressors.at(*_positions(near), near[TIME]))
            trend_at = partial(_trend_at, trend, regressors, time)
            of_places.append(partial(_attributes_at, trend, regressors, time[:1]))
        attributes_at = partial(_together, of_places) if of_places else None
        samples = Samples.of(
            near,
            variable,
            standardisation=state.standardisation,
            configuration=configuration,
            seasons=state.facts["seasons"],
            trend=at_stations,
            covariates=Scaling.from_facts(state.facts["scaling"]).covariates(near),
            log_noise=known_noise(
                state.network, StationNetwork.from_dataset(near), _instruments(near)
            ),
            largest=float(state.model.largest),
            attributes=None if attributes_at is None else attributes_at(*_positions(near)),
        )
        return NeuralField(
            state.model,
            state.standardisation,
            samples,
            heads=state.facts["heads"],
            offset=begin - samples.first,
            trend=trend_at,
            attributes=attributes_at,
            grid=at if isinstance(at, Grid) else None,
            cache=self._geometry,
        )

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory of covariates, cached targets and encoded windows."""
        network = StationNetwork.from_dataset(observations)
        configuration = self.configuration.of_network(network.size)
        if self._state is not None:
            configuration = self._state.model.configuration
        measurements = network.size * observations.sizes[TIME]
        covariates = len(covariates_of(observations, variable))
        of_a_tile = stations_of_a_tile(at, network, configuration.neighbours)
        geometry = geometry_bytes(configuration, size_of(at), stations=of_a_tile)
        return Cost(
            fixed_bytes=measurements * covariates * COVARIATE_BYTES + geometry,
            window_bytes=window_bytes(configuration, network.size),
            alignment=configuration.core_steps,
            cache=self._geometry,
            cache_bytes=geometry,
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Return the folder that now holds the model as plain files: JSON, safetensors, NetCDF."""
        saved = save_state(self._fitted(), Path(folder))
        if self.checkpoint is not None:
            remove_finished(self.checkpoint)
        return saved

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

    def _geography_km(self) -> dict[str, float]:
        """Return how far a unit of each coordinate sets places apart, where it does."""
        lengths_km = self._fitted().model.bands.coordinate_km.tolist()
        return dict(zip(NAMES, lengths_km, strict=False))

    def _used(self, trend: Trend) -> dict[str, dict[str, float]]:
        """Return how each proven covariate counts, by name, for one standard deviation of it."""
        bands = self._fitted().model.bands
        lengths_km = bands.log_length.exp().T.tolist()
        spread, apart = bands.log_drift[-1].exp().sqrt().tolist(), bands.apart.tolist()
        covariance: dict[str, dict[str, float]] = {}
        for number, name in enumerate(trend.attributes):
            covariance[name] = {"local_spread": spread[number]}
            if apart[number]:
                covariance[name] |= zip(("near_km", "far_km"), lengths_km[number], strict=True)
        return {
            name: {"coefficient": coefficient, **covariance.get(name, {})}
            for name, coefficient in zip(trend.names, trend.coefficient, strict=True)
            if coefficient
        }

    def trend_of_altitude(self, observations: xr.Dataset) -> np.ndarray:
        """Return what altitude adds to standardised values, without a background, (station, 1)."""
        trend, places = self.trend, self._places([observations])
        if trend is None or places is None or not trend.used:
            return np.zeros((observations.sizes[STATION], 1))
        return trend(Regressors(places).at(*_positions(observations), observations[TIME]))

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
        """Return the state; `NotFittedError` where there is none."""
        if self._state is None:
            raise NotFittedError(
                "this Reanalyser is not fitted; call fit(observations, variable), "
                "or Reanalyser.load(folder)"
            )
        return self._state

    def _places(self, known: Sequence[xr.Dataset]) -> Coordinates | None:
        """Return the coordinates of places; None for a method that does without them."""
        if {"geography", "covariance"} & {*self.configuration.without}:
            return None
        return Coordinates.of(known)

    def _likeness(self, places: Coordinates, observations: xr.Dataset) -> Likeness:
        """Return what tells stations apart."""
        lengths = torch.tensor(LENGTHS[self.configuration.lengths], dtype=torch.float64)
        return Likeness(torch.from_numpy(places(*_positions(observations))), lengths)

    def _check_step(self, observations: xr.Dataset) -> None:
        """Refuse observations whose step is not the learned one."""
        step, learned = step_hours(observations), self._fitted().facts["step_hours"]
        if step != learned:
            raise ValueError(
                f"this model learned steps of {learned:g} h; found observations every {step:g} h. "
                "Fit another model to them."
            )


def _reporting(
    observations: xr.Dataset, variable: str, *, fewest: int = FEWEST_STATIONS
) -> xr.Dataset:
    """Drop stations without data; they would occupy neighbour slots."""
    reports = np.isfinite(stored_values(observations, variable)).any(axis=1)
    silent = observations[STATION].values[~reports]
    if reports.sum() < fewest:
        raise ValueError(
            f"a learned covariance needs at least {fewest} stations with values of {variable!r}; "
            f"found {int(reports.sum())} of {reports.size}. Use method='idw', or add stations."
        )
    if silent.size:
        logger.warning(
            "%s that never report %s left out, for example %s",
            counted(silent.size, "station"),
            variable,
            silent[0],
        )
    return observations.isel({STATION: reports})


def _in_order(observations: xr.Dataset) -> xr.Dataset:
    """Return stations by identifier: which of equally distant ones is nearest does not change."""
    order = np.argsort(StationNetwork.from_dataset(observations).identifiers, kind="stable")
    return observations.isel({STATION: order})


def _without_outliers(observations: xr.Dataset, variable: str) -> xr.Dataset:
    """Return observations of which the very largest values count as the one after them.

    A model learns from squares: one value of 9999 would outweigh all others. A lone one beyond what
    is plausible is missing.

    Examples
    --------
    >>> series = xr.Dataset({"pm25": (("station", "time"), [[3.0, 9999.0, 7.0, np.nan]])})
    >>> _without_outliers(series, "pm25").pm25.values.tolist()
    [[3.0, 7.0, 7.0, nan]]
    """
    values = observations[variable]
    ceiling, plausible = _ceiling(values), _plausible(values)
    _, lone = bounded(values_of(observations, variable), max(ceiling, plausible))
    if lone.any():
        values = values.where(~xr.DataArray(lone, dims=(STATION, TIME))).assign_attrs(values.attrs)
        ceiling = _ceiling(values)
    return observations.assign({variable: values.clip(max=ceiling, keep_attrs=True)})


def _ceiling(values: xr.DataArray) -> float:
    """Return the value after the `OUTLIERS`; infinite where there are too few."""
    known = values.values[np.isfinite(values.values)]
    largest = 2 + int(OUTLIERS * known.size)
    return float(np.partition(known, -largest)[-largest]) if known.size >= largest else np.inf


def _plausible(values: xr.DataArray) -> float:
    """Return the largest value within the plausible range of roots."""
    roots = np.sqrt(np.maximum(values.values, 0))
    return plausible_range(roots[np.isfinite(roots)])[1] ** 2


def _largest_root(
    standardisation: Standardisation, observations: xr.Dataset, variable: str
) -> float:
    """Return the end of the plausible range of standardised roots, or the largest one beyond."""
    roots = standardisation.forward(values_of(observations, variable))
    known = roots[np.isfinite(roots)]
    return max(plausible_range(known)[1], float(known.max()))


def _instruments(observations: xr.Dataset) -> np.ndarray | None:
    """Return the type of each station's instrument (station,), if any states one."""
    if INSTRUMENT not in observations.variables:
        return None
    return labels_of(observations, INSTRUMENT)


def _regressors(places: Coordinates | None, background: BackgroundField | None) -> Regressors:
    """Return what a trend may be of; an altitude of the background counts before that of places."""
    given = Regressors(None, None if background is None else Background(background))
    return given if given.altitudes else replace(given, places=places)


def _positions(observations: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of the stations."""
    network = StationNetwork.from_dataset(observations)
    return network.longitude, network.latitude


def _trend_at(
    trend: Trend,
    regressors: Regressors,
    time: xr.DataArray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    hours: slice,
) -> np.ndarray:
    """Return the trend at targets (n, hours)."""
    times = time[:1] if regressors.constant else time[hours]
    at_targets = trend(regressors.at(longitude, latitude, times))
    return np.broadcast_to(at_targets, (longitude.size, hours.stop - hours.start))


def _together(
    parts: Sequence[AttributesAt], longitude: np.ndarray, latitude: np.ndarray
) -> np.ndarray:
    """Return several attributes of places together, (n, attribute)."""
    return np.concatenate([part(longitude, latitude) for part in parts], axis=1)


def _attributes_at(
    trend: Trend,
    regressors: Regressors,
    time: xr.DataArray,
    longitude: np.ndarray,
    latitude: np.ndarray,
) -> np.ndarray:
    """Return the attributes of places (n, attribute)."""
    return trend.attributes_of(regressors.at(longitude, latitude, time))
