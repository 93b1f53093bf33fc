"""One hour on a grid by the neural method and by kriging, to look for rings, stripes and cliffs."""

from pathlib import Path

import aqreanalysis as aqr
from benchmarks import sources

HOUR = "2011-07-03T20"
#: West, east, south, north; degrees of a cell; ug m-3.
REGION, CELL, LIMITS = (-125.0, -66.0, 24.0, 50.0), 0.25, (0.0, 40.0)


def draw(data: Path, folder: Path) -> list[Path]:
    """Return two pictures of PM2.5 over the United States, drawn with the same colours.

    The neural method is only its learned covariance here, which takes a minute.
    """
    observations = sources.usepa(data)
    schedule = aqr.Schedule(updates=0)
    model = observations.aqnet.fit("pm25", schedule=schedule, progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, method in (("neural", model), ("kriging", "kriging")):
        product = observations.aqnet.reanalyse(
            grid=CELL, region=REGION, method=method, time=slice(HOUR, HOUR)
        )
        figure = product.aqnet.map(time=HOUR, observations=observations, limits=LIMITS)
        written.append(folder / f"us_{name}.png")
        figure.savefig(written[-1], dpi=75)
    return written
