"""The cells of a grid in longitude and latitude, whichever way its axes run."""

from dataclasses import dataclass

import numpy as np

from aqreanalysis.network import great_circle_km
from aqreanalysis.verification.errors import VerificationError

#: Share of a cell within which a station is taken to lie on an edge or a centre: coordinates in
#: float32 are off by up to 1.5e-5 degrees.
_TOLERANCE = 1e-3
#: Ratio of neighbouring steps above which there is a gap, and no cell that only is larger.
_MOST_UNEVEN = 3.0


@dataclass(frozen=True)
class GridAxis:
    """Centres and edges of the cells along one axis, in ascending order.

    Attributes
    ----------
    centres : (n,) float64
        Degrees; longitudes run on across the date line.
    edges : (n + 1,) float64
    position : (n,) int
        Where each cell is along the axis of the file.
    """

    centres: np.ndarray
    edges: np.ndarray
    position: np.ndarray

    @property
    def tolerance(self) -> float:
        """Degrees within which two coordinates are the same."""
        return _TOLERANCE * float(np.diff(self.edges).min())

    @property
    def closes(self) -> bool:
        """Whether the cells go once around the globe."""
        return float(self.edges[-1] - self.edges[0]) >= 360 - self.tolerance

    def holding(self, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cell that holds each coordinate, and whether there is one."""
        low, high = self.edges[0] - self.tolerance, self.edges[-1] + self.tolerance
        cell = np.searchsorted(self.edges, degrees, side="right") - 1
        return np.clip(cell, 0, self.centres.size - 1), (degrees >= low) & (degrees <= high)

    def between(self, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cells on both sides, (2, n), the share of each, and whether they exist."""
        centres, count = self.centres, self.centres.size
        if self.closes and centres[-1] - centres[0] < 360 - self.tolerance:
            centres = np.append(centres, centres[0] + 360)
        if centres.size < 2:
            raise VerificationError(
                "sampling='linear' needs two cells at least along each axis; "
                "found one. Use sampling='cell'"
            )
        low = np.clip(np.searchsorted(centres, degrees, side="right") - 1, 0, centres.size - 2)
        share = (degrees - centres[low]) / (centres[low + 1] - centres[low])
        inside = (share >= -_TOLERANCE) & (share <= 1 + _TOLERANCE)
        for end in (0.0, 1.0):  # at a centre the other cell has no part, and may be missing
            share = np.where(np.abs(share - end) <= _TOLERANCE, end, share)
        return np.stack([low, low + 1]) % count, np.stack([1 - share, share]), inside


@dataclass(frozen=True)
class GridCells:
    """The cells of a grid in longitude and latitude."""

    longitude: GridAxis
    latitude: GridAxis

    @classmethod
    def of(
        cls,
        longitude: np.ndarray,
        latitude: np.ndarray,
        longitude_bounds: np.ndarray | None = None,
        latitude_bounds: np.ndarray | None = None,
    ) -> "GridCells":
        """Return the cells of two axes.

        Parameters
        ----------
        longitude, latitude : (n,) and (m,) array
            Centres in any order and convention of longitude.
        longitude_bounds, latitude_bounds : (n, 2) and (m, 2) array, optional
            Edges. Without them cells meet midway between their centres.

        Raises
        ------
        VerificationError
            If a row or column is there twice or a gap is between them, or a single cell has no
            size.

        Examples
        --------
        >>> cells = GridCells.of(np.array([359.5, 0.5]), np.array([50.5, 49.5]))
        >>> cells.longitude.edges.tolist(), cells.latitude.position.tolist()
        ([359.0, 360.0, 361.0], [1, 0])
        """
        east = _in_one_run(longitude.astype(np.float64))
        if longitude_bounds is not None:
            # Each edge as near to its centre as it goes, whichever way around it was written.
            apart = longitude_bounds - east[:, None]
            longitude_bounds = east[:, None] + (apart + 180) % 360 - 180
        north = latitude.astype(np.float64)
        sizes = [np.diff(np.sort(axis)).max() for axis in (east, north) if axis.size > 1]
        size = float(sizes[0]) if sizes else None
        latitudes = _axis("latitude", north, latitude_bounds, size)
        edges = np.clip(latitudes.edges, -90, 90)
        return cls(
            _axis("longitude", east, longitude_bounds, size),
            GridAxis(latitudes.centres, edges, latitudes.position),
        )

    def eastwards(self, longitude: np.ndarray, *, centres: bool = False) -> np.ndarray:
        """Return longitudes in the convention of the grid, from its western edge on."""
        axis = self.longitude
        west = (axis.centres if centres else axis.edges)[0] - axis.tolerance
        return west + (longitude - west) % 360

    def half_diagonal_km(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return half the distance between opposite corners of cells."""
        west, east = self.longitude.edges[column], self.longitude.edges[column + 1]
        south, north = self.latitude.edges[row], self.latitude.edges[row + 1]
        return great_circle_km(west, south, east, north) / 2


def _in_one_run(longitude: np.ndarray) -> np.ndarray:
    """Return longitudes that run on from the eastern end of their widest gap."""
    around = longitude % 360
    ordered = np.sort(around)
    if not np.isfinite(ordered).all():
        return longitude
    gaps = np.diff(ordered, append=ordered[0] + 360)
    west = ordered[(int(np.argmax(gaps)) + 1) % ordered.size]
    return np.where(around >= west, around, around + 360)


def _axis(
    name: str, centres: np.ndarray, bounds: np.ndarray | None, size: float | None
) -> GridAxis:
    """Return an axis in ascending order, with its edges."""
    position = np.argsort(centres, kind="stable")
    if name == "longitude":  # a column that closes the circle is there twice, as 0 and as 360
        position = position[np.diff(centres[position], prepend=-np.inf) != 0]
    centres = centres[position]
    steps = np.diff(centres)
    if not np.isfinite(centres).all() or (steps <= 0).any():
        raise VerificationError(
            f"each {name} of the product's grid must be there once, and none be missing; found "
            f"{centres.size} of which {np.unique(centres).size} differ"
        )
    if bounds is not None:
        low, high = np.sort(bounds.astype(np.float64), axis=1)[position].T
        close = _TOLERANCE * np.abs(high - low).min()
        if (high > low).all() and np.allclose(high[:-1], low[1:], rtol=0, atol=close):
            return GridAxis(centres, np.append(low, high[-1]), position)
    uneven = np.flatnonzero(np.abs(np.diff(np.log(steps))) > np.log(_MOST_UNEVEN))
    if uneven.size:
        first = centres[uneven[0] : uneven[0] + 3]
        first = (first + 180) % 360 - 180 if name == "longitude" else first
        raise VerificationError(
            f"the {name} of the product's grid has a gap: {', '.join(f'{c:g}' for c in first)}. "
            "Verify one side of it, or give it bounds that tell how far its cells reach"
        )
    if centres.size > 1:
        middles = (centres[:-1] + centres[1:]) / 2
        edges = np.concatenate(
            [
                [1.5 * centres[0] - 0.5 * centres[1]],
                middles,
                [1.5 * centres[-1] - 0.5 * centres[-2]],
            ]
        )
    elif size is not None:
        edges = centres[0] + size * np.array([-0.5, 0.5])
    else:
        raise VerificationError(
            "the product has a single cell and does not say its size: give it bounds of longitude "
            "and latitude"
        )
    return GridAxis(centres, edges, position)
