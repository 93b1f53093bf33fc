"""AQ-Net as its released code defines it, without the errors of that code."""

import torch
from torch import Tensor, nn

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.neural.neural_knn import CYCLES
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, Prediction
from aqreanalysis.outlook.inputs import OTHERS, Examples, History

#: Of the released code: layers and width of the LSTM, heads, dropout, steps in which attention
#: fades, and the weight of the attention's entropy in the loss.
LAYERS, WIDTH, HEADS, DROPOUT, FADING, ENTROPY_SHARE = 3, 128, 2, 0.1, 50.0, 0.01


class PaperNetwork(OutlookModule):
    """LSTM 3 x 128, two-head attention with a fading term, mean over time, 168 leads, softplus.

    Sizes, inputs and loss are those of the code that was released with AQ-Net (arXiv 2502.11941):
    the other pollutants, cyclic encodings of hour, weekday and year, and least, mean, greatest and
    spread of the distances to the other stations. The history of the predicted variable itself is
    not among them. The loss is the squared error and a hundredth of the attention's entropy.

    Four errors of that code are not repeated:

    - its scaler was fitted to all data; here it is fitted to the training period;
    - the additive term of its attention, ``exp(-key / 50)`` with the oldest hour as key 0, favours
      the oldest hour; here it falls with the age of an hour;
    - its neural kNN had predictions averaged over all windows; here each start is its own;
    - its distances were in degrees; here they are great-circle distances.

    Times are local solar, and the cycle of the year stands for that of the months.
    """

    estimates = "mean"
    level: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = tuple(range(configuration.history + 1))
        others = channels - OTHERS - 1
        if others < 1:
            raise ValueError(
                "AQ-Net as released predicts from other pollutants, such as pm10, no2, o3, so2 and "
                "co; found none of them. Use method='aqnet'."
            )
        inputs = others + CYCLES - 2 + 4  # cycles of 24 h, 168 h and the year; distances
        self.recurrent = nn.LSTM(
            inputs, WIDTH, num_layers=LAYERS, batch_first=True, dropout=DROPOUT
        )
        self.drop = nn.Dropout(DROPOUT)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.normalise = nn.LayerNorm(WIDTH)
        self.leave = nn.Linear(WIDTH, configuration.leads)
        self.register_buffer("level", torch.tensor([0.0, 1.0]))
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def solve(self, training: Examples, validation: Examples, level: Standardisation) -> None:
        """Set the level, in units of which concentrations are learned."""
        self.level = torch.tensor((level.centre, level.scale))

    def loss(self, history: History, truth: Tensor, level: Standardisation, share: float) -> Tensor:
        """Return the squared error, in units of the level's squared scale, and the entropy."""
        prediction = self(history, attention=True)
        observed = torch.isfinite(truth)
        expected = level.concentration(truth.nan_to_num())[observed]
        error = (level.concentration(prediction.mean)[observed] - expected) / level.scale**2
        return error.square().mean() + ENTROPY_SHARE * entropy(prediction.attention)

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the standardised root of a concentration that softplus keeps positive."""
        steps = history.value.shape[1]
        hours = torch.cat([history.past[..., :2], history.past[..., 4:]], -1)
        place = history.place[:, None].expand(-1, steps, -1)
        series = torch.cat([history.value[..., OTHERS + 1 :], hours, place], -1).flip(1)
        state = self.drop(self.recurrent(series)[0])  # (batch, step, WIDTH), oldest first
        age = torch.arange(steps - 1, -1, -1, dtype=state.dtype, device=state.device)
        fading = torch.exp(-age / FADING).expand(steps, steps)
        context, weights = self.attention(state, state, state, attn_mask=fading)
        pooled = self.normalise(context).mean(1)
        centre, scale = self.level
        # In units of the squared scale of the root, of which concentrations are a few.
        concentration = nn.functional.softplus(self.leave(pooled)) * scale**2
        mean = (concentration.sqrt() - centre) / scale
        return Prediction(mean, self.spread.expand_as(mean), weights)


def entropy(weights: Tensor) -> Tensor:
    """Return the mean entropy of attention weights (..., key), in nats.

    Examples
    --------
    >>> round(float(entropy(torch.full((2, 4), 0.25))), 4)
    1.3863
    """
    return -(weights * weights.clamp_min(1e-12).log()).sum(-1).mean()
