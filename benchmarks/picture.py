"""Maps to look for rings, stripes, cliffs and prints of towns: of two methods, and of mountains."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.geography.likeness import Learned
from aqreanalysis.methods.neural.configuration import Configuration
from benchmarks import sources

HOUR = "2011-07-03T20"
#: West, east, south, north, degrees.
Region = tuple[float, float, float, float]
REGION: Region = (-125.0, -66.0, 24.0, 50.0)
#: Degrees of a cell; ug m-3.
CELL, LIMITS = 0.25, (0.0, 40.0)
#: Where valleys and mountains are to be told apart: at a cold hour, and in the mean of a year.
NORTHWEST: Region = (-125.0, -110.0, 41.0, 49.5)
ALPS: Region = (5.0, 17.0, 43.5, 49.0)
MOUNTAIN_CELL = 0.05
COLD_HOUR = "2011-01-20T06"


def draw(data: Path, folder: Path) -> list[Path]:
    """Return pictures of PM2.5 over the United States, and of mountains there and in Europe.

    Of the United States there is one by the neural method and one by kriging, in the same colours;
    of mountains, pairs without and with what places are. The neural method is only its learned
    covariance here, which takes a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in chain(_by_method(data), _by_geography(data)):
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=75)
        plt.close(figure)
    return written


def _by_method(data: Path) -> Iterator[tuple[str, plt.Figure]]:
    """Yield a map of an hour of the United States for each method."""
    observations = sources.usepa(data)
    model = observations.aqnet.fit("pm25", schedule=aqr.Schedule(updates=0), progress=False)
    for name, method in (("us_neural", model), ("us_kriging", "kriging")):
        product = observations.aqnet.reanalyse(
            grid=CELL, region=REGION, method=method, time=slice(HOUR, HOUR)
        )
        yield name, product.aqnet.map(time=HOUR, observations=observations, limits=LIMITS)


def _by_geography(data: Path) -> Iterator[tuple[str, plt.Figure]]:
    """Yield pairs of maps of mountains, with lengths that were learned elsewhere."""
    winter, europe = sources.usepa(data).sel(time=COLD_HOUR[:7]), sources.europe(data)
    elsewhere: dict[str, Learned | None] = {
        "distance alone": None,
        "what places are": "without_us",
    }
    hour = {
        name: _field(winter, "pm25", lengths, NORTHWEST, slice(COLD_HOUR, COLD_HOUR))
        for name, lengths in elsewhere.items()
    }
    yield "northwest", _beside(hour, winter, NORTHWEST)
    year = {
        name: _field(europe, "pm10", lengths, ALPS).aqnet.aggregate("year")
        for name, lengths in {**elsewhere, "what places are": "without_europe"}.items()
    }
    yield "alps", _beside(year, europe.aqnet.aggregate("year"), ALPS)


def _beside(fields: dict[str, xr.Dataset], observations: xr.Dataset, region: Region) -> plt.Figure:
    """Return maps of fields beside each other, in the same colours."""
    first = next(iter(fields.values()))
    return first.aqnet.map(panels=fields, observations=observations, region=region)


def _field(
    observations: xr.Dataset,
    variable: str,
    lengths: Learned | None,
    region: Region,
    time: slice | None = None,
) -> xr.Dataset:
    """Return the field of some hours, by distance alone or with lengths of elsewhere."""
    configuration = Configuration() if lengths is None else Configuration(lengths=lengths)
    schedule = aqr.Schedule(updates=0)
    geography = lengths is not None
    model = aqr.Reanalyser(configuration, schedule=schedule, geography=geography, progress=False)
    model.fit(observations, variable)
    return observations.aqnet.reanalyse(
        variable, grid=MOUNTAIN_CELL, region=region, method=model, time=time
    ).compute()
