"""Draws of whole fields, coherent in space and time, from estimates and their standard errors.

The errors of an estimate are a sum of patterns in space, each with a series in time that is drawn.
At every place the patterns have length 1 together, and each series has variance 1 and the
correlation that errors have over time, so that a draw has the spread of the estimate, and errors
of two places and hours are correlated as they should be. Errors are normal scores; by them a draw
is a value of the predictive distribution of its place and hour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, TIME, draws_name, quantile_name
from aqreanalysis.fields.blocks import Targets, of_spans, span_of, step_numbers
from aqreanalysis.grid import Grid
from aqreanalysis.predictive import ErrorCorrelation, RootNormal, freedom_of

#: What is drawn: the air, or what a monitor would measure, with its noise.
DrawsOf = Literal["measurements", "air"]
#: Steps of time of which series are drawn together; no chunking moves them.
WINDOW = 128
#: Windows after which a series is taken to have forgotten: at 600 h and hourly steps 4e-8 is left.
WINDOWS = 80
#: What a layer of draws says of itself.
COMMENT = (
    "each is coherent in space and time and agrees with the stations; the spread of all of them is "
    "the standard error"
)
#: Errors that last longer than this many hours are taken as constant.
LASTING_H = 1e5


class ErrorPatterns(Protocol):
    """Patterns in space of which errors are sums."""

    @property
    def of(self) -> DrawsOf:
        """What the errors are of."""
        ...

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return unit vectors (n, pattern) float32, and what share of the spread is drawn, (n,)."""
        ...


@dataclass(frozen=True)
class ErrorSeries:
    """Normal series in time, of variance 1 and with the correlation of errors.

    Each part of the correlation is a process that decays exponentially. A window is drawn given its
    two ends, and the ends follow each other, so that any hours can be had without those before.

    Parameters
    ----------
    correlation : ErrorCorrelation
    step_hours : float
    count : int
        Series of a draw.
    seed : int
    stream : int
        Series of other streams, such as of another pollutant, are independent.

    Examples
    --------
    >>> series = ErrorSeries(ErrorCorrelation((5.0,), (1.0,)), step_hours=1.0, count=500, seed=0)
    >>> drawn = series(0, slice(100, 160))
    >>> drawn.shape, bool(abs(np.mean(drawn[1:] * drawn[:-1]) - np.exp(-1 / 5)) < 0.05)
    ((60, 500), True)
    """

    correlation: ErrorCorrelation
    step_hours: float
    count: int
    seed: int
    stream: int = 0

    def __call__(self, draw: int, hours: slice) -> np.ndarray:
        """Return the series of a draw at steps from the first hour on, (hours, count) float32."""
        first, last = hours.start // WINDOW, -(-hours.stop // WINDOW)
        drawn = np.concatenate([self._window(draw, number) for number in range(first, last)])
        return drawn[hours.start - first * WINDOW : hours.stop - first * WINDOW]

    def _window(self, draw: int, number: int) -> np.ndarray:
        """Return the series in a window, (WINDOW, count) float32."""
        parts = zip(self.correlation.scales, self.correlation.shares, strict=True)
        known = [(scale, share) for scale, share in parts if share > 0]
        changing = [(scale, share) for scale, share in known if scale < LASTING_H]
        lasting = 1 - sum(share for _, share in changing)
        constant = np.float32(math.sqrt(max(lasting, 0.0))) * self._normal(draw, 0, 0, 1)[0]
        if not changing:
            return np.tile(constant, (WINDOW, 1))
        scales, shares = (np.array(each)[:, None] for each in zip(*changing, strict=True))
        decay = np.exp(-self.step_hours / np.maximum(scales, 1e-9))
        over = decay**WINDOW
        begin = max(number - WINDOWS, 0)
        state = self._normal(draw, 1, begin, len(scales))
        for end in range(begin + 1, number + 1):
            state = _next(state, over, self._normal(draw, 1, end, len(scales)))
        ahead = _next(state, over, self._normal(draw, 1, number + 1, len(scales)))
        path = self._normal(draw, 2, number, WINDOW * len(scales))
        path = path.reshape(WINDOW, len(scales), self.count)
        before = state
        for step in path:
            step[...] = before = _next(before, decay, step)
        # What is missing at the end is what each step before it has to gain, by its covariance.
        after = np.arange(1, WINDOW + 1)[:, None, None]
        gain = decay ** (WINDOW - after) * (1 - decay ** (2 * after)) / (1 - over**2)
        path += gain.astype(np.float32) * (ahead - path[-1])
        every = np.concatenate([state[None], path[:-1]])
        weight = np.sqrt(shares[:, 0]).astype(np.float32)
        return np.tensordot(weight, every, (0, 1)) + constant

    def _normal(self, draw: int, kind: int, number: int, rows: int) -> np.ndarray:
        """Return independent normal numbers (rows, count) float32, the same whenever asked."""
        stream = (self.stream,) if self.stream else ()
        key = np.random.SeedSequence(self.seed, spawn_key=(draw, kind, number, *stream))
        shape = rows, self.count
        return np.random.default_rng(key).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class JointSeries:
    """Sums of series that other sums have parts of, too, and so go together with.

    Parameters
    ----------
    parts : tuple of ErrorSeries
        Independent of each other.
    factors : tuple of float
        Of which the squares sum up to 1.
    """

    parts: tuple[ErrorSeries, ...]
    factors: tuple[float, ...]

    def __call__(self, draw: int, hours: slice) -> np.ndarray:
        """Return the series of a draw at steps from the first hour on, (hours, count) float32."""
        factors = np.array(self.factors, np.float32)
        drawn: np.ndarray = np.tensordot(factors, [part(draw, hours) for part in self.parts], 1)
        return drawn

    @property
    def seed(self) -> int:
        """That of the parts."""
        return self.parts[0].seed

    @property
    def correlation(self) -> ErrorCorrelation:
        """How long the sum lasts."""
        shares: dict[float, float] = {}
        for factor, part in zip(self.factors, self.parts, strict=True):
            own = part.correlation
            for scale, share in zip(own.scales, own.shares, strict=True):
                shares[scale] = shares.get(scale, 0.0) + factor**2 * share
        scales = tuple(sorted(shares))
        return ErrorCorrelation(scales, tuple(shares[scale] for scale in scales))


