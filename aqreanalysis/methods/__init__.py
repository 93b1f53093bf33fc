"""Methods: from the values of stations to a field, a folder or file for each.

`METHODS` names them; `method_of` makes one. A method of your own needs nothing but the members of
`Method`, and goes wherever a name goes: ``reanalyse(method=mine)``, ``verify(methods=[mine])``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from aqreanalysis.methods.contract import (
    Fitted,
    Method,
    NotFittedError,
    check_takes,
    fit,
    predict,
    variable_of,
)

__all__ = [
    "METHODS",
    "BuiltInMethod",
    "Fitted",
    "Method",
    "NotFittedError",
    "check_takes",
    "fit",
    "method_of",
    "predict",
    "variable_of",
]

#: Members that every method has before it is fitted.
_MEMBERS = ("name", "takes_background", "references", "fit", "field", "cost")


@dataclass(frozen=True)
class BuiltInMethod:
    """A method of this package, imported when it is used.

    Attributes
    ----------
    label : str
        Its name for a reader.
    module, class_name : str
        Where its class is, below this package.
    article : str
        Before the label, where it is the subject of a sentence.
    seeded : bool
        Whether it is trained and so takes ``seed``, ``progress`` and ``geography``.
    """

    label: str
    module: str
    class_name: str
    article: str = ""
    seeded: bool = False

    @property
    def subject(self) -> str:
        """The label as the subject of a sentence."""
        return f"{self.article} {self.label}".strip()

    def make(self, *, seed: int = 0, progress: bool = True, geography: bool = True) -> Method:
        """Return the method with its defaults, not fitted."""
        maker = getattr(import_module(f"{__name__}.{self.module}"), self.class_name)
        if not self.seeded:
            return maker()
        return maker(seed=seed, progress=progress, geography=geography)


#: Methods by name, the default first.
METHODS: Mapping[str, BuiltInMethod] = MappingProxyType(
    {
        "neural": BuiltInMethod(
            "neural kNN", "neural.reanalyser", "Reanalyser", article="the", seeded=True
        ),
        "pretrained": BuiltInMethod(
            "pretrained covariance",
            "neural.pretrained",
            "PretrainedReanalyser",
            article="the",
            seeded=True,
        ),
        "kriging": BuiltInMethod("ordinary kriging", "kriging.ordinary", "OrdinaryKriging"),
        "space_time_kriging": BuiltInMethod(
            "space-time kriging", "kriging.space_time", "SpaceTimeKriging"
        ),
        "idw": BuiltInMethod("inverse distance", "inverse_distance", "InverseDistance"),
    }
)


def method_of(
    method: str | Method, *, seed: int = 0, progress: bool = True, geography: bool = True
) -> tuple[Method, bool]:
    """Return the method of a name, or the one given, and whether it may be fitted already.

    Raises
    ------
    ValueError
        If the name is not one of `METHODS`, or the object lacks members of `Method`.

    Examples
    --------
    >>> method_of("idw")
    (InverseDistance(neighbours=12, power=2.0, transform='sqrt'), False)
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
        made = METHODS[method].make(seed=seed, progress=progress, geography=geography)
        return made, False
    members = {*dir(type(method)), *vars(method)} if hasattr(method, "__dict__") else set()
    lacking = [name for name in _MEMBERS if name not in members]
    if lacking or isinstance(method, type):
        what = f"the class {method.__name__}" if isinstance(method, type) else type(method).__name__
        lacks = f", which lacks {', '.join(lacking)}" if lacking else ""
        raise ValueError(
            f"method must be one of {', '.join(METHODS)} or a method with "
            f"{', '.join(_MEMBERS)}; found {what}{lacks}"
        )
    return method, True
