"""On which stations one target depends, and how much, in each band of the series."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from aqreanalysis.conventions import STATION
from aqreanalysis.figures.sheet import FigureError, house_style
from aqreanalysis.figures.variograms import band_words, learned
from aqreanalysis.maps.basemap import STATION_Z, Surroundings, draw_basemap
from aqreanalysis.maps.frame import MapFigure, frame_in, project, projection_for
from aqreanalysis.methods.kriging.ordinary_field import covariance_among
from aqreanalysis.methods.kriging.solver import ordinary_weights
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.network import StationNetwork

#: Size of a panel, and room for the colour bar and the title, inches.
_PANEL_IN, _BAR_IN = 4.2, 1.0
#: Mark of a station without weight, and of one with all of it.
_SMALLEST, _LARGEST = 10.0, 320.0
_LINE_WEIGHT, _CITIES = 0.6, 4
#: Share of the weight that lies on the map; the rest is spread over far stations.
_SHOWN_SHARE = 0.8
#: Weights that are written beside their stations, in each band.
_WRITTEN = 3


@dataclass(frozen=True)
class _Weights:
    """Weights (band, station) of stations at longitudes and latitudes, and what bands are."""

    longitude: np.ndarray
    latitude: np.ndarray
    weight: np.ndarray
    bands: list[str]


def plot_neighbours(
    method: Any, observations: xr.Dataset, place: tuple[float, float], *, axes: Any = None
) -> Figure:
    """Draw on which stations the estimate at a place depends, a map for each band.

    The value of a mark is the weight of the station in that band, of which all sum to 1; it may be
    below 0 where another station stands in front. The largest are written; four fifths of
    the weight lie on the map.

    Parameters
    ----------
    method : Reanalyser or OrdinaryKriging
        Fitted. Of the Reanalyser these are the weights of its kriging of each band, to which the
        network adds its correction where it is used.
    observations : Dataset
        ``(station, time)``; stations without any value are left out.
    place : tuple of float
        Longitude and latitude of the target, degrees.
    axes : cartopy GeoAxes or sequence of these, optional
        One for each band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: another method, a place that is none, or axes for another number of bands.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> from aqreanalysis import OrdinaryKriging
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> figure = plot_neighbours(OrdinaryKriging().fit(obs, "pm25"), obs, (116.4, 39.9))
    >>> figure.axes[0].get_title(loc="left")
    'all hours: 24 of 45 stations'
    """
    if np.shape(place) != (2,) or not np.isfinite(np.asarray(place, np.float64)).all():
        raise FigureError(f"place needs longitude and latitude, as (116.4, 39.9); found {place!r}")
    target = float(place[0]), float(place[1])
    weights = _weights_of(method, observations, target)
    used = np.abs(weights.weight).max(0) > 0
    region = _region(weights, _decisive(weights.weight), target)
    with house_style():
        drawn = _panels(axes, len(weights.bands), region)
        largest = max(float(weights.weight.max()), 1e-9)
        norm = TwoSlopeNorm(0, min(float(weights.weight.min()), -0.25 * largest), largest)
        for number, (panel, words) in enumerate(zip(drawn, weights.bands, strict=True)):
            frame = frame_in(panel, region)
            sides = ("left", "bottom") if number == 0 else ("bottom",)
            around = Surroundings(most_cities=_CITIES, scale_bar=number == 0, labels=sides)
            draw_basemap(
                frame, (weights.longitude[used], weights.latitude[used]), weight=_LINE_WEIGHT,
                surroundings=around,
            )  # fmt: skip
            _draw_weights(frame, weights, number, target, norm)
            count = int((np.abs(weights.weight[number]) > 0).sum())
            panel.set_title(
                f"{words}: {count} of {weights.longitude.size} stations", loc="left", fontsize=10
            )
        bar = drawn[0].figure.colorbar(
            ScalarMappable(norm, _colour_map()), ax=drawn, label="weight", shrink=0.8, pad=0.02
        )
        bar.ax.tick_params(labelsize=8)
    figure = drawn[0].figure
    assert isinstance(figure, Figure)
    return figure


def _weights_of(method: Any, observations: xr.Dataset, target: tuple[float, float]) -> _Weights:
    """Return the weights of the stations at a target."""
    from aqreanalysis.methods.neural.reanalyser import Reanalyser

    if isinstance(method, Reanalyser):
        return _learned_weights(method, observations, target)
    variogram: Any = getattr(method, "variogram_", None)
    if not hasattr(variogram, "range_km") or not hasattr(method, "neighbours_"):
        raise FigureError(
            "weights are known of a fitted Reanalyser or OrdinaryKriging; found "
            f"{getattr(method, 'name', type(method).__name__)!r}"
        )
    network = StationSeries.from_dataset(observations, method.variable).network
    near = network.neighbours(
        np.array(target[:1]), np.array(target[1:]), k=min(method.neighbours_, network.size)
    )
    rows, distance_km = near.index[0], near.distance_km[0]
    among = covariance_among(network.distance_matrix_km(), variogram)[np.ix_(rows, rows)]
    solved = ordinary_weights(
        among[None], variogram.covariance(distance_km)[None], np.ones((1, rows.size), bool),
        variogram.sill,
    )  # fmt: skip
    weight = np.zeros((1, network.size))
    weight[0, rows] = solved.weight[0]
    return _Weights(network.longitude, network.latitude, weight, ["all hours"])


def _learned_weights(
    method: Any, observations: xr.Dataset, target: tuple[float, float]
) -> _Weights:
    """Return the weights of each band that a Reanalyser has learned."""
    if method.trend is not None and method.trend.background:
        raise FigureError("weights beside a background are not drawn")
    model, step_hours = learned(method)
    at = xr.Dataset(
        coords={
            STATION: ["target"],
            "longitude": (STATION, [target[0]]),
            "latitude": (STATION, [target[1]]),
        }
    )
    field = method.field(observations, at, slice(0, 1))
    network: StationNetwork = field.geometries.network
    geometry = field.geometries.of_points(np.array(target[:1]), np.array(target[1:]))
    words = band_words(model.configuration.bands, step_hours)
    weight = np.zeros((len(words), network.size))
    weight[:, geometry.stations.numpy()] = geometry.matrices.weight[: len(words), 0].numpy()
    return _Weights(network.longitude, network.latitude, weight, words)


def _decisive(weight: np.ndarray) -> np.ndarray:
    """Return which stations (station,) together have most of the weight, over all bands."""
    size = np.abs(weight).mean(0)
    order = np.argsort(-size)
    share = np.cumsum(size[order]) / max(size.sum(), 1e-12)
    decisive = np.zeros(size.size, bool)
    decisive[order[: int(np.searchsorted(share, _SHOWN_SHARE)) + 1]] = True
    return decisive


def _region(
    weights: _Weights, used: np.ndarray, target: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the extent of the target and of some stations, with a margin."""
    # On across the date line, from the target.
    east = target[0] + (weights.longitude[used] - target[0] + 180) % 360 - 180
    longitude, latitude = np.append(east, target[0]), np.append(weights.latitude[used], target[1])
    margin = max(0.08 * max(np.ptp(longitude), np.ptp(latitude)), 0.05)
    return (
        float(longitude.min() - margin),
        float(longitude.max() + margin),
        float(max(latitude.min() - margin, -90)),
        float(min(latitude.max() + margin, 90)),
    )


