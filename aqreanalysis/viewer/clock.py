"""The hours of a viewer: when each begins and ends, and what clocks show there."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import TIME

#: Degrees of longitude by which noon moves in an hour.
_DEGREES_PER_HOUR = 15
#: On wider maps the time at the middle is no local time any more: five hours from edge to edge.
_WIDEST_DEG = 75.0


@dataclass(frozen=True)
class Clock:
    """Periods, UTC, and the local time at their beginnings.

    Attributes
    ----------
    begin, end : (t,) int
        Minutes since 1970.
    offset : (t,) int
        Minutes by which local time is ahead of UTC.
    zone : str
        Name of the local time; empty where the map is too wide to have one.
    """

    begin: np.ndarray
    end: np.ndarray
    offset: np.ndarray
    zone: str

    @classmethod
    def of(cls, product: xr.Dataset, span: tuple[float, float], zone: str | None) -> "Clock | None":
        """Return the clock of a product with bounds of time; None of one without hours.

        Parameters
        ----------
        product : Dataset
        span : tuple of float
            Western and eastern edge of the map, degrees: without a zone its middle says what time
            it is.
        zone : str or None
            Such as Asia/Shanghai.

        Raises
        ------
        ValueError
            If there is no such zone.
        """
        known = None if zone is None else _zone(zone)
        if TIME not in product.dims:
            return None
        bounds = product[f"{TIME}_bnds"].values.astype("datetime64[m]")
        begin, end = bounds.astype(np.int64).T
        if known is None:
            middle = (sum(span) / 2 + 180) % 360 - 180
            hours = round(middle / _DEGREES_PER_HOUR)
            name = f"UTC{hours:+d}, at {abs(middle):.0f}° {'W' if middle < 0 else 'E'}"
            local = name.replace("-", "\u2212") if span[1] - span[0] <= _WIDEST_DEG else ""
            return cls(begin, end, np.full(begin.size, 60 * hours), local)
        stamps = pd.DatetimeIndex(bounds[:, 0].astype("datetime64[ns]"), tz="UTC")
        ahead = stamps.tz_convert(known).tz_localize(None) - stamps.tz_localize(None)
        return cls(begin, end, (ahead // pd.Timedelta(minutes=1)).to_numpy(), str(zone))

    def content(self) -> dict[str, Any]:
        """Return the clock as the page has it."""
        lists = {name: getattr(self, name).tolist() for name in ("begin", "end", "offset")}
        return {**lists, "zone": self.zone}


def _zone(name: str) -> ZoneInfo:
    """Return a time zone by its name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"time_zone must be one that is known, such as Asia/Shanghai; found {name!r}"
        ) from error
