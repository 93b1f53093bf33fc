"""The contract of methods: fitted to stations, they predict a distribution at any place."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, quantile_name
from aqreanalysis.fields.blocks import Field, predict_blocks
from aqreanalysis.fields.memory import Cost
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.grid import Grid
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.station_types import TypeFactors
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    ObservationError,
    selected_hours,
    stored_values,
    validate,
)
from aqreanalysis.predictive import Statistic, freedom_of


class NotFittedError(ValueError, AttributeError):
    """A method that was asked for a field before it was fitted."""


@runtime_checkable
class Method(Protocol):
    """What every method offers; there is nothing to inherit."""

    @property
    def name(self) -> str:
        """Short and stable, such as ``"kriging"``; a product's attribute ``method``."""
        ...

    @property
    def takes_background(self) -> bool:
        """Whether `fit` and `field` take ``background``."""
        ...

    @property
    def variable(self) -> str:
        """The variable that it was fitted to; `NotFittedError` before `fit`."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything but the observations that determines the results, for the provenance.

        ``degrees_of_freedom`` stands among them where the distributions of a field have some.
        """
        ...

    @property
    def references(self) -> str:
        """Publications of the method, for a product's attribute of that name."""
        ...

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Fit to the observations alone, and return self."""
        ...

    def field(self, observations: xr.Dataset, at: Grid | xr.Dataset, hours: slice) -> Field:
        """Return the field at targets, given observations, for hours of their time axis."""
        ...

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory that a field needs, also before `fit`."""
        ...


def fit(
    method: Method, observations: xr.Dataset, variable: str, background: BackgroundField | None
) -> Method:
    """Fit a method, with a background if one is given, and return it.

    Raises
    ------
    ValueError
        If the method takes no background and one is given.
    """
    method.fit(observations, variable, **_background(method, background))
    return method


def predict(
    method: Method,
    observations: xr.Dataset,
    at: Grid | xr.Dataset,
    *,
    time: slice | None = None,
    chunks: Mapping[str, int] | None = None,
    background: BackgroundField | None = None,
    statistic: Statistic = "median",
    quantiles: Sequence[float] = (),
) -> xr.Dataset:
    """Return the field of a fitted method on a grid or at stations, lazily.

    Parameters
    ----------
    method : Method
        Fitted.
    observations : Dataset
        Stations and values from which to estimate; need not be those of ``fit``.
    at : Grid or Dataset
        A grid, or any Dataset with longitude and latitude on ``station``.
    time : slice of labels, optional
        Hours to estimate; all by default. Hours around them are still used as input.
    chunks : mapping, optional
        Size of a block along the dimensions of the result; values agree to 1e-5 for any.
    background : DataArray, Dataset or sequence of these, optional
        The fields that the method learned with.
    statistic : {"median", "mean"}
        Of the predictive distribution, for the estimate.
    quantiles : sequence of float
        Probabilities, of each of which a layer gives the quantile.

    Returns
    -------
    Dataset
        As of `predict_blocks`; NaN at hours at which no station reports. A grid is as stations of
        the usual type would measure it, stations that state another type as these would.

    Raises
    ------
    NotFittedError
        Before ``fit``.
    ObservationError
        If the observations lack the variable that the method was fitted to, or are not valid.
    ValueError
        If too few stations have values, no hour is selected, or the method was fitted with a
        background and none is given, or the reverse.
    """
    variable = variable_of(method)
    if variable not in observations:
        variables = ", ".join(map(str, observations.data_vars)) or "nothing"
        raise ObservationError(
            f"the observations have no variable {variable!r}; they have {variables}. {method.name} "
            "was fitted to it: pass observations of it, or fit to another variable"
        )
    validate(observations, variable)
    hours = selected_hours(observations[TIME], time)
    field = method.field(observations, at, hours, **_background(method, background))
    observed = np.isfinite(stored_values(observations, variable))
    stations = observed.any(axis=1)  # others do not support an estimate
    estimates = predict_blocks(
        field,
        at=at,
        network=StationNetwork.from_dataset(observations.isel({STATION: stations})),
        observed=observed[stations],
        time=observations[TIME],
        variable=variable,
        hours=hours,
        chunks=chunks,
        alignment=method.cost(observations, variable, at).alignment,
        statistic=statistic,
        quantiles=quantiles,
        freedom=freedom_of(method.settings),
    )
    types = station_types_of(method)
    if not types or isinstance(at, Grid):
        return estimates
    layers = [variable, f"{variable}_uncertainty", *(quantile_name(variable, q) for q in quantiles)]
    return types.as_measured(estimates, layers, at)


def station_types_of(method: Method) -> TypeFactors:
    """Return what a method has learned of types of stations; of none if it knows no types."""
    types: TypeFactors = getattr(method, "station_types", TypeFactors())
    return types


def variable_of(method: Method) -> str:
    """Return the variable that a method was fitted to.

    Raises
    ------
    NotFittedError
        Before ``fit``.
    """
    if "variable" not in {*dir(type(method)), *vars(method)}:
        raise NotFittedError(
            f"this {type(method).__name__} is not fitted; call fit(observations, variable)"
        )
    return method.variable


def check_takes(method: Method, given: object, what: str = "background") -> None:
    """Refuse a background, or what becomes one, for a method that does not take one.

    Raises
    ------
    ValueError
        Naming the method.
    """
    if given is not None and not method.takes_background:
        raise ValueError(
            f"{method.name!r} takes no {what}; leave it out, or use method='neural' or 'kriging'"
        )


def _background(method: Method, background: BackgroundField | None) -> dict[str, Any]:
    """Return the keyword ``background`` for the methods that have it."""
    check_takes(method, background)
    return {"background": background} if method.takes_background else {}


def configuration(method: Any) -> dict[str, Any]:
    """Return the parameters of a method that is a dataclass, a given variogram left out."""
    names = [field.name for field in fields(method) if field.init and field.name != "variogram"]
    return {name: getattr(method, name) for name in names}


class Fitted:
    """Base class of the methods of this package; others need not inherit it."""

    _variable: str | None = None
    _station_types = TypeFactors()

    @property
    def station_types(self) -> TypeFactors:
        """By which factor stations of a type measure more than those of the usual type."""
        return self._station_types

    def _of_usual_type(self, observations: xr.Dataset, variable: str) -> StationSeries:
        """Return the series as stations of the usual type would measure them."""
        of_usual = self.station_types.of_usual(observations, variable)
        return StationSeries.from_dataset(of_usual, variable)

    @property
    def variable(self) -> str:
        """Name of the variable that the method was fitted to.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        if self._variable is None:
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted; call fit(observations, variable)"
            )
        return self._variable

    def predict(
        self: Any, observations: xr.Dataset, at: Grid | xr.Dataset, **options: Any
    ) -> xr.Dataset:
        """Return estimate, standard error and flag on a grid or at stations, lazily.

        Parameters
        ----------
        observations : Dataset
            Stations and values from which to estimate; need not be those of ``fit``.
        at : Grid or Dataset
            Where: a grid, or any Dataset with longitude and latitude on ``station``.
        **options
            ``time``, ``chunks``, ``background``, ``statistic`` and ``quantiles`` of
            `aqreanalysis.methods.predict`.
        """
        return predict(self, observations, at, **options)
