"""Published figures of the protocols, and reference figures computed on the same data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

#: "published" by the named authors; "computed" with plain NumPy and SciPy on these protocols;
#: "prototype" of an early form of this package's method.
Source = Literal["published", "computed", "prototype"]


@dataclass(frozen=True)
class Figure:
    """One row of a published table; None is not given.

    Attributes
    ----------
    method : str
    source : {"published", "computed", "prototype"}
    rmse, mae, r2, mape, correlation : float or None
    folds : tuple of int, optional
        Folds that it is about; all of them by default.
    """

    method: str
    source: Source
    rmse: float | None = None
    mae: float | None = None
    r2: float | None = None
    mape: float | None = None
    correlation: float | None = None
    folds: tuple[int, ...] | None = None


FIGURES: dict[str, tuple[Figure, ...]] = {
    "p1": (
        Figure("Gaussian process, ARD and Hamming kernel", "published", 24.03, 15.03, 0.90),
        Figure("random forest", "published", 26.68, 15.59, 0.87),
        Figure("ADAIN", "published", 29.39, 18.83),
        Figure("idw, power 3", "computed", 24.61, 14.31, 0.892),
        Figure("kriging", "computed", 23.15, 13.54, 0.905),
        Figure("kriging of square roots", "computed", 23.15, 13.38, 0.905),
        Figure("space-time kriging", "computed", 22.81, 13.42, 0.908),
    ),
    "p2": (
        Figure("GRIN, 1014", "published", None, 11.74),
        Figure("GRIN, 1031", "published", None, 20.00),
        Figure("space-time kriging, 1014", "computed", None, 11.15),
        Figure("space-time kriging, 1031", "computed", None, 14.52),
    ),
    "p3": (
        Figure("INCREASE, its authors' weights", "computed", 34.00, 18.85, 0.836, 0.239),
        Figure("idw, 5 stations, power 2", "computed", 33.77, 18.58, 0.838, 0.244),
        Figure("kriging", "computed", 32.34, 18.08, 0.852, 0.251),
        Figure("kriging of square roots", "computed", 32.20, 17.72, 0.853, 0.237),
        Figure("space-time kriging of square roots", "computed", 32.03, 17.72, 0.854),
        Figure("learned covariance", "prototype", 32.18, 17.72, 0.853, 0.234),
        Figure("learned covariance and decoder", "prototype", 31.90, 17.66, 0.856, 0.233),
    ),
    "p4": (
        Figure("KITS, seed 1 (as reported, unconfirmed)", "published", None, 16.59),
        Figure("mean of the known stations", "computed", 38.2, 20.7),
        Figure("idw, power 3", "computed", 31.7, 16.2),
        Figure("kriging", "computed", 28.08, 14.61),
        Figure("space-time kriging", "computed", 27.38, 14.34),
        Figure("space-time kriging of despiked square roots", "computed", 27.39, 14.12),
    ),
    "p6": (
        Figure("idw, 8 stations, power 1", "computed", 7.92, 4.70, 0.373),
        Figure("kriging of log(x + 3)", "computed", 7.81, 4.50, 0.390),
        Figure("kriging of square roots", "computed", 7.75, 4.53, 0.400),
        Figure("idw, 8 stations, power 1", "computed", 7.29, 4.62, 0.365, folds=(0, 1)),
        Figure("kriging of log(x + 3)", "computed", 7.27, 4.47, 0.369, folds=(0, 1)),
        Figure("learned covariance", "prototype", 7.24, 4.49, 0.374, folds=(0, 1)),
        Figure("attention over neighbours", "prototype", 7.05, 4.28, 0.407, folds=(0, 1)),
        Figure("covariance and attention", "prototype", 6.95, 4.30, 0.423, folds=(0, 1)),
    ),
    "p7": (
        Figure("spatial kriging, 50 stations", "published", 6.10, 4.07, correlation=0.84),
        Figure("spatial kriging, 10 stations", "published", 6.15, 4.09),
        Figure("separable, product-sum", "published", 6.05, 4.04, correlation=0.84),
        Figure("metric", "published", 6.07, 4.08),
        Figure("sum-metric", "published", 6.14, 4.09),
    ),
    "p8": (
        Figure("EMEP model alone", "computed", 17.9),
        Figure("kriging of the residuals of EMEP", "published", 10.7),
    ),
}


#: What a reader of a table has to know about its published rows.
NOTES: dict[str, str] = dict.fromkeys(
    ("p2", "p3", "p4"),
    "The public file cuts values at 500 ug m-3. The computed rows seem to come from a series "
    "without that\ncut: their RMSE is about 4 % higher, for the same method, than on this file.",
) | {
    "p7": "The published variogram was fitted to all 69 stations; every other method is fitted "
    "without the\nstation that is left out."
}


def figures(key: str, folds: Sequence[int] | None) -> list[Figure]:
    """Return the figures of a protocol that compare with a choice of folds.

    Where none is about that choice all are returned, and their names say their folds.
    """
    rows = FIGURES.get(key, ())
    fitting = [row for row in rows if _compares(row.folds, folds)]
    if fitting:
        return fitting
    return [replace(row, method=f"{row.method} ({_named(row.folds)})") for row in rows]


def _compares(about: tuple[int, ...] | None, chosen: Sequence[int] | None) -> bool:
    """Return whether a figure is about the chosen folds."""
    if about is None or chosen is None:
        return about is chosen
    return set(about) == set(chosen)


def _named(folds: tuple[int, ...] | None) -> str:
    """Return the folds of a figure in words."""
    return "all folds" if folds is None else "folds " + ", ".join(map(str, folds))
