"""The method that needs no training: a covariance learned on many other networks."""

import logging
from dataclasses import replace
from typing import Self

import xarray as xr

from aqreanalysis.geography.likeness import Learned
from aqreanalysis.methods.contract import BackgroundField
from aqreanalysis.methods.kriging.fitting import ENOUGH_DAYS, days_of
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import step_hours, values_of

logger = logging.getLogger(__name__)


class PretrainedReanalyser(Reanalyser):
    """Kriging of the bands with a covariance that many other networks have taught.

    It is read off statistics of the network (`aqreanalysis.methods.kriging.amortised`), in a second
    or two, from three stations and some hours on; the scale of the errors and their spread are
    those of stations left out. Where there are as many values as to learn from, from some hundred
    days of values at all stations together on, the method ``"neural"`` is the better one.

    Parameters
    ----------
    configuration : Configuration, optional
        Sizes; it takes the ``weights`` unless it names some.
    weights : {"all", "without_beijing", "without_europe", "without_us"}
        The others have not seen any network of a region: for honest scores there.
    seed : int
        Of which stations are left out together.
    progress : bool
        Whether fitting shows a progress bar.
    geography : bool
        As of `Reanalyser`.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=48, seed=1).observations.isel(station=slice(8))
    >>> model = PretrainedReanalyser(progress=False).fit(obs, "pm25")
    >>> model.name, model.settings["model"]
    ('pretrained', 'covariance learned on other networks')
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        weights: Learned = "all",
        seed: int = 0,
        progress: bool = True,
        geography: bool = True,
    ) -> None:
        configuration = configuration or Configuration()
        if not configuration.pretrained:
            configuration = replace(configuration, pretrained=weights, lengths=weights)
        super().__init__(
            configuration,
            schedule=Schedule(updates=0),
            seed=seed,
            progress=progress,
            geography=geography,
        )

    def fit(
        self,
        observations: xr.Dataset,
        variable: str,
        *,
        background: BackgroundField | None = None,
    ) -> Self:
        """Return self, with the covariance of a network of these statistics.

        Parameters and errors are those of `Reanalyser.fit`.
        """
        super().fit(observations, variable, background=background)
        values = int((values_of(observations, variable) >= 0).sum())
        days = days_of(values, step_hours(observations))
        if days >= ENOUGH_DAYS:
            logger.info(
                "%.0f days of values of %s are enough to learn from: method='neural' does",
                days,
                variable,
            )
        return self
