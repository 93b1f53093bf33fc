"""Sizes of the network, all faults of a choice reported at once."""

from dataclasses import dataclass, fields
from numbers import Integral

from aqreanalysis.methods.kriging.bands import reach_of

#: Parts of the network that can be left out.
PARTS = ("recurrence", "attention", "cycles", "covariance", "covariates")


@dataclass(frozen=True)
class Configuration:
    """Sizes of the network; time is counted in steps of the observations (hours, mostly).

    Parameters
    ----------
    neighbours : int
        Nearest stations that a target sees.
    bands : tuple of float
        Widths, in steps, of the Gaussians that split the series into bands for kriging.
    heads : int
        Attention heads of the neural kNN.
    context : int
        Numbers that the encoder tells the decoder about each station and step.
    encoder_width, decoder_width : int
        Width of the recurrent and of the pointwise layers.
    without : tuple of {"recurrence", "attention", "cycles", "covariance", "covariates"}
        Parts that are left out, to learn what each is worth. Without the covariance the prior is
        inverse squared distance, which knows nothing of how neighbours repeat each other.
    core_steps, margin_steps : int
        A window yields ``core_steps`` and sees ``margin_steps`` more on either side. Windows lie
        on an absolute axis, at multiples of ``core_steps`` since 1970.

    Examples
    --------
    >>> Configuration().window_steps
    72
    >>> Configuration(heads=0, margin_steps=1)
    Traceback (most recent call last):
        ...
    ValueError: heads must be a whole number from 1 on, found 0;
    margin_steps (1) must reach as far as the widest band (18)
    """

    neighbours: int = 40
    bands: tuple[float, ...] = (1.5, 6.0)
    heads: int = 4
    context: int = 8
    encoder_width: int = 24
    decoder_width: int = 48
    core_steps: int = 36
    margin_steps: int = 18
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "without", tuple(self.without))
        faults = [
            f"{field.name} must be a whole number from 1 on, found {getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name not in ("bands", "without") and not is_size(getattr(self, field.name))
        ]
        if unknown := set(self.without) - set(PARTS):
            faults.append(f"without names {', '.join(PARTS)}; found {', '.join(sorted(unknown))}")
        if not self.bands or sorted(set(self.bands)) != list(self.bands) or self.bands[0] <= 0:
            faults.append(f"bands must be positive and ascend, found {self.bands}")
        elif is_size(self.margin_steps) and self.margin_steps < self.reach:
            faults.append(
                f"margin_steps ({self.margin_steps}) must reach as far as the widest band "
                f"({self.reach})"
            )
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def reach(self) -> int:
        """Steps to either side that the bands of a step need."""
        return reach_of(self.bands)

    @property
    def window_steps(self) -> int:
        """Length of a window with its margins, in steps."""
        return self.core_steps + 2 * self.margin_steps


def is_size(value: object) -> bool:
    """Return whether a value can be the size of something."""
    return isinstance(value, Integral) and int(value) >= 1
