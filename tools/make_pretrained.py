"""Makes ``aqreanalysis/methods/kriging/pretrained.safetensors`` from public networks and made ones.

Run it in the root of the repository to make the file anew; it takes some ten minutes::

    python -m tools.make_pretrained --data FOLDER    # of public sets, as the benchmarks use them

A case is a network cut at random out of a public one, or made of random covariances, of which a
quarter of the stations is hidden. The statistics of the others give the parameters of a covariance,
which krige the hidden ones; the loss is the error there. No case of a region has any part in the
weights that are named after it.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.signal import lfilter
from torch import Tensor

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.amortised import (
    NAMES,
    REGIONS,
    STEPS_HOURS,
    WEIGHTS,
    WIDTHS,
    AmortisedCovariance,
    statistics,
)
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.fitting import bands_of, fit_filling
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete
from aqreanalysis.methods.kriging.solver import JITTER
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of
from benchmarks import sources

SEED = 0
#: Cases of each public network, hourly and of daily means, and made ones.
CASES = {
    "usepa": (1500, 750),
    "beijing36": (800, 350),
    "beijing12": (250, 150),
    "beijing30": (150, 0),
    "europe": (0, 1500),
}
MADE = 4000
REGION = {"usepa": "us", "europe": "europe"}  # all others are in Beijing
OPEN = {name: getattr(sources, name) for name in CASES}
#: Known stations of a case; hidden ones to each; steps of it, and of these how many are scored.
KNOWN, HIDDEN_TO_KNOWN, STEPS, SCORED = (3, 40), 0.38, (24, 2500), 80
#: Share of the cases that are thinned out, so that their spacing is another one.
THINNED = 0.5
#: Least share of the steps at which each station of a case reports, and of the hours of a day.
LEAST_REPORTING, LEAST_OF_DAY = 0.5, 18
#: Least distance of two stations of a case, km.
LEAST_KM = 0.3
#: Updates of the covariance that fills gaps; passes over all cases, cases in an update, rate, decay
#: of the weights, and weight of the squared departure of parameters from the usual ones.
FILLING_UPDATES, EPOCHS, BATCH, RATE, DECAY, RIDGE = 150, 10, 24, 1e-2, 1e-2, 1e-3
#: Made fields: bounds of their times, steps; of ranges in units of the spacing; of the spacing, km;
#: mean and spread of the logarithms of the amplitudes, and of a station's own.
TIMES, RANGES, SPACINGS_KM = ((1, 5), (5, 20), (15, 100)), (1, 100), (3, 100)
AMPLITUDE, OWN, OWN_TIMES = (-0.3, 0.6), (-1.3, 0.7), (6.0, 60.0)

ATTRIBUTES = {
    "title": "covariance of the bands of air quality, from statistics of a network",
    "version": "1",
    "seed": str(SEED),
    "source": "US EPA Air Quality System, hourly PM2.5 of 2011; EEA AirBase, daily PM10 of 2005; "
    "PM2.5 of Beijing, hourly, 2013 to 2017; made networks",
    "history": "tools/make_pretrained.py",
}


@dataclass(frozen=True, eq=False)
class Series:
    """Roots of a public network, its gaps filled.

    Attributes
    ----------
    network : StationNetwork
    root : (station, time) float64
    measured : (station, time) bool
    filling : (parameter,) float64
        Of the covariance that filled them, ranges in units of the spacing.
    """

    network: StationNetwork
    root: Tensor
    measured: Tensor
    filling: Tensor


@dataclass(frozen=True, eq=False)
class Case:
    """A network of which some stations are hidden; the known ones come first.

    Attributes
    ----------
    spacing_km : float
        Of the known stations.
    distance_km : (station, station) float64
    split : (station, time, band) float32
    measured : (station, time) bool
    statistics : (statistic,) float64
        Of the known stations.
    """

    spacing_km: float
    distance_km: Tensor
    split: Tensor
    measured: Tensor
    statistics: Tensor

    @classmethod
    def of(
        cls, distance_km: np.ndarray, root: Tensor, measured: Tensor, rng: np.random.Generator
    ) -> "Case | None":
        """Return the case of some stations; None if it is one to learn nothing from."""
        known = known_of(len(root))
        apart = np.where(np.eye(len(root), dtype=bool), np.inf, distance_km)
        values = root[:known][measured[:known]]
        reporting = measured.double().mean(1).min()
        if reporting < LEAST_REPORTING or apart.min() < LEAST_KM or values.std() < JITTER:
            return None
        split = bands_of((root - values.mean()) / values.std(), WIDTHS)
        distance = torch.from_numpy(distance_km)
        steps = rng.choice(root.shape[1], min(SCORED, root.shape[1]), replace=False)
        return cls(
            float(np.median(apart[:known, :known].min(1))),
            distance,
            split[:, steps].float(),
            measured[:, steps],
            statistics(distance[:known, :known], split[:known], measured[:known]),
        )


def known_of(stations: int) -> int:
    """Return how many stations of a case are known.

    Examples
    --------
    >>> [known_of(stations) for stations in (4, 11)]
    [3, 8]
    """
    return round(stations / (1 + HIDDEN_TO_KNOWN))


def main(arguments: list[str] | None = None) -> None:
    """Make the file; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the public sets")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases, for a trial")
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS)
    chosen = parser.parse_args(arguments)
    with single_thread(), torch.random.fork_rng(devices=[]):
        tensors = weights(sources.data_folder(chosen.data), chosen.share)
    save_file(tensors, chosen.output, ATTRIBUTES)
    print(f"{chosen.output}: {chosen.output.stat().st_size / 1e3:.0f} kB")


