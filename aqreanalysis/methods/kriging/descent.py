"""Steps of Adam, without the compiler that the optimisers of torch load."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Steps of Adam (Kingma & Ba 2015, arXiv 1412.6980), to the bit those of `torch.optim.Adam`.

    The first use of that class loads the compiler of torch, in two seconds and 60 MB; the function
    that it calls, and this class too, does without.

    Parameters
    ----------
    parameters : iterable of Tensor
        Each step changes them in place.
    rate : float
        Of learning.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        self.parameters = list(parameters)
        self.rate = rate
        self._mean = [torch.zeros_like(each) for each in self.parameters]
        self._square = [torch.zeros_like(each) for each in self.parameters]
        self._steps = [torch.tensor(0.0) for _ in self.parameters]

    def step(self, loss: Tensor, *, longest: float = math.inf) -> None:
        """Lower the loss by a step along its gradient, of which the norm is ``longest`` at most."""
        gradients = [torch.zeros_like(each) for each in self.parameters]
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient  # the loss adds to it
        loss.backward()
        if longest < math.inf:
            torch.nn.utils.clip_grad_norm_(self.parameters, longest)
        with torch.no_grad():
            adam(
                self.parameters,
                gradients,
                self._mean,
                self._square,
                [],
                self._steps,
                foreach=False,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
