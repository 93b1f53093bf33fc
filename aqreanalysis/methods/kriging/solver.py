r"""The ordinary kriging system, solved: weights that sum to one, and the kriging variance.

With :math:`K` the covariance among the data, :math:`k` that with the target and :math:`s` the
variance of the target, the weights :math:`w` of the best linear unbiased estimate solve (Chiles &
Delfiner 2012, Geostatistics, section 3.4)

.. math:: K w = k + \mu 1, \qquad 1^T w = 1.

Both unknowns follow from two solutions of the system without its condition, and so does the
kriging variance:

.. math::

    w = K^{-1} k + \mu K^{-1} 1, \qquad
    \mu = \frac{1 - 1^T K^{-1} k}{1^T K^{-1} 1}, \qquad
    \sigma^2 = s - w^T k + \mu.

All functions take any number of systems at once. Arrays may be of numpy or, where gradients are
wanted, of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

from aqreanalysis.methods.kriging.neighbours import label_rows

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

#: Relative variance on the diagonal that keeps two stations at one place from a singular system:
#: the least that a measurement errs.
JITTER = 1e-6
#: Numbers in one batch of inverted matrices, 8 MB in float64.
BATCH_NUMBERS = 1 << 20
#: Targets of a set, in the mean, up to which each is solved by itself: an inverse takes as long as
#: 2.6 solutions.
FEW_OF_SET = 2
#: Targets of one set that are solved with one copy of its inverse, and such groups at once: those
#: of 16 data fit in the cache.
GROUP, GROUPS_AT_ONCE = 8, 256


class Weights(NamedTuple, Generic[Array]):
    """Kriging weights and variance of n targets."""

    weight: Array  # (n, m), or (n, neighbour, band); rows sum to 1
    variance: Array  # (n,) of a new measurement, noise included


def ordinary_weights(
    matrix: Array,
    vector: Array,
    valid: Array,
    sill: Array | float,
    *,
    known_mean: bool = False,
) -> Weights[Array]:
    """Return ordinary kriging weights, which sum to 1, and the kriging variance.

    Parameters
    ----------
    matrix : (..., m, m) float64
        Covariance among the data, noise included.
    vector : (..., m) float64
        Covariance of the data with the target.
    valid : (..., m) bool
        Whether there is such a datum; the others get weight 0.
    sill : (...) float64, or one for all
        Variance of the target.
    known_mean : bool
        Whether the mean is known, and 0: simple kriging, of which the weights need not sum to 1.

    Returns
    -------
    Weights
        ``weight`` is (..., m) and ``variance`` (...). Without any datum, all weights are 0 and the
        variance is the sill.

    Examples
    --------
    Two equal data, the third missing:

    >>> matrix, vector = np.eye(3)[None], np.full((1, 3), 0.5)
    >>> weight, variance = ordinary_weights(matrix, vector, np.array([[True, True, False]]), 1.0)
    >>> weight.tolist(), variance.tolist()
    ([[0.5, 0.5, 0.0]], [0.5])
    """
    xp = namespace(vector)
    if not valid.all():
        matrix, vector = _without_missing(matrix, valid), vector * valid
    ones = xp.ones_like(vector) * valid
    solution = xp.linalg.solve(matrix, xp.stack([vector, ones], -1))
    return _combined(solution[..., 0], solution[..., 1], vector, sill, known_mean=known_mean)


class Products(NamedTuple):
    """Products of the weights of n target-hours."""

    row: np.ndarray  # (n,) of the target
    case: np.ndarray  # (n,)
    product: np.ndarray  # (n, factor)


class SolvedSets(NamedTuple):
    """Targets of which the stations are one of some sets, and the systems of these, solved."""

    target: np.ndarray  # (n,), set after set
    begin: np.ndarray  # (sets + 1,) of the targets of each set
    weights: Weights[np.ndarray]  # (n, m) and (n,)
    inverse: np.ndarray  # (sets, m, m), K^-1
    ones: np.ndarray  # (sets, m), K^-1 1

    def bordered(self) -> np.ndarray:
        """Return the inverses of the systems with their condition, without its row and column."""
        share = self.ones / self.ones.sum(axis=1, keepdims=True)
        return self.inverse - self.ones[:, :, None] * share[:, None]

    def products(self, number: np.ndarray, factors: np.ndarray) -> Products:
        """Return the products of the weights of all targets of a set with the factors of its cases.

        They are one product of matrices for each set.

        Parameters
        ----------
        number : (cases,) int64
            The set of each case, ascending.
        factors : (cases, factor, m) float64
        """
        sets, first, count = np.unique(number, return_index=True, return_counts=True)
        targets = np.diff(self.begin)[sets]
        row = _ranges(self.begin[sets], targets)
        length = np.repeat(count, targets)
        products = np.empty((length.sum(), factors.shape[1]))
        start = 0
        for one, begin, cases in zip(sets, first, count, strict=True):
            weight = self.weights.weight[self.begin[one] : self.begin[one + 1]]
            of_set = factors[begin : begin + cases].reshape(-1, factors.shape[2])
            stop = start + len(weight) * cases
            np.matmul(weight, of_set.T, out=products[start:stop].reshape(len(weight), -1))
            start = stop
        case = _ranges(np.repeat(first, targets), length)
        return Products(np.repeat(row, length), case, products)


def weights_of_sets(
    station: np.ndarray,
    valid: np.ndarray,
    vector: np.ndarray,
    sill: np.ndarray | float,
    covariance: Callable[[np.ndarray], np.ndarray],
) -> Weights[np.ndarray]:
    """Return `ordinary_weights` of many targets, of which some may have the same stations.

    Where few have, each is solved by itself, which costs less than an inverse. The parameters are
    those of `solved_sets`.
    """
    labels = label_rows(station.T)
    weights = Weights(np.empty(vector.shape), np.empty(len(vector)))
    if len(vector) > FEW_OF_SET * labels[1].size:
        for part in solved_sets(station, valid, vector, sill, covariance, labels):
            weights.weight[part.target], weights.variance[part.target] = part.weights
        return weights
    sill, size = np.broadcast_to(sill, len(vector)), _batch(vector)
    for start in range(0, len(vector), size):
        some = slice(start, start + size)
        weights.weight[some], weights.variance[some] = ordinary_weights(
            covariance(station[some]), vector[some], valid[some], sill[some]
        )
    return weights


def solved_sets(
    station: np.ndarray,
    valid: np.ndarray,
    vector: np.ndarray,
    sill: np.ndarray | float,
    covariance: Callable[[np.ndarray], np.ndarray],
    labels: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[SolvedSets]:
    """Yield the systems of many targets, of which many have the same stations.

    The matrix of each distinct set of stations is inverted once.

    Parameters
    ----------
    station : (n, stations) int64
        Rows of the stations of each target, whose data are the same in a set of stations; any
        number where missing, the same in all.
    valid : (n, m) bool
        Whether there is such a datum.
    vector : (n, m) float64
        Covariance of the target with each datum.
    sill : (n,) float64, or one for all
        Variance of the target.
    covariance : callable
        From rows of ``station`` to the covariance among their data, (sets, m, m).
    labels : pair of int64 arrays, optional
        The set (n,) of each target, and a target (sets,) of each set, where they are known.
    """
    vector = vector if valid.all() else vector * valid
    number, first = label_rows(station.T) if labels is None else labels
    sill = np.broadcast_to(sill, len(vector))
    target = np.argsort(number, kind="stable")
    begin = np.append(0, np.bincount(number, minlength=first.size).cumsum())
    size = _batch(vector)
    for start in range(0, first.size, size):
        sets = first[start : start + size]
        matrix = covariance(station[sets])
        if not valid[sets].all():
            matrix = _without_missing(matrix, valid[sets])
        inverse = np.linalg.inv(matrix)
        ones = np.matmul(inverse, valid[sets][:, :, None])[..., 0]
        rows = target[begin[start] : begin[start + sets.size]]
        own = number[rows] - start
        right = vector[rows]
        simple = np.empty_like(right)
        which, group = _groups(own, sets.size)
        for few in range(0, which.size, GROUPS_AT_ONCE):
            some = group[few : few + GROUPS_AT_ONCE]
            of_some = inverse.take(which[few : few + GROUPS_AT_ONCE], axis=0)
            simple[some] = np.matmul(right.take(some, axis=0), of_some)
        weights = _combined(simple, ones[own], right, sill[rows])
        yield SolvedSets(
            rows, begin[start : start + sets.size + 1] - begin[start], weights, inverse, ones
        )


def _batch(vector: np.ndarray) -> int:
    """Return how many systems are solved at once."""
    return max(1, BATCH_NUMBERS // vector.shape[1] ** 2)


class LeavingOut(NamedTuple):
    r"""Data that are left out of solved systems.

    With :math:`B` the matrix of the system bordered by its condition, :math:`M` the data that are
    left out and :math:`R` a matrix with :math:`R (B^{-1})_{MM} R^T = 1`, the weights and the
    variance without them are (of one datum, those of `leave_one_out`)

    .. math:: w - (R w_M)^T R (B^{-1})_M, \qquad \sigma^2 + |R w_M|^2 .

    The estimate and :math:`R w_M` are products of the weights of a target with vectors that all
    targets of a set share: see `factors`.
    """

    place: np.ndarray  # (missing, cases) of the data
    row: np.ndarray  # (missing, cases, m), (B^-1)_M
    root: np.ndarray  # (missing, missing, cases), R

    @classmethod
    def of(cls, bordered: np.ndarray, number: np.ndarray, place: np.ndarray) -> Self:
        """Return what leaves data out of sets.

        Parameters
        ----------
        bordered : (sets, m, m) float64
            Of `SolvedSets` of complete data.
        number : (cases,) int64
            The set of each case.
        place : (missing, cases) int64
            Positions of the data that are left out, and not all of the set.
        """
        return cls(place, bordered[number, place], _root(bordered[number, place[:, None], place]))

    def factors(self, values: np.ndarray) -> np.ndarray:
        """Return what gives the estimate and R w_M by weights, (cases, 1 + missing, m).

        Parameters
        ----------
        values : (cases, m) float64
            Of the data; 0 where they are left out.
        """
        factors = np.zeros((len(values), 1 + len(self.place), values.shape[1]))
        factors[:, 0] = values
        change = np.einsum("omc,mc->oc", self.root, np.einsum("mci,ci->mc", self.row, values))
        case = np.arange(len(values))
        for place, root in zip(self.place, self.root.transpose(1, 0, 2), strict=True):
            factors[case, 0, place] = -(root * change).sum(axis=0)
            factors[case, 1:, place] = root.T
        return factors

    def weights(self, weight: np.ndarray, lost: np.ndarray, case: np.ndarray) -> np.ndarray:
        """Return the weights (n, m) of targets without a case's data, of which R w_M is lost."""
        share = np.einsum("no,omn->nm", lost, self.root[:, :, case])
        return weight - np.einsum("nm,mni->ni", share, self.row[:, case])