def weights(folder: Path, share: float = 1.0) -> dict[str, Tensor]:
    """Return the tensors of all names, learned from a share of the cases."""
    rng = np.random.default_rng(SEED)
    cases: dict[str, list[Case]] = {region: [] for region in REGIONS}
    fillings: dict[str, list[list[Tensor]]] = {region: [[], []] for region in REGIONS}
    for name, counts in CASES.items():
        region = REGION.get(name, "beijing")
        for number, (count, series) in enumerate(zip(counts, _series(name, folder), strict=True)):
            if series is not None:
                fillings[region][number].append(series.filling)
                cases[region] += _cut(series, math.ceil(share * count), rng)
    made = list(_made(math.ceil(share * MADE), rng))
    tensors: dict[str, Tensor] = {}
    for name in NAMES:
        seen = [region for region in REGIONS if name != f"without_{region}"]
        learned = learn([*made, *(case for region in seen for case in cases[region])])
        filling = torch.stack([_mean_filling(fillings, seen, step) for step in (0, 1)])
        state = {**learned.state_dict(), "filling": filling}
        tensors |= {f"{name}.{key}": tensor for key, tensor in state.items()}
    return tensors


def _mean_filling(
    fillings: dict[str, list[list[Tensor]]], regions: Sequence[str], step: int
) -> Tensor:
    """Return the parameters of filling, the mean of the means of regions."""
    own = [
        torch.stack(fillings[region][step]).mean(0) for region in regions if fillings[region][step]
    ]
    return torch.stack(own).mean(0)


def _series(name: str, folder: Path) -> Iterator[Series | None]:
    """Yield the hourly and the daily series of a public network; None where there are none."""
    hourly, daily = CASES[name]
    observations = OPEN[name](folder)
    variable = "pm25" if "pm25" in observations else "pm10"
    network, values = StationNetwork.from_dataset(observations), values_of(observations, variable)
    if hourly:
        yield _filled(network, values, STEPS_HOURS[0])
        values = _daily_means(values)
    else:
        yield None
    yield _filled(network, values, STEPS_HOURS[1]) if daily else None


