"""Protocols: which stations are hidden, which hours are learned from, which values are scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.geography import Geography, attributes
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of
from aqreanalysis.verification import Fold
from benchmarks import sources

#: Column numbers of the stations that INCREASE (WWW 2023) hides.
INCREASE_HIDDEN = (25, 34, 17, 15, 2, 14, 32, 18, 31)
#: Stations that GRIN (ICLR 2022) hides in turn.
GRIN_HIDDEN = ("1014", "1031")
#: Months, in local time, that GRIN and KITS score; the others are for training.
SCORED_MONTHS = (3, 6, 9, 12)
KITS_SEEDS = (1, 2, 3, 4, 5)
#: Share of the hours that is scored on P3 and P6; all before it is for training and validation.
SCORED_SHARE = 0.3

#: Attributes of places of the shipped field: all, with the altitudes that stations state before
#: those of the field, or the field's altitude alone.
GEOGRAPHY: dict[str, Geography] = {"geography": True, "field_altitude": "altitude"}


@dataclass(frozen=True, eq=False)
class Split:
    """One way to hide stations. No value of a hidden station is in what a method gets.

    Attributes
    ----------
    observations : Dataset
        All stations, hidden ones too.
    variable : str
    fold : Fold
        What is hidden, learned from and estimated.
    truth : (hidden, time) float64
        What the hidden stations measured; NaN is missing, or does not count.
    """

    observations: xr.Dataset
    variable: str
    fold: Fold
    truth: np.ndarray

    @property
    def name(self) -> str:
        """The name of the split."""
        return self.fold.name

    @property
    def training(self) -> xr.Dataset:
        """Known stations in the hours that are for training."""
        return self.fold.training(self.observations)

    @property
    def known(self) -> xr.Dataset:
        """Known stations at all hours: the input of a prediction."""
        return self.fold.inputs(self.observations)

    @property
    def hidden(self) -> xr.Dataset:
        """Positions of the hidden stations, and nothing else."""
        return self.fold.targets(self.observations)


@dataclass(frozen=True)
class Protocol:
    """A published way to split public data and to score.

    Attributes
    ----------
    key, title, variable : str
    open : callable
        From the folder of data to the observations.
    split : callable
        From the observations to all splits.
    count : int
        How many splits there are.
    combine : {"pooled", "mean", "each"}
        How splits become one score: over all values, as the mean of scores, or not at all.
    reference : callable or None
        Makes a method of which the score is known from elsewhere: it proves the splits.
    reference_name : str
    mape_above : float or None
        Truth above which the relative error counts, where the protocol asks for it.
    region : str
        Region of the networks, which weights for its scores must not have seen.
    backgrounds : mapping of str to callable
        By name, from the folder of data to what is known at all stations, hidden ones too.
    """

    key: str
    title: str
    variable: str
    open: Callable[[Path], xr.Dataset]
    split: Callable[[xr.Dataset], list[Split]]
    count: int
    combine: Literal["pooled", "mean", "each"]
    reference: Callable[[], Any] | None = None
    reference_name: str = ""
    mape_above: float | None = None
    region: str = "beijing"
    backgrounds: Mapping[str, Callable[[Path], xr.Dataset]] = field(default_factory=dict)

    @property
    def background_names(self) -> frozenset[str]:
        """What a method may have behind its name: backgrounds, and attributes of places."""
        return frozenset({*self.backgrounds, *GEOGRAPHY})

    def background(self, folder: Path, names: Sequence[str]) -> BackgroundField | None:
        """Return the named backgrounds; None without any name."""
        fields = [self.backgrounds[name](folder) for name in names if name in self.backgrounds]
        places = [GEOGRAPHY[name] for name in names if name in GEOGRAPHY]
        if not places:
            return fields or None
        stations = self.open(folder)
        if "altitude" in self.backgrounds and places[0] is True:
            stated = self.backgrounds["altitude"](folder).set_coords("altitude").altitude
            by_name = stated.sel(station=stations["station"]).values
            stations = stations.assign_coords(altitude=("station", by_name))
        return attributes(places[0], stations, background=fields).background

    def chosen(self, folds: Sequence[int] | None) -> tuple[int, ...] | None:
        """Return the numbers of the splits that are chosen; None is all of them.

        Raises
        ------
        ValueError
            If there is no such split; of a single split there is no choice.
        """
        if folds is None or self.count == 1:
            return None
        absent = [fold for fold in folds if not 0 <= fold < self.count]
        if absent:
            raise ValueError(
                f"{self.key} has folds 0 to {self.count - 1}; found {', '.join(map(str, absent))}"
            )
        return None if set(folds) == set(range(self.count)) else tuple(folds)

    def splits(self, folder: Path, *, folds: Sequence[int] | None = None) -> list[Split]:
        """Return the splits on the data in a folder, or those of the given numbers."""
        chosen = self.chosen(folds)
        splits = self.split(self.open(folder))
        return splits if chosen is None else [splits[number] for number in chosen]


def hide(
    observations: xr.Dataset,
    hidden: np.ndarray,
    *,
    name: str,
    variable: str,
    training: np.ndarray | None = None,
    hours: np.ndarray | None = None,
    positive: bool = False,
) -> Split:
    """Return the split that hides some stations.

    Parameters
    ----------
    observations : Dataset
    hidden : (station,) bool
    name, variable : str
    training, hours : (time,) bool, optional
        Hours to learn from and hours to score; all by default.
    positive : bool
        Whether truth of 0 and below does not count.
    """
    everything = np.ones(observations.sizes["time"], bool)
    fold = Fold(
        name,
        hidden,
        ~hidden,
        everything if training is None else training,
        everything if hours is None else hours,
    )
    truth = values_of(observations, variable)[hidden]
    counts = np.broadcast_to(fold.scored, truth.shape)
    if positive:
        counts = counts & (np.nan_to_num(truth) > 0)
    return Split(observations, variable, fold, np.where(counts, truth, np.nan))


def increase(observations: xr.Dataset) -> list[Split]:
    """Return the split of P3: nine stations, the last 30 % of the hours, truth above 0."""
    hidden = np.isin(np.arange(observations.sizes["station"]), INCREASE_HIDDEN)
    scored = _last(observations, SCORED_SHARE)
    return [
        hide(
            observations,
            hidden,
            name="INCREASE",
            variable="pm25",
            training=~scored,
            hours=scored,
            positive=True,
        )
    ]


def published_folds(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P1: the folds that its authors publish, all hours for all."""
    folds = observations["fold"].values
    clean = observations.drop_vars("fold")
    return [
        hide(clean, folds == fold, name=f"fold {fold}", variable="pm25")
        for fold in np.unique(folds)
    ]


