"""Rivals of P9 alone: gradient-boosted trees, and an LSTM that starts from a ridge regression."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aqreanalysis import Outlook
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, Prediction
from aqreanalysis.outlook.baselines import LSTMOutlook
from aqreanalysis.outlook.inputs import OTHERS, Examples, History, Level
from aqreanalysis.outlook.linear import design, design_size, solve_linear
from aqreanalysis.outlook.methods import OUTLOOK_METHODS, MethodDescription

#: Last lead of each forest: what tells of the next hours tells little of the next week.
SPANS = (6, 24, 72, 168)
#: Leads of a history that a forest learns from, drawn at random; the lead is a feature.
LEADS_DRAWN = 2
#: Tokens of the others' mean and of covariates that are features: the last six and the last two
#: days at first, hourly.
NEAR_OTHERS, NEAR_COVARIATES = 17, 6
#: Of the trees; the least error in the validation period was with these.
LEARNING_RATE, LEAVES, LEAST_IN_LEAF, MOST_TREES, PATIENCE = 0.05, 31, 100, 600, 20


class Boosting(OutlookModule):
    """Gradient-boosted trees of the concentration, by scikit-learn's histograms.

    A forest for each span of leads; the lead and the cyclic time of the predicted hour are features
    beside the history. The number of trees is that with the least error in the validation period.
    """

    estimates = "mean"
    trainable = False
    level: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__()
        self.edges = configuration.edges
        self.ends = [end for end in SPANS if end < configuration.leads] + [configuration.leads]
        self.forests: list = []
        self.register_buffer("level", torch.tensor([0.0, 1.0]))
        self.register_buffer("spread", torch.zeros(configuration.leads))

    def solve(self, training: Examples, validation: Examples, level: Level) -> None:
        """Grow a forest for each span."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        self.level = torch.tensor(level)
        rng = np.random.default_rng(0)
        for first, end in zip([0, *self.ends], self.ends, strict=False):
            forest = HistGradientBoostingRegressor(
                learning_rate=LEARNING_RATE,
                max_leaf_nodes=LEAVES,
                min_samples_leaf=LEAST_IN_LEAF,
                max_iter=MOST_TREES,
                early_stopping=True,
                n_iter_no_change=PATIENCE,
                random_state=0,
            )
            learned, validated = (
                self._pairs(part, level, rng.integers(first, end, (LEADS_DRAWN, len(part.start))))
                for part in (training, validation)
            )
            self.forests.append(forest.fit(*learned, X_val=validated[0], y_val=validated[1]))

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the standardised root of the trees' concentration."""
        parts = []
        for first, end, forest in zip([0, *self.ends], self.ends, self.forests, strict=False):
            every = np.arange(first, end)[:, None].repeat(len(history.value), 1)
            rows = np.concatenate([_features(history, lead) for lead in every])
            parts.append(forest.predict(rows).reshape(every.shape))
        concentration = torch.from_numpy(np.concatenate(parts).T).float()
        centre, scale = self.level
        mean = (concentration.clamp_min(0).sqrt() - centre) / scale
        return Prediction(mean, self.spread.expand_as(mean))

    def _pairs(
        self, examples: Examples, level: Level, leads: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return features and concentrations at leads (draw, example), where they are measured."""
        features, truths, first = [], [], 0
        for part in examples.batches():
            history, truth = part.history(self.edges, self.leads), part.truth(self.leads)
            for lead in leads[:, first : first + len(truth)]:
                features.append(_features(history, lead))
                value = truth[torch.arange(len(truth)), torch.from_numpy(lead)]
                truths.append(level.concentration(value.double()).numpy())
            first += len(truth)
        concentration = np.concatenate(truths)
        measured = np.isfinite(concentration)
        return np.concatenate(features)[measured], concentration[measured]


def _features(history: History, lead: np.ndarray) -> np.ndarray:
    """Return the features (example, feature) of a history at one lead each, counted from 0."""
    value, rows = history.value, torch.arange(len(lead))
    parts = [
        value[..., :OTHERS].flatten(1),
        value[:, :NEAR_OTHERS, OTHERS],
        value[:, :NEAR_COVARIATES, OTHERS + 1 :].flatten(1),
        history.cycles[rows, torch.from_numpy(lead)],
        torch.from_numpy(lead)[:, None].float(),
    ]
    return torch.cat(parts, 1).numpy()


class RidgeLSTM(LSTMOutlook):
    """The plain LSTM as a correction of AQ-Net's linear start: AQ-Net without its attention."""

    weight: Tensor

    def __init__(self, configuration: OutlookConfiguration, channels: int) -> None:
        super().__init__(configuration, channels)
        features = design_size(len(self.edges) - 1, channels, cycles=True)
        self.register_buffer("weight", torch.zeros(features, configuration.leads))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        nn.init.constant_(self.spread, -0.6)  # as AQ-Net begins

    def solve(self, training: Examples, validation: Examples, level: Level) -> None:
        """Set the weights of the linear forecast of the standardised root."""
        self.weight = solve_linear(
            training, validation, edges=self.edges, leads=self.leads, cycles=True
        )

    def forward(self, history: History, *, attention: bool = False) -> Prediction:
        """Return the linear forecast and its correction."""
        correction = super().forward(history)
        linear = design(history, cycles=True) @ self.weight
        return correction._replace(mean=linear + correction.mean)


class RivalOutlook(Outlook):
    """An `Outlook` that has the rivals among its methods."""

    _methods: ClassVar[Mapping[Any, MethodDescription]] = {
        **OUTLOOK_METHODS,
        "boosting": MethodDescription(
            Boosting, "HistGradientBoostingRegressor, https://scikit-learn.org"
        ),
        "ridge_lstm": MethodDescription(RidgeLSTM, OUTLOOK_METHODS["lstm"].references),
    }
