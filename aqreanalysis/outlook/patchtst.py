"""PatchTST: a Transformer over patches of one series at a time (Nie et al. 2023, ICLR)."""

import torch
from torch import Tensor, nn

from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, Prediction
from aqreanalysis.outlook.inputs import OWN, History

#: Of the paper: length and stride of a patch, and what keeps a constant series finite.
PATCH, STRIDE, LEAST_VARIANCE = 16, 8, 1e-5


class PatchTST(OutlookModule):
    """PatchTST/42: channel-independent patches, instance normalisation, a Transformer encoder.

    Each series is normalised by its own mean and standard deviation, which the forecast gets back;
    padded at its end by its last value, a stride long; cut into patches of 16 steps every 8;
    projected, given learned positions; encoded by layers of multi-head attention and a pointwise
    network, each with a residual connection and batch normalisation; flattened and mapped to all
    leads by one linear head. All series share the weights and are independent of each other
    (sections 3.1 and 3.2). The model takes no gaps: `History` repeats the last value there.

    Parameters
    ----------
    configuration : OutlookConfiguration
        Length of the history, leads, width and dropout.
    channels : int
        Of the history; only the predicted variable is a series here, since no other channel can
        change its forecast.
    layers, heads : int
        Of the encoder.
    """

    def __init__(
        self, configuration: OutlookConfiguration, channels: int, *, layers: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        self.edges = tuple(range(configuration.history + 1))
        self.patches = patch_count(configuration.history)
        width = heads * max(4, configuration.width // heads)
        self.project = nn.Linear(PATCH, width)
        self.position = nn.Parameter(torch.empty(self.patches, width).uniform_(-0.02, 0.02))
        self.drop = nn.Dropout(configuration.dropout)
        self.encoder = nn.ModuleList(
            _Layer(width, heads, configuration.dropout) for _ in range(layers)
        )
        self.head = nn.Linear(self.patches * width, configuration.leads)
        self.spread = nn.Parameter(torch.zeros(configuration.leads))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the forecast of the predicted variable."""
        mean = self.forecast(history.value[:, :, OWN : OWN + 1].flip(1))[..., 0]
        return Prediction(mean, self.spread.expand_as(mean))

    def forecast(self, series: Tensor) -> Tensor:
        """Return forecasts (batch, lead, channel) of series (batch, step, channel), oldest first.

        A series ``a * x + b`` has the forecast ``a * y + b``, for ``a > 0`` and a variance above
        1e-5.
        """
        batch, _, channels = series.shape
        centre = series.mean(1, keepdim=True)
        scale = (series.var(1, keepdim=True, unbiased=False) + LEAST_VARIANCE).sqrt()
        flat = ((series - centre) / scale).transpose(1, 2).flatten(0, 1)  # (batch * channel, step)
        padded = torch.cat([flat, flat[:, -1:].expand(-1, STRIDE)], 1)
        patches = padded.unfold(1, PATCH, STRIDE)  # (batch * channel, patch, PATCH)
        state = self.drop(self.project(patches) + self.position)
        for layer in self.encoder:
            state = layer(state)
        leads = self.head(state.flatten(1)).reshape(batch, channels, -1).transpose(1, 2)
        return leads * scale + centre


class _Layer(nn.Module):
    """A layer of the encoder, with batch normalisation where Transformers have layers'."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, dropout=dropout)
        self.pointwise = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.drop = nn.Dropout(dropout)
        self.after_attention = nn.BatchNorm1d(width)
        self.after_pointwise = nn.BatchNorm1d(width)

    def forward(self, state: Tensor) -> Tensor:
        """Return the encoded patches (series, patch, width)."""
        mixed, _ = self.attention(state, state, state, need_weights=False)
        state = _over_batch(self.after_attention, state + self.drop(mixed))
        return _over_batch(self.after_pointwise, state + self.drop(self.pointwise(state)))


def _over_batch(normalise: nn.Module, state: Tensor) -> Tensor:
    """Return batch normalisation of the last axis."""
    return normalise(state.transpose(1, 2)).transpose(1, 2)


def patch_count(steps: int) -> int:
    """Return the number of patches of a series, padded at its end by a stride.

    Raises
    ------
    ValueError
        If the series is shorter than a patch.

    Examples
    --------
    >>> patch_count(336)
    42
    """
    if steps < PATCH:
        raise ValueError(f"PatchTST needs a history of at least {PATCH} steps; found {steps}")
    return (steps - PATCH) // STRIDE + 2
