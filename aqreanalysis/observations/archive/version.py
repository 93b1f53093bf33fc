"""One version of a store: all that is read of it, while other versions take its name."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import xarray as xr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from aqreanalysis.atomic import earlier_of, identity_of
from aqreanalysis.observations.archive.opening import ReplacedError

#: How often a store is opened anew that is replaced while it is opened.
_ATTEMPTS = 5

#: What tells a version from others: inode, and time of change in ns, of its metadata.
Identity = tuple[int, int]


class StoreVersion(LocalStore):
    """A folder of Zarr as it is now, for reading.

    Another version may take its name at any moment. What is read is of this one, from where it has
    gone (`aqreanalysis.atomic.earlier_of`), or is refused: values of two versions never mix.

    Parameters
    ----------
    root : path
    read_only : bool
        It is never written through this.
    identity : tuple of int, optional
        Of the version; by default of the one that has the name now.
    """

    def __init__(
        self, root: Path | str, *, read_only: bool = True, identity: Identity | None = None
    ) -> None:
        super().__init__(Path(os.path.realpath(root)), read_only=True)
        self.identity = identity or _identity(self.root)

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return another of the same version."""
        return type(self)(self.root, identity=self.identity)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.identity == getattr(other, "identity", None)

    def __dask_tokenize__(self) -> tuple[str, Identity | None]:
        """Return what tells blocks of this version from others."""
        return str(self.root), self.identity

    @property
    def is_current(self) -> bool:
        """Whether this version has the name now."""
        return _identity(self.root) == self.identity

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the bytes of a key; None if this version has none."""
        for place in (self.root, earlier_of(self.root), self.root):  # it may just have moved
            if _identity(place) != self.identity:
                continue
            store = LocalStore(place, read_only=True)
            try:
                content = await store.get(key, prototype, byte_range)
            except FileNotFoundError:  # the folder has gone
                continue
            if _identity(place) == self.identity:
                return content
        raise ReplacedError(
            f"{self.root} was replaced by a newer version since it was opened: open it anew"
        )

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return the bytes of parts of keys."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def get_sync(self, key: str, **options: Any) -> Buffer | None:
        """Return the bytes of a key, as `get` does."""
        from zarr.core.sync import sync

        return sync(self.get(key, **options))


def open_version(path: Path, opened: Callable[[StoreVersion], xr.Dataset]) -> xr.Dataset:
    """Return what a function opens of the version of a store that is there now.

    Should that be replaced meanwhile, it opens the next one.
    """
    for _ in range(_ATTEMPTS - 1):
        store = StoreVersion(path)
        try:
            dataset = opened(store)
        except Exception:
            if store.is_current:
                raise
        else:
            dataset.encoding["source"] = os.fspath(path)
            return dataset
    return opened(StoreVersion(path))


def _identity(folder: Path) -> Identity | None:
    """Return what tells the version in a folder from others; None if there is no store."""
    return identity_of(folder / ".zmetadata")
