"""The engine of the neural method: any part is that of the whole, and no work is done twice."""

import threading
from copy import deepcopy

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from test_reanalysis import GRID, fitted, observations
from torch.utils.flop_counter import FlopCounterMode

from aqreanalysis.fields.cache import Cache
from aqreanalysis.geography.likeness import Coordinates
from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging import bands as bands_module
from aqreanalysis.methods.kriging import shared_factor as sharing
from aqreanalysis.methods.neural import field as neural_field
from aqreanalysis.methods.neural import neural_knn
from aqreanalysis.methods.neural.batches import Samples
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.methods.neural.field import NeuralField
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.targets import Geometries
from aqreanalysis.network import StationNetwork

FINE = Grid((115.0, 117.0, 39.2, 40.8), 0.05)


def field(*, grid=FINE, count=10, hours=36, heads=True):
    """Return an engine on a grid."""
    dataset = observations(count, hours)
    model = fitted(dataset, heads=heads)
    state = model.state_for(dataset)
    coordinates, network = None, dataset.aqnet.network
    if state.model.bands.coordinates:
        coordinates = Coordinates.of([dataset])
    samples = Samples.of(
        dataset,
        "pm25",
        standardisation=state.standardisation,
        configuration=model.configuration,
        seasons=False,
        attributes=coordinates and coordinates(network.longitude, network.latitude),
    )
    return NeuralField(
        state.model,
        state.standardisation,
        samples,
        heads=heads,
        offset=4 + 5,
        attributes=coordinates,
        grid=grid,
    )


def over(engine, rows, columns, hours):
    """Return mean and standard error of cells of the grid."""
    return engine.over(rows, columns, hours, engine.prepared(hours))


@pytest.mark.parametrize("heads", [True, False])
def test_a_tile_of_the_grid_gives_what_its_cells_give_alone(heads):
    engine = field(heads=heads)
    longitude, latitude = engine.grid_positions.reshape(2, -1)

    in_tiles = over(engine, slice(0, 32), slice(0, 40), slice(0, 24))
    alone = engine(longitude, latitude, slice(0, 24))

    # Distances among stations are those in the plane around the tile, not around the cell.
    np.testing.assert_allclose(in_tiles.root, alone.root, rtol=1e-3)
    np.testing.assert_allclose(in_tiles.spread, alone.spread, rtol=1e-3)


def test_any_part_of_the_grid_is_that_of_the_whole():
    engine = field()
    whole = over(engine, slice(0, 32), slice(0, 40), slice(0, 36))
    part = over(engine, slice(5, 19), slice(3, 37), slice(7, 30))

    for name in ("root", "spread"):
        every = getattr(whole, name).reshape(32, 40, 36)
        some = getattr(part, name).reshape(14, 34, 23)
        np.testing.assert_allclose(some, every[5:19, 3:37, 7:30], rtol=1e-5)


def test_targets_elsewhere_change_no_target():
    engine = field()
    longitude, latitude = engine.grid_positions.reshape(2, -1)
    together = engine(longitude, latitude, slice(0, 36))
    some = slice(100, 260)
    part = engine(longitude[some], latitude[some], slice(9, 20))
    for name in ("root", "spread"):
        np.testing.assert_allclose(
            getattr(part, name), getattr(together, name)[some, 9:20], rtol=1e-5
        )


def test_a_field_without_a_grid_says_so():
    with pytest.raises(ValueError, match="this field knows no grid; give grid="):
        over(field(grid=None), slice(0, 1), slice(0, 1), slice(0, 1))


# --- work, counted and not timed


def counted(monkeypatch, module, name):
    """Return the list to which each call of a solver adds the targets of its second argument."""
    targets, solve = [], getattr(module, name)

    def count(*arguments):
        shape = arguments[1].shape
        targets.append(shape[0] if module is bands_module else shape[0] * shape[2])
        return solve(*arguments)

    monkeypatch.setattr(module, name, count)
    return targets


def test_a_cell_is_solved_once_whatever_the_hours(monkeypatch):
    engine = field()
    alone = counted(monkeypatch, bands_module, "ordinary_weights")
    together = counted(monkeypatch, neural_knn, "shared_weights")
    rows, columns = slice(0, 8), slice(0, 40)

    over(engine, rows, columns, slice(0, 12))
    over(engine, rows, columns, slice(12, 36))

    assert sum(together) + sum(alone) == 8 * 40
    assert len(together) + len(alone) < 10  # most of them in few systems


