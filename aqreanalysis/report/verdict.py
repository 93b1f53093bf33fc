"""The verdict: one to three sentences that claim no more than the intervals allow."""

import numpy as np

from aqreanalysis.report.findings import ESTIMATOR, FEW_PLACES, REFERENCE, Findings
from aqreanalysis.report.words import (
    NO_BREAK,
    counted,
    enumerated,
    label_of,
    number,
    percent,
    subject_of,
    units_of,
)

#: The share of the measurements that the intervals are made to hold.
_NOMINAL = 0.9


def verdict(findings: Findings) -> list[str]:
    """Conclude on the first method: compared with kriging, its intervals, a caution.

    A difference counts only where its interval excludes zero.
    """
    if findings.method not in findings.scored():
        return [
            f"{subject_of(findings.method, opening=True)} gave no estimate that could be scored."
        ]
    sentences = [_skill(findings), _uncertainty(findings), _caution(findings)]
    return [sentence for sentence in sentences if sentence]


def relative(low: float, high: float) -> str:
    """Return an interval of relative differences in words.

    Examples
    --------
    >>> relative(-0.041, -0.005).replace(chr(160), " ")
    '4.1 to 0.5 % below'
    >>> relative(-0.041, 0.012).replace(chr(160), " ")
    '4.1 % below to 1.2 % above'
    """
    sides = ["below" if end < 0 else "above" for end in (low, high)]
    if sides[0] != sides[1]:
        return f"{percent(-low, 1)} below to {percent(high, 1)} above"
    return f"{number(100 * abs(low), 1)} to {percent(abs(high), 1)} {sides[0]}"


def _rmse(findings: Findings, method: str) -> str:
    """Return a method's RMSE with its units."""
    return f"{number(findings.rmse(method), findings.decimals)}{NO_BREAK}{units_of(findings.pairs)}"


def _skill(findings: Findings) -> str:
    """Return how large the error is, and how it compares with kriging's."""
    method = findings.method
    opening = f"{subject_of(method, opening=True)}'s RMSE is {_rmse(findings, method)}"
    others = [name for name in findings.scored() if name != method]
    if not others:
        only_one = len(findings.methods) == 1
        why = "There is" if only_one else "The others gave no estimates: there is"
        return f"{opening}{_own_interval(findings)}. {why} no other method to compare it with."
    if method == REFERENCE:
        return f"{opening}{_own_interval(findings)}{_best_beside_kriging(findings, others)}."
    if REFERENCE not in others:
        best = min(findings.scored(), key=lambda name: findings.rmse(name))
        rank = (
            "the lowest of the methods here"
            if best == method
            else f"{subject_of(best)} has the lowest here with {_rmse(findings, best)}"
        )
        return (
            f"{opening}{_own_interval(findings)}, {rank}; ordinary kriging is not among them, so "
            "this does not tell whether it improves on kriging."
        )
    return f"{opening}, {_against_kriging(findings, method)}."


def _own_interval(findings: Findings) -> str:
    """Return the interval of the first method's RMSE in brackets, if there is one."""
    low, high = findings.overall.ends(findings.method, "rmse")[:, 0]
    if not np.isfinite([low, high]).all():
        return ""
    low, high = (number(end, findings.decimals) for end in (low, high))
    return f" ({percent(0.95)} interval: {low} to {high})"


def _best_beside_kriging(findings: Findings, others: list[str]) -> str:
    """Return how the best of the other methods compares with kriging, which is verified."""
    best = min(others, key=lambda name: findings.rmse(name))
    return f"; {subject_of(best)}'s is {_rmse(findings, best)}, {_against_kriging(findings, best)}"


def _against_kriging(findings: Findings, method: str) -> str:
    """Return how much a method's RMSE is below or above kriging's, or that it is not known."""
    value, low, high = findings.relative(method)
    kriging = subject_of(REFERENCE)
    if not np.isfinite(value):
        return f"and no station tells how it compares with {kriging}'s"
    if not np.isfinite([low, high]).all():
        side = "below" if value < 0 else "above"
        return (
            f"{percent(abs(value), 1)} {side} {kriging}'s, but a single place gives no interval: "
            "this may be chance"
        )
    interval = f"({percent(0.95)} interval: {relative(low, high)})"
    if low <= 0 <= high:
        theirs = number(findings.rmse(REFERENCE), findings.decimals)
        return f"not distinguishable from {kriging}'s {theirs} {interval}{_mae(findings, method)}"
    side = "below" if value < 0 else "above"
    worse = "" if value < 0 else "worse: "
    return f"{worse}{percent(abs(value), 1)} {side} {kriging}'s {interval}"


def _mae(findings: Findings, method: str) -> str:
    """Return how the mean absolute error differs, where its interval excludes zero."""
    value, low, high = findings.relative(method, "mae")
    if not np.isfinite([value, low, high]).all() or low <= 0 <= high:
        return ""
    side = "below" if value < 0 else "above"
    return f"; its mean absolute error is {percent(abs(value), 1)} {side} ({relative(low, high)})"


def _uncertainty(findings: Findings) -> str:
    """Return the coverage of the first method's 90 % intervals, in words."""
    method = findings.method
    if method not in findings.probabilistic():
        return "It gives no standard errors: how uncertain an estimate is, it does not say."
    share = float(findings.overall.scores["coverage_90"].sel({ESTIMATOR: method}))
    low, high = findings.overall.ends(method, "coverage_90")[:, 0]
    coverage = f"Its {percent(_NOMINAL)} intervals hold {percent(share)} of the measurements"
    if not np.isfinite([low, high]).all():
        return f"{coverage}."
    if high < _NOMINAL:
        return f"{coverage}: too narrow."
    return (
        f"{coverage}: wider than they need be."
        if low > _NOMINAL
        else f"{coverage}, as they should."
    )


def _caution(findings: Findings) -> str:
    """Return what weakens the verdict most: failures, or few places."""
    missing = [name for name in findings.methods if name not in findings.scored()]
    if missing:
        return f"No estimate came from {enumerated(label_of(name) for name in missing)}."
    if findings.places < FEW_PLACES:
        return f"With only {counted(findings.places, 'place')}, this is weak evidence."
    return ""
