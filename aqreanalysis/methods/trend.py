"""What a model learned of altitude and background: a weighted sum of covariates of stations."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import counted
from aqreanalysis.foreign.background import Background, BackgroundError, BackgroundField
from aqreanalysis.geography.likeness import FARTHEST, Coordinates
from aqreanalysis.geography.own_field import is_altitude

logger = logging.getLogger(__name__)

#: Name of the covariate that is a coordinate of places: those of backgrounds have other names.
ALTITUDE_OF_PLACES = "altitude of places"


@dataclass(frozen=True)
class Trend:
    """A linear regression of a standardised variable on covariates.

    Attributes
    ----------
    names : tuple of str
    rooted : tuple of bool
        Whether the square root of a covariate is used, as for concentrations.
    centre, scale, coefficient : tuple of float
        Of each covariate over the training stations and hours.
    attributes : tuple of str
        Covariates by which places also differ for the covariance; for kriging those that it uses.
    """

    names: tuple[str, ...]
    rooted: tuple[bool, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    coefficient: tuple[float, ...]
    attributes: tuple[str, ...] = ()

    @classmethod
    def of(cls, background: Background, columns: np.ndarray, values: np.ndarray) -> Self:
        """Return the trend of standardised values (n, t), by least squares.

        Parameters
        ----------
        background : Background
        columns : (n, t, covariate)
            Of `Background.at` at the stations.
        values : (n, t)
            NaN where missing.

        Raises
        ------
        BackgroundError
            If a covariate is missing wherever something was measured.
        """
        columns = _rooted(columns, background.rooted)
        measured = np.isfinite(values)
        used = np.isfinite(columns) & measured[..., None]
        for name, some in zip(background.names, used.any(axis=(0, 1)), strict=True):
            if not some:
                raise BackgroundError(
                    f"the background {name!r} has no value at any measurement: it has "
                    f"{background.extent()}. Pass a field of two cells or more each way that "
                    "covers the stations' region and period and is not missing there"
                )
        taken = np.where(used, columns, np.nan)
        centre = np.nanmean(taken, axis=(0, 1))
        scale = np.nanstd(taken, axis=(0, 1))
        # A constant has a spread of rounding; it would be blown up to a covariate of noise.
        constant = scale <= 1e-6 * np.abs(centre)
        scale[constant] = 1.0
        _warn_of_missing(background.names, measured, used)
        regular = np.nan_to_num(np.where(constant, 0.0, columns - centre) / scale)[measured]
        design = np.column_stack([regular, np.ones(len(regular))])
        solved = np.linalg.lstsq(design, values[measured], rcond=None)[0][:-1]
        numbers = (tuple(array.tolist()) for array in (centre, scale, solved))
        return cls(background.names, background.rooted, *numbers)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return the trend of `facts`."""
        return cls(**{name: tuple(values) for name, values in facts.items()})

    @property
    def used(self) -> bool:
        """Whether any covariate counts."""
        return any(self.coefficient)

    def facts(self) -> dict[str, Any]:
        """Return plain lists, for the record of a saved model."""
        return {name: list(values) for name, values in asdict(self).items()}

    def regular(self, columns: np.ndarray) -> np.ndarray:
        """Return covariates (n, t, covariate) standardised; a missing one counts as its mean.

        Altitudes far from those of the stations count as `FARTHEST`.
        """
        regular = (_rooted(columns, self.rooted) - np.array(self.centre)) / np.array(self.scale)
        if self.of_places:
            altitude = regular[..., self.names.index(ALTITUDE_OF_PLACES)]
            np.clip(altitude, -FARTHEST, FARTHEST, out=altitude)
        return np.nan_to_num(regular)

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Return the trend (n, t) of covariates (n, t, covariate)."""
        return self.regular(columns) @ np.array(self.coefficient)

    def of_attributes(self, columns: np.ndarray) -> np.ndarray:
        """Return covariates (n, t, covariate) standardised, those that are no attributes as 0."""
        counted = np.isin(self.names, self.attributes)
        return np.where(counted, self.regular(columns), 0.0)

    def attributes_of(self, columns: np.ndarray) -> np.ndarray:
        """Return the attributes of places (n, attribute), of covariates at one hour."""
        chosen = [self.names.index(name) for name in self.attributes]
        return self.regular(columns)[:, 0, chosen]

    @property
    def of_places(self) -> bool:
        """Whether the altitude of places is a covariate."""
        return ALTITUDE_OF_PLACES in self.names

    @property
    def background(self) -> tuple[str, ...]:
        """Names of the covariates that a background gives."""
        return tuple(name for name in self.names if name != ALTITUDE_OF_PLACES)


@dataclass(frozen=True, eq=False)
class Regressors:
    """The covariates of a trend, at any places: their altitude, and those of a background.

    Attributes
    ----------
    places : Coordinates, optional
        Of which the altitude is a covariate.
    background : Background, optional
    """

    places: Coordinates | None = None
    background: Background | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the covariates."""
        of_places = () if self.places is None else (ALTITUDE_OF_PLACES,)
        return of_places + (() if self.background is None else self.background.names)

    @property
    def altitudes(self) -> frozenset[str]:
        """Names of the covariates that are the altitude."""
        of_places = () if self.places is None else (ALTITUDE_OF_PLACES,)
        if self.background is None:
            return frozenset(of_places)
        every = ((name, field) for field in self.background.data for name in self.background.names)
        given = (name for name, field in every if name in field and is_altitude(field[name]))
        return frozenset((*of_places, *given))

    @property
    def constant(self) -> bool:
        """Whether no covariate changes in time."""
        return self.background is None or self.background.constant

    def trend(self, columns: np.ndarray, values: np.ndarray) -> Trend:
        """Return the `Trend` of standardised values (n, t), with nothing of the altitude yet.

        ``columns`` are those of `at` at the stations.
        """
        trend = Trend((), (), (), (), ())
        if self.places is not None:
            altitude = columns[:, 0, 0]
            known = altitude[np.isfinite(altitude)]
            centre, scale = (known.mean(), known.std()) if known.size else (0.0, 0.0)
            numbers = (float(centre),), (float(scale) or 1.0,), (0.0,)
            trend = Trend((ALTITUDE_OF_PLACES,), (False,), *numbers)
        if self.background is None:
            return trend
        of_background = Trend.of(self.background, columns[..., len(trend.names) :], values)
        parts = zip(astuple(trend), astuple(of_background), strict=True)
        return Trend(*(first + second for first, second in parts))

    def at(
        self, longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray | xr.DataArray
    ) -> np.ndarray:
        """Return the covariates (n, t, covariate); t is 1 where all are of places."""
        columns = []
        if self.background is not None:
            columns.append(self.background.at(longitude, latitude, time))
        if self.places is not None:
            altitude = self.places.altitude_m(longitude, latitude)
            steps = columns[0].shape[1] if columns else 1
            columns.insert(0, np.broadcast_to(altitude[:, None, None], (altitude.size, steps, 1)))
        return np.concatenate(columns, -1)


