"""The model of a store: loaded, fitted anew when it is old, and refused if it is another."""

import logging
import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.geography import attributes, learned_names
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import Quality, step_hours, usable, valid_variable
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.versions import chunks_of
from aqreanalysis.product import ProductError

logger = logging.getLogger(__name__)

Refit = Literal["never", "monthly"]
#: Age of what a model learned from which on it is fitted anew, and hours that a fit needs.
MONTH_HOURS, FIT_HOURS = 30 * 24.0, 14 * 24.0


class CurrentModel(NamedTuple):
    """A model, its digest, and whether it was fitted just now."""

    model: Reanalyser
    digest: str
    refitted: bool


def current_model(
    given: str | os.PathLike[str] | Reanalyser,
    observations: xr.Dataset,
    *,
    refit: Refit,
    quality: Quality,
    background: BackgroundField | None,
    progress: bool,
) -> CurrentModel:
    """Return the model for a run; one that is fitted anew takes the place of the saved one.

    Raises
    ------
    SavedModelError
        If there is no saved model, or a damaged one.
    ValueError
        If a model that is not saved is to be fitted anew.
    """
    if refit not in ("never", "monthly"):
        raise ValueError(f"refit must be never or monthly; found {refit!r}")
    if isinstance(given, Reanalyser):
        if refit != "never":
            raise ValueError(
                "refit replaces a saved model: pass the path of its folder, or refit='never'"
            )
        return CurrentModel(given, _digest(given), False)
    folder = Path(given)
    loaded = None
    if folder.exists() or refit == "never":
        loaded = Reanalyser.load(folder)
        if refit == "never" or not _is_due(loaded, observations):
            return CurrentModel(loaded, _digest(loaded), False)
    fitted = _fitted(loaded, observations, quality, background, progress)
    fitted.save(folder)
    return CurrentModel(fitted, _digest(fitted), True)


def check_same(
    store: Path, journal: Journal | None, current: CurrentModel, *, may_change: bool
) -> None:
    """Refuse another model than a store was made with, unless it may change and has its windows.

    Raises
    ------
    ProductError
        Naming both.
    """
    if journal is None:
        return
    size = current.model.reach.window_steps
    block = chunks_of(store, journal.request["variable"])[TIME]
    if size != block:
        raise ProductError(
            f"{store} has blocks of {block} steps, and windows of this model have {size}: give a "
            "model with the same core_steps, or name another store"
        )
    if may_change or journal.model == current.digest:
        return
    raise ProductError(
        f"{store} was last estimated by the model {journal.model}, and this is {current.digest}. "
        "Give the model of the store, or let the new one go on with it from the window of "
        "revision on: --new-model"
    )


def _digest(model: Reanalyser) -> str:
    """Return what tells a model from others."""
    return str(model.settings["weights_sha256"])


def _is_due(model: Reanalyser, observations: xr.Dataset) -> bool:
    """Return whether a model is old and there is enough to fit another one."""
    labels = observations[TIME].values
    learned = np.datetime64(model.settings["period"][1], "ns")
    if (labels[-1] - learned) / np.timedelta64(1, "h") < MONTH_HOURS:
        return False
    hours = labels.size * step_hours(observations)
    if hours < FIT_HOURS:
        logger.warning(
            "the model learned until %s and is due, but a fit needs %g h of measurements, and there"
            " are %g: hand over more of them",
            np.datetime_as_string(learned, unit="m"),
            FIT_HOURS,
            hours,
        )
        return False
    return True


def _fitted(
    before: Reanalyser | None,
    observations: xr.Dataset,
    quality: Quality,
    background: BackgroundField | None,
    progress: bool,
) -> Reanalyser:
    """Return a model of the observations, of the kind of the one before."""
    observations = observations.compute()
    variable = before.variable if before else valid_variable(observations, None)
    names = learned_names(before.settings) if before else []
    used = usable(observations, variable, quality)
    known = attributes(names or None, used, background=background)
    model = Reanalyser(
        before.configuration if before else None,
        seed=before.seed if before else 0,
        progress=progress,
    )
    return model.fit(used, variable, background=known.background)
