"""Findings: every score of the report, computed once from the statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.observations import step_hours
from aqreanalysis.report.words import decimals_for
from aqreanalysis.verification import (
    VerificationError,
    differences,
    intervals,
    metrics,
)
from aqreanalysis.verification.pairs import ESTIMATOR, SILENCE
from aqreanalysis.verification.strata import DISTANCE_KM, interval_labels, part_of

#: The method that every other one is compared with.
REFERENCE = "kriging"
LEVEL = 0.95
#: With fewer places than this, the bootstrap's intervals are themselves poorly known.
FEW_PLACES = 10

#: More folds than this, such as those of single places, are not shown one by one.
MOST_FOLDS = 12

#: Scores at one point, by name.
Point = Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """Scores of all methods in all or in parts, and the ends of their intervals on ``bound``.

    Bounds are NaN where one place cannot tell, and None for single stations.
    """

    scores: xr.Dataset
    bounds: xr.Dataset | None

    def points(self, method: str) -> list[Point]:
        """Return the scores of a method, one mapping for each part."""
        return points(self.scores.sel({ESTIMATOR: method}))

    def ends(self, method: str, name: str) -> np.ndarray:
        """Return the lower and upper ends of a score, (2, part); NaN where there is none."""
        values = self.scores[name].sel({ESTIMATOR: method}).values
        if self.bounds is None:
            return np.full((2, values.size), np.nan)
        ends = self.bounds[name].sel({ESTIMATOR: method, "bound": ["low", "high"]})
        return ends.transpose("bound", ...).values.reshape(2, -1)

    def isel(self, chosen: Mapping[str, np.ndarray | slice]) -> Self:
        """Return only some of the parts, by position."""
        bounds = None if self.bounds is None else self.bounds.isel(chosen)
        return type(self)(self.scores.isel(chosen), bounds)


@dataclass(frozen=True)
class Findings:
    """All scores of the report.

    Attributes
    ----------
    pairs, statistics : Dataset
    overall : Part
        Over all values.
    daily : Part or None
        Of daily means; None where the values are daily themselves.
    change : Dataset or None
        Scores less those of kriging, on ``bound``; None without kriging or another method.
    parts : mapping of str to Part
        By level, hour and month, and by distance, silence and fold where they are known and of
        folds where they are few; parts without a value left out.
    stations : Part
    """

    pairs: xr.Dataset
    statistics: xr.Dataset
    overall: Part
    daily: Part | None
    change: xr.Dataset | None
    parts: Mapping[str, Part]
    stations: Part

    @classmethod
    def of(cls, pairs: xr.Dataset, statistics: xr.Dataset) -> Self:
        """Return the findings of pairs and their statistics.

        Raises
        ------
        VerificationError
            If the statistics are of other methods or stations, or nothing was scored.
        """
        _check_together(pairs, statistics)
        resolutions = [str(name) for name in statistics["resolution"].values]
        methods = [str(name) for name in statistics[ESTIMATOR].values]
        compared = REFERENCE in methods and len(methods) > 1
        kinds = ["level", "hour", "month"]
        if "distance_km" in statistics and np.isfinite(statistics["distance_km"]).any():
            kinds.insert(0, "distance")
        if SILENCE in pairs:
            kinds.append("silence")
        if 1 < np.unique(statistics.coords.get("fold", [])).size <= MOST_FOLDS:
            kinds.append("fold")
        return cls(
            pairs,
            statistics,
            _part(statistics, None, resolutions[0]),
            _part(statistics, None, "daily") if len(resolutions) > 1 else None,
            differences(statistics, to=REFERENCE, level=LEVEL) if compared else None,
            {kind: _occupied(_part(statistics, kind, None)) for kind in kinds},
            Part(metrics(statistics, by="station"), None),
        )

    @property
    def methods(self) -> list[str]:
        """The methods, that which is verified first."""
        return [str(name) for name in self.statistics[ESTIMATOR].values]

    @property
    def method(self) -> str:
        """The method that is verified."""
        return self.methods[0]

    @property
    def reference(self) -> str | None:
        """Kriging, if it is among the methods."""
        return REFERENCE if REFERENCE in self.methods else None

    @property
    def variable(self) -> str:
        """The pollutant."""
        return str(self.pairs.attrs["variable"])

    @property
    def of_product(self) -> bool:
        """Whether a product is verified, whose maker may have seen the stations."""
        return self.pairs.attrs.get("by") == "product"

    @property
    def step_hours(self) -> float:
        """Averaging period of a value."""
        return step_hours(self.pairs)

    @cached_property
    def places(self) -> int:
        """Number of places with a scored value."""
        count = self.statistics["count"].isel(resolution=0, stratum=0).max(ESTIMATOR).values
        place = np.arange(count.size)
        if "place" in self.statistics:
            place = self.statistics["place"].values
        return np.unique(place[count > 0]).size

    @cached_property
    def decimals(self) -> int:
        """Decimals of a concentration."""
        return decimals_for(self.overall.scores["rmse"].values)

    def rmse(self, method: str) -> float:
        """Return the RMSE of a method over all values."""
        return float(self.overall.scores["rmse"].sel({ESTIMATOR: method}))

    def relative(self, method: str, score: str = "rmse") -> tuple[float, float, float]:
        """Relative difference of a score from kriging's, and its interval; NaN where unknown."""
        if self.change is None:
            return (np.nan,) * 3
        bounds = {ESTIMATOR: method, "bound": ["value", "low", "high"]}
        value, low, high = (float(n) for n in self.change[f"relative_{score}"].sel(bounds))
        return value, low, high

    def stations_by_distance(self) -> list[int]:
        """Count the stations with a scored value in each class of distance."""
        scored = self.stations.scores["count"].max(ESTIMATOR).values > 0
        distance = self.statistics["distance_km"].values
        distance = distance[scored & np.isfinite(distance)]
        classes = np.array(interval_labels(DISTANCE_KM))[part_of(distance, DISTANCE_KM)]
        labels = self.parts["distance"].scores["distance"].values
        return [int((classes == label).sum()) for label in labels]

    def probabilistic(self) -> list[str]:
        """Methods with standard errors."""
        return self._methods_where(np.isfinite(self.overall.scores["crps"].values))

    def scored(self) -> list[str]:
        """Methods with any value scored."""
        return self._methods_where(self.overall.scores["count"].values > 0)

    def _methods_where(self, mask: np.ndarray) -> list[str]:
        """Return the methods of a mask, (estimator,)."""
        return [method for method, chosen in zip(self.methods, mask, strict=True) if chosen]


