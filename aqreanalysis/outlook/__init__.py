"""The outlook: the next days of a network, at its stations and between them."""

from aqreanalysis.outlook.estimator import Outlook, OutlookMethod
from aqreanalysis.outlook.issuing import fit_outlook, outlook, starts_between
from aqreanalysis.outlook.methods import OUTLOOK_METHODS

__all__ = [
    "OUTLOOK_METHODS",
    "Outlook",
    "OutlookMethod",
    "fit_outlook",
    "outlook",
    "starts_between",
]
