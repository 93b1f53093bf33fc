"""Saved models: folders of plain files (JSON, safetensors, NetCDF); loading executes nothing."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from aqreanalysis.atomic import atomic_folder, clean, identity_of
from aqreanalysis.untrusted import text_of

WEIGHTS = "weights.safetensors"
#: Writes one more file of a model to a path.
FileWriter = Callable[[Path], object]
#: Key of the sha256 of all else that a description says.
_FACTS_SUM = "facts_sha256"
#: How long a model is read again and again that other processes replace meanwhile, and the longest
#: pause in between.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 30.0, 0.1
_Model = TypeVar("_Model")


class SavedModelError(ValueError):
    """A folder that is no saved model, or one that was changed after saving."""


@dataclass(frozen=True)
class ModelFolder:
    """One kind of saved model: a description and weights, perhaps with further files.

    The description holds the format, the version of the package that wrote it, the facts of the
    model, the sha256 of each file, and that of all this.

    Parameters
    ----------
    kind : str
        "model" or "outlook".
    owner : str
        Name of the class that saves it.
    description : str
        Name of the file with the description.
    format : int
        Number of the layout; a folder of another one is refused, but for those of ``earlier``.
    facts : tuple of str
        Facts that the description must have.
    earlier : tuple of int
        Formats that are read as well.
    optional : tuple of str
        Facts that models which were saved earlier lack; None then.
    files : tuple of str
        Names of further files, of which the description has the sha256.
    folders : tuple of str
        Names of folders that may be inside: models that look after themselves.
    """

    kind: str
    owner: str
    description: str
    format: int
    facts: tuple[str, ...]
    earlier: tuple[int, ...] = ()
    optional: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def save(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        further: Mapping[str, FileWriter] | None = None,
    ) -> Path:
        """Return the folder that now holds the model; an earlier one there is replaced whole.

        Raises
        ------
        SavedModelError
            If the name is taken by something that is no saved model, or by one with other files.
        OSError
            If the folder cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        self._check_place(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_folder(folder) as partial:
                # A clone of each, since safetensors refuses tensors that share memory.
                tensors = {name: t.clone().contiguous() for name, t in weights.items()}
                save_file(tensors, partial / WEIGHTS)
                for name, write in (further or {}).items():
                    write(partial / name)
                description = {
                    "format": self.format,
                    "package": version("aqreanalysis"),
                    **facts,
                    "sha256": {name: _digest(partial / name) for name in self._listed()},
                }
                description[_FACTS_SUM] = facts_sum(description)
                text = json.dumps(description, indent=2) + "\n"
                (partial / self.description).write_text(text, encoding="utf-8")
        except SafetensorError as error:
            raise OSError(f"the {self.kind} cannot be written to {folder}: {error}") from error
        return folder

    def whole(self, folder: Path, load: Callable[[Path], _Model]) -> _Model:
        """Return what a function loads of a folder, which another process may replace meanwhile.

        Raises
        ------
        SavedModelError
            As the function raises it of a folder that stays as it is.
        """
        begin = time.monotonic()
        while time.monotonic() < begin + _PATIENCE_SECONDS:
            before = identity_of(folder / self.description)
            try:
                loaded = load(folder)
            except (SavedModelError, OSError):
                if identity_of(folder / self.description) == before:
                    raise
            else:
                if identity_of(folder / self.description) == before:
                    return loaded
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311, no secret
        raise SavedModelError(f"{folder} is being replaced again and again; try later")

    def facts_of(self, folder: Path) -> dict[str, Any]:
        """Return the facts of a saved model, once its files are known to be those saved.

        Raises
        ------
        SavedModelError
            If a file is missing, of another format, or not the one that was saved.
        """
        description = self._read(folder)
        for name, expected in description["sha256"].items():
            path = folder / name
            if not path.is_file():
                raise SavedModelError(
                    f"{folder} lacks {name}; copy the whole folder of the {self.kind}"
                )
            if _digest(path) != expected:
                raise SavedModelError(
                    f"{path} is not the file that was saved (its sha256 differs); "
                    f"copy the folder again, or fit the {self.kind} anew"
                )
        optional = {name: description.get(name) for name in self.optional}
        return {name: description[name] for name in self.facts} | optional

    @contextmanager
    def weights_of(self, folder: Path) -> Iterator[dict[str, Tensor]]:
        """Yield the weights; what fails while a model is made of them is a fault of the folder.

        Raises
        ------
        SavedModelError
            If a file cannot be read, or the facts do not fit the weights.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            yield load_file(folder / WEIGHTS)
        except SavedModelError:
            raise
        except (OSError, SafetensorError) as error:
            raise SavedModelError(f"{folder} holds a file that cannot be read: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise SavedModelError(
                f"{folder / self.description} does not fit its weights: {error}"
            ) from error

    def _listed(self) -> tuple[str, ...]:
        """Return the names of the files of which the description has the sha256."""
        return (WEIGHTS, *self.files)

    def _check_place(self, folder: Path) -> None:
        """Refuse a name that is taken by anything but a saved model: it would be deleted."""
        if not folder.exists():
            return
        if not (folder / self.description).is_file():
            raise SavedModelError(
                f"{folder} exists and holds no {self.description}, so it is no saved model of "
                "this kind; choose another name, or remove it"
            )
        own = {self.description, *self._listed(), *self.folders}
        foreign = {path.name for path in folder.iterdir()} - own
        if foreign:
            raise SavedModelError(
                f"{folder} holds other files ({', '.join(sorted(foreign))}), which replacing the "
                "model would delete; choose another name, or move them"
            )

    def _read(self, folder: Path) -> dict[str, Any]:
        """Return the description of a saved model, once it is known to be one."""
        path = folder / self.description
        if not folder.exists():
            clean(folder)  # a run may have been killed while it replaced the model
        try:
            description = json.loads(text_of(path))
        except FileNotFoundError as error:
            raise SavedModelError(
                f"{folder} is no saved {self.kind}: it has no {self.description}. "
                f"Save one with {self.owner}.save(folder)."
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise SavedModelError(
                f"{path} cannot be read as a saved {self.kind}: {error}"
            ) from error
        if not isinstance(description, dict) or "format" not in description:
            raise SavedModelError(f"{path} is not the description of a saved {self.kind}")
        if description["format"] not in (self.format, *self.earlier):
            raise SavedModelError(
                f"{path} has format {description['format']!r} (aqreanalysis "
                f"{description.get('package', 'unknown')}); this version reads format "
                f"{self.format}"
            )
        lacking = {"sha256", *self.facts} - description.keys()
        if lacking:
            raise SavedModelError(
                f"{path} is not the description of a saved {self.kind}: "
                f"it lacks {', '.join(sorted(lacking))}"
            )
        sums = description["sha256"]
        if not isinstance(sums, dict) or set(sums) != set(self._listed()):
            raise SavedModelError(f"{path} must list exactly {' and '.join(self._listed())}")
        if description["format"] == self.format:
            stated = description.get(_FACTS_SUM)
            if stated != facts_sum(description):
                raise SavedModelError(
                    f"{path} is not what was saved (its sha256 differs); "
                    f"copy the folder again, or fit the {self.kind} anew"
                )
        return description


def facts_sum(description: Mapping[str, Any]) -> str:
    """Return the sha256 of all that a description says, whatever its order and spaces."""
    stated = {name: fact for name, fact in description.items() if name != _FACTS_SUM}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
