"""The outlook: the next days of a network, at its stations and between them."""

from aqreanalysis.outlook.estimator import Outlook, fit_outlook, outlook
from aqreanalysis.outlook.methods import OUTLOOK_METHODS, OutlookMethod
from aqreanalysis.outlook.periods import starts_between

__all__ = [
    "OUTLOOK_METHODS",
    "Outlook",
    "OutlookMethod",
    "fit_outlook",
    "outlook",
    "starts_between",
]