def test_the_next_hour_of_a_grid_needs_no_system(monkeypatch):
    dataset, model = observations(), fitted()
    later = dataset.isel(time=slice(3, 9))
    model.predict(dataset, FINE).compute()
    expected = deepcopy(model).predict(later, FINE).compute()
    together = counted(monkeypatch, neural_knn, "shared_weights")
    alone = counted(monkeypatch, bands_module, "ordinary_weights")

    xr.testing.assert_equal(model.predict(later, FINE).compute(), expected)

    assert together == alone == []
    model.predict(dataset.isel(station=slice(1, None)), FINE).compute()
    assert together  # of other stations the weights are others
    assert model._geometry.nbytes > deepcopy(model)._geometry.nbytes == 0


# --- cells that share what their stations have in common


def crowd(step, *, count=116, k=40):
    """Return geometries in a network where only some are neighbours, and two tiles of cells."""
    rng = np.random.default_rng(0)
    network = StationNetwork(rng.uniform(100, 123, count), rng.uniform(30, 40, count))
    model = NeuralKNN(Configuration(neighbours=k), spacing_km=60.0, attributes=1)
    model.requires_grad_(False)
    model.bands.trend_covariance.fill_(0.02)
    model.bands.stretch.copy_(torch.tensor([0.2, 0.1]))
    noise = torch.from_numpy(rng.normal(0, 0.3, count))
    row, column = np.mgrid[0:8, 0:16] * step
    attributes = torch.from_numpy(rng.normal(size=(count, 1)))
    return Geometries(
        model, network, noise, False, attributes, lambda lon, lat: np.sin(20 * lon)[:, None]
    ), np.stack([110 + column, 33 + row]).reshape(2, 8, 2, 8).swapaxes(1, 2)


def estimates(geometry, values):
    """Return the bands of values (..., station) at all targets."""
    return (geometry.matrices.weight[:3] @ values.T[geometry.stations]).flatten(1, -2)


@pytest.mark.parametrize(
    ("step", "count"), [(0.02, 116), (0.1, 116), (0.3, 116), (1.0, 116), (0.3, 12), (5.0, 12)]
)
def test_cells_together_are_estimated_as_each_alone(step, count, monkeypatch):
    geometries, positions = crowd(step, count=count)
    alone = counted(monkeypatch, bands_module, "ordinary_weights")

    together = geometries.of_tiles(*positions)
    solved_alone = sum(alone)
    single = geometries.of_points(*positions.reshape(2, -1))

    assert np.isin(single.stations, together.stations).all()
    values = torch.randn(10, count, generator=torch.Generator().manual_seed(0))
    result, wanted = (estimates(made, values) for made in (together, single))
    error = single.matrices.variance.sqrt()
    # In standard errors, of noise that no station shares with another: the worst there is.
    assert float(((result - wanted).abs() / error).max()) < 0.04
    np.testing.assert_allclose(together.matrices.variance, single.matrices.variance, rtol=3e-3)
    assert (solved_alone == 0) == (step < 1)  # near cells are together, distant ones are not


@pytest.mark.parametrize("k", [1, 2, 12])
def test_few_stations_or_neighbours_are_enough(k):
    geometries, positions = crowd(0.1, count=12, k=k)
    weight = geometries.of_tiles(*positions).matrices.weight[:3]
    np.testing.assert_allclose(weight.sum(-1), 1, atol=1e-6)


def solved_directly(matrix, share, right, variance):
    """Return what conjugate gradients approach."""
    system = torch.diag_embed(1 - share.mT.double() ** 2)
    system += share.mT[..., None].double() * matrix[:, None] * share.mT[:, :, None]
    solution = torch.linalg.solve(system, right.mT[..., None].double())
    return solution[..., 0].mT.float(), torch.ones(len(right), dtype=torch.bool)


