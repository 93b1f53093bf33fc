"""Baselines of the outlook: persistence, climatology, ridge regression and a plain LSTM."""

import math

import torch
from torch import Tensor, nn

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.neural.neural_knn import CYCLES
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, Prediction
from aqreanalysis.outlook.inputs import OWN, Examples, History
from aqreanalysis.outlook.linear import design, design_size, solve_linear

#: Parts of the year and hours of the day of the climatology's table.
PARTS, HOURS = 12, 24


class Persistence(OutlookModule):
    """The last measured value, at every lead."""

    estimates = "value"
    trainable = False

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the newest token of the variable at every lead."""
        last = history.value[:, :1, OWN].expand(-1, len(self.spread))
        return Prediction(last, self.spread.expand_as(last))


class Climatology(OutlookModule):
    """The mean of the training period at that hour of the day in that twelfth of the year.

    The hour is that of the local solar time. A table cell without training values has the mean.
    """

    estimates = "mean"
    trainable = False
    table: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        self.register_buffer("table", torch.zeros(PARTS * HOURS))
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def solve(self, training: Examples, validation: Examples, level: Standardisation) -> None:
        """Fill the table with the mean concentrations of the training period."""
        total, count = torch.zeros_like(self.table), torch.zeros_like(self.table)
        for part in training.batches():
            truth = level.concentration(part.truth(self.leads))
            observed = torch.isfinite(truth)
            cell = table_cells(part.history(self.edges, self.leads).cycles)[observed]
            total += torch.bincount(cell, truth[observed], minlength=len(total))
            count += torch.bincount(cell, minlength=len(total))
        mean = torch.where(count > 0, total / count.clamp_min(1), total.sum() / count.sum())
        self.table.copy_((mean.sqrt() - level.centre) / level.scale)

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the table's value at the predicted hours."""
        mean = self.table[table_cells(history.cycles)]
        return Prediction(mean, self.spread.expand_as(mean))


def table_cells(cycles: Tensor) -> Tensor:
    """Return the cell of the climatology's table of cyclic times, (...) int64.

    Examples
    --------
    The first hour of the year, and the hour before it:

    >>> angle = torch.tensor([0.01, -0.01])
    >>> cycles = torch.zeros(2, CYCLES)
    >>> cycles[:, 0], cycles[:, 1] = angle.sin(), angle.cos()
    >>> cycles[:, -2], cycles[:, -1] = angle.sin(), angle.cos()
    >>> table_cells(cycles).tolist()
    [0, 287]
    """
    day = torch.atan2(cycles[..., 0], cycles[..., 1]) / (2 * math.pi) % 1
    year = torch.atan2(cycles[..., -2], cycles[..., -1]) / (2 * math.pi) % 1
    part = (year * PARTS).long().clamp_max(PARTS - 1)
    return part * HOURS + (day * HOURS).long().clamp_max(HOURS - 1)


class Ridge(OutlookModule):
    """Direct ridge regression of the concentration: each lead has its own weights.

    Its features are all inputs of the network: the history of all channels, the cyclic time at the
    start, which at a lead is that of the target, and some products of the two.
    """

    estimates = "mean"
    trainable = False
    weight: Tensor
    level: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges, self.cycles = configuration.edges, configuration.cycles
        features = design_size(len(self.edges) - 1, channels, cycles=self.cycles)
        self.register_buffer("weight", torch.zeros(features, configuration.leads))
        self.register_buffer("level", torch.tensor([0.0, 1.0]))
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def solve(self, training: Examples, validation: Examples, level: Standardisation) -> None:
        """Set the weights."""
        self.level = torch.tensor((level.centre, level.scale))
        self.weight = solve_linear(
            training,
            validation,
            edges=self.edges,
            leads=self.leads,
            cycles=self.cycles,
            level=level,
        )

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the standardised root of the weighted sum, which is never below zero."""
        concentration = design(history, cycles=self.cycles) @ self.weight
        centre, scale = self.level
        mean = (concentration.clamp_min(0).sqrt() - centre) / scale
        return Prediction(mean, self.spread.expand_as(mean))


class LSTMOutlook(OutlookModule):
    """A plain LSTM over the same tokens, of which the last state gives all leads."""

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        width = 2 * configuration.width
        self.recurrent = nn.LSTM(2 * channels + CYCLES, width, batch_first=True)
        self.drop = nn.Dropout(configuration.dropout)
        self.leave = nn.Linear(width, configuration.leads)
        self.spread = nn.Parameter(torch.zeros(configuration.leads))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the leads of the last state."""
        tokens = torch.cat([history.value, history.share, history.past], -1).flip(1)
        state, _ = self.recurrent(tokens)  # oldest first
        mean = self.leave(self.drop(state[:, -1]))
        return Prediction(mean, self.spread.expand_as(mean))