def _root(matrix: np.ndarray) -> np.ndarray:
    """Return R with ``R A R^T = 1`` of positive definite matrices A, (k, k, cases) each.

    Examples
    --------
    >>> _root(np.array([[4.0, 2.0], [2.0, 5.0]])[..., None])[..., 0].tolist()
    [[0.5, 0.0], [-0.25, 0.5]]
    """
    work, root = matrix.copy(), np.zeros_like(matrix)
    for one in range(len(matrix)):
        root[one, one] = 1
        for other in range(one):
            factor = work[other, one].copy()
            work[one] -= factor * work[other]
            root[one] -= factor * root[other]
        scale = 1 / np.sqrt(work[one, one])
        work[one] *= scale
        root[one] *= scale
    return root


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return the numbers of some ranges, one after another.

    Examples
    --------
    >>> _ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    end = length.cumsum()
    return np.arange(end[-1]) + np.repeat(start + length - end, length)


def _groups(number: np.ndarray, sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Return groups of targets of one set: its number (groups,), ascending, and rows (groups, 8).

    The last target of a set is repeated where it has no multiple of `GROUP` targets.

    Examples
    --------
    >>> which, rows = _groups(np.array([1, 0, 1]), 2)
    >>> which.tolist(), rows[:, :3].tolist()
    ([0, 1], [[1, 1, 1], [0, 2, 2]])
    """
    by_set = np.argsort(number, kind="stable")
    count = np.bincount(number, minlength=sets)
    groups = -(-count // GROUP)
    which = np.repeat(np.arange(sets), groups)
    rank = np.arange(which.size) - (groups.cumsum() - groups)[which]
    place = GROUP * rank[:, None] + np.arange(GROUP)
    place = np.minimum(place, count[which, None] - 1) + (count.cumsum() - count)[which, None]
    return which, by_set[place]


def leave_one_out(matrix: Tensor) -> Weights[Tensor]:
    r"""Return the weights (..., n, n) of each of n data from the others, and its variance (..., n).

    All follow from one inverse (Dubrule 1983, Mathematical Geology 15, 687). With

    .. math::

        B = \begin{pmatrix} K & 1 \\ 1^T & 0 \end{pmatrix}, \qquad
        w_{ij} = -\frac{(B^{-1})_{ij}}{(B^{-1})_{ii}}, \quad j \ne i, \qquad
        \sigma_i^2 = \frac{1}{(B^{-1})_{ii}},

    since row i of :math:`B^{-1} B = I` is the kriging system of datum i without itself, but for a
    factor.

    Parameters
    ----------
    matrix : (..., n, n) float64
        Covariance among the data, noise included.
    """
    n = matrix.shape[-1]
    bordered = matrix.new_ones(*matrix.shape[:-2], n + 1, n + 1)
    bordered[..., n, n] = 0
    bordered[..., :n, :n] = matrix
    inverse = bordered.inverse()[..., :n, :n]
    variance = 1 / inverse.diagonal(dim1=-2, dim2=-1)
    weights = -inverse * variance[..., None]
    return Weights(weights - weights.diagonal(dim1=-2, dim2=-1).diag_embed(), variance)


def _combined(
    simple: Array,
    ones: Array,
    vector: Array,
    sill: Array | float,
    *,
    known_mean: bool = False,
) -> Weights[Array]:
    """Return weights and variance from ``K^-1 k`` and ``K^-1 1``, (..., m) each."""
    xp = namespace(vector)
    total = ones.sum(-1)  # 0 without any datum
    some = (total > 0) & (not known_mean)
    multiplier = xp.where(some, 1 - simple.sum(-1), 0.0) / xp.where(some, total, 1.0)
    weight = simple + multiplier[..., None] * ones
    variance = sill - (weight * vector).sum(-1) + multiplier
    return Weights(weight, variance.clip(JITTER * sill))


def _without_missing(matrix: Array, valid: Array) -> Array:
    """Return the matrix with the rows and columns of missing data as those of the identity."""
    xp = namespace(matrix)
    both = valid[..., :, None] & valid[..., None, :]
    return xp.where(both, matrix, xp.eye(matrix.shape[-1], dtype=matrix.dtype))


def namespace(array: np.ndarray | Tensor) -> Any:
    """Return the library of an array. Kriging without gradients does not need to load torch."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch
