"""The plane of a projection, in which a viewer's map is laid out instead of the web's Mercator."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from aqreanalysis.maps.natural_earth import Region
from aqreanalysis.network import EARTH_RADIUS_KM

#: Places of a box, along each of its sides, by which its extent in degrees is known.
_SAMPLES = 81


@dataclass(frozen=True)
class Plane:
    """A projection, with its places in metres east and north.

    Attributes
    ----------
    crs : pyproj.CRS
    metres : float
        Of a unit of its axes.
    """

    crs: Any
    metres: float

    @classmethod
    def of(cls, crs: Any) -> Self:
        """Return the plane of a CRS, of which degrees, as of a rotated pole, are those of a sphere.

        Examples
        --------
        >>> import pyproj
        >>> plane = Plane.of(pyproj.CRS("EPSG:32650"))
        >>> [round(float(metres)) for metres in plane.place(117.0, 40.0)]
        [500000, 4427757]
        """
        factor = float(crs.axis_info[0].unit_conversion_factor)
        return cls(crs, factor if crs.is_projected else 1000 * EARTH_RADIUS_KM * factor)

    def place(self, longitude: Any, latitude: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y, metres, of positions in degrees; infinite where there are none."""
        turned = (np.asarray(longitude, np.float64) + 180) % 360 - 180
        x, y = self._from_degrees.transform(turned, latitude)
        return np.asarray(x) * self.metres, np.asarray(y) * self.metres

    def degrees(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of places in metres; infinite where there are none."""
        ends = np.asarray(x, np.float64) / self.metres, np.asarray(y, np.float64) / self.metres
        longitude, latitude = self._from_degrees.transform(*ends, direction="INVERSE")
        return np.asarray(longitude), np.asarray(latitude)

    def window(self, box: Region) -> Region:
        """Return west, east, south, north in degrees of all that lies in a box of the plane."""
        x, y = np.meshgrid(*(np.linspace(*ends, _SAMPLES) for ends in (box[:2], box[2:])))
        longitude, latitude = self.degrees(x, y)
        seen = np.isfinite(longitude) & np.isfinite(latitude)
        longitude, latitude = longitude[seen], latitude[seen]
        for pole in (90.0, -90.0):
            at = self.place(0.0, pole)
            if box[0] <= at[0] <= box[1] and box[2] <= at[1] <= box[3]:
                latitude = np.append(latitude, pole)
                longitude = np.append(longitude, [-180.0, 180.0])
        radians = np.radians(longitude)
        middle = float(np.degrees(np.arctan2(np.sin(radians).mean(), np.cos(radians).mean())))
        offset = (longitude - middle + 180) % 360 - 180
        west, east = float(offset.min()), float(offset.max())
        if east - west > 300:
            west, east = -180.0, 180.0
        return middle + west, middle + east, float(latitude.min()), float(latitude.max())

    @cached_property
    def _from_degrees(self) -> Any:
        """What projects positions on WGS 84; to make it takes longer than to project a coast."""
        import pyproj

        return pyproj.Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)
