"""The network at many targets is the network of training, and does no more work than it must."""

import numpy as np
import pytest
import torch
from test_reanalysis import GRID, fitted, observations
from torch.utils.flop_counter import FlopCounterMode

from aqreanalysis.grid import Grid
from aqreanalysis.model import bands as bands_module
from aqreanalysis.reanalysis.kept import Kept
from aqreanalysis.reanalysis.neural_field import NeuralField
from aqreanalysis.samples import Samples

FINE = Grid((115.0, 117.0, 39.2, 40.8), 0.05)


def field(*, grid=FINE, count=10, hours=36, heads=True):
    """Return an engine on a grid."""
    dataset = observations(count, hours)
    model = fitted(dataset, heads=heads)
    state = model.state_for(dataset)
    samples = Samples.of(
        dataset,
        "pm25",
        standardisation=state.standardisation,
        configuration=model.configuration,
        seasons=False,
    )
    return NeuralField(
        state.model, state.standardisation, samples, heads=heads, offset=4 + 5, grid=grid
    )


@pytest.mark.parametrize("heads", [True, False])
def test_a_tile_of_the_grid_gives_what_its_cells_give_alone(heads):
    engine = field(heads=heads)
    longitude, latitude = engine.grid_positions.reshape(2, -1)

    in_tiles = engine.over(slice(0, 32), slice(0, 40), slice(0, 24))
    alone = engine(longitude, latitude, slice(0, 24))

    for tiled, single in zip(in_tiles, alone, strict=True):
        # Sums over the near stations and over all differ in the order of float32 alone.
        np.testing.assert_allclose(tiled, single, rtol=2e-4)


def test_any_part_of_the_grid_is_that_of_the_whole_to_the_last_bit():
    engine = field()
    whole = np.stack(engine.over(slice(0, 32), slice(0, 40), slice(0, 36))).reshape(2, 32, 40, 36)
    part = np.stack(engine.over(slice(5, 19), slice(3, 37), slice(7, 30))).reshape(2, 14, 34, 23)

    np.testing.assert_array_equal(part, whole[:, 5:19, 3:37, 7:30])


def test_a_field_without_a_grid_says_so():
    with pytest.raises(ValueError, match="this field knows no grid; give grid="):
        field(grid=None).over(slice(0, 1), slice(0, 1), slice(0, 1))


# --- work, counted and not timed


def test_a_cell_is_solved_once_whatever_the_hours(monkeypatch):
    solved = []
    solve = bands_module.solved
    monkeypatch.setattr(
        bands_module, "solved", lambda *a: (solved.append(a[1].shape[0]), solve(*a))[1]
    )
    engine = field()
    rows, columns = slice(0, 8), slice(0, 32)
    solved.clear()  # of training

    engine.over(rows, columns, slice(0, 12))
    engine.over(rows, columns, slice(12, 36))

    assert sum(solved) == 8 * 32


def test_the_products_of_a_cell_and_hour_are_with_its_near_stations_alone():
    engine = field(count=120, hours=12)
    block = (slice(0, 8), slice(0, 16), slice(0, 12))
    engine.over(*block)  # the geometry and the encoding
    with FlopCounterMode(display=False) as counter:
        engine.over(*block)

    (place,) = engine._places._results.values()
    windows = len(engine._windows._results)
    mixtures = 3 + 2 + 4 + 1 + 4 + 2 + 8  # bands, variance, mean, heads twice, squares, context
    decoder = (9 + 2 + 4 + 8 + 8) * 8 + 8 * 8 + 8 * 6
    found = counter.get_total_flops() / (8 * 16 * 12 * windows)
    assert place.stations.numel() <= 24
    assert found == 2 * (mixtures * place.stations.numel() + decoder)


def test_what_is_kept_stays_within_its_bytes():
    kept = Kept(most_bytes=1000)
    for number in range(100):
        kept.get(number, lambda: np.zeros(30))
    assert kept.nbytes <= 1000


def test_threads_wait_for_a_result_that_one_of_them_makes():
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    made = []
    kept = Kept(most_bytes=1000)

    def make():
        made.append(1)
        sleep(0.05)
        return np.ones(3)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kept.get("key", make), range(4)))
    assert len(made) == 1
    assert all(result is found[0] for result in found)


def test_a_result_that_fails_is_made_again():
    kept = Kept(most_bytes=1000)

    def fail():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            kept.get("key", fail)
    assert kept.get("key", lambda: np.ones(1)).size == 1


def test_chunks_of_a_grid_and_threads_change_no_bit():
    model, dataset = fitted(heads=True), observations()
    whole = model.predict(dataset, FINE).compute(scheduler="synchronous")
    for chunks in ({"time": 7, "lat": 3}, {"lat": 16, "lon": 11}):
        parts = model.predict(dataset, FINE, chunks=chunks).compute(
            scheduler="threads", num_workers=4
        )
        np.testing.assert_array_equal(parts.pm25, whole.pm25)
        np.testing.assert_array_equal(parts.pm25_uncertainty, whole.pm25_uncertainty)


def test_torch_is_left_with_the_threads_it_had():
    before = torch.get_num_threads()
    fitted(heads=True).predict(observations(), GRID).compute()
    assert torch.get_num_threads() == before
