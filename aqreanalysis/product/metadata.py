"""What a user states of a product: its makers, licence, project ..., in the words of ACDD 1.3."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import xarray as xr

from aqreanalysis.product.variables import ProductError

_PARTY = ("name", "email", "url", "type", "institution")
#: Attributes that a user may state; all others of ACDD follow from the product itself.
STATED_ATTRIBUTES = (
    "title",
    "summary",
    "keywords",
    "keywords_vocabulary",
    "institution",
    "project",
    "program",
    "license",
    "comment",
    "acknowledgement",
    *(f"creator_{part}" for part in _PARTY),
    *(f"publisher_{part}" for part in _PARTY),
    "contributor_name",
    "contributor_role",
    "naming_authority",
    "metadata_link",
    "processing_level",
    "platform",
    "platform_vocabulary",
    "instrument",
    "instrument_vocabulary",
    "date_issued",
    "date_modified",
    "date_metadata_modified",
)
#: Characters of control but tabs and ends of lines, and halves of characters.
UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ud800-\\udfff]")
#: What a party may be.
_TYPES = ("person", "group", "institution", "position")
#: Names, and beginnings of names, of what a product computes.
_COMPUTED = (
    "Conventions",
    "cdm_data_type",
    "date_created",
    "featureType",
    "geospatial_",
    "history",
    "id",
    "input_",
    "method",
    "method_settings",
    "product_version",
    "references",
    "source",
    "standard_name_vocabulary",
    "time_coverage_",
)


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what is stated as texts; lists are joined, dates as ISO 8601.

    Raises
    ------
    ProductError
        If a name is unknown or of what the product computes, or a value is no text; all faults at
        once.

    Examples
    --------
    >>> checked_metadata({"license": "CC BY 4.0", "keywords": ["PM2.5", "Beijing"]})
    {'license': 'CC BY 4.0', 'keywords': 'PM2.5, Beijing'}
    """
    texts, faults, unknown = {}, [], []
    for name, value in (metadata or {}).items():
        if name in STATED_ATTRIBUTES:
            text = _text(value)
            fault = _fault(name, text)
            texts[name] = text or ""
            faults += [f"{name} {fault}; found {value!r}"] if fault else []
        elif name in _COMPUTED or name.startswith(tuple(n for n in _COMPUTED if n[-1] == "_")):
            faults.append(f"{name} follows from the product and cannot be stated: leave it out")
        else:
            unknown.append(repr(name))
    if unknown:
        known = ", ".join(STATED_ATTRIBUTES)
        faults.append(f"there is no attribute {', '.join(unknown)}; those to state are {known}")
    if faults:
        raise ProductError(f"metadata: {'; '.join(faults)}")
    return texts


def with_metadata(product: xr.Dataset, metadata: Mapping[str, Any]) -> xr.Dataset:
    """Return the product with what a user states of it.

    Parameters
    ----------
    product : Dataset
    metadata : mapping of str to str, list of str or date
        Attributes of ACDD 1.3, as `STATED_ATTRIBUTES`.

    Raises
    ------
    ProductError
        As of `checked_metadata`.

    Examples
    --------
    >>> with_metadata(xr.Dataset(), {"institution": "University of Helsinki"}).attrs
    {'institution': 'University of Helsinki'}
    """
    return product.assign_attrs(checked_metadata(metadata))


def _text(value: Any) -> str | None:
    """Return a value as text; None for what is none."""
    if isinstance(value, date):  # of TOML, which has dates, with or without a time
        return value.isoformat()
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return value.strip() if isinstance(value, str) else None


def _fault(name: str, text: str | None) -> str | None:
    """Return what is wrong with the value of an attribute, if anything is."""
    if not text:
        return "must be a text that says something, or a list of texts"
    if UNPRINTABLE.search(text):
        return "has characters of control, which metadata cannot hold"
    if name.endswith("_type") and text not in _TYPES:
        return f"must be one of {', '.join(_TYPES)}"
    if name.endswith("_email") and "@" not in text:
        return "must be an address with @"
    if name.endswith(("_url", "_link")) and not text.startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if name.startswith("date_"):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return "must be a date such as 2024-05-31"
    return None