def _daily_means(values: np.ndarray) -> np.ndarray:
    """Return the means (station, day) of hours (station, hour), NaN of days with too few."""
    days = values[:, : values.shape[1] // 24 * 24].reshape(len(values), -1, 24)
    known = np.isfinite(days)
    mean = np.where(known, days, 0).sum(2) / np.maximum(known.sum(2), 1)
    return np.where(known.sum(2) >= LEAST_OF_DAY, mean, np.nan)


def _filled(network: StationNetwork, values: np.ndarray, step_hours: float) -> Series:
    """Return the roots of a network's values, with gaps filled by a covariance fitted to them."""
    scale = Standardisation.of(values)
    standardised = torch.from_numpy(scale.forward(values))
    covariance, rng = SpaceTimeCovariance(network.spacing_km), np.random.default_rng(SEED)
    torch.manual_seed(SEED)

    def crop() -> np.ndarray:
        """Return a random part of the network."""
        return np.sort(network.nearest_to(int(rng.integers(network.size)), count=48))

    for everyone in (False, True):
        fitting = fit_filling(
            covariance,
            standardised,
            network,
            updates=FILLING_UPDATES,
            rate=0.05,
            rng=rng,
            crop=crop,
            everyone=everyone,
        )
        for _ in fitting:
            pass
    complete_values, _ = complete(covariance, standardised, NearbyStations.of(network))
    filling = torch.cat([parameter.detach() for parameter in covariance.parameters()])
    filling[3:6] -= math.log(network.spacing_km)
    return Series(network, complete_values, torch.isfinite(standardised), filling)


def _cut(series: Series, count: int, rng: np.random.Generator) -> Iterator[Case]:
    """Yield cases cut out of a network: close stations, or some of those farther around."""
    network, (size, length) = series.network, series.root.shape
    for _ in range(count):
        stations = _stations(rng, min(KNOWN[1], known_of(size)))
        around = _between(rng, stations, size) if rng.random() < THINNED else stations
        near = network.nearest_to(int(rng.integers(size)), count=around)
        rows = rng.permutation(near)[:stations]
        steps = min(_between(rng, STEPS[0], min(STEPS[1], length)), length)
        start = int(rng.integers(length - steps + 1))
        during = slice(start, start + steps)
        distance_km = network.distance_km(rows[:, None], rows)
        case = Case.of(distance_km, series.root[rows, during], series.measured[rows, during], rng)
        if case is not None:
            yield case


def _made(count: int, rng: np.random.Generator) -> Iterator[Case]:
    """Yield cases of made networks, of which the field is a sum of random ones."""
    for _ in range(count):
        place = rng.uniform(size=(_stations(rng, KNOWN[1]), 2))
        place += rng.uniform(0, 0.6) * rng.normal(size=place.shape)
        distance_km = np.linalg.norm(place[:, None] - place, axis=-1)
        apart = np.where(np.eye(len(place), dtype=bool), np.inf, distance_km)
        distance_km *= _log_uniform(rng, SPACINGS_KM) / np.median(apart.min(1))
        root = torch.from_numpy(_field(distance_km, _between(rng, *STEPS), rng))
        case = Case.of(distance_km, root, torch.ones(root.shape, dtype=torch.bool), rng)
        if case is not None:
            yield case


def _field(distance_km: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random field (station, time): some parts reach far, some are a station's own.

    Each lasts as an autoregressive process of order 1 does, and is exponential in distance.
    """
    size = len(distance_km)
    spacing_km = np.median(np.where(np.eye(size, dtype=bool), np.inf, distance_km).min(1))
    parts = []
    for bounds in (*TIMES, *TIMES):
        range_km = spacing_km * _log_uniform(rng, RANGES)
        factor = np.linalg.cholesky(np.exp(-distance_km / range_km) + JITTER * np.eye(size))
        lasting = factor @ _lasting(size, steps, _log_uniform(rng, bounds), rng)
        parts.append(np.exp(rng.normal(*AMPLITUDE)) * lasting)
    for time in OWN_TIMES:
        parts.append(np.exp(rng.normal(*OWN)) * _lasting(size, steps, time, rng))
    parts.append(np.exp(rng.normal(*OWN)) * rng.normal(size=(size, steps)))
    return np.sum(parts, axis=0)


def _lasting(size: int, steps: int, time: float, rng: np.random.Generator) -> np.ndarray:
    """Return independent series (size, steps) of variance 1 that last for a time, steps."""
    memory = np.exp(-1 / time)
    before = int(3 * time)
    noise = rng.normal(size=(size, before + steps))
    return lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=1)[:, before:]


def _stations(rng: np.random.Generator, most_known: int) -> int:
    """Return how many stations a case has, the hidden ones too."""
    known = _between(rng, KNOWN[0], most_known)
    return known + max(round(HIDDEN_TO_KNOWN * known), 1)


def _between(rng: np.random.Generator, least: int, most: int) -> int:
    """Return a random whole number, of which the logarithm is uniform."""
    return min(int(_log_uniform(rng, (least, most + 1))), most)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Return a random number, of which the logarithm is uniform."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


@dataclass(frozen=True, eq=False)
class Batch:
    """Cases of about as many stations, the missing ones of the smaller at the end.

    Attributes
    ----------
    distance_km : (case, known, known + hidden) float64
    spacing_km : (case,) float64
    valid : (case, known) bool
    known, hidden : (case, known or hidden, time, band) float32
    measured : (case, hidden, time) float32
        1 where there is a measurement that is to be estimated.
    statistics : (case, statistic) float64
    """

    distance_km: Tensor
    spacing_km: Tensor
    valid: Tensor
    known: Tensor
    hidden: Tensor
    measured: Tensor
    statistics: Tensor

    @classmethod
    def of(cls, cases: Sequence[Case]) -> "Batch":
        """Return the batch of some cases."""
        sizes = [(known_of(len(case.split)), len(case.split)) for case in cases]
        known, hidden = (max(each) for each in zip(*((k, n - k) for k, n in sizes), strict=True))
        steps = max(case.split.shape[1] for case in cases)
        bands = cases[0].split.shape[2]
        count = len(cases)
        batch = cls(
            torch.ones(count, known, known + hidden, dtype=torch.float64),
            torch.tensor([case.spacing_km for case in cases], dtype=torch.float64),
            torch.zeros(count, known, dtype=torch.bool),
            torch.zeros(count, known, steps, bands),
            torch.zeros(count, hidden, steps, bands),
            torch.zeros(count, hidden, steps),
            torch.stack([case.statistics for case in cases]),
        )
        for row, (case, (k, n)) in enumerate(zip(cases, sizes, strict=True)):
            own = case.split.shape[1]
            batch.distance_km[row, :k, :k] = case.distance_km[:k, :k]
            batch.distance_km[row, :k, known : known + n - k] = case.distance_km[:k, k:]
            batch.valid[row, :k] = True
            batch.known[row, :k, :own], batch.hidden[row, : n - k, :own] = case.split.split(
                [k, n - k]
            )
            batch.measured[row, : n - k, :own] = case.measured[k:]
        return batch

    def weights(self, parameters: Tensor) -> Tensor:
        """Return the ordinary kriging weights (case, band, known, hidden), 0 where missing.

        Parameters
        ----------
        parameters : (case, band, 5) float64
            Of `AmortisedCovariance`.
        """
        amplitude, log_range, noise = parameters.split([2, 2, 1], -1)
        range_km = log_range.exp() * self.spacing_km[:, None, None]
        distance_km = self.distance_km[:, None, None]  # (case, band, term, known, station)
        terms = amplitude[..., None, None] - distance_km / range_km[..., None, None]
        size = self.valid.shape[1]
        among, vector = terms.exp().sum(2).split([size, distance_km.shape[-1] - size], -1)
        own = noise.exp() + JITTER * (amplitude.exp().sum(-1, keepdim=True) + noise.exp())
        valid = self.valid[:, None]
        matrix = (among + torch.diag_embed(own.expand(-1, -1, size))) * valid[..., None]
        matrix = matrix * valid[..., None, :] + torch.diag_embed((~valid).double())
        bordered = torch.cat(
            [matrix, valid[..., None, :].double().expand(*vector.shape[:2], 1, -1)], -2
        )
        column = torch.nn.functional.pad(valid.double(), (0, 1)).expand(*vector.shape[:2], -1)
        bordered = torch.cat([bordered, column[..., None]], -1)
        right = torch.cat([vector * valid[..., None], torch.ones_like(vector[..., :1, :])], -2)
        return torch.linalg.solve(bordered, right)[..., :-1, :]

    def loss(self, parameters: Tensor) -> Tensor:
        """Return the mean absolute plus the mean squared error of each case, (case,)."""
        weight = self.weights(parameters).float()
        error = torch.einsum("cbkh,cktb->cht", weight, self.known) - self.hidden.sum(-1)
        total = ((error.abs() + error.square()) * self.measured).sum((1, 2))
        return total / self.measured.sum((1, 2)).clamp_min(1)


def learn(cases: Sequence[Case]) -> AmortisedCovariance:
    """Return the covariance of which the error at hidden stations is least, of all cases alike.

    The error of a case counts in units of that by the constants at which a fit begins.
    """
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model, usual = AmortisedCovariance(), BandCovariance(len(WIDTHS) + 1, spacing_km=1.0).usual
    of_cases = torch.stack([case.statistics for case in cases])
    model.mean.copy_(of_cases.mean(0))
    model.spread.copy_(of_cases.std(0))
    model.usual.data.copy_(usual)
    batches = [Batch.of(part) for part in _by_size(cases, rng)]
    with torch.no_grad():
        unlearned = [batch.loss(usual.expand(len(batch.valid), -1, -1)) for batch in batches]
    layers = [*model.read.parameters(), *model.correct.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [model.usual], "weight_decay": 0.0},
        {"params": layers},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)
    updates = EPOCHS * len(batches)
    falling = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=updates, pct_start=0.1
    )
    for number in np.concatenate([rng.permutation(len(batches)) for _ in range(EPOCHS)]):
        batch = batches[number]
        parameters = model(batch.statistics)
        loss = (batch.loss(parameters) / unlearned[number]).mean()
        departure = (model.usual - usual).square().mean()
        departure = departure + 10 * (parameters - model.usual).square().mean()
        optimiser.zero_grad()
        (loss + RIDGE * departure).backward()
        optimiser.step()
        falling.step()
    return model


def _by_size(cases: Sequence[Case], rng: np.random.Generator) -> Iterator[list[Case]]:
    """Yield cases of about as many stations, in random company."""
    order = np.argsort([len(case.split) + rng.random() for case in cases])
    for start in range(0, len(order), BATCH):
        yield [cases[number] for number in order[start : start + BATCH]]


if __name__ == "__main__":
    main()
