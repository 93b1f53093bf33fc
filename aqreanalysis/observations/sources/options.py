"""The options of `open_observations` in one place, checked together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import pandas as pd

from aqreanalysis.observations.journal import ObservationError

TimeLabel = Literal["start", "end"]
Duplicates = Literal["error", "mean", "first"]

#: From the package's name of a role or variable to the column, or columns, of the source.
ColumnNames = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Reading:
    """The options of `open_observations`, which documents them; stations are read already."""

    time_zone: str | None = None
    time_label: TimeLabel | None = None
    units: str | Mapping[str, str] | None = None
    columns: ColumnNames = field(default_factory=lambda: MappingProxyType({}))
    stations: pd.DataFrame | None = None
    duplicates: Duplicates = "error"

    def __post_init__(self) -> None:
        """Refuse options outside their choices, all of them at once."""
        faults = []
        if self.time_label not in (None, *get_args(TimeLabel)):
            faults.append(f"time_label must be 'start' or 'end'; found {self.time_label!r}")
        if self.duplicates not in get_args(Duplicates):
            faults.append(
                f"duplicates must be 'error', 'mean' or 'first'; found {self.duplicates!r}"
            )
        if not isinstance(self.columns, Mapping):
            faults.append(
                "columns must be a mapping such as {'pm25': 'PM2.5 mean'}; "
                f"found {self.columns!r}"
            )
        if faults:
            raise ObservationError(faults, source="open_observations")

    def units_of(self, variable: str, *, is_pollutant: bool) -> str | None:
        """Return the units that the caller states for a variable, or None."""
        if self.units is None:
            return None
        if isinstance(self.units, str):
            return self.units if is_pollutant else None
        return self.units.get(variable)
