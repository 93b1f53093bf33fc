"""The field of attributes of places that comes with the package, and its values at places."""

import numpy as np
import pytest
import xarray as xr

from aqreanalysis import geography
from aqreanalysis.geography import NAMES, GeographyError
from aqreanalysis.maps.natural_earth import lines

#: Name, longitude, latitude and altitude in m of places on plains or plateaus wider than a cell.
LEVELS = (
    ("Amsterdam", 4.90, 52.37, 0),
    ("Madrid", -3.70, 40.42, 650),
    ("Denver", -104.99, 39.74, 1610),
    ("Mexico City", -99.13, 19.43, 2240),
    ("Lake Titicaca", -69.40, -15.80, 3810),
    ("Johannesburg", 28.05, -26.20, 1700),
    ("Alice Springs", 133.88, -23.70, 580),
    ("Buenos Aires", -58.45, -34.60, 20),
)


def test_altitudes_are_those_of_the_places():
    names, longitude, latitude, altitude = zip(*LEVELS, strict=True)
    values = geography.at(longitude, latitude).altitude.values
    for name, expected, value in zip(names, altitude, values, strict=True):
        assert value == pytest.approx(expected, abs=200), name


def test_the_coast_is_where_it_is_and_not_half_a_cell_off():
    """At the coastline of another source the distance is least, and a cell off it is not."""
    coast = np.concatenate(lines("coastline", (-12.0, 32.0, 35.0, 62.0)))[::100]
    off = {
        (east, north): float(
            np.abs(
                geography.at(coast[:, 0] + east / 24, coast[:, 1] + north / 24).distance_to_coast
            ).mean()
        )
        for east in (-1, 0, 1)
        for north in (-1, 0, 1)
    }
    assert min(off, key=off.__getitem__) == (0, 0)
    assert off[0, 0] < 2.0  # km, of cells of 9 km


def test_there_is_no_seam_and_either_convention_of_longitude_is_one():
    latitude = np.linspace(60.0, 70.0, 41)  # Chukotka lies across the date line
    east, west = (geography.at(np.full(41, lon), latitude) for lon in (180.0, -180.0))
    xr.testing.assert_allclose(east.drop_vars("longitude"), west.drop_vars("longitude"))
    for longitude in (-180.0, 0.0):  # between the last and the first column, and at Greenwich
        near = geography.at(longitude + np.array([-0.001, 0.001]), np.full(2, 52.0))
        for name in NAMES:
            first, second = near[name].values
            assert second == pytest.approx(first, abs=2.0), (longitude, name)
    turned = geography.at(np.array([5.0, -70.0]) + 360, [45.0, -40.0])
    plain = geography.at([5.0, -70.0], [45.0, -40.0])
    for name in NAMES:
        np.testing.assert_allclose(turned[name], plain[name], rtol=1e-9)


def test_the_poles_have_values_and_the_ice_has_no_altitude():
    poles = geography.at([0.0, 90.0, 0.0], [90.0, 90.0, -90.0])
    assert poles.altitude.values[:2].tolist() == [0.0, 0.0]
    assert np.isnan(poles.altitude.values[2])
    assert np.isnan(geography.at(-40.0, 72.0).altitude)
    assert np.isfinite(geography.at(-51.7, 64.18).altitude)  # Nuuk


def test_the_sea_is_at_0_without_people_and_ashore_there_are():
    sea = geography.at([-35.0, 180.0], [30.0, 0.0])
    assert sea.altitude.values.tolist() == [0.0, 0.0]
    assert sea.distance_to_coast.values.tolist() == [-100.0, -100.0]
    assert sea.population_80km.values.tolist() == [0.0, 0.0]
    people = geography.at([2.35, 2.35], [48.86, 46.5]).population_15km.values  # Paris, Berry
    assert 3.3 < people[0] < 4.0  # 2 to 10 million within about 15 km
    assert people[1] < 2.0


def test_any_shape_and_dataarrays_go_in_and_come_out_with_units_and_sources():
    longitude, latitude = np.meshgrid([5.0, 6.0, 7.0], [45.0, 46.0])
    grid = geography.at(longitude, latitude)
    assert grid.altitude.shape == (2, 3)
    row = geography.at(longitude[1], latitude[1])
    np.testing.assert_array_equal(grid.altitude[1], row.altitude)
    stations = xr.Dataset(
        coords={
            "station": ["a", "b"],
            "longitude": ("station", [5.0, 6.0]),
            "latitude": ("station", [45.0, 46.0]),
        }
    )
    sampled = geography.at(stations.longitude, stations.latitude)
    assert sampled.altitude.dims == ("station",)
    assert sampled.station.values.tolist() == ["a", "b"]
    assert {name: sampled[name].attrs["units"] for name in NAMES} == {
        "altitude": "m",
        "relief": "m",
        "population_15km": "1",
        "population_80km": "1",
        "distance_to_coast": "km",
    }
    assert "GeoNames" in sampled.attrs["source"]
    assert "CC BY 4.0" in sampled.attrs["license"]


@pytest.mark.parametrize(
    ("longitude", "latitude", "message"),
    [
        (5.0, 90.5, r"latitudes from -90 to 90; found longitude 5, latitude 90\.5 \(1 such places"),
        (np.nan, 45.0, "positions are finite degrees.*found longitude nan, latitude 45"),
    ],
)
def test_positions_that_are_none_are_refused(longitude, latitude, message):
    with pytest.raises(GeographyError, match=message):
        geography.at(longitude, latitude)
