"""What a background proves beside the learned covariance of a network."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.fitting import BandSeries
from aqreanalysis.methods.kriging.proven_trend import left_out_equations, proven_trend
from aqreanalysis.methods.neural.batches import Samples
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.trend import Trend

logger = logging.getLogger(__name__)


def prove(
    trend: Trend,
    columns: np.ndarray,
    samples: Samples,
    offset: int,
    model: NeuralKNN,
    log_noise: Tensor,
) -> tuple[Trend, Tensor]:
    """Return the trend as far as left-out stations prove it, and the covariance of its attributes.

    Parameters
    ----------
    trend : Trend
        Of the background; its coefficients are not used.
    columns : (station, time, covariate)
        Of the background at the stations.
    samples : Samples
        Without a trend.
    offset : int
        Column of the samples that holds the first of the columns' steps.
    model : NeuralKNN
        Of which the covariances are fitted to the samples.
    log_noise : (station,) float64
        Logarithm of the factor of each station's noise.

    Returns
    -------
    trend : Trend
        Coefficients that are not proven are 0. Attributes are the covariates that are proven and
        constant in time.
    covariance : (attribute, attribute) float64 Tensor
        Of the errors of the attributes' coefficients.
    """
    regular = trend.regular(columns)
    constant = (regular == regular[:, :1]).all(axis=(0, 1))
    widths = model.configuration.bands
    proven = proven_trend(
        left_out_equations(
            BandSeries.of(samples.value, samples.network, model.covariance, widths),
            model.bands,
            log_noise,
            [
                torch.from_numpy(of_one[:, :1] if same else _padded(of_one, samples, offset))
                for of_one, same in zip(np.moveaxis(regular, -1, 0), constant, strict=True)
            ],
            np.random.default_rng(0),
            widths=widths,
        )
    )
    used = proven.coefficient != 0
    for name, one, t in zip(trend.names, used, proven.t, strict=True):
        word = "is used" if one else "proves nothing at left-out stations and is not used"
        logger.info("the background %r %s (t %.1f)", name, word, t)
    attributes = np.flatnonzero(used & constant)
    return (
        replace(
            trend,
            coefficient=tuple(proven.coefficient.tolist()),
            attributes=tuple(trend.names[number] for number in attributes),
        ),
        torch.from_numpy(proven.covariance[np.ix_(attributes, attributes)]),
    )


def _padded(covariate: np.ndarray, samples: Samples, offset: int) -> np.ndarray:
    """Return a covariate (station, time) over the steps of the samples, as at its ends outside."""
    after = samples.value.shape[1] - offset - covariate.shape[1]
    return np.pad(covariate, ((0, 0), (offset, after)), mode="edge")
