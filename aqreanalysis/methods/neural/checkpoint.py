"""What learning of the network has come to: one plain file, from which it goes on."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.atomic import atomic_file, explained
from aqreanalysis.methods.neural.batches import Samples
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.validation import Scores, Validated

#: Number of how training computes and what a checkpoint holds. Raise it with every change of
#: either: a training that an earlier version began is then refused.
FORMAT = 2
#: Key of a checkpoint's metadata that says that its training is finished.
_FINISHED = "finished"
#: Key of the sha256 of tensors, identity and state.
_SUM = "sha256"


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one of another training."""


@dataclass
class Learning:
    """All that changes while the network learns.

    Attributes
    ----------
    model, average, best : NeuralKNN
        As it learns, the running mean of its weights, and the one to be kept.
    optimiser, falling : Optimizer, LRScheduler
    rng : Generator
    best_validated : Validated
        How ``best`` does.
    history : list of Scores
    gains : list of float
    update : int
        Updates that are done.
    """

    model: NeuralKNN
    average: torch.optim.swa_utils.AveragedModel
    best: NeuralKNN
    optimiser: torch.optim.Optimizer
    falling: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    best_validated: Validated
    history: list[Scores]
    gains: list[float]
    update: int = 0

    def save(self, path: Path, identity: str, *, finished: bool = False) -> None:
        """Write all of it to one file, which appears when it is whole and holds no code.

        What is finished stays until the model is saved: a training of hours is not lost if that
        fails.

        Raises
        ------
        CheckpointError
            If it cannot be written, as on a full disk; the one before is intact.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        state = {
            "rng": self.rng.bit_generator.state,
            "scores": self.best_validated.scores,
            "by_station": self.best_validated.by_station.tolist(),
            "history": self.history,
            "gains": self.gains,
            "update": self.update,
        }
        remains = "an earlier checkpoint is intact, from which the same command goes on"
        # A clone of each: averaged and learning weights may share memory.
        tensors = {name: tensor.clone().contiguous() for name, tensor in self._tensors().items()}
        with explained(path, CheckpointError, remains=remains):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as partial:
                about = {"identity": identity, "state": json.dumps(state)}
                about[_SUM] = _sum_of(tensors, about)
                if finished:
                    about[_FINISHED] = "yes"
                try:
                    save_file(tensors, partial, about)
                except SafetensorError as error:
                    raise OSError(str(error)) from error

    def restore(self, path: Path, identity: str) -> None:
        """Go on where the file left off; from the beginning if another training finished it.

        Raises
        ------
        CheckpointError
            If it is no checkpoint, or one that was cut off of other observations, settings or
            another seed.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            # Files of earlier versions have no sum.
            if _SUM in about and about.pop(_SUM) != _sum_of(tensors, about):
                raise ValueError("it is not what was saved (its sha256 differs); remove it")
            state = json.loads(about["state"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise CheckpointError(f"{path} is no checkpoint of a training: {error}") from error
        if _FINISHED in about and about.get("identity") != identity:
            return
        check_identity(path, about.get("identity"), identity)
        self._take(tensors)
        self.rng.bit_generator.state = state["rng"]
        self.best_validated = Validated(Scores(*state["scores"]), np.array(state["by_station"]))
        self.history = [Scores(*scores) for scores in state["history"]]
        self.gains, self.update = state["gains"], state["update"]
        self.optimiser.step()  # without gradients it changes nothing, but the rate may now fall
        for _ in range(self.update):
            self.falling.step()

    def _modules(self) -> dict[str, torch.nn.Module]:
        """Return what has weights."""
        return {"model": self.model, "average": self.average, "best": self.best}

    def _tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        tensors = {
            f"{part}.{name}": tensor
            for part, module in self._modules().items()
            for name, tensor in module.state_dict().items()
        }
        moments: dict[int, Any] = self.optimiser.state_dict()["state"]
        for number, state in moments.items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
        return tensors

    def _take(self, tensors: dict[str, Tensor]) -> None:
        """Put tensors where they belong."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts.setdefault(part, {})[rest] = tensor
        for part, module in self._modules().items():
            module.load_state_dict(parts[part])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts.get("optimiser", {}).items():
            number, moment = name.split(".")
            state.setdefault(int(number), {})[moment] = tensor
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": state})


def _sum_of(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Return the sha256 of what a checkpoint holds."""
    digest = hashlib.sha256(f"{about['identity']} {about['state']}".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def remove_finished(path: Path) -> None:
    """Remove the checkpoint of a training that is finished, once its model is saved."""
    from safetensors import SafetensorError, safe_open

    with suppress(SafetensorError, OSError):
        with safe_open(path, "pt") as file:
            finished = _FINISHED in (file.metadata() or {})
        if finished:
            path.unlink()


def check_identity(path: Path, stated: object, identity: str) -> None:
    """Refuse a checkpoint of another training than the one of an identity.

    Raises
    ------
    CheckpointError
    """
    if stated != identity:
        raise CheckpointError(
            f"{path} is of another training: other observations, settings, seed or version. "
            "Remove it to begin anew, or name another file"
        )


def identity_of(samples: Samples, *settings: Any) -> str:
    """Return a digest of everything that training depends on: observations, settings, `FORMAT`."""
    about = (FORMAT, samples.first, samples.clock, *settings)
    digest = hashlib.sha256(repr(about).encode())
    network = samples.network
    tensors = (samples.value.numpy(), samples.covariates.numpy(), samples.attributes.numpy())
    for array in (*tensors, network.longitude, network.latitude):
        digest.update(array.tobytes())
    return digest.hexdigest()
