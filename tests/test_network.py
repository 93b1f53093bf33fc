"""Stations on the sphere: neighbours everywhere, extents across the date line, honest folds."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.network import (
    EARTH_RADIUS_KM,
    StationNetwork,
    bearing_deg,
    great_circle_km,
    unit_vectors,
)

#: Float64 loses half of its digits in both the chord and the haversine near the antipode:
#: 2 R sqrt(2^-52) is 0.2 m, and a few roundings come together.
ANTIPODAL_KM = 2e-3

longitudes = st.floats(-540, 540)
latitudes = st.one_of(
    st.floats(-90, 90), st.sampled_from([-90.0, 90.0]), st.floats(89, 90), st.floats(-90, -89)
)
near_the_date_line = st.one_of(st.floats(179, 181), st.floats(-181, -179))
places = st.tuples(st.one_of(longitudes, near_the_date_line), latitudes)
universal = settings(deadline=None, max_examples=60)


def ring(count, *, latitude, first=0.0):
    """Return a network evenly spaced along a circle of latitude."""
    longitude = first + np.arange(count) * 360 / count
    return StationNetwork(longitude, np.full(count, latitude))


# --- distance and bearing


def test_distances_known_from_the_radius():
    quarter = np.pi / 2 * EARTH_RADIUS_KM
    cases = [
        ((0, 0, 90, 0), quarter),
        ((0, 0, 0, 90), quarter),
        ((0, 0, 180, 0), 2 * quarter),
        ((12, 90, 123, 90), 0.0),  # every longitude at the pole is the pole
        ((0, 89, 180, 89), np.radians(2) * EARTH_RADIUS_KM),  # across the pole
        ((179.5, 0, -179.5, 0), np.radians(1) * EARTH_RADIUS_KM),
    ]
    for arguments, expected in cases:
        assert great_circle_km(*arguments) == pytest.approx(expected, abs=1e-9)


def test_a_metre_is_told_from_nothing():
    # 1e-5 degrees are 1.112 m; the arccosine formula would give 0 or 1.3.
    assert great_circle_km(116, 40, 116, 40.00001) == pytest.approx(1.11195e-3, rel=1e-5)


@universal
@given(a=places, b=places, turns=st.integers(-2, 2))
def test_distance_is_symmetric_and_the_same_a_turn_further(a, b, turns):
    forth, back = great_circle_km(*a, *b), great_circle_km(*b, *a)
    turned = great_circle_km(a[0] + 360 * turns, a[1], *b)

    assert forth == pytest.approx(back, abs=ANTIPODAL_KM)
    assert forth == pytest.approx(turned, abs=ANTIPODAL_KM)
    assert 0 <= forth <= np.pi * EARTH_RADIUS_KM * (1 + 1e-12)


@universal
@given(
    start=st.tuples(longitudes, st.floats(-89, 89)),
    bearing=st.floats(0, 359.9),
    arc=st.floats(0.01, 170),
)
def test_bearing_is_that_of_the_way_walked(start, bearing, arc):
    # The point an arc further along a bearing, from three orthogonal unit vectors at the start.
    lon = np.radians(start[0])
    up = unit_vectors(*start)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(up, east)
    angle = np.radians(bearing)
    ahead = np.cos(angle) * north + np.sin(angle) * east
    x, y, z = np.cos(np.radians(arc)) * up + np.sin(np.radians(arc)) * ahead
    end = np.degrees([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))])

    result = bearing_deg(*start, *end)

    assert 0 <= result < 360
    assert (result - bearing + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert great_circle_km(*start, *end) == pytest.approx(np.radians(arc) * EARTH_RADIUS_KM)


# --- neighbours


@universal
@given(
    stations=st.lists(places, min_size=1, max_size=12),
    targets=st.lists(places, min_size=1, max_size=5),
    k=st.integers(1, 15),
)
def test_neighbours_are_those_of_brute_force(stations, targets, k):
    network = StationNetwork(*np.array(stations).T)
    lon, lat = np.array(targets).T

    neighbours = network.neighbours(lon, lat, k=k)

    every = great_circle_km(lon[:, None], lat[:, None], network.longitude, network.latitude)
    reached = min(k, network.size)
    nearest = np.sort(every, axis=1)[:, :reached]
    np.testing.assert_allclose(neighbours.distance_km[:, :reached], nearest, atol=ANTIPODAL_KM)
    at_index = np.take_along_axis(every, neighbours.index[:, :reached], axis=1)
    np.testing.assert_allclose(at_index, nearest, atol=ANTIPODAL_KM)
    assert all(len(set(row)) == reached for row in neighbours.index[:, :reached].tolist())
    assert (neighbours.index[:, reached:] == -1).all()
    assert np.isposinf(neighbours.distance_km[:, reached:]).all()


@universal
@given(
    stations=st.lists(places, min_size=1, max_size=10),
    k=st.integers(1, 12),
    data=st.data(),
)
def test_an_excluded_station_is_never_found_and_costs_no_other(stations, k, data):
    network = StationNetwork(*np.array(stations).T)
    rows = st.lists(st.integers(-1, network.size - 1), min_size=1, max_size=4)
    excluded = np.array(data.draw(rows))
    lon, lat = network.longitude[excluded], network.latitude[excluded]  # at its own place

    neighbours = network.neighbours(lon, lat, k=k, exclude=excluded)

    assert not (neighbours.index == excluded[:, None])[excluded >= 0].any()
    every = great_circle_km(lon[:, None], lat[:, None], network.longitude, network.latitude)
    for row, (gone, distances) in enumerate(zip(excluded, every, strict=True)):
        left = np.sort(np.delete(distances, gone) if gone >= 0 else distances)[:k]
        assert (neighbours.index[row] >= 0).sum() == left.size
        np.testing.assert_allclose(
            neighbours.distance_km[row, : left.size], left, atol=ANTIPODAL_KM
        )


@universal
@given(stations=st.lists(places, min_size=2, max_size=10), turns=st.integers(-2, 2))
def test_a_turn_of_longitude_does_not_matter(stations, turns):
    lon, lat = np.array(stations).T
    network, turned = StationNetwork(lon, lat), StationNetwork(lon + 360 * turns, lat)

    neighbours, again = (n.neighbours(lon, lat, k=3).distance_km for n in (network, turned))

    np.testing.assert_allclose(again, neighbours, atol=ANTIPODAL_KM)


def test_neighbours_across_the_date_line():
    network = StationNetwork([178.0, -178.5, 170.0, 0.0], [10.0, 10.0, 10.0, 10.0])

    for longitude in (179.9, -180.1, 539.9):
        assert network.neighbours([longitude], [10.0], k=3).index.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_neighbours_across_a_pole(pole):
    # Seen from longitude 0, one degree from the pole, the station opposite is 2.5 degrees away;
    # the one at the same latitude and longitude 60 only 1 degree; in flat degrees it is not so.
    side = np.sign(pole)
    network = StationNetwork([180.0, 60.0, 0.0], [pole - 1.5 * side, pole - side, pole - 4 * side])

    neighbours = network.neighbours([0.0], [pole - side], k=3)

    assert neighbours.index.tolist() == [[1, 0, 2]]
    degrees = neighbours.distance_km / (np.radians(1) * EARTH_RADIUS_KM)
    assert degrees[0, 1:] == pytest.approx([2.5, 3.0])
    at_pole = ring(7, latitude=pole - side).neighbours([123.0], [pole], k=7)
    np.testing.assert_allclose(at_pole.distance_km, np.radians(1) * EARTH_RADIUS_KM)


def test_stations_at_equal_distance_come_in_the_order_of_their_rows():
    at_pole = ring(40, latitude=89.0).neighbours([10.0], [90.0], k=40)

    assert at_pole.index.tolist() == [list(range(40))]


def test_fewer_neighbours_are_the_first_of_more_where_stations_are_equally_far():
    rng = np.random.default_rng(5)
    longitude, latitude = rng.uniform(0, 3, 12), rng.uniform(50, 52, 12)
    network = StationNetwork(np.tile(longitude, 4), np.tile(latitude, 4))  # four at each place
    at = rng.uniform(0, 3, 40), rng.uniform(50, 52, 40)
    every = network.neighbours(*at, k=48)
    for k in (1, 2, 3, 5, 10, 47):
        neighbours = network.neighbours(*at, k=k)
        np.testing.assert_array_equal(neighbours.index, every.index[:, :k])
        np.testing.assert_array_equal(neighbours.distance_km, every.distance_km[:, :k])


def test_stations_on_one_roof_are_neighbours_of_each_other():
    network = StationNetwork([116.0, 116.0, 116.0, 116.5], [40.0] * 4)

    neighbours = network.station_neighbours(k=3)

    assert (neighbours.index != np.arange(4)[:, None]).all()
    assert (neighbours.distance_km[:3, :2] == 0).all()
    assert sorted(neighbours.index[3].tolist()) == [0, 1, 2]


def test_a_lone_station_has_no_other():
    neighbours = StationNetwork(116.0, 40.0).station_neighbours(k=2)

    assert neighbours.index.tolist() == [[-1, -1]]
    assert np.isposinf(neighbours.distance_km).all()


def test_the_matrix_of_distances_agrees_with_the_tree():
    rng = np.random.default_rng(3)
    network = StationNetwork(rng.uniform(170, 190, 30), rng.uniform(60, 90, 30))

    matrix = network.distance_matrix_km()

    assert (np.diag(matrix) == 0).all()
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(
        np.sort(matrix, axis=1)[:, 1:], network.station_neighbours(k=29).distance_km, atol=1e-6
    )


def lattice(side):
    """Return a network on a lattice, of which many distances are equal, every place twice."""
    lon, lat = np.meshgrid(np.arange(side) * 0.5, np.arange(side) * 0.5)
    return StationNetwork(np.tile(lon.ravel(), 2), np.tile(lat.ravel(), 2))


def on_one_roof(count):
    """Return stations at one place, and two elsewhere."""
    return StationNetwork(np.append(np.full(count, 116.0), [117.0, 118.0]), np.full(count + 2, 40))


@pytest.mark.parametrize("network", [lattice(9), on_one_roof(40), ring(50, latitude=89.5)])
@pytest.mark.parametrize("k", [1, 8, 30, 200])
def test_equally_far_others_come_in_the_order_of_the_rows(network, k):
    every = network.distance_matrix_km().round(7)
    np.fill_diagonal(every, np.inf)
    order = np.argsort(every, axis=1, kind="stable")[:, : min(k, network.size - 1)]

    others = network.nearest_others(k=k)

    np.testing.assert_array_equal(others.index, order)
    np.testing.assert_allclose(
        others.distance_km, np.take_along_axis(every, order, axis=1), atol=1e-6
    )


def test_a_station_is_among_those_nearest_to_it():
    network = lattice(5)

    neighbours = network.nearest_to(12, count=20)

    np.testing.assert_array_equal(
        neighbours, network.distance_matrix_km()[12].argsort(kind="stable")[:20]
    )
    assert set(neighbours[:2]) == {12, 37}  # and the other one on its roof


def test_distances_of_pairs_are_those_of_the_matrix_to_the_last_bit():
    rng = np.random.default_rng(4)
    network = StationNetwork(rng.uniform(-180, 180, 60), rng.uniform(-90, 90, 60))
    rows, columns = rng.permutation(60)[:23], rng.permutation(60)[:37]

    pairs = network.distance_km(rows[:, None], columns)

    np.testing.assert_array_equal(pairs, network.distance_matrix_km()[rows][:, columns])


# --- extent and spacing


@pytest.mark.parametrize(
    ("longitude", "west", "east"),
    [
        ([116.0, 117.5], 116.0, 117.5),
        ([-10.0, 10.0], -10.0, 10.0),
        ([179.0, -178.0], 179.0, 182.0),
        ([179.0, 182.0], 179.0, 182.0),
        ([350.0, 355.0, 10.0], -10.0, 10.0),
        ([-170.0, 100.0, 170.0], 100.0, 190.0),
        ([180.0, -180.0], -180.0, -180.0),
        ([42.0], 42.0, 42.0),
    ],
)
def test_the_extent_takes_the_shorter_way_around(longitude, west, east):
    latitude = np.linspace(-5, 60, len(longitude))

    extent = StationNetwork(longitude, latitude).extent()

    assert extent == pytest.approx((west, east, latitude.min(), latitude.max()))


@universal
@given(stations=st.lists(places, min_size=1, max_size=10))
def test_every_station_lies_in_the_extent(stations):
    network = StationNetwork(*np.array(stations).T)

    west, east, south, north = network.extent()

    beyond = (network.longitude - west + 1e-9) % 360
    assert (beyond <= east - west + 2e-9).all()
    assert west <= east <= west + 360
    assert ((south <= network.latitude) & (network.latitude <= north)).all()


def test_spacing_is_the_median_step_to_another_place():
    # Along the equator at 0, 1, 3, 6 degrees: nearest others at 1, 1, 2, 3; the median is 1.5.
    # The second instrument at 0 is no other place.
    network = StationNetwork([0.0, 0.0, 1.0, 3.0, 6.0], np.zeros(5))

    assert network.spacing_km == pytest.approx(1.5 * np.radians(1) * EARTH_RADIUS_KM)
    assert np.isnan(StationNetwork([5.0, 5.0], [1.0, 1.0]).spacing_km)


def test_reach_holds_all_but_the_loneliest_places():
    # Nearest others at 1, 1, 2, 3 degrees: the 95th percentile lies 0.85 of the way from 2 to 3.
    network = StationNetwork([0.0, 0.0, 1.0, 3.0, 6.0], np.zeros(5))

    assert network.reach_km == pytest.approx(2.85 * np.radians(1) * EARTH_RADIUS_KM)
    assert np.isnan(StationNetwork([5.0, 5.0], [1.0, 1.0]).reach_km)


def test_the_repr_names_size_extent_and_spacing():
    network = StationNetwork([179.0, -179.0], [0.0, 0.0])

    assert repr(network) == (
        "<StationNetwork: 2 stations, 179.00 to 181.00 E, 0.00 to 0.00 N, median spacing 222 km>"
    )


# --- co-located groups and folds


def test_groups_chain_stations_within_reach_also_across_the_date_line():
    # At the equator 0.004 degrees are 0.445 km: a to b to c in reach, a to c not, but one group.
    network = StationNetwork([179.996, 180.0, -179.996, 170.0], np.zeros(4))

    groups = network.colocated_groups()

    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert len(set(network.colocated_groups(within_km=0.4).tolist())) == 4


@universal
@given(
    stations=st.lists(places, min_size=1, max_size=14),
    twins=st.integers(0, 5),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_folds_are_even_in_places_and_never_part_a_roof(stations, twins, count, seed):
    lon, lat = np.array([*stations, *stations[:twins]]).T
    network = StationNetwork(lon, lat)
    groups = network.colocated_groups()
    group_count = len(set(groups.tolist()))
    if group_count < count:
        with pytest.raises(ValueError, match=f"separate stations; found {group_count}"):
            network.folds(count, seed=seed)
        return

    fold = network.folds(count, seed=seed)

    per_group = [set(fold[groups == group].tolist()) for group in range(group_count)]
    assert all(len(numbers) == 1 for numbers in per_group)
    sizes = np.bincount([next(iter(numbers)) for numbers in per_group], minlength=count)
    assert sizes.size == count
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold, network.folds(count, seed=seed))


def test_another_seed_gives_other_folds():
    network = ring(40, latitude=50.0)

    assert (network.folds(5, seed=0) != network.folds(5, seed=1)).any()


# --- bad input


def test_all_bad_positions_are_named_at_once():
    with pytest.raises(ValueError, match=r"within -90\.\.90") as caught:
        StationNetwork(
            [116.0, np.nan, 116.0, 116.0],
            [95.0, 40.0, np.nan, 40.0],
            identifiers=["Gate", "Lake", "Park", "Mill"],
        )
    message = str(caught.value)
    assert "station Gate: longitude 116, latitude 95" in message
    assert "station Lake: longitude nan" in message
    assert "station Park" in message
    assert "Mill" not in message


def test_no_station_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="at least one station"):
        StationNetwork([], [])
    with pytest.raises(ValueError, match="found 2 longitudes, 3 latitudes and 2 identifiers"):
        StationNetwork([1.0, 2.0], [1.0, 2.0, 3.0])


def test_a_dataset_without_positions_is_refused_with_what_it_has():
    positions = xr.Dataset({"longitude": ("station", [1.0]), "latitude": ("station", [2.0])})
    with pytest.raises(ValueError, match=r"found dimensions \('station',\), and no latitude"):
        StationNetwork.from_dataset(positions.drop_vars("latitude"))
    with pytest.raises(ValueError, match=r"needs the dimension 'station'; found \('site',\)"):
        StationNetwork.from_dataset(positions.rename(station="site"))


def test_a_dataset_gives_its_identifiers_or_numbers():
    positions = xr.Dataset({"longitude": ("station", [1.0]), "latitude": ("station", [2.0])})

    assert StationNetwork.from_dataset(positions).identifiers.tolist() == ["0"]
    named = StationNetwork.from_dataset(positions.assign_coords(station=["Gate"]))
    assert named.identifiers.tolist() == ["Gate"]


def test_a_network_of_many_stations_is_told_from_another_by_any_of_them():
    from dask.base import tokenize

    place = np.random.default_rng(0).uniform(-60, 60, (2, 5000))
    moved = place.copy()
    moved[0, 2500] += 1e-9
    assert tokenize(StationNetwork(*place)) == tokenize(StationNetwork(*place.copy()))
    assert tokenize(StationNetwork(*place)) != tokenize(StationNetwork(*moved))


@pytest.mark.parametrize(("west", "south"), [(10.0, 50.0), (179.9, -0.4), (-60.0, 89.2)])
def test_the_nearest_of_a_tile_are_among_its_surroundings(west, south):
    rng = np.random.default_rng(0)
    angle, far = rng.uniform(0, 360, 400), rng.uniform(0, 20, 400)
    network = StationNetwork(west + angle * (abs(south) > 80) + far, south - far * angle / 360)
    row, column = np.mgrid[0:3, 0:4] / 10
    longitude, latitude = np.stack([west + column, west + 1 + column]), np.stack([south + row] * 2)
    tiles = longitude.reshape(2, -1), latitude.reshape(2, -1)

    rows, distance_km = network.surroundings(*tiles, k=9, most=400)

    for tile in range(2):
        near = network.neighbours(tiles[0][tile], tiles[1][tile], k=9)
        order = np.argsort(distance_km[tile], axis=1, kind="stable")[:, :9]
        np.testing.assert_array_equal(rows[tile][order], near.index)
        nearest = np.take_along_axis(distance_km[tile], order, axis=1)
        np.testing.assert_allclose(nearest, near.distance_km, rtol=1e-12)


def test_a_tile_with_too_many_stations_around_it_has_none():
    line = StationNetwork(np.arange(50.0), np.zeros(50))
    rows, distance_km = line.surroundings(np.array([[3.1, 30.0]]), np.zeros((1, 2)), k=2, most=9)
    assert rows.shape == (1, 2)
    assert np.isinf(distance_km).all()