def test_few_products_solve_the_systems_of_all_cells(monkeypatch):
    geometries, positions = crowd(0.1)
    with FlopCounterMode(display=False) as counter:
        tiles = geometries.of_tiles(*positions)
    monkeypatch.setattr(sharing, "_conjugate_gradients", solved_directly)
    exact = geometries.of_tiles(*positions)

    values = torch.randn(10, 116, generator=torch.Generator().manual_seed(0))
    result, wanted = (estimates(made, values) for made in (tiles, exact))
    error = exact.matrices.variance.sqrt()
    assert float(((result - wanted).abs() / error).max()) < 1e-4
    np.testing.assert_allclose(tiles.matrices.variance, exact.matrices.variance, rtol=1e-5)
    # In each of ten steps at most and of three bands, two products with a matrix of the stations.
    assert counter.get_total_flops() / 128 < 10 * 3 * 2 * 2 * tiles.stations.shape[1] ** 2


def test_a_tile_beside_others_is_solved_as_it_is_alone():
    geometries, positions = crowd(0.1)
    values = torch.randn(10, 116, generator=torch.Generator().manual_seed(0))
    both = estimates(geometries.of_tiles(*positions), values)
    alone = estimates(geometries.of_tiles(*positions[:, 1:]), values)
    np.testing.assert_allclose(both[:, 64:], alone, rtol=1e-4, atol=1e-5)


def test_the_products_of_a_cell_and_hour_are_with_its_near_stations_alone():
    engine = field(count=120, hours=12)
    block = (slice(0, 8), slice(0, 16), slice(0, 12))
    over(engine, *block)  # the geometry and the encoding
    with FlopCounterMode(display=False) as counter:
        over(engine, *block)

    (strip,) = engine.geometry._results.values()
    near = strip.stations.shape[1]
    mixtures = 3 + 2 + 4 + 1 + 4 + 2 + 8  # bands, variance, mean, heads twice, squares, context
    bias = 1  # the weight of a row of ones
    decoder = (9 + 2 + 4 + 8 + 8 + bias) * 8 + (8 + bias) * 8 + (8 + bias) * 6
    result = counter.get_total_flops() / (8 * 16 * 12)
    assert near <= 24
    assert result == 2 * (mixtures * near + decoder)


def test_windows_are_encoded_side_by_side(monkeypatch):
    engine = field(hours=60)
    encode, both = engine.encoder.window, threading.Barrier(2, timeout=5)

    def window(number):
        both.wait()  # for another one: alone it fails
        return encode(number)

    monkeypatch.setattr(engine.encoder, "window", window)
    with dask.config.set(num_workers=2):
        engine.prepared(slice(0, 10))
    assert len(engine._cached_windows._results) == 2


def test_a_cache_stays_within_its_bytes():
    cache = Cache(most_bytes=1000)
    for number in range(100):
        cache.get(number, lambda: np.zeros(30))
    assert cache.nbytes <= 1000


def test_threads_wait_for_a_result_that_one_of_them_makes():
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    made = []
    cache = Cache(most_bytes=1000)

    def make():
        made.append(1)
        sleep(0.05)
        return np.ones(3)

    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda _: cache.get("key", make), range(4)))
    assert len(made) == 1
    assert all(result is actual[0] for result in actual)


def test_a_result_that_fails_is_made_again():
    cache = Cache(most_bytes=1000)

    def fail():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            cache.get("key", fail)
    assert cache.get("key", lambda: np.ones(1)).size == 1


def test_chunks_of_a_grid_and_threads_change_nothing():
    model, dataset = fitted(heads=True), observations()
    whole = model.predict(dataset, FINE).compute(scheduler="synchronous")
    for chunks in ({"time": 7, "lat": 3}, {"lat": 16, "lon": 11}):
        parts = model.predict(dataset, FINE, chunks=chunks).compute(
            scheduler="threads", num_workers=4
        )
        for name in ("pm25", "pm25_uncertainty"):
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5)


def test_torch_is_left_with_the_threads_it_had():
    before = torch.get_num_threads()
    fitted(heads=True).predict(observations(), GRID).compute()
    assert torch.get_num_threads() == before


def test_one_thread_within_one_thread_stays_alone():
    outside = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with single_thread():
            with single_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(outside)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no graphics card")
@pytest.mark.parametrize("heads", [True, False])
def test_a_graphics_card_gives_what_the_processor_gives(heads, monkeypatch):
    block = (slice(0, 32), slice(0, 40), slice(0, 36))
    result = over(field(heads=heads), *block)
    monkeypatch.setattr(neural_field, "best_device", lambda: torch.device("cpu"))
    expected = over(field(heads=heads), *block)
    for on_card, here in zip(result, expected, strict=True):
        np.testing.assert_allclose(on_card, here, rtol=1e-3)
