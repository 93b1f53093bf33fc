"""Learn how far attributes of places set them apart, from two large networks.

    OMP_NUM_THREADS=1 python tools/learn_likeness.py FOLDER

``FOLDER`` holds the public data of the benchmarks: hourly PM2.5 at 158 sites of the United States
in 2011, and daily PM10 at 194 rural stations of Europe in 2005, with the altitudes that these
state. Each network is estimated at its stations, each from the others, by a covariance in which the
length of every coordinate is free. Prints `LENGTHS` of ``aqreanalysis.geography.likeness``, in
spacings of the stations; of both it is the geometric mean. It takes a minute of one core.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from tqdm import tqdm

from aqreanalysis import Configuration, Schedule
from aqreanalysis.geography.likeness import Coordinates
from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.fitting import fit_bands
from aqreanalysis.methods.neural.batches import Samples, clock_of
from aqreanalysis.methods.neural.covariances import Setting, learn_covariances
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from benchmarks import sources

SEED = 0
#: Length with which each coordinate begins, in spacings; and how many times as many updates its fit
#: takes as that of the covariance alone.
BEGIN, LONGER = 0.3, 2


def main(folder: Path) -> None:
    """Print the lengths of each network, and of both."""
    united_states = learned(sources.usepa(folder), "pm25")
    stated = sources.european_altitude(folder).set_coords("altitude").altitude
    europe = sources.europe(folder)
    altitude = stated.sel(station=europe["station"].values).values
    of_europe = learned(europe.assign_coords(altitude=("station", altitude)), "pm10")
    for name, lengths in (
        ("all", np.sqrt(united_states * of_europe)),
        ("without_beijing", np.sqrt(united_states * of_europe)),
        ("without_europe", united_states),
        ("without_us", of_europe),
    ):
        print(f'    "{name}": ({", ".join(f"{length:.1f}" for length in lengths)}),')


def learned(
    observations: xr.Dataset, variable: str, schedule: Schedule | None = None
) -> np.ndarray:
    """Return the length of each coordinate, in spacings of the stations."""
    configuration, schedule = Configuration(), schedule or Schedule()
    scaling = Scaling.of(observations, variable, covariates=[])
    clock, _ = clock_of(observations)
    samples = Samples.of(
        observations,
        variable,
        standardisation=scaling.variable,
        configuration=configuration,
        seasons=clock.seasons,
    )
    network = samples.network
    torch.manual_seed(SEED)
    model = NeuralKNN(configuration, spacing_km=network.spacing_km)
    setting = Setting.of(samples, scaling.variable, schedule, SEED)
    with tqdm(disable=True) as bar:
        setting, series = learn_covariances(model, setting, bar)
    places = Coordinates.of([observations])(network.longitude, network.latitude)
    begin = torch.full((places.shape[1],), BEGIN * network.spacing_km, dtype=torch.float64)
    bands = _with_free_lengths(model.bands, begin)
    for _ in fit_bands(
        bands,
        replace(series, attributes=torch.from_numpy(places)),
        log_noise=setting.samples.log_noise.clone().requires_grad_(),
        updates=LONGER * schedule.covariance_updates,
        rate=schedule.covariance_rate,
        rng=np.random.default_rng(SEED),
    ):
        pass
    return (bands.coordinate_km / network.spacing_km).detach().numpy()


class _Positive(nn.Module):
    """A parameter of which the logarithm is learned."""

    def forward(self, logarithm: Tensor) -> Tensor:
        """Return the parameter."""
        return logarithm.exp()

    def right_inverse(self, parameter: Tensor) -> Tensor:
        """Return its logarithm."""
        return parameter.log()


def _with_free_lengths(fitted: BandCovariance, begin_km: Tensor) -> BandCovariance:
    """Return a copy in which the lengths of coordinates are learned, too."""
    bands = fitted.with_coordinates(begin_km)
    del bands.coordinate_km
    bands.register_parameter("coordinate_km", nn.Parameter(begin_km))
    register_parametrization(bands, "coordinate_km", _Positive())
    return bands


if __name__ == "__main__":
    main(Path(sys.argv[1]))
