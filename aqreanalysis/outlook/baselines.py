"""What an outlook has to beat: persistence, climatology, ridge regression and a plain LSTM.

Each takes a `History` and gives a `Prediction`, as the outlook's own network does.
"""

import math

import torch
from torch import Tensor, nn

from aqreanalysis.methods.neural.neural_knn import CYCLES
from aqreanalysis.outlook.aqnet import (
    OWN,
    History,
    OutlookConfiguration,
    OutlookModule,
    Prediction,
    design,
    design_size,
)

#: Parts of the year and hours of the day of the climatology's table.
PARTS, HOURS = 12, 24


class Persistence(OutlookModule):
    """The last value that was measured, at every lead."""

    root_of_mean = True

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the newest token of the variable, whatever the lead."""
        last = history.value[:, :1, OWN].expand(-1, len(self.spread))
        return Prediction(last, self.spread.expand_as(last))


class Climatology(OutlookModule):
    """The mean of the training period at that hour of the day in that twelfth of the year.

    The hour is that of the local solar time. A table cell without training values has the mean.
    """

    root_of_mean = True
    table: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        self.register_buffer("table", torch.zeros(PARTS * HOURS))
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the table's value at the predicted hours."""
        mean = self.table[cells(history.cycles)]
        return Prediction(mean, self.spread.expand_as(mean))


def cells(cycles: Tensor) -> Tensor:
    """Return the cell of the climatology's table of cyclic times, (...) int64.

    Examples
    --------
    The first hour of the year, and the hour before it:

    >>> angle = torch.tensor([0.01, -0.01])
    >>> cycles = torch.zeros(2, CYCLES)
    >>> cycles[:, 0], cycles[:, 1] = angle.sin(), angle.cos()
    >>> cycles[:, -2], cycles[:, -1] = angle.sin(), angle.cos()
    >>> cells(cycles).tolist()
    [0, 287]
    """
    day = torch.atan2(cycles[..., 0], cycles[..., 1]) / (2 * math.pi) % 1
    year = torch.atan2(cycles[..., -2], cycles[..., -1]) / (2 * math.pi) % 1
    part = (year * PARTS).long().clamp_max(PARTS - 1)
    return part * HOURS + (day * HOURS).long().clamp_max(HOURS - 1)


class Ridge(OutlookModule):
    """Linear regression, penalised and direct: each lead its own weights, on the concentration.

    It weighs all that the network sees: the history of all channels, the cyclic time at the start,
    which at a lead is that of the target, and some products of the two.
    """

    root_of_mean = True
    weight: Tensor
    level: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges, self.cycles = configuration.edges, configuration.cycles
        features = design_size(len(self.edges) - 1, channels, cycles=self.cycles)
        self.register_buffer("weight", torch.zeros(features, configuration.leads))
        self.register_buffer("level", torch.tensor([0.0, 1.0]))
        self.register_buffer("spread", torch.zeros(configuration.leads))

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
