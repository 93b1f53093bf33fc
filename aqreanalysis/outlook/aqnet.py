"""AQ-Net for the outlook: a causal LSTM with attention over the past, heads for all leads."""

from dataclasses import dataclass, fields
from itertools import accumulate
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.neural.configuration import LARGEST_SIZE, is_size
from aqreanalysis.methods.neural.neural_knn import CYCLES
from aqreanalysis.methods.neural.validation import crps
from aqreanalysis.outlook.inputs import Examples, History
from aqreanalysis.outlook.linear import design, design_size, solve_linear
from aqreanalysis.predictive import RootNormal

#: Error, in units of the root at the mean level, up to which the error in concentration counts
#: squared: haze is what an outlook is for.
QUADRATIC = 10.0


class Prediction(NamedTuple):
    """The root of the concentration at each lead, standardised, and the attention weights."""

    mean: Tensor  # (batch, lead)
    log_spread: Tensor  # (batch, lead)
    attention: Tensor | None = None  # (batch, knot, token)


#: What the square of a method's root is.
Estimates = Literal["median", "mean", "value"]


def distribution_of(root: np.ndarray, spread: np.ndarray, estimates: Estimates) -> RootNormal:
    """Return the distribution of which a root and the spread around it are known.

    Examples
    --------
    >>> root, spread = np.array(5.0), np.array(3.0)
    >>> [float(distribution_of(root, spread, kind).median) for kind in ("median", "mean", "value")]
    [25.0, 16.0, 25.0]
    >>> [float(distribution_of(root, spread, kind).mean) for kind in ("median", "mean", "value")]
    [34.0, 25.0, 25.0]
    """
    if estimates == "mean":
        return RootNormal.with_mean(np.maximum(root, 0) ** 2, spread)
    return RootNormal(root, spread, spread if estimates == "value" else 0.0)


class OutlookModule(nn.Module):
    """What every method of an outlook is: a module from a `History` to a `Prediction`.

    Attributes
    ----------
    edges : tuple of int
        Steps before a start between which its history is averaged, ascending from 0.
    spread : (lead,) Tensor
        Log-spread at each lead, to which what the module learns of it is added.
    estimates : {"median", "mean", "value"}
        What the square of the root is: the median of a concentration, its mean, or a value that
        stands for both.
    trainable : bool
        Whether weights are trained by gradient, after `solve`.
    """

    edges: tuple[int, ...]
    spread: Tensor
    estimates: ClassVar[Estimates] = "median"
    trainable: ClassVar[bool] = True

    @property
    def leads(self) -> int:
        """Number of predicted steps."""
        return len(self.spread)

    def solve(self, training: Examples, validation: Examples, level: Standardisation) -> None:
        """Set the part of the module that has a closed form; here none has."""

    def loss(self, history: History, truth: Tensor, level: Standardisation, share: float) -> Tensor:
        """Return the loss of a batch, of which truth (batch, lead) is NaN where missing.

        It is the CRPS of the standardised root and a share of a Huber loss of the mean
        concentration, in units of the root at the mean level.
        """
        prediction = self(history)
        observed = torch.isfinite(truth)
        truth = truth.nan_to_num()
        variance = (level.scale * prediction.log_spread.exp()) ** 2
        estimate = (level.concentration(prediction.mean) + variance)[observed]
        expected, unit = level.concentration(truth)[observed], 2 * level.centre * level.scale
        huber = nn.functional.smooth_l1_loss(estimate / unit, expected / unit, beta=QUADRATIC)
        score = crps(prediction.mean, 2 * prediction.log_spread, truth)[observed].mean()
        return score + share * huber


@dataclass(frozen=True)
class OutlookConfiguration:
    """Sizes of the outlook's network; time is counted in steps of the observations.

    Parameters
    ----------
    history : int
        Steps before a start that are used.
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
    ValueError: leads must be a whole number from 1 to 4096, found 0; dropout must lie within 0..1,
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
            f"{field.name} must be a whole number from 1 to {LARGEST_SIZE}, "
            f"found {getattr(self, field.name)!r}"
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
        """Leads of the network's output, which is interpolated linearly between them."""
        near = [1, 2, 3, 5, 7, 9, 12, 15, 18, 21, 24, *range(30, self.leads, 6)]
        return (*(knot for knot in near if knot < self.leads), self.leads)


class OutlookNetwork(OutlookModule):
    """AQ-Net's encoder made causal, a correction of a linear forecast.

    A causal LSTM runs from the oldest token to the newest. Each predicted time, by its cyclic
    encoding and its lead, is a query of multi-head attention over the states of the past, and a
    decoder maps the result to a correction of mean and spread. The decoder starts at zero, so that
    the untrained network is the linear forecast.
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

    def solve(self, training: Examples, validation: Examples, level: Standardisation) -> None:
        """Set the weights of the linear forecast of the standardised root."""
        self.weight = solve_linear(
            training, validation, edges=self.edges, leads=self.leads, cycles=self.cycles
        )

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the prediction of a batch, with the attention weights on request."""
        if not self.cycles:
            past, cycles = torch.zeros_like(history.past), torch.zeros_like(history.cycles)
            history = history._replace(past=past, cycles=cycles)
        linear = design(history, cycles=self.cycles) @ self.weight
        tokens = torch.cat([self.drop(history.value), history.share, history.past], -1).flip(1)
        state, _ = self.recurrent(self.drop(torch.relu(self.enter(tokens))))  # oldest first
        cycles = history.cycles[:, self.at_knots]  # (batch, knot, CYCLES)
        query = self.ask(cycles) + self.lead
        context, weights = self.attention(query, state, state, need_weights=attention)
        last = state[:, -1:].expand(-1, context.shape[1], -1)
        joined = self.drop(self.normalise(torch.cat([context, last], -1)))
        output = self.leave(self.decode(torch.cat([joined, cycles], -1)))  # (batch, knot, 2)
        mean, spread = (self.between @ output).unbind(-1)  # (batch, lead)
        return Prediction(linear + mean, self.spread + spread, weights)


def _interpolation(configuration: OutlookConfiguration) -> Tensor:
    """Return the weights (lead, knot) of linear interpolation between the knots."""
    leads, knots = np.arange(1, configuration.leads + 1), configuration.knots
    weights = [np.interp(leads, knots, unit) for unit in np.eye(len(knots))]
    return torch.from_numpy(np.stack(weights, 1)).float()