def _panels(axes: Any, number: int, region: tuple[float, float, float, float]) -> list[Any]:
    """Return the axes of the maps, those of the caller's or new ones."""
    if axes is not None:
        given = list(np.atleast_1d(np.asarray(axes, dtype=object)))
        if len(given) != number:
            raise FigureError(f"axes needs {number} maps, one for each band; found {len(given)}")
        return given
    west, east, south, north = region
    shape = (north - south) / max((east - west) * np.cos(np.radians((south + north) / 2)), 1e-6)
    height = float(np.clip(_PANEL_IN * shape, 2.2, 6.0)) + 0.5
    wide = _PANEL_IN * number + _BAR_IN if number > 1 else 6.4
    figure = MapFigure(figsize=(wide, height), layout="constrained", facecolor="white", dpi=150)
    projection = projection_for(region)
    drawn = figure.subplots(1, number, subplot_kw={"projection": projection}, squeeze=False)
    return list(drawn[0])


def _draw_weights(
    frame: Any, weights: _Weights, band: int, target: tuple[float, float], norm: TwoSlopeNorm
) -> None:
    """Draw the stations of one band by their weights, and lines from the target."""
    weight = weights.weight[band]
    x, y = project(frame.projection, weights.longitude, weights.latitude)
    at_x, at_y = project(frame.projection, np.array([target[0]]), np.array([target[1]]))
    used = np.abs(weight) > 0
    style = {"transform": frame.axes.transData, "linewidths": 0.6}
    frame.axes.scatter(
        x[~used], y[~used], s=9, marker="x", color="#999999", zorder=STATION_Z - 0.2, **style
    )
    share = np.abs(weight) / max(float(norm.vmax or 1.0), 1e-9)
    for row in np.flatnonzero(used):
        frame.axes.plot(
            [at_x[0], x[row]], [at_y[0], y[row]], color="#555555", zorder=STATION_Z - 0.1,
            linewidth=0.3 + 2.5 * min(share[row], 1.0), alpha=0.5,
        )  # fmt: skip
    order = np.flatnonzero(used)[np.argsort(np.abs(weight[used]))]
    frame.axes.scatter(
        x[order], y[order], c=weight[order], cmap=_colour_map(), norm=norm, edgecolors="black",
        s=_SMALLEST + (_LARGEST - _SMALLEST) * np.clip(share[order], 0, 1), zorder=STATION_Z,
        **style,
    )  # fmt: skip
    frame.axes.scatter(
        at_x, at_y, marker="*", s=130, color="white", edgecolors="black", zorder=STATION_Z + 0.2,
        **style,
    )  # fmt: skip
    for row in order[::-1][:_WRITTEN]:
        radius_pt = np.sqrt((_SMALLEST + (_LARGEST - _SMALLEST) * min(share[row], 1.0)) / np.pi)
        frame.axes.annotate(
            f"{weight[row]:.2f}".replace("-", "\u2212"), (x[row], y[row]), (0, radius_pt + 2),
            textcoords="offset points", fontsize=8, ha="center", va="bottom",
            zorder=STATION_Z + 0.3, path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _colour_map() -> Any:
    """Return the colours of weights, of both signs."""
    from cmcrameri import cm

    return cm.vik
