"""Verification: how good methods and products are where there is no station.

`verify` hides stations and gives sums, `metrics`, `intervals` and `differences` make scores of
them; `verify_product` does the same for a field that exists already.
"""

from aqreanalysis.verification.bootstrap import differences, intervals
from aqreanalysis.verification.colocation import match_product, verify_product
from aqreanalysis.verification.crossvalidation import (
    HiddenEstimates,
    cross_validate,
    estimate_hidden,
    verify,
)
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.folds import Design, Fold, folds_of
from aqreanalysis.verification.pairs import build_pairs
from aqreanalysis.verification.scoring import metrics
from aqreanalysis.verification.summing import check_events, combine, statistics
from aqreanalysis.verification.tables import score_table

__all__ = [
    "Design",
    "Fold",
    "HiddenEstimates",
    "VerificationError",
    "build_pairs",
    "check_events",
    "combine",
    "cross_validate",
    "differences",
    "estimate_hidden",
    "folds_of",
    "intervals",
    "match_product",
    "metrics",
    "score_table",
    "statistics",
    "verify",
    "verify_product",
]
