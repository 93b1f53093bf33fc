"""The network of the outlook: a causal LSTM with attention over the past, heads for all leads."""

from dataclasses import dataclass, fields
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aqreanalysis.methods.neural.configuration import is_size
from aqreanalysis.methods.neural.neural_knn import CYCLES

#: How much more a weight of a covariate is penalised than one of the predicted variable: there are
#: many of them, and they tell less. From 10 to 100 does about as well.
COVARIATE_PENALTY = 30.0
#: Channels that are the predicted variable itself: the station's own, the mean of the others.
OWN, OTHERS = 0, 1


class History(NamedTuple):
    """What is known at a start, newest first, and the cyclic time of what is to come."""

    value: Tensor  # (batch, token, channel), standardised means over periods, gaps carried over
    share: Tensor  # (batch, token, channel), of the hours of a period that have values
    past: Tensor  # (batch, token, CYCLES), at the beginning of each period
    cycles: Tensor  # (batch, lead, CYCLES), of the predicted hours
    place: Tensor  # (batch, 4): least, mean, greatest and spread of the distances to the others


class Prediction(NamedTuple):
    """The root of the concentration at each lead, standardised, and where the model looked."""

    mean: Tensor  # (batch, lead)
    log_spread: Tensor  # (batch, lead)
    attention: Tensor | None = None  # (batch, knot, token)


class OutlookModule(nn.Module):
    """What every method of an outlook is: a module from a `History` to a `Prediction`.

    Attributes
    ----------
    edges : tuple of int
        Steps before a start between which its history is averaged, ascending from 0.
    spread : (lead,) Tensor
        Log-spread at each lead, to which what the module learns of it is added.
    root_of_mean : bool
        Whether the root is that of an estimated mean concentration, which is then its square.
    """

    edges: tuple[int, ...]
    spread: Tensor
    root_of_mean: bool = False


