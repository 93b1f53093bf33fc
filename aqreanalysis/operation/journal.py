"""What a store was made of: a file within it, which changes with it in one step."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

import numpy as np

from aqreanalysis.observations import Quality
from aqreanalysis.operation.digests import Digests
from aqreanalysis.predictive import check_quantiles, check_statistic
from aqreanalysis.product import ProductError
from aqreanalysis.product.rounding import check_digits
from aqreanalysis.untrusted import text_of

#: Name of the file in the store.
NAME = ".update.json"
#: Number of the layout; raise it when it changes its meaning.
FORMAT = 1


class Made(NamedTuple):
    """What the estimates of a block of hours were made of.

    Attributes
    ----------
    digest : int
        Of all measurements that they use.
    begin : int
        First hour from which measurements were at hand, as a number since 1970.
    model : str
        Digest of the model.
    """

    digest: int
    begin: int
    model: str


@dataclass(frozen=True)
class Journal:
    """What a store holds, and what it was made of.

    Attributes
    ----------
    request : dict
        What was asked for when the store was made: texts and numbers by option.
    first : int
        The first hour of the store, as a number of steps since 1970.
    hours : (hour,) uint64
        Digest of the measurements of each hour of the store.
    blocks : dict of int to `Made`
        By the number of the block.
    history : tuple of str
        Of the store: how it began, and which models it had.
    runs : int
        How often it was changed.
    """

    request: dict[str, Any]
    first: int
    hours: Digests
    blocks: dict[int, Made]
    history: tuple[str, ...] = ()
    runs: int = 0
    stated: dict[str, str] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """Number of the hour after the last one."""
        return self.first + self.hours.size

    @property
    def model(self) -> str:
        """Digest of the model of the newest block."""
        return self.blocks[max(self.blocks)].model

    def write(self, folder: Path) -> None:
        """Write the journal into a store."""
        models = sorted({made.model for made in self.blocks.values()})
        description = {
            "format": FORMAT,
            "request": self.request,
            "stated": self.stated,
            "history": self.history,
            "runs": self.runs,
            "models": models,
            "blocks": {
                number: [made.digest, made.begin, models.index(made.model)]
                for number, made in sorted(self.blocks.items())
            },
            "first": self.first,
            "hours": self.hours.tolist(),
        }
        (folder / NAME).write_text(json.dumps(description) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, store: Path) -> Self:
        """Return the journal of a store.

        Raises
        ------
        ProductError
            If the store has none, or one that cannot be read.
        """
        path = store / NAME
        try:
            stated = json.loads(text_of(path))
            if stated["format"] != FORMAT:
                raise ProductError(
                    f"{path} has format {stated['format']!r}, and this version reads {FORMAT}: "
                    "update the store with the version that made it, or name another store"
                )
            models = stated["models"]
            return cls(
                request=_whole_request(stated["request"]),
                first=int(stated["first"]),
                hours=np.array(list(map(int, stated["hours"])), np.uint64),
                blocks={
                    int(number): Made(int(digest), int(begin), str(models[model]))
                    for number, (digest, begin, model) in stated["blocks"].items()
                },
                history=tuple(map(str, stated["history"])),
                runs=int(stated["runs"]),
                stated={str(name): str(text) for name, text in stated["stated"].items()},
            )
        except FileNotFoundError as error:
            raise ProductError(
                f"{store} was not made by update: it has no {NAME}, and nothing tells what its "
                "hours were made of. Name another store, which update then makes"
            ) from error
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            OverflowError,
            RecursionError,
            OSError,
        ) as error:
            if isinstance(error, ProductError):
                raise
            raise ProductError(
                f"{path} cannot be read ({type(error).__name__}: {error}): take the store from a "
                "backup, or name another one, which update then makes"
            ) from error


def _whole_request(stated: Any) -> dict[str, Any]:
    """Return what was asked for, once it is known that nothing of it is lost or means nothing."""
    request = dict(stated)
    for name in ("variable", "step_hours", "time_label", "origin_hours"):
        request[name]
    if request["quality"] not in get_args(Quality):
        raise ValueError(f"quality is {request['quality']!r}")
    check_statistic(request["statistic"])
    check_quantiles(request["quantiles"])
    check_digits(request["significant_digits"])
    return request