def points(scores: xr.Dataset) -> list[Point]:
    """Scores of one method as a mapping for each part, without those of events.

    Examples
    --------
    >>> points(xr.Dataset({"rmse": ("hour", [1.0, 2.0])}))
    [{'rmse': 1.0}, {'rmse': 2.0}]
    """
    columns = {
        str(name): np.atleast_1d(values.values).tolist()
        for name, values in scores.data_vars.items()
        if "event" not in values.dims
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _check_together(pairs: xr.Dataset, statistics: xr.Dataset) -> None:
    """Refuse statistics of other pairs, and those of nothing."""
    for name in (ESTIMATOR, STATION):
        theirs, own = statistics[name].values.tolist(), pairs[name].values.tolist()
        if sorted(theirs) != sorted(own):
            raise VerificationError(
                f"the statistics are not those of the pairs: {len(theirs)} {name}s in them, "
                f"{len(own)} in the pairs, or other ones. Make them with statistics(pairs)"
            )
    if not float(statistics["count"].sum()) > 0:
        raise VerificationError(
            "no value was scored: there is no hour with both a measurement and an estimate "
            "of every method, so there is nothing to report"
        )


def _part(statistics: xr.Dataset, kind: str | None, resolution: str | None) -> Part:
    """Return the scores by a kind of parts, with intervals if there are places enough."""
    asked = {"by": kind, "resolution": resolution}
    scores = metrics(statistics, **asked)  # type: ignore[arg-type]
    return Part(scores, intervals(statistics, level=LEVEL, **asked))  # type: ignore[arg-type]


def _occupied(part: Part) -> Part:
    """Return only parts with a value."""
    count = part.scores["count"]
    (dim,) = set(count.dims) - {ESTIMATOR}
    return part.isel({str(dim): np.flatnonzero(count.max(ESTIMATOR).values > 0)})
