"""What altitude and background prove beside the learned covariance of a network."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.fitting import BandSeries
from aqreanalysis.methods.kriging.proven_trend import left_out_equations, proven_trend
from aqreanalysis.methods.neural.batches import Samples
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.trend import ALTITUDE_OF_PLACES, Trend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proven:
    """A trend as far as it is proven, and what is left to learn.

    Attributes
    ----------
    trend : Trend
        Coefficients that are not proven are 0. Attributes are the covariates that are proven and
        constant in time.
    samples : Samples
        Departures from the trend, with the attributes of the stations.
    covariance : (attribute, attribute) float64 Tensor
        Of the errors of the attributes' coefficients.
    apart : (attribute,) float64 Tensor
        1 where an attribute may set places apart, 0 where a coordinate does so.
    """

    trend: Trend
    samples: Samples
    covariance: Tensor
    apart: Tensor


@dataclass(frozen=True)
class Proof:
    """Asks left-out stations for a trend, once covariances are fitted to the samples without it.

    Attributes
    ----------
    trend : Trend
        Its coefficients are not used.
    columns : (station, time or 1, covariate)
        Its covariates at the stations.
    offset : int
        Column of the samples that holds the first of the columns' steps.
    departures : callable
        Makes the samples of a ``trend`` at the stations and their ``attributes``.
    coordinates : set of str
        Covariates that are coordinates of places, too.
    """

    trend: Trend
    columns: np.ndarray
    offset: int
    departures: Callable[..., Samples]
    coordinates: frozenset[str] = frozenset()

    def __call__(self, model: NeuralKNN, samples: Samples, series: BandSeries) -> Proven:
        """Return what is proven with a model of which the covariances are fitted to the samples.

        The bands are fitted to their ``series``.
        """
        trend, covariance = self._proven(model, samples, series)
        apart = torch.tensor([float(name not in self.coordinates) for name in trend.attributes])
        if not trend.used:
            return Proven(trend, samples, covariance, apart)
        at_stations = {
            "trend": trend(self.columns),
            "attributes": trend.attributes_of(self.columns),
        }
        return Proven(trend, self.departures(**at_stations), covariance, apart)

    def _proven(
        self, model: NeuralKNN, samples: Samples, series: BandSeries
    ) -> tuple[Trend, Tensor]:
        """Return the trend as far as it is proven, and the covariance of its attributes."""
        regular = self.trend.regular(self.columns)
        constant = (regular == regular[:, :1]).all(axis=(0, 1))
        proven = proven_trend(
            left_out_equations(
                series,
                model.bands,
                samples.log_noise,
                [
                    torch.from_numpy(
                        of_one[:, :1] if same else _padded(of_one, samples, self.offset)
                    )
                    for of_one, same in zip(np.moveaxis(regular, -1, 0), constant, strict=True)
                ],
                np.random.default_rng(0),
                widths=model.configuration.bands,
            )
        )
        used = proven.coefficient != 0
        for name, one, t in zip(self.trend.names, used, proven.t, strict=True):
            word = "is used" if one else "proves nothing at left-out stations and is not used"
            what = name if name == ALTITUDE_OF_PLACES else f"background {name!r}"
            logger.info("the %s %s (t %.1f)", what, word, t)
        attributes = np.flatnonzero(used & constant)
        return (
            replace(
                self.trend,
                coefficient=tuple(proven.coefficient.tolist()),
                attributes=tuple(self.trend.names[number] for number in attributes),
            ),
            torch.from_numpy(proven.covariance[np.ix_(attributes, attributes)]),
        )


def _padded(covariate: np.ndarray, samples: Samples, offset: int) -> np.ndarray:
    """Return a covariate (station, time) over the steps of the samples, as at its ends outside."""
    after = samples.value.shape[1] - offset - covariate.shape[1]
    return np.pad(covariate, ((0, 0), (offset, after)), mode="edge")