def virtual_sensing(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P2: one station hidden at a time, four months scored."""
    scored = scored_months(observations)
    names = observations["station"].values.astype(str)
    return [
        hide(observations, names == name, name=name, variable="pm25", training=~scored,
             hours=scored)
        for name in GRIN_HIDDEN
    ]  # fmt: skip


def half_hidden(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P4: about half of the stations by seed, four months scored."""
    scored = scored_months(observations)
    size = observations.sizes["station"]
    return [
        # The published masks come from NumPy's legacy generator.
        hide(observations, np.random.RandomState(seed).random_sample(size) < 0.5,
             name=f"seed {seed}", variable="pm25", training=~scored, hours=scored)
        for seed in KITS_SEEDS
    ]  # fmt: skip


def us_folds(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P6: five folds of sites, the last 30 % of the hours scored."""
    fold = np.random.default_rng(0).permutation(observations.sizes["station"]) % 5
    scored = _last(observations, SCORED_SHARE)
    return [
        hide(observations, fold == number, name=f"fold {number}", variable="pm25",
             training=~scored, hours=scored)
        for number in range(5)
    ]  # fmt: skip


def leave_one_out(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P7: each station in turn."""
    names = observations["station"].values.astype(str)
    return [hide(observations, names == name, name=name, variable="pm10") for name in names]


def colocated_folds(observations: xr.Dataset) -> list[Split]:
    """Return the splits of P8: ten folds of stations, co-located ones in the same fold."""
    fold = StationNetwork.from_dataset(observations).folds(10, seed=0)
    return [
        hide(observations, fold == number, name=f"fold {number}", variable="pm10")
        for number in range(10)
    ]


def _last(observations: xr.Dataset, share: float) -> np.ndarray:
    """Return the last share of the hours, (time,) bool; a part of an hour counts as one."""
    count = observations.sizes["time"]
    # 0.7 * 8760 is 6132 - 9e-13 in floating point: rounded to what is meant, then cut.
    return np.arange(count) >= int(np.round((1 - share) * count, 6))


def scored_months(observations: xr.Dataset) -> np.ndarray:
    """Return the hours of the scored months by the labels of the file, which are local."""
    local = observations["time"] + np.timedelta64(8, "h")
    return np.isin(local.dt.month.values, SCORED_MONTHS)


def _rural_kriging() -> OrdinaryKriging:
    """Return the published spatial kriging of P7; its variogram was fitted to all stations."""
    variogram = Variogram("exponential", partial_sill=66.5, range_km=224.0, nugget=13.5)
    return OrdinaryKriging(50, transform=None, variogram=variogram)


PROTOCOLS: dict[str, Protocol] = {
    protocol.key: protocol
    for protocol in (
        Protocol(
            "p1", "Beijing-30, March 2015, three published folds of 10 hidden stations", "pm25",
            sources.beijing30, published_folds, 3, "mean",
            lambda: InverseDistance(99, 3.0, transform=None), "idw, all stations, power 3",
        ),
        Protocol(
            "p2", "Beijing-36, stations 1014 and 1031 hidden in turn (GRIN)", "pm25",
            sources.beijing36, virtual_sensing, 2, "each",
        ),
        Protocol(
            "p3", "Beijing-36, 9 hidden stations, last 30 % of a year (INCREASE)", "pm25",
            sources.beijing36, increase, 1, "pooled",
            lambda: InverseDistance(5, 2.0, transform=None), "idw, 5 stations, power 2",
            mape_above=10.0,
        ),
        Protocol(
            "p4", "Beijing-36, about half of the stations hidden, five seeds (KITS)", "pm25",
            sources.beijing36, half_hidden, 5, "mean",
            lambda: InverseDistance(99, 3.0, transform=None), "idw, all stations, power 3",
        ),
        Protocol(
            "p6", "US EPA 2011, 158 sites, five folds, last 30 % of the hours", "pm25",
            sources.usepa, us_folds, 5, "pooled",
            lambda: InverseDistance(8, 1.0, transform=None), "idw, 8 stations, power 1",
            region="us",
        ),
        Protocol(
            "p7", "Germany, rural PM10, daily 2005, leave one out", "pm10",
            sources.germany, leave_one_out, 69, "pooled",
            _rural_kriging, "kriging, 50 stations, published variogram",
            region="europe",
            backgrounds={"altitude": sources.german_altitude},
        ),
        Protocol(
            "p8", "Europe, rural PM10, daily 2005, ten folds", "pm10",
            sources.europe, colocated_folds, 10, "pooled",
            region="europe",
            backgrounds={"altitude": sources.european_altitude, "emep": sources.emep},
        ),
    )
}  # fmt: skip