def background_of(trend: Trend | None, background: BackgroundField | None) -> Background | None:
    """Return the background of a model that learned a trend of one; none of one that did not.

    Raises
    ------
    BackgroundError
        If the model learned with a background and none is given, another one, or the reverse.
    """
    learned = () if trend is None else trend.background
    if bool(learned) != (background is not None):
        raise BackgroundError(
            f"this model learned with the background {', '.join(learned)}; pass "
            "it as background= or geography=, for the targets and the period that are asked for"
            if learned
            else "this model learned without a background; leave it out, or fit again with one"
        )
    if background is None:
        return None
    field = Background(background)
    if field.names != learned:
        raise BackgroundError(
            f"this model learned with the background {', '.join(learned)}; found "
            f"{', '.join(field.names)}. Pass the same variables in the same order."
        )
    return field


def _rooted(columns: np.ndarray, rooted: tuple[bool, ...]) -> np.ndarray:
    """Return covariates with the square root of those that are concentrations."""
    return np.where(rooted, np.sqrt(np.clip(columns, 0, None)), columns)


def _warn_of_missing(names: tuple[str, ...], measured: np.ndarray, used: np.ndarray) -> None:
    """Say where a covariate is missing although something was measured."""
    for number, name in enumerate(names):
        missing = measured & ~used[..., number]
        if missing.any():
            logger.warning(
                "the background %r is missing at %d of %d measurements (%s); it counts "
                "as its mean there",
                name,
                missing.sum(),
                measured.sum(),
                counted(missing.any(axis=1).sum(), "station"),
            )
