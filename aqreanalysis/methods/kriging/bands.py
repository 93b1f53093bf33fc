"""Bands of the day, and the kriging weights of each: the slow reaches further than the fast."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.solver import JITTER, Weights, leave_one_out, ordinary_weights

#: Widths of a Gaussian at which it is cut.
CUT = 3.0
#: Added to squared distances, km2: the root of 0 has no finite gradient. As a distance it
#: is 1 m, far below the spacing of stations.
SMOOTHING_KM2 = 1e-6
#: Targets whose systems are solved at once: those of all bands fit in the processor's cache.
SOLVED_AT_ONCE = 32
#: Squared stretch that stands for none, where a root has no slope.
TINY_STRETCH = 1e-24


def reach_of(widths: Sequence[float]) -> int:
    """Return how many steps to either side the bands of a step need.

    Examples
    --------
    >>> reach_of((1.5, 6.0))
    18
    """
    return max(math.ceil(CUT * width) for width in widths)


def split_bands(value: Tensor, mask: Tensor, widths: Sequence[float]) -> Tensor:
    """Return the bands of series, fastest first; they add up to the series.

    The series is smoothed with a Gaussian of each width, and a band is what lies between one
    smoothing and the next. Masked steps do not count in a smoothing.

    Parameters
    ----------
    value : (..., time)
    mask : (..., time)
        1 where there is a value or an estimate of it, 0 where there is neither; (1, time) if at
        the same steps of all series.
    widths : sequence of float
        Standard deviations in steps, ascending.

    Returns
    -------
    Tensor, (..., time - 2 reach, band)

    Examples
    --------
    >>> constant = torch.ones(1, 45)
    >>> split_bands(constant, constant, (1.0, 7.0)).round(decimals=6).tolist()
    [[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
    """
    reach = reach_of(widths)
    core = value.shape[-1] - 2 * reach
    rough = value.narrow(-1, reach, core)
    bands = []
    for width in widths:
        share = _smoothed(mask, width, reach).clamp_min(JITTER)
        smooth = _smoothed(value * mask, width, reach) / share
        bands.append(rough - smooth)
        rough = smooth
    return torch.stack([*bands, rough], -1)


def _smoothed(value: Tensor, width: float, reach: int) -> Tensor:
    """Return (..., time - 2 reach): sums with the weights of a Gaussian that is cut."""
    half = math.ceil(CUT * width)
    steps = torch.arange(-half, half + 1, dtype=value.dtype, device=value.device)
    weights = torch.exp(-(steps**2) / (2 * width**2))
    inner = value.narrow(-1, reach - half, value.shape[-1] - 2 * (reach - half))
    flat = inner.reshape(-1, 1, inner.shape[-1])
    summed = nn.functional.conv1d(flat, (weights / weights.sum())[None, None])
    return summed.reshape(*value.shape[:-1], summed.shape[-1])


def _in_plane(distance_km: Tensor, bearing: Tensor) -> Tensor:
    """Return the places (..., 2) in the plane around a point, km to the east and north."""
    return torch.stack([bearing.sin(), bearing.cos()], -1) * distance_km[..., None]


def _length_km(place: Tensor) -> Tensor:
    """Return how far places of a plane (..., 2) are from its origin, km; never 0."""
    return ((place**2).sum(-1) + SMOOTHING_KM2).sqrt()


def _pair_km(first: Tensor, second: Tensor) -> Tensor:
    """Return the distances (..., n, m) km of places in a plane, (..., n, 2) and (..., m, 2).

    Never 0.
    """
    # By coordinate, not as a sum over an axis of two, which is slow.
    pairs = zip(first.unbind(-1), second.unbind(-1), strict=True)
    east, north = ((a[..., :, None] - b[..., None, :]) ** 2 for a, b in pairs)
    return (east + north + SMOOTHING_KM2).sqrt()


def _square_apart(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared distances (..., n, m) of points (..., n, d) and (..., m, d)."""
    ours, others = (each.square().sum(-1) for each in (first, second))
    product = first @ second.mT
    return (ours[..., :, None] + others[..., None, :] - 2 * product).clamp_min(0.0)


class BandCovariance(nn.Module):
    r"""The covariance of each band at two places, and the ordinary kriging weights that follow.

    In a stationary field the best linear estimate from whole series separates by frequency: each
    has a covariance in space and weights of its own (Chiles & Delfiner 2012, section 5.6). Three
    bands stand for the frequencies. What changes from hour to hour reaches a few kilometres and is
    mostly noise, what changes from day to day reaches hundreds. In band b

    .. math:: C_b(h) = \sum_{i=1}^2 a_{bi} e^{-|S h| / \ell_{bi}} + n_b [h = 0]

    where S stretches the plane around the target, so that the reach may depend on the direction.
    The noise n of a station has a factor, for some are noisier than others. Bands are not disjoint:
    the variance of their sum counts the correlation of their errors, ``correlation``.

    Places may have attributes x, such as the altitude, in standard deviations. First, these set
    places apart as kilometres do: the distance in the term i of the sum is

    .. math:: \sqrt{|S h|^2 + \sum_k (\lambda_{ik} \Delta x_k)^2}

    with lengths :math:`\lambda`, km (automatic relevance determination: Rasmussen & Williams 2006,
    Gaussian Processes for Machine Learning, section 5.1). Second, the mean of a band may follow
    them around each target and step, with coefficients of which the prior has mean 0 and variance
    d (Omre 1987, Mathematical Geology 19, 25): the covariance gains

    .. math:: \sum_k d_{bk} x_k x'_k ,

    of which only differences count, since weights sum to 1. Where a target differs from all
    stations, both make its variance grow. Attributes of which the lengths are known beforehand, the
    same for both terms, are coordinates that come first; no mean follows them. An attribute that is
    a coordinate, too, is followed by the mean alone: its ``apart`` is 0.

    Parameters
    ----------
    bands : int
    spacing_km : float
        Median spacing of the stations; the ranges begin at 3 and 20 times it, and the lengths of an
        attribute at it.
    attributes : int
        Number of attributes, without coordinates.
    coordinate_km : sequence of float
        How far one unit of each coordinate sets places apart, such as of `aqreanalysis.geography`.
    """

    def __init__(
        self,
        bands: int,
        spacing_km: float,
        attributes: int = 0,
        coordinate_km: Sequence[float] = (),
    ) -> None:
        super().__init__()
        of_unit = torch.tensor(coordinate_km, dtype=torch.float64)
        self.register_buffer("coordinate_km", of_unit)
        ranges = torch.tensor([3 * spacing_km, 20 * spacing_km], dtype=torch.float64).log()
        # The slower a band, the more of the variance it holds, and the less noise.
        share = torch.linspace(-3.0, -1.2, bands, dtype=torch.float64)
        self.log_amplitude = nn.Parameter(share[:, None].repeat(1, 2))
        self.log_range = nn.Parameter(ranges.repeat(bands, 1))
        self.log_noise = nn.Parameter(torch.linspace(-3.0, -4.5, bands, dtype=torch.float64))
        self.stretch = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.register_buffer("correlation", torch.eye(bands, dtype=torch.float64))
        length = torch.full((2, attributes), math.log(spacing_km), dtype=torch.float64)
        self.log_length = nn.Parameter(length)
        # 0 for an attribute that only the mean follows: a coordinate sets places apart by it.
        self.register_buffer("apart", torch.ones(attributes, dtype=torch.float64))
        drift = torch.linspace(-4.0, -2.0, bands, dtype=torch.float64)
        self.log_drift = nn.Parameter(drift[:, None].repeat(1, attributes))
        # Of the errors of a trend's coefficients, which are those of the slowest band.
        trend = torch.zeros(attributes, attributes, dtype=torch.float64)
        self.register_buffer("trend_covariance", trend)
        spacing = torch.tensor(spacing_km, dtype=torch.float64)
        self.register_buffer("log_spacing", spacing.log(), persistent=False)
        self.register_buffer("usual", self._parameters_of_bands().detach(), persistent=False)

    coordinate_km: Tensor
    correlation: Tensor
    apart: Tensor
    trend_covariance: Tensor
    log_spacing: Tensor
    usual: Tensor

    def weights(
        self,
        distance_km: Tensor,
        bearing: Tensor,
        fading: Tensor,
        log_noise: Tensor,
        contrast: Tensor | None = None,
    ) -> Weights:
        """Return the weights of k neighbours in each band, and the variance of all bands.

        Parameters
        ----------
        distance_km, bearing : (n, k) float64
            Target to neighbour; inf where there is no such neighbour, whose weight is then 0.
        fading : (n, k) float64
            Noise of a neighbour in units of the sill; it takes the outermost out smoothly.
        log_noise : (n, k) float64
            Logarithm of the factor of each neighbour's noise.
        contrast : (n, k, coordinate and attribute) float64, optional
            Those of each neighbour less those of the target; needless where there are none.

        Returns
        -------
        Weights
            ``weight`` is (n, k, band) and sums to 1 over neighbours in each band.
        """
        valid = torch.isfinite(distance_km)
        place = self._stretched(_in_plane(torch.where(valid, distance_km, 0.0), bearing))
        if contrast is None:
            contrast = place.new_zeros(*valid.shape, 0)
        sill = self.sill()
        faded = sill[:, None] * fading[:, None]  # (n, band, k)
        diagonal = self.noise(log_noise[:, None]) + faded
        to_target = _length_km(place)[..., None], contrast, torch.zeros_like(contrast[:, :1])
        vector = self._covariances(*to_target)[..., 0]
        parts = []
        for start in range(0, len(place), SOLVED_AT_ONCE):
            rows = slice(start, start + SOLVED_AT_ONCE)
            among = _pair_km(place[rows], place[rows]), contrast[rows], contrast[rows]
            matrix = self._covariances(*among)
            matrix.diagonal(dim1=2, dim2=3).add_(diagonal[rows])
            parts.append(ordinary_weights(matrix, vector[rows], valid[rows, None], sill))
        weight, variance = (torch.cat(each) for each in zip(*parts, strict=True))
        # Fading shapes the weights and is no error of the stations.
        variance = self.of_sum(variance - (weight**2 * faded).sum(-1))
        return Weights(weight.transpose(1, 2), variance)

    def of_sum(self, variance: Tensor) -> Tensor:
        """Return the variance (...) of the sum of the bands, which have the variances (..., band).

        Examples
        --------
        >>> BandCovariance(2, 10.0).of_sum(torch.tensor([[1.0, 4.0]]).double()).tolist()
        [5.0]
        """
        error = variance.clamp_min(0).sqrt()
        return ((error @ self.correlation) * error).sum(-1).clamp_min(JITTER)

    @torch.no_grad()
    def begin_at(self, parameters: Tensor) -> None:
        """Take the parameters of another covariance, (band, 5), for the usual ones.

        Parameters
        ----------
        parameters : (band, 5) float64
            Logarithms of two amplitudes, of two ranges in units of the spacing of the stations, and
            of the noise.
        """
        amplitude, log_range, noise = parameters.split([2, 2, 1], 1)
        self.log_amplitude.copy_(amplitude)
        self.log_range.copy_(log_range + self.log_spacing)
        self.log_noise.copy_(noise[:, 0])
        self.usual.copy_(self._parameters_of_bands())

    def _parameters_of_bands(self) -> Tensor:
        """Return the logarithms of amplitudes, ranges and noise, (band, 5)."""
        return torch.cat([self.log_amplitude, self.log_range, self.log_noise[:, None]], 1)

    @torch.no_grad()
    def scale_to(self, error: Tensor) -> None:
        """Give each band the variance that its errors have, and note how they are correlated.

        Leave-one-out estimates do not depend on a band's scale, so that a fit to them leaves it
        open.

        Parameters
        ----------
        error : (n, band) float64
            Leave-one-out errors in units of their standard errors by the present scale.
        """
        moment = error.T @ error / len(error)
        scale = moment.diagonal()
        self.log_amplitude.add_(scale.log()[:, None])
        self.log_noise.add_(scale.log())
        self.log_drift.add_(scale.log()[:, None])
        self.correlation.copy_(moment / (scale[:, None] * scale).sqrt())

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the covariances (..., band, n, m) of places in one plane, noise left out.

        Parameters
        ----------
        first, second : (..., n, 2 + attribute) and (..., m, 2 + attribute) float64
            Kilometres to the east and north of one point, and the coordinates and attributes of the
            place.
        """
        places = (self._stretched(each[..., :2]) for each in (first, second))
        return self._covariances(_pair_km(*places), first[..., 2:], second[..., 2:])

    def of_drift(self, attributes: Tensor) -> Tensor:
        """Return the variance (..., band) of the drift at places with attributes (..., attribute).

        Coordinates, which come first, add nothing.

        Examples
        --------
        >>> covariance = BandCovariance(1, 10.0, attributes=1)
        >>> _ = covariance.log_drift.data.fill_(0.0)
        >>> covariance.of_drift(torch.tensor([[2.0]]).double()).tolist()
        [[4.0]]
        """
        attributes = attributes[..., self.coordinates :]
        return torch.einsum("...c,bcd,...d->...b", attributes, self._drift(), attributes)

    @property
    def coordinates(self) -> int:
        """Number of coordinates."""
        return len(self.coordinate_km)

    def with_coordinates(self, coordinate_km: Tensor) -> "BandCovariance":
        """Return a copy, to be fitted, for which coordinates set places apart.

        Examples
        --------
        >>> BandCovariance(3, 10.0).with_coordinates(torch.tensor([4.0, 8.0])).coordinates
        2
        """
        copied = copy.deepcopy(self).requires_grad_()
        copied.coordinate_km = coordinate_km.double()
        return copied

    def departure(self) -> Tensor:
        """Return the squared logarithms by which all parameters depart from the usual, summed.

        Examples
        --------
        >>> float(BandCovariance(3, spacing_km=10.0).departure().detach())
        0.0
        """
        departure = self._parameters_of_bands() - self.usual
        return departure.square().sum() + self.stretch.square().sum()

    def sill(self) -> Tensor:
        """Return the variance of each band, (band,), noise included."""
        return self.log_amplitude.exp().sum(1) + self.log_noise.exp()

    def noise(self, log_noise: Tensor) -> Tensor:
        """Return what a station adds to a matrix's diagonal, (..., band, station).

        Parameters
        ----------
        log_noise : (..., 1, station) float64
            Logarithm of the factor of each station's noise.
        """
        return self.log_noise.exp()[:, None] * log_noise.exp() + JITTER * self.sill()[:, None]

    def leave_one_out(
        self,
        distance_km: Tensor,
        bearing: Tensor,
        log_noise: Tensor,
        attributes: Tensor | None = None,
    ) -> Weights:
        """Return the weights (n, n, band) of each station from the others, and variances (n, band).

        Parameters
        ----------
        distance_km, bearing : (n, n) float64
        log_noise : (n,) float64
            Logarithm of the factor of each station's noise.
        attributes : (n, coordinate and attribute) float64, optional
            Those of the stations; needless where there are none.
        """
        if attributes is None:
            attributes = distance_km.new_zeros(len(distance_km), 0)
        pair_km = _length_km(self._stretched(_in_plane(distance_km, bearing)))
        pair_km = (pair_km + pair_km.T) / 2  # bearings of the way back differ on a sphere
        matrix = self._covariances(pair_km, attributes, attributes)
        matrix = matrix + torch.diag_embed((self.log_noise[:, None] + log_noise).exp())
        weight, variance = leave_one_out(matrix)
        return Weights(weight.permute(1, 2, 0), variance.T)

    def _stretched(self, place: Tensor) -> Tensor:
        """Return places in a plane, (..., 2) km to the east and north, as this field sees them."""
        along, across = self.stretch
        symmetric = torch.stack([torch.stack([along, across]), torch.stack([across, -along])])
        # The exponential of a symmetric matrix of trace 0; of determinant 1: ranges keep meaning.
        size = (along**2 + across**2 + TINY_STRETCH).sqrt()
        stretch = size.cosh() * torch.eye(2, dtype=size.dtype) + size.sinh() / size * symmetric
        return place @ stretch

    def _covariances(self, distance_km: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the covariances of all bands, (..., band, n, m), noise left out.

        Parameters
        ----------
        distance_km : (..., n, m) float64
            In the stretched plane.
        first, second : (..., n, attribute) and (..., m, attribute) float64
            Coordinates first.
        """
        if self.coordinates:
            first, coordinate = first[..., self.coordinates :], first[..., : self.coordinates]
            second, other = second[..., self.coordinates :], second[..., : self.coordinates]
            square = _square_apart(coordinate * self.coordinate_km, other * self.coordinate_km)
            distance_km = square.addcmul_(distance_km, distance_km).sqrt()
        apart = [distance_km, distance_km]
        if self.apart.any():
            square = (first[..., :, None, :] - second[..., None, :, :]) ** 2
            length = (2 * self.log_length).exp() * self.apart
            apart = [(distance_km**2 + square @ each).sqrt() for each in length]
        terms = zip(apart, self.log_amplitude.unbind(1), self.log_range.unbind(1), strict=True)
        short, long = (
            (km[..., None, :, :] * -torch.exp(-log_range)[:, None, None])
            .add_(amplitude[:, None, None])
            .exp_()
            for km, amplitude, log_range in terms
        )
        if not first.shape[-1]:
            return short + long
        drift = torch.einsum("...nc,bcd,...md->...bnm", first, self._drift(), second)
        return short + long + drift

    def _drift(self) -> Tensor:
        """Return the covariance of the coefficients in each band, (band, attribute, attribute)."""
        local = torch.diag_embed(self.log_drift.exp())
        of_all = torch.zeros_like(local)
        of_all[-1] = self.trend_covariance
        return local + of_all
