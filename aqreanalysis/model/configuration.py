"""Sizes of the network, all faults of a choice reported at once."""

from dataclasses import dataclass, fields
from numbers import Integral


@dataclass(frozen=True)
class Configuration:
    """Sizes of the network; time is counted in steps of the observations (hours, mostly).

    Parameters
    ----------
    neighbours : int
        Nearest stations that a target sees.
    lags : tuple of int
        Steps before and after the target's own at which the covariance head uses values.
    heads : int
        Attention heads of the neural kNN.
    context : int
        Numbers that the encoder tells the decoder about each station and step.
    encoder_width, decoder_width : int
        Width of the recurrent and of the pointwise layers.
    core_steps, margin_steps : int
        A window yields ``core_steps`` and sees ``margin_steps`` more on either side. Windows lie
        on an absolute axis, at multiples of ``core_steps`` since 1970.

    Examples
    --------
    >>> Configuration().window_steps
    60
    >>> Configuration(heads=0, margin_steps=1)
    Traceback (most recent call last):
        ...
    ValueError: heads must be a whole number from 1 on, found 0;
    margin_steps (1) must reach the longest lag (2)
    """

    neighbours: int = 20
    lags: tuple[int, ...] = (-2, -1, 0, 1, 2)
    heads: int = 4
    context: int = 8
    encoder_width: int = 24
    decoder_width: int = 48
    core_steps: int = 36
    margin_steps: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "lags", tuple(self.lags))
        faults = [
            f"{field.name} must be a whole number from 1 on, found {getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name != "lags" and not _is_size(getattr(self, field.name))
        ]
        if 0 not in self.lags or sorted(set(self.lags)) != list(self.lags):
            faults.append(f"lags must ascend and hold 0, found {self.lags}")
        elif _is_size(self.margin_steps) and self.margin_steps < self.reach:
            faults.append(
                f"margin_steps ({self.margin_steps}) must reach the longest lag ({self.reach})"
            )
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def reach(self) -> int:
        """The longest lag, in steps."""
        return max(abs(lag) for lag in self.lags)

    @property
    def window_steps(self) -> int:
        """Length of a window with its margins, in steps."""
        return self.core_steps + 2 * self.margin_steps


def _is_size(value: object) -> bool:
    """Return whether a value can be the size of something."""
    return isinstance(value, Integral) and int(value) >= 1
