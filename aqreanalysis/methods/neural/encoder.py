"""The temporal encoder: LSTM and multi-head attention over a window of one station's series."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from aqreanalysis.methods.neural.configuration import Configuration


class Encoding(NamedTuple):
    """Outputs of the encoder at each station and step, (station, time, ...)."""

    score: Tensor  # (..., head): log weight of the station and step in each head
    offset: Tensor  # (..., head): what each head adds to the station's value
    context: Tensor  # (..., context): handed to the decoder
    correction: Tensor  # (...): added to the value before kriging; starts at 0


class TemporalEncoder(nn.Module):
    """Encodes every station's window once; the weights are shared by all stations.

    A two-sided LSTM, then multi-head attention over the window with a residual connection and
    layer normalisation, as in AQ-Net (arXiv 2502.11941, section 3), but two-sided, since a
    reanalysis sees both past and future, and without the averaging over time.
    """

    def __init__(self, inputs: int, configuration: Configuration) -> None:
        super().__init__()
        width = configuration.encoder_width
        self.heads, self.context = configuration.heads, configuration.context
        self.without = configuration.without
        self.enter = nn.Linear(inputs, width)
        self.recurrent = nn.LSTM(width, width, bidirectional=True, batch_first=True)
        self.attention = nn.MultiheadAttention(2 * width, 2, batch_first=True)
        self.normalise = nn.LayerNorm(2 * width)
        self.leave = nn.Linear(2 * width, 2 * self.heads + self.context)
        self.correct = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, inputs: Tensor) -> Encoding:
        """Return the encoding of inputs (station, time, feature)."""
        entered = torch.relu(self.enter(inputs))
        # (station, time, 2 * width)
        if "recurrence" in self.without:
            state = torch.cat([entered, entered], -1)
        else:
            state, _ = self.recurrent(entered)
        if "attention" not in self.without:
            state = state + self.attention(state, state, state, need_weights=False)[0]
        state = self.normalise(state)
        score, offset, context = self.leave(state).split(
            [self.heads, self.heads, self.context], dim=-1
        )
        return Encoding(score, offset, context, self.correct(state)[..., 0])
