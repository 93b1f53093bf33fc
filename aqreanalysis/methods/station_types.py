"""How much too high or too low stations of a type measure, taken off them and given back.

A sensor of a low price may read half as much again as a reference monitor beside it, and a station
at a kerb measures what the air around it is not. Concentrations of a type are divided by its factor
before a method is fitted, so that a field is that of the usual type: of reference monitors, of
background stations. Targets that state a type get their factor back; cells of a grid state none.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, counted

logger = logging.getLogger(__name__)

#: Types that are the usual one where a network has them; "" are stations that state none.
USUAL: Mapping[str, Sequence[str]] = {
    "sensor_type": ("reference", ""),
    "station_type": ("background",),
}
#: Stations below which a type is not the usual one, and proves nothing.
FEWEST = 3


@dataclass(frozen=True)
class TypeFactors:
    """By which factor stations of a type measure more than those of the usual type.

    Attributes
    ----------
    usual : mapping of str to str
        The usual type of each kind of label that is used; "" are stations that state none.
    factors : mapping of str to mapping of str to float
        Of the other types, in lower case, by the kind of label.

    Examples
    --------
    >>> factors = TypeFactors({"sensor_type": "reference"}, {"sensor_type": {"sds011": 1.5}})
    >>> sensors = xr.Dataset({"pm25": (("station", "time"), [[30.0], [20.0]])})
    >>> sensors = sensors.assign_coords(sensor_type=("station", ["SDS011", "reference"]))
    >>> factors.of_usual(sensors, "pm25").pm25.values.tolist()
    [[20.0], [20.0]]
    """

    usual: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, places: xr.Dataset) -> np.ndarray:
        """Return the factor of each station, (station,) float64: 1 where its type is unknown."""
        total = np.ones(places.sizes[STATION])
        for name, factors in self.factors.items():
            if name not in places.variables:
                continue
            labels = labels_of(places, name)
            unknown = ~np.isin(labels, [*factors, self.usual[name], ""])
            if unknown.any():
                logger.warning(
                    "%s of %s %r, of which nothing was learned, taken for %r; learned were %s",
                    counted(unknown.sum(), "station"),
                    name,
                    str(labels[unknown][0]),
                    self.usual[name],
                    ", ".join(map(repr, factors)),
                )
            total *= [factors.get(label, 1.0) for label in labels]
        return total

    def of_usual(self, observations: xr.Dataset, variable: str) -> xr.Dataset:
        """Return observations as stations of the usual type would measure them."""
        return (
            _scaled(observations, [variable], 1 / self.of(observations)) if self else observations
        )

    def as_measured(
        self, estimates: xr.Dataset, names: Sequence[str], at: xr.Dataset
    ) -> xr.Dataset:
        """Return estimates of some names at stations as these would measure them."""
        return _scaled(estimates, names, self.of(at)) if self else estimates

    def __bool__(self) -> bool:
        return bool(self.factors)

    def facts(self) -> dict[str, Any]:
        """Return plain values, for the provenance and the record of a saved model."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any] | None) -> Self:
        """Return what `facts` gave; nothing for models that were saved without."""
        return cls(**(facts or {}))


def labels_of(places: xr.Dataset, name: str) -> np.ndarray:
    """Return the labels of stations, (station,) str, in lower case; "" where missing."""
    return np.array([str(label).strip().lower() for label in places[name].values], dtype=str)


def usual_label(labels: np.ndarray, name: str) -> str:
    """Return the usual one of labels (station,): that of references, or else of most stations.

    Examples
    --------
    >>> usual_label(np.array(["traffic"] * 5 + ["background"] * 3), "station_type")
    'background'
    >>> usual_label(np.array(["sds011"] * 5 + [""] * 3), "sensor_type")
    ''
    >>> usual_label(np.array(["traffic"] * 5 + [""] * 8), "station_type")
    'traffic'
    """
    known, counts = np.unique(labels, return_counts=True)
    number = dict(zip(known.tolist(), counts.tolist(), strict=True))
    for label in USUAL.get(name, ()):
        if number.get(label, 0) >= FEWEST:
            return label
    stated = {label: count for label, count in number.items() if label} or number
    return max(stated, key=lambda label: stated[label])


def _scaled(dataset: xr.Dataset, names: Sequence[str], factor: np.ndarray) -> xr.Dataset:
    """Return a Dataset of which some variables are multiplied by a factor of each station."""
    by_station = xr.DataArray(factor, dims=STATION)
    scaled = {}
    for name in names:
        array = dataset[name]
        product = (array * by_station).transpose(*array.dims).astype(array.dtype)
        scaled[name] = product.assign_attrs(array.attrs)
    return dataset.assign(scaled)
