"""How uncertain an estimate is: the powers of the spread law, fitted to hidden stations."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.validation import crps

#: Bounds of the powers of disagreement, of the exponential of the level, and of the kriging
#: variance: who is far from stations, or among stations that disagree, never knows more for it.
BOUNDS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 2.0))
#: Values without which the powers stay those of kriging.
FEWEST = 200
#: Weight of the squared distance of the powers from those of kriging.
RIDGE = 1e-3


def fit_spread_law(model: NeuralKNN, mean: Tensor, told: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Return the log-variance by the spread law, which is fitted by the CRPS at hidden stations.

    Parameters
    ----------
    model : NeuralKNN
        Its law and ``log_spread`` are changed, unless there are too few values.
    mean, truth : (n,) float64
        Standardised.
    told : three of (n,) float64
        Of `aqreanalysis.methods.neural.neural_knn.spread_features`.
    """
    from scipy.optimize import minimize

    features = torch.stack(list(told), -1)
    if len(truth) < FEWEST:
        return features @ model.spread_law.double() + model.log_spread.detach()
    start = np.append(model.spread_law.numpy(), 0.0)
    start[-1] = float(torch.log((truth - mean).square().mean()) - features[:, 2].mean())

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean CRPS and its slope."""
        chosen = torch.from_numpy(parameters).requires_grad_()
        score = crps(mean, features @ chosen[:-1] + chosen[-1], truth).mean()
        total = score + RIDGE * (chosen[:-1] - torch.from_numpy(start[:-1])).square().sum()
        total.backward()
        return float(total.detach()), np.asarray(chosen.grad)

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*BOUNDS, (None, None)])
    law = torch.from_numpy(found.x)
    model.spread_law.copy_(law[:-1])
    model.log_spread.data.fill_(law[-1])
    return features @ law[:-1] + law[-1]
