"""A feed of hourly measurements as agencies have them: late, missing, wrong at first, doubled."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.datasets import synthetic_network

#: Hours of a day.
DAY = 24
#: Shares of the values that come late by some hours (up to the second number), and come wrong.
LATE = ((0.10, 6), (0.04, 24), (0.01, 40))
WRONG = 0.01
#: Hours after which a wrong value is corrected, at most.
CORRECTED = 30
#: Hours that a delivery holds, and share of rows in a file that are there twice.
DELIVERED, DOUBLED = 20 * DAY, 0.02


@dataclass(frozen=True)
class Feed:
    """All values of a network in the end, and when each came.

    Attributes
    ----------
    final : Dataset
        ``(station, time)``, as it is when everything has come.
    arrives : (station, time) int
        Hour at which a value is first delivered; it is wrong until ``corrected``.
    corrected : (station, time) int
    wrong : (station, time) float
    """

    final: xr.Dataset
    arrives: np.ndarray
    corrected: np.ndarray
    wrong: np.ndarray

    @classmethod
    def of(cls, days: int, seed: int) -> "Feed":
        """Return a feed in which a station appears, one moves, and a day has no data.

        They do so a third, half and two thirds of the days after the beginning.
        """
        hours = days * DAY
        rng = np.random.default_rng(seed)
        whole = synthetic_network(hours=hours, seed=seed).observations[["pm25"]]
        reporting = np.flatnonzero(whole.pm25.notnull().mean("time").values > 0.5)
        whole = whole.isel(station=reporting[:15])
        values = whole.pm25.values.copy()
        appears, moves, silent = (hours * n // 6 // DAY * DAY for n in (2, 3, 4))
        values[0, :appears] = np.nan
        values[1, moves:] = np.nan
        values[2, :moves] = np.nan
        if days > 2:
            values[:, silent : silent + DAY] = np.nan
        names = whole.station.values.astype(object)
        names[2] = f"{names[1]}#2"
        final = whole.assign(pm25=whole.pm25.copy(data=values)).assign_coords(station=names)
        arrives = np.broadcast_to(np.arange(hours), values.shape).copy()
        chance = rng.random(values.shape)
        for share, most in LATE:
            late = chance < share
            arrives[late] += rng.integers(1, most + 1, late.sum())
            chance[late] = 1.0
            chance -= share * (chance < 1)
        is_wrong = rng.random(values.shape) < WRONG
        corrected = arrives + np.where(is_wrong, rng.integers(1, CORRECTED, values.shape), 0)
        return cls(final, arrives, corrected, (values * 1.5 + 2).astype(np.float32))

    def at(self, hour: int) -> xr.Dataset:
        """Return the delivery at an hour: the last days, and the stations that have reported."""
        first = max(0, hour + 1 - DELIVERED)
        span = slice(first, hour + 1)
        values = self.final.pm25.values[:, span]
        values = np.where(self.corrected[:, span] > hour, self.wrong[:, span], values)
        values = np.where(self.arrives[:, span] > hour, np.nan, values).astype(np.float32)
        given = self.final.isel(time=span)
        given = given.assign(pm25=given.pm25.copy(data=values))
        return given.isel(station=np.isfinite(values).any(axis=1))

    def table(self, hour: int, seed: int) -> pd.DataFrame:
        """Return the delivery as rows: some are there twice, and wrong ones before right ones."""
        rng = np.random.default_rng([seed, hour])
        given = self.at(hour)
        rows = given.pm25.to_dataframe().reset_index().dropna(subset="pm25")
        rows["time"] = rows["time"].dt.strftime("%Y-%m-%dT%H:%MZ")
        doubled = rows.sample(frac=DOUBLED, random_state=int(rng.integers(2**31)))
        before = doubled.assign(pm25=doubled["pm25"] + 7)
        return pd.concat([before, rows, doubled])[
            ["station", "longitude", "latitude", "time", "pm25"]
        ]
