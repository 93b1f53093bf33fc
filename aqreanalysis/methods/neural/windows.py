"""What the stations tell of a window of hours, whatever the target: encoded once for all cells."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.gaps import complete
from aqreanalysis.methods.neural.batches import (
    STATIONS_TOGETHER,
    Samples,
    narrowed,
    series_around,
    surroundings_of,
)
from aqreanalysis.methods.neural.mixing import StationTables, station_tables
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.threads import single_thread


class Window(NamedTuple):
    """What one window tells of its core steps.

    Attributes
    ----------
    tables : StationTables
    cycles : (core, CYCLES) float32
        At longitude 0.
    known : (station, core) float32 or None
        1 where anything is known of a station; None where it is everywhere.
    """

    tables: StationTables
    cycles: Tensor
    known: Tensor | None

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.nbytes for table in self.tables)

    def part(self, start: int, steps: int) -> Self:
        """Return what it tells of some of its steps."""
        return type(self)(
            StationTables(*(table.narrow(-1, start, steps) for table in self.tables)),
            self.cycles.narrow(0, start, steps),
            None if self.known is None else self.known.narrow(1, start, steps),
        )


def joined(windows: Sequence[Window]) -> Window:
    """Return what windows that follow each other tell of all their core steps."""
    if len(windows) == 1:
        return windows[0]
    known = None
    if any(window.known is not None for window in windows):
        shape = windows[0].tables.first.shape[1:]
        known = torch.cat(
            [torch.ones(shape) if window.known is None else window.known for window in windows], 1
        )
    tables = zip(*(window.tables for window in windows), strict=True)
    return Window(
        StationTables(*(torch.cat(each, -1) for each in tables)),
        torch.cat([window.cycles for window in windows]),
        known,
    )


class Windows:
    """Makes windows, from series that are completed first.

    Windows lie on the absolute axis of the samples, so that no chunking moves them.

    Parameters
    ----------
    model : NeuralKNN
    samples : Samples
    heads : bool
        Whether the network is used, or the covariance head alone.
    """

    def __init__(self, model: NeuralKNN, samples: Samples, *, heads: bool) -> None:
        self.model, self.samples, self.heads = model, samples, heads
        around = surroundings_of(samples.network)
        with single_thread():
            value, variance = complete(model.covariance, samples.value, around)
        nearest = samples.network.nearest_others(k=model.configuration.neighbours)
        self.nearest = torch.from_numpy(nearest.index)
        self.known = model.covariance.tells(variance).detach()
        self.value, self.variance = value.float(), variance.float()

    def __call__(self, number: int) -> Window:
        """Return one window by its number from the first column of the samples."""
        configuration, samples = self.model.configuration, self.samples
        start, margin = number * configuration.core_steps, configuration.margin_steps
        span = slice(start, start + configuration.window_steps)
        core = slice(span.start + margin, span.stop - margin)
        size = samples.network.size
        # Even parts: one of a few stations would take another way through a matrix product.
        parts = np.array_split(np.arange(size), -(-size // STATIONS_TOGETHER))
        value = self.value[:, span]
        tables = zip(*(self._tables(rows, span, value) for rows in parts), strict=True)
        absolute = (samples.first + core.start, samples.first + core.stop)
        known = self.known[:, core]
        return Window(
            StationTables(*(torch.cat(of_parts, 1) for of_parts in tables)),
            self.model.cyclic(samples.clock.cycles(np.zeros(1), *absolute)[0]),
            None if bool(known.all()) else known.float(),
        )

    def _tables(self, rows: np.ndarray, span: slice, value: Tensor) -> StationTables:
        """Return what some stations tell in one window, of which all values are given."""
        samples, configuration = self.samples, self.model.configuration
        steps = (samples.first + span.start, samples.first + span.stop)
        series = series_around(
            value[rows],
            self.variance[rows, span],
            value[self.nearest[rows]],
            samples.clock.cycles(samples.network.longitude[rows], *steps),
            samples.covariates[rows, span],
        )
        encoding = self.model.encode(series) if self.heads else None
        narrow = None if encoding is None else narrowed(encoding, configuration)
        return station_tables(self.model, narrowed(series, configuration), narrow)
