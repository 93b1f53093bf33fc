"""Learn how far attributes of places set them apart, from two large networks.

    OMP_NUM_THREADS=1 python tools/learn_likeness.py FOLDER

``FOLDER`` holds the public data of the benchmarks: hourly PM2.5 at 158 sites of the United States
in 2011, and daily PM10 at 194 rural stations of Europe in 2005, with the altitudes that these
state. Each network is estimated at its stations, each from the others, by a covariance in which the
length of every coordinate is free. Prints `LENGTHS` of ``aqreanalysis.geography.likeness``, in
spacings of the stations; of both it is the geometric mean. It takes three minutes of one core.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from aqreanalysis import Configuration, Schedule
from aqreanalysis.geography.likeness import Coordinates
from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.fitting import BandSeries, fit_bands
from aqreanalysis.methods.neural.batches import Samples, clock_of
from aqreanalysis.methods.neural.training import fit_covariances
from benchmarks import sources

#: Length with which each coordinate begins, in spacings, and updates of a fit.
BEGIN, UPDATES = 0.3, 400


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


def learned(observations, variable: str) -> np.ndarray:
    """Return the length of each coordinate, in spacings of the stations."""
    configuration = Configuration()
    scaling = Scaling.of(observations, variable, covariates=[])
    clock, _ = clock_of(observations)
    samples = Samples.of(
        observations,
        variable,
        standardisation=scaling.variable,
        configuration=configuration,
        seasons=clock.seasons,
    )
    model, log_noise = fit_covariances(
        samples, scaling.variable, configuration=configuration, schedule=Schedule(), progress=False
    )
    network = samples.network
    coordinates = Coordinates.of([observations])(network.longitude, network.latitude)
    series = BandSeries.of(
        samples.value,
        network,
        model.covariance,
        configuration.bands,
        torch.from_numpy(coordinates),
    )
    begin = torch.full((coordinates.shape[1],), BEGIN * network.spacing_km, dtype=torch.float64)
    bands = _Free(model.bands, begin)
    for _ in fit_bands(
        bands,
        series,
        log_noise=log_noise.clone().requires_grad_(),
        updates=UPDATES,
        rate=Schedule().covariance_rate,
        rng=np.random.default_rng(0),
        step_hours=clock.step_hours,
    ):
        pass
    return (bands.coordinate_km / network.spacing_km).detach().numpy()


class _Free(BandCovariance):
    """A covariance of which the lengths of coordinates are learned."""

    def __init__(self, fitted: BandCovariance, begin_km: torch.Tensor) -> None:
        super().__init__(len(fitted.log_noise), 1.0, coordinate_km=begin_km.tolist())
        state = {**self.state_dict(), **fitted.state_dict(), "coordinate_km": begin_km}
        self.load_state_dict(state)
        del self.coordinate_km
        self.log_coordinate_km = torch.nn.Parameter(begin_km.log())

    @property
    def coordinate_km(self) -> torch.Tensor:
        return self.log_coordinate_km.exp()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
