"""Linear forecasts: features of a history, and the weights of a penalised regression on them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.neural.neural_knn import CYCLES
from aqreanalysis.outlook.inputs import BATCH, OTHERS, Examples, History

#: How much more a weight of a covariate is penalised than one of the predicted variable: there are
#: many of them, with less information each. Values from 10 to 100 give about the same scores.
COVARIATE_PENALTY = 30.0
#: Penalties that are tried, in numbers of training examples.
PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def design(history: History, *, cycles: bool) -> Tensor:
    """Return the features of a linear forecast, (batch, feature): tokens, cycles, some products."""
    value = history.value.flatten(1)
    constant = torch.ones_like(value[:, :1])
    if not cycles:
        return torch.cat([value, constant], 1)
    start = history.cycles[:, 0]
    hour, year = start[:, :4], start[:, -2:]
    products = (hour[:, :, None] * year[:, None, :]).flatten(1)
    # How fast correlation decays depends on the hour and the season.
    recent = history.value[:, :8, : OTHERS + 1].flatten(1)
    varying = (recent[:, :, None] * torch.cat([hour[:, :2], year], 1)[:, None, :]).flatten(1)
    return torch.cat([value, constant, start, products, varying], 1)


def design_size(tokens: int, channels: int, *, cycles: bool) -> int:
    """Return the number of features of `design`."""
    empty = torch.zeros(1, tokens, channels)
    cyclic = torch.zeros(1, tokens, CYCLES)
    return design(History(empty, empty, cyclic, cyclic, empty), cycles=cycles).shape[1]


def solve_linear(
    training: Examples,
    validation: Examples,
    *,
    edges: Sequence[int],
    leads: int,
    cycles: bool,
    level: Standardisation | None = None,
) -> Tensor:
    """Return the weights (feature, lead) of a ridge regression, one penalty for each lead.

    With a level the concentration is regressed and all weights are penalised alike; without one it
    is the standardised root, and covariates are penalised more. Missing truth is replaced by its
    mean at that lead, so that it has no influence on the weights. The penalty of each lead is the
    one with the least error in the validation period (Hoerl & Kennard 1970).
    """

    def regression(examples: Examples) -> tuple[Tensor, Tensor]:
        features = design(examples.history(edges, leads), cycles=cycles)
        truth = examples.truth(leads)
        return features, truth if level is None else level.concentration(truth)

    gram, moment = torch.zeros(()).double(), torch.zeros(()).double()
    for part in training.batches(8 * BATCH):
        features, truth = regression(part)
        observed = torch.isfinite(truth)
        mean = truth.nan_to_num().sum(0) / observed.sum(0).clamp_min(1)
        gram = gram + (features.T @ features).double()
        moment = moment + (features.T @ torch.where(observed, truth, mean)).double()
    relative = torch.ones(len(gram), dtype=torch.float64)
    if level is None:
        tokens, channels = len(edges) - 1, training.inputs.channels
        of_tokens = relative[: tokens * channels].view(tokens, channels)
        of_tokens[:, OTHERS + 1 :] = COVARIATE_PENALTY
    penalty = torch.diag(relative) * len(training.start)
    solved = torch.stack(
        [torch.linalg.solve(gram + share * penalty, moment) for share in PENALTIES]
    ).float()
    errors = torch.zeros(len(PENALTIES), leads)
    for part in validation.batches():
        features, truth = regression(part)
        errors += (features @ solved - truth).square().nan_to_num().sum(1)
    return solved[errors.argmin(0), :, torch.arange(leads)].T.contiguous()
