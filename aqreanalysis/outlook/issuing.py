"""One call from observations to an outlook."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from aqreanalysis.conventions import TIME, pollutant
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import default_variable, step_hours, validate
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.outlook.estimator import Outlook, OutlookMethod
from aqreanalysis.outlook.requests import Starts, horizon_steps, start_columns
from aqreanalysis.predictive import Statistic

#: Steps ahead that a model may learn here: a month of hours.
MOST_STEPS = 744


def outlook(
    observations: xr.Dataset,
    horizon: int | float | str = "7D",
    variable: str | None = None,
    *,
    start: Starts | None = None,
    grid: Grid | float | None = None,
    at: xr.Dataset | None = None,
    method: OutlookMethod | Outlook = "aqnet",
    seed: int = 0,
    progress: bool = True,
    creator: str | None = None,
    attention: bool = False,
    statistic: Statistic = "median",
    quantiles: Sequence[float] = (),
) -> xr.Dataset:
    """Return the outlook of observations; a method's name is fitted to what lies before the start.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    horizon : number of hours or str
        How far ahead.
    variable : str, optional
        Pollutant; pm25 if it is there, else the only one.
    start : time or sequence of times, optional
        Beginning of the first predicted hour, UTC; by default the end of the observations.
        Observations from the earliest start on are never learned from.
    grid : Grid or float, optional
        A grid, or the size of a cell in degrees, instead of the stations.
    at : Dataset, optional
        Places instead of the stations, with longitude and latitude on ``station``.
    method : str or Outlook
        A name is fitted first; a fitted outlook is used as it is.
    seed, progress
        Of the learning.
    creator, attention, statistic, quantiles
        As of `Outlook.predict`.

    Raises
    ------
    ObservationError
        If the observations are not valid.
    ValueError
        If the request does not fit, as of `Outlook.fit` and `Outlook.predict`.
    """
    validate(observations)
    variable = pollutant(variable).name if variable else default_variable(observations)
    if grid is not None and at is not None:
        raise ValueError("give either grid= or at=, not both")
    target: Grid | xr.Dataset | None = at
    if grid is not None:
        network = StationNetwork.from_dataset(observations)
        target = grid if isinstance(grid, Grid) else Grid.around(network, grid)
    if isinstance(method, Outlook):
        model = method
    else:
        model = fit_outlook(
            observations,
            horizon,
            variable,
            start=start,
            method=method,
            seed=seed,
            progress=progress,
        )
    if model.variable != variable:
        raise ValueError(
            f"the fitted outlook knows {model.variable!r}; asked for {variable!r}. "
            f"Pass variable={model.variable!r}, or fit another one"
        )
    return model.predict(
        observations,
        target,
        start=start,
        horizon=horizon,
        attention=attention,
        statistic=statistic,
        quantiles=quantiles,
        creator=creator,
    )


def fit_outlook(
    observations: xr.Dataset,
    horizon: int | float | str = "7D",
    variable: str | None = None,
    *,
    start: Starts | None = None,
    method: OutlookMethod = "aqnet",
    seed: int = 0,
    progress: bool = True,
) -> Outlook:
    """Return an outlook of that horizon, fitted to what lies before the earliest start.

    Raises
    ------
    ObservationError, ValueError
        As `outlook`.
    """
    validate(observations)
    variable = pollutant(variable).name if variable else default_variable(observations)
    step = step_hours(observations)
    leads = horizon_steps(horizon, step, MOST_STEPS)
    first = int(start_columns(observations, start).min())
    # As much history in hours, whatever the step.
    history = max(1, round(OutlookConfiguration().history / step))
    sizes = OutlookConfiguration(history=history, leads=leads)
    model = Outlook(method, configuration=sizes, seed=seed, progress=progress)
    return model.fit(observations.isel({TIME: slice(0, first)}), variable)


def starts_between(first: str, last: str, every_hours: float) -> pd.DatetimeIndex:
    """Return starts from the first to the last, UTC.

    Raises
    ------
    ValueError
        If a time is none, the last comes before the first, or the hours are not positive.

    Examples
    --------
    >>> starts_between("2017-01-01", "2017-01-02", 12).strftime("%d %H").tolist()
    ['01 00', '01 12', '02 00']
    """
    if not every_hours > 0:
        raise ValueError(f"starts are some hours apart; found every {every_hours:g} h")
    try:
        starts = pd.date_range(first, last, freq=pd.Timedelta(hours=every_hours))
    except (TypeError, ValueError) as error:
        raise ValueError(f"starts go from a time to a time; found {first!r}, {last!r}") from error
    if starts.empty:
        raise ValueError(f"the last start, {last}, comes before the first, {first}")
    return starts