def _next(state: np.ndarray, decay: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return what follows a state of variance 1 that decays, of variance 1 as well."""
    fresh = np.sqrt(1 - decay**2)
    following: np.ndarray = decay.astype(np.float32) * state + fresh.astype(np.float32) * normal
    return following


@dataclass(frozen=True)
class _Blocks:
    """What one block of draws needs to compute itself."""

    targets: Targets
    patterns: ErrorPatterns
    series: ErrorSeries | JointSeries
    freedom: float
    draws: int

    def prepared(self, hours: slice) -> np.ndarray:
        """Return the series of all draws at hours, which all cells share, (draw, hour, series)."""
        return np.stack([self.series(draw, hours) for draw in range(self.draws)])

    def compute(
        self,
        median: np.ndarray,
        error: np.ndarray,
        series: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the draws of a block, (draw, *median.shape) float32."""
        column = slice(0, 1) if columns is None else span_of(columns)
        vectors, share = self.patterns(*self.targets.within(span_of(rows), column))
        shape = len(median), -1
        law = RootNormal.from_median(
            median.reshape(shape), error.reshape(shape), freedom=self.freedom
        )
        law = RootNormal(
            law.root.astype(np.float32),
            (law.spread * share).astype(np.float32),
            freedom=self.freedom,
        )
        drawn = np.empty((self.draws, *law.root.shape), np.float32)
        for values, of_draw in zip(drawn, series, strict=True):
            values[...] = law.at_scores(of_draw @ vectors.T)
        return drawn.reshape(self.draws, *median.shape)


def check_draws(draws: object, of: str, seed: int) -> None:
    """Refuse what is no number of draws, draws of something else than there is, or a wrong seed.

    Raises
    ------
    ValueError
        Naming what was given.
    """
    if draws is not None and (
        isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1
    ):
        raise ValueError(f"draws is a whole number from 1 on, such as 50; found {draws!r}")
    if draws is not None and seed < 0:
        raise ValueError(f"the seed of draws is a whole number from 0 on; found {seed!r}")
    if of not in get_args(DrawsOf):
        raise ValueError(f"draws_of must be one of {', '.join(get_args(DrawsOf))}; found {of!r}")


def with_draws(
    field: xr.Dataset,
    at: Grid | xr.Dataset,
    variable: str,
    draws: int,
    *,
    patterns: ErrorPatterns,
    series: ErrorSeries | JointSeries,
    first: int = 0,
) -> xr.Dataset:
    """Return a field with draws of it, lazily: a dask block for each block of the field.

    Parameters
    ----------
    field : Dataset
        Of `aqreanalysis.fields.blocks.predict_blocks`.
    at : Grid or Dataset
        Where it is.
    variable : str
    draws : int
        How many. Each is the same however many there are.
    patterns : ErrorPatterns
    series : ErrorSeries or JointSeries
        Of the errors in space and in time.
    first : int
        Step of the field's first hour, counted as those of the series are.

    Returns
    -------
    Dataset
        With ``<variable>_draws``, ``(draw, *dimensions of the field)``.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    median = quantile_name(variable, 0.5)
    if field[variable].attrs["statistic"] == "median":
        median = variable
    layers = [field[name] for name in (median, f"{variable}_uncertainty")]
    layers = [layer.transpose(TIME, ...) for layer in layers]
    freedom = freedom_of(layers[1].attrs)
    blocks = _Blocks(Targets.of(at), patterns, series, freedom, int(draws))
    engine = delayed(blocks, name=f"draws-{tokenize(blocks)}", traverse=False).persist()
    hours, *places = layers[0].data.chunks
    index = "trc"[: 1 + len(places)]
    numbers: list[Any] = []
    for letter, sizes in zip(index[1:], places, strict=True):
        numbers += [step_numbers(0, sizes), letter]
    shared = of_spans(_Blocks.prepared, engine, spans_of(first, hours))
    drawn = da.blockwise(
        *(_Blocks.compute, f"d{index}", engine, None),
        *(part for layer in layers for part in (layer.data, index)),
        *(shared, "t", *numbers),
        new_axes={"d": int(draws)},
        meta=np.empty((0,) * (1 + len(index)), np.float32),
        align_arrays=False,
    )
    stated = {"draws_of": patterns.of, "draws_seed": series.seed, "comment": COMMENT}
    stated |= series.correlation.attributes()
    layer = xr.DataArray(drawn, dims=(DRAW, *layers[0].dims), attrs=stated)
    layer = layer.transpose(DRAW, *field[variable].dims)
    return field.assign({draws_name(variable): layer}).assign_coords({DRAW: np.arange(int(draws))})


def spans_of(first: int, sizes: Sequence[int]) -> list[slice]:
    """Return consecutive slices of these sizes.

    Examples
    --------
    >>> spans_of(5, (2, 3))
    [slice(5, 7, None), slice(7, 10, None)]
    """
    ends = first + np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
