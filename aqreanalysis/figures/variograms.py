"""How alike places are by their distance: the variogram of kriging, and the learned covariance."""

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from aqreanalysis.figures.sheet import (
    BLUE,
    DARK,
    GREEN,
    HEIGHT_IN,
    ORANGE,
    FigureError,
    axes_of,
    house_style,
    name_of,
)
from aqreanalysis.methods.kriging.variogram import empirical_variogram
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.transform import to_scale

_SIZE_IN = (6.4, HEIGHT_IN)
_BAND_COLOURS = (ORANGE, GREEN, BLUE, DARK)
#: Directions over which the covariance of a band is averaged.
_BEARINGS = np.linspace(0, np.pi, 8, endpoint=False)
#: Periods, in widths of a Gaussian, of which it passes half of the amplitude: pi sqrt(2 / ln 2).
_HALF_PASSED = np.pi * np.sqrt(2 / np.log(2))


def plot_variogram(method: Any, observations: xr.Dataset, *, axes: Any = None) -> Figure:
    """Draw the variogram of a fitted kriging over that of the observations.

    Dots are half the mean square differences of pairs of stations in bins of distance, as large as
    their pairs are many; the line is what kriging uses.

    Parameters
    ----------
    method : OrdinaryKriging
        Fitted without a background.
    observations : Dataset
        That it learned from.
    axes : matplotlib Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: the method has no variogram of distance.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> from aqreanalysis import OrdinaryKriging
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> figure = plot_variogram(OrdinaryKriging().fit(obs, "pm25"), obs)
    >>> figure.axes[0].get_xlabel()
    'distance (km)'
    """
    variogram = getattr(method, "variogram_", None)
    if variogram is None or not hasattr(variogram, "range_km") or not callable(variogram):
        raise FigureError(
            f"{getattr(method, 'name', method)!r} has no variogram of distance; fit an "
            "OrdinaryKriging, or draw a Reanalyser's covariance with plot_bands"
        )
    if getattr(method, "trend_", None) is not None:
        raise FigureError("a variogram of departures from a background is not drawn")
    series = StationSeries.from_dataset(observations, method.variable)
    empirical = empirical_variogram(
        to_scale(series.values, method.transform), series.network.distance_matrix_km()
    )
    with house_style():
        drawn = axes_of(axes, size_in=_SIZE_IN)
        pairs = empirical.pairs[0]
        drawn.scatter(
            empirical.distance_km,
            empirical.semivariance[0],
            s=12 + 60 * pairs / max(pairs.max(), 1),
            color=DARK,
            alpha=0.75,
            label="pairs of stations",
        )
        distance = np.linspace(0, 1.05 * empirical.distance_km.max(), 300)[1:]
        label = (
            f"{variogram.model}: range {variogram.range_km:.3g} km,\n"
            f"sill {variogram.sill:.3g}, nugget {variogram.nugget:.2g}"
        )
        drawn.plot(distance, variogram(distance), color=BLUE, label=label)
        drawn.axhline(variogram.sill, color=BLUE, linewidth=0.8, linestyle=":")
        drawn.set_xlim(left=0)
        drawn.set_ylim(bottom=0)
        drawn.set_xlabel("distance (km)")
        scale = "square root of " if method.transform == "sqrt" else ""
        drawn.set_ylabel(f"semivariance,\n{scale}{name_of(method.variable)}")
        drawn.set_title("Variogram", loc="left")
        drawn.legend(loc="lower right")
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def plot_bands(method: Any, *, farthest_km: float | None = None, axes: Any = None) -> Figure:
    """Draw the learned covariance of each band of the series by distance.

    What changes within hours is alike over few kilometres, what changes over days over hundreds.
    Lines are the correlation of measurements, averaged over directions; bands around them reach
    from the direction of least to that of most. At a distance of 0 it falls from 1 by the noise of
    a single monitor.

    Parameters
    ----------
    method : Reanalyser
        Fitted, or loaded.
    farthest_km : float, optional
        Right end of the axis; by default where little is left.
    axes : matplotlib Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: the method has no learned covariance.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> plot_bands(aqr.OrdinaryKriging())
    Traceback (most recent call last):
    aqreanalysis.figures.sheet.FigureError: a learned covariance is in a fitted Reanalyser; found
    OrdinaryKriging
    """
    import torch  # here: reports on methods without it start sooner

    model, step_hours = learned(method)
    with torch.no_grad():
        sill = model.bands.sill().numpy()
        ranges = model.bands.log_range.exp().numpy()
        farthest = farthest_km or float(min(2.5 * ranges.max(), 3000.0))
        distance = np.geomspace(farthest / 1000, farthest, 200)
        attributes = model.bands.coordinates + model.bands.log_length.shape[1]
        origin = torch.zeros(1, 2 + attributes, dtype=torch.float64)
        directions = []
        for bearing in _BEARINGS:
            places = torch.zeros(distance.size, 2 + attributes, dtype=torch.float64)
            places[:, 0] = torch.from_numpy(distance * np.sin(bearing))
            places[:, 1] = torch.from_numpy(distance * np.cos(bearing))
            directions.append(model.bands.between(origin, places)[:, 0].numpy())
    correlation = np.array(directions) / sill[:, None]  # (direction, band, distance)
    shares = sill / sill.sum()
    with house_style():
        drawn = axes_of(axes, size_in=_SIZE_IN)
        for band, words in enumerate(band_words(model.configuration.bands, step_hours)):
            colour = _BAND_COLOURS[band % len(_BAND_COLOURS)]
            of_band = correlation[:, band]
            drawn.fill_between(
                distance, of_band.min(0), of_band.max(0), color=colour, alpha=0.18, linewidth=0
            )
            label = f"{words}, {100 * shares[band]:.0f} % of the variance"
            drawn.plot(distance, of_band.mean(0), color=colour, label=label)
        drawn.set_xscale("log")
        drawn.set_xlim(distance[0], distance[-1])
        drawn.set_ylim(0, 1.02)
        drawn.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        drawn.set_xlabel("distance (km)")
        drawn.set_ylabel("correlation of two stations")
        drawn.set_title(f"Learned covariance of {name_of(method.variable)}", loc="left")
        drawn.legend(loc="upper right")
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def learned(method: Any) -> tuple[Any, float]:
    """Return the network of a fitted Reanalyser, and the step that it learned, hours.

    Raises
    ------
    FigureError
        If it is no Reanalyser.
    """
    from aqreanalysis.methods.neural.reanalyser import Reanalyser

    if not isinstance(method, Reanalyser):
        raise FigureError(
            f"a learned covariance is in a fitted Reanalyser; found {type(method).__name__}"
        )
    state = method._fitted()
    return state.model, float(state.facts["step_hours"])


def band_words(widths: tuple[float, ...], step_hours: float) -> list[str]:
    """Return what each band holds: periods up to which Gaussians smooth, in hours.

    Examples
    --------
    >>> band_words((1.5, 6.0), 1.0)
    ['under 8 h', '8 to 32 h', 'over 32 h']
    """
    ends = [f"{_HALF_PASSED * width * step_hours:.0f}" for width in widths]
    between = [f"{low} to {high} h" for low, high in pairwise(ends)]
    return [f"under {ends[0]} h", *between, f"over {ends[-1]} h"]