@dataclass(frozen=True)
class OutlookConfiguration:
    """Sizes of the outlook's network; time is counted in steps of the observations.

    Parameters
    ----------
    history : int
        Steps before a start that are looked at.
    leads : int
        Steps ahead.
    width : int
        Of the recurrent state.
    heads : int
        Of the attention.
    dropout : float
        Share of inputs and states that is left out at random in training.
    cycles : bool
        Whether the cyclic time is used.

    Examples
    --------
    >>> configuration = OutlookConfiguration()
    >>> configuration.edges[:8], configuration.edges[-3:]
    ((0, 1, 2, 3, 4, 5, 6, 8), (312, 324, 336))
    >>> OutlookConfiguration(leads=0, dropout=1.5)
    Traceback (most recent call last):
        ...
    ValueError: leads must be a whole number from 1 on, found 0; dropout must lie within 0..1,
    found 1.5
    """

    history: int = 336
    leads: int = 168
    width: int = 48
    heads: int = 2
    dropout: float = 0.5
    cycles: bool = True

    def __post_init__(self) -> None:
        faults = [
            f"{field.name} must be a whole number from 1 on, found {getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name in ("history", "leads", "width", "heads")
            and not is_size(getattr(self, field.name))
        ]
        if not 0 <= self.dropout < 1:
            faults.append(f"dropout must lie within 0..1, found {self.dropout!r}")
        if not faults and self.width % self.heads:
            faults.append(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def edges(self) -> tuple[int, ...]:
        """Steps before the start between which values are averaged: fine near, coarse far."""
        lengths = [1] * 6 + [2] * 3 + [3] * 4 + [6] * 4
        near = [edge for edge in accumulate(lengths, initial=0) if edge < self.history]
        far = range(near[-1] + 12, self.history, 12)
        return (*near, *far, self.history)

    @property
    def knots(self) -> tuple[int, ...]:
        """Leads at which the network answers; between them its answer is a straight line."""
        near = [1, 2, 3, 5, 7, 9, 12, 15, 18, 21, 24, *range(30, self.leads, 6)]
        return (*(knot for knot in near if knot < self.leads), self.leads)


def design(history: History, *, cycles: bool) -> Tensor:
    """Return what a linear outlook weighs, (batch, feature): tokens, cycles, some products."""
    value = history.value.flatten(1)
    constant = torch.ones_like(value[:, :1])
    if not cycles:
        return torch.cat([value, constant], 1)
    start = history.cycles[:, 0]
    hour, year = start[:, :4], start[:, -2:]
    products = (hour[:, :, None] * year[:, None, :]).flatten(1)
    # How fast the air forgets depends on the hour and the season.
    recent = history.value[:, :8, : OTHERS + 1].flatten(1)
    varying = (recent[:, :, None] * torch.cat([hour[:, :2], year], 1)[:, None, :]).flatten(1)
    return torch.cat([value, constant, start, products, varying], 1)


def penalties(tokens: int, channels: int, features: int) -> Tensor:
    """Return how much each feature of `design` is penalised, (feature,)."""
    found = torch.ones(features)
    of_tokens = found[: tokens * channels].view(tokens, channels)  # (token, channel)
    of_tokens[:, OTHERS + 1 :] = COVARIATE_PENALTY
    return found


def design_size(tokens: int, channels: int, *, cycles: bool) -> int:
    """Return the number of features of `design`."""
    empty = torch.zeros(1, tokens, channels)
    cyclic = torch.zeros(1, tokens, CYCLES)
    return design(History(empty, empty, cyclic, cyclic, empty), cycles=cycles).shape[1]


class OutlookNetwork(OutlookModule):
    """AQ-Net's encoder made causal: what a linear outlook misses, learned from zero on.

    A causal LSTM runs from the oldest token to the newest. Each predicted time asks, by its
    cyclic time and its lead, the states of the past through multi-head attention, and a decoder
    turns what it hears into a correction of mean and spread. The decoder starts at zero, so the
    untrained network is the linear outlook.
    """

    weight: Tensor
    between: Tensor
    at_knots: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.configuration = configuration
        width, knots = configuration.width, torch.tensor(configuration.knots)
        self.edges, self.cycles = configuration.edges, configuration.cycles
        features = design_size(len(self.edges) - 1, channels, cycles=configuration.cycles)
        self.register_buffer("weight", torch.zeros(features, configuration.leads))
        self.enter = nn.Linear(2 * channels + CYCLES, width)
        self.recurrent = nn.LSTM(width, width, batch_first=True)
        self.ask = nn.Linear(CYCLES, width)
        self.lead = nn.Parameter(torch.randn(len(knots), width) / width**0.5)
        self.attention = nn.MultiheadAttention(width, configuration.heads, batch_first=True)
        self.normalise = nn.LayerNorm(2 * width)
        self.decode = nn.Sequential(
            nn.Linear(2 * width + CYCLES, width), nn.GELU(), nn.Dropout(configuration.dropout)
        )
        self.leave = nn.Linear(width, 2)
        self.spread = nn.Parameter(torch.full((configuration.leads,), -0.6))
        self.drop = nn.Dropout(configuration.dropout)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("between", _interpolation(configuration))
        self.register_buffer("at_knots", knots - 1)

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the prediction of a batch, with the attention weights if asked for."""
        if not self.configuration.cycles:
            nothing = torch.zeros_like
            history = history._replace(past=nothing(history.past), cycles=nothing(history.cycles))
        first = design(history, cycles=self.configuration.cycles) @ self.weight
        tokens = torch.cat([self.drop(history.value), history.share, history.past], -1).flip(1)
        state, _ = self.recurrent(self.drop(torch.relu(self.enter(tokens))))  # oldest first
        cycles = history.cycles[:, self.at_knots]  # (batch, knot, CYCLES)
        question = self.ask(cycles) + self.lead
        heard, weights = self.attention(question, state, state, need_weights=attention)
        last = state[:, -1:].expand(-1, heard.shape[1], -1)
        joined = self.drop(self.normalise(torch.cat([heard, last], -1)))
        out = self.leave(self.decode(torch.cat([joined, cycles], -1)))  # (batch, knot, 2)
        mean, spread = (self.between @ out).unbind(-1)  # (batch, lead)
        return Prediction(first + mean, self.spread + spread, weights)


def _interpolation(configuration: OutlookConfiguration) -> Tensor:
    """Return weights (lead, knot) of straight lines between the knots."""
    knots = torch.tensor(configuration.knots, dtype=torch.float64)
    leads = torch.arange(1, configuration.leads + 1, dtype=torch.float64)
    weights = torch.zeros(len(leads), len(knots), dtype=torch.float64)
    above = torch.searchsorted(knots, leads).clamp(max=len(knots) - 1)
    below = (above - 1).clamp_min(0)
    span = (knots[above] - knots[below]).clamp_min(1)
    part = torch.where(above == below, 1.0, (leads - knots[below]) / span)
    rows = torch.arange(len(leads))
    weights[rows, below] += 1 - part
    weights[rows, above] += part
    return weights.float()
