"""Registry of the public measurements that the benchmarks use, and fetching them."""

import hashlib
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from aqreanalysis.atomic import atomic_file

_LOGGER = logging.getLogger(__name__)

#: Environment variable that names a folder with the files of the registry.
DATA_DIR_VARIABLE = "AQREANALYSIS_DATA_DIR"


class DatasetError(RuntimeError):
    """A set that is unknown, cannot be fetched, or is not what it should be."""


@dataclass(frozen=True)
class PublicDataset:
    """One file of public measurements.

    Parameters
    ----------
    name : str
        The name to fetch it by.
    title : str
        What it holds, where and when.
    file : str
        Path below the folder of data.
    sha256 : str or None
        Of the file's bytes; of a zip with CSV files, of the SHA-256 of each of them, in the order
        of their names, so that packing anew does not matter. None where the publisher makes the
        file anew from time to time.
    licence : str
    citation : str
    obtain : str
        How to get it by hand.
    url : str or None
        Public home of the file; None where there is none that serves this very file.
    member : str or None
        Name of the file inside the archive that is at ``url``; None if ``url`` is the file.
    """

    name: str
    title: str
    file: str
    sha256: str | None
    licence: str
    citation: str
    obtain: str
    url: str | None = None
    member: str | None = None

    def __str__(self) -> str:
        lines = {
            "file": self.file,
            "url": self.url or "none serves this very file",
            "licence": self.licence,
            "citation": self.citation,
            "sha256": self.sha256 or "not fixed by the publisher",
            "by hand": self.obtain,
        }
        return "\n".join(
            [f"{self.name}: {self.title}", *(f"  {k + ':':10}{v}" for k, v in lines.items())]
        )


def list_datasets() -> tuple[str, ...]:
    """Names of all sets in the registry.

    Examples
    --------
    >>> "beijing12" in list_datasets()
    True
    """
    return tuple(_REGISTRY)


def describe(name: str) -> PublicDataset:
    """Describe a set; as text the description is a paragraph.

    Raises
    ------
    DatasetError
        If there is no such set.

    Examples
    --------
    >>> describe("beijing12").licence
    'CC BY 4.0'
    """
    if name not in _REGISTRY:
        raise DatasetError(f"no data set {name!r}; there are {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def fetch(name: str, *, folder: str | Path | None = None) -> Path:
    """Return the path of a set's file, downloaded if need be, after checking its hash.

    Searched are ``folder`` if given, the folder named by ``AQREANALYSIS_DATA_DIR``, and the cache
    of this package, in this order; a download goes to ``folder`` or the cache. A file appears
    under its name only when it is complete and has the right contents.

    Parameters
    ----------
    name : str
        One of `list_datasets`.
    folder : str or Path, optional
        Searched first, and the target of a download.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DatasetError
        If there is no such set, a file has other contents than it should, no public home serves
        the file, or the download fails. The message says what to do.
    """
    dataset = describe(name)
    home = Path(folder) if folder is not None else _cache()
    for path in _candidates(dataset, home):
        if path.is_file():
            _verify(path, dataset, called=str(path))
            return path
    if dataset.url is None:
        raise DatasetError(
            f"{name} is not in {_searched(dataset, home)}, and no public home serves this very "
            f"file. {dataset.obtain}"
        )
    return _download(dataset, home / dataset.file, dataset.url)


def _candidates(dataset: PublicDataset, home: Path) -> Iterator[Path]:
    """Yield possible paths of the file, the preferred first."""
    variable = os.environ.get(DATA_DIR_VARIABLE)
    cache = _cache()
    folders = [home] if home != cache else []
    folders += [Path(variable)] if variable else []
    for folder in [*folders, cache]:
        yield folder / dataset.file
        yield folder / PurePosixPath(dataset.file).name


def _searched(dataset: PublicDataset, home: Path) -> str:
    """Return the folders that were searched, for a message."""
    paths = dict.fromkeys(str(path) for path in _candidates(dataset, home))
    unset = "" if os.environ.get(DATA_DIR_VARIABLE) else f" ({DATA_DIR_VARIABLE} is not set)"
    return ", ".join(paths) + unset


def _cache() -> Path:
    """Return the folder for downloads of this user."""
    import pooch

    return Path(pooch.os_cache("aqreanalysis"))


def _download(dataset: PublicDataset, target: Path, url: str) -> Path:
    """Download, unpack and check the file, then move it to the target and return that."""
    import pooch

    _LOGGER.info("downloading %s from %s to %s", dataset.name, url, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as partial:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                archive = Path(scratch) / "download"
                pooch.HTTPDownloader()(url, str(archive), None)
                _unpack(archive, dataset.member, partial)
            _verify(partial, dataset, called=f"what {url} serves")
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise DatasetError(
            f"could not download {dataset.name} from {url} to {target}: {error}. Without a "
            f"network, bring the file yourself and put it there, or into a folder named by "
            f"{DATA_DIR_VARIABLE}. {dataset.obtain}"
        ) from error
    return target


def _unpack(archive: Path, member: str | None, target: Path) -> None:
    """Put a member of the archive, or the archive itself if there is none, under another name."""
    if member is None:
        os.replace(archive, target)
        return
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        inside = next((name for name in names if PurePosixPath(name).name == member), member)
        with packed.open(inside) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def _verify(path: Path, dataset: PublicDataset, *, called: str) -> None:
    """Raise unless the contents have the registered hash; warn if none is registered."""
    digest = _digest(path)
    if dataset.sha256 is None:
        _LOGGER.warning(
            "%s: the publisher makes this file anew from time to time; SHA-256 of the contents "
            "here is %s, and scores on it may differ from published ones",
            dataset.name,
            digest,
        )
    elif digest != dataset.sha256:
        raise DatasetError(
            f"{called} is not the {dataset.name} of the registry: SHA-256 of its contents should "
            f"be {dataset.sha256}, found {digest}. Replace the file, or open it by its path if you "
            f"mean to use it as it is. {dataset.obtain}"
        )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of its CSV files if it is a zip that holds some."""
    with path.open("rb") as stream:
        whole = hashlib.file_digest(stream, "sha256").hexdigest()
    if not zipfile.is_zipfile(path):
        return whole
    with zipfile.ZipFile(path) as packed:
        tables = [name for name in packed.namelist() if name.lower().endswith(".csv")]
        total = hashlib.sha256()
        for name in sorted(tables, key=lambda name: PurePosixPath(name).name):
            with packed.open(name) as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())  # type: ignore[arg-type]
    return total.hexdigest() if tables else whole


_ZHENG = (
    "Zheng, Y. et al. (2015): Forecasting fine-grained air quality based on big data. Proc. "
    "KDD 2015, doi:10.1145/2783258.2788573"
)
_ZHANG = (
    "Zhang, S. et al. (2017): Cautionary tales on air-quality improvement in Beijing. Proc. R. "
    "Soc. A 473, 20170457, doi:10.1098/rspa.2017.0457; data: doi:10.24432/C5RK5G"
)
_AIRBASE = "AirBase, European Environment Agency: re-use with acknowledgement of the source"

_REGISTRY: Mapping[str, PublicDataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            PublicDataset(
                name="beijing36",
                title="PM2.5 of 36 stations in Beijing, hourly, May 2014 to April 2015",
                file="beijing36/small36.h5",
                sha256="aedcb5080287fba05e99cd4b692300968b9c33113117db9fa37f2aa955a1091d",
                licence="none stated; published for research by Microsoft Research (Urban Air)",
                citation=f"{_ZHENG}; layout: Cini, A., Marisca, I. & Alippi, C. (2022): Filling "
                "the gaps: multivariate time series imputation by graph neural networks. ICLR",
                obtain="It is small36.h5 in the archive of the AirQuality set of the Python "
                "package torch-spatiotemporal.",
                url="https://drive.switch.ch/index.php/s/W0fRqotjHxIndPj/download",
                member="small36.h5",
            ),
            PublicDataset(
                name="beijing12",
                title="six pollutants and weather at 12 stations in Beijing, hourly, March 2013 "
                "to February 2017",
                file="beijing12/PRSA2017_Data_20130301-20170228.zip",
                sha256="e88c8f801e1fa75a355e344d8db9e69db53115632da39448c3bc9fbcdb746181",
                licence="CC BY 4.0",
                citation=_ZHANG,
                obtain="It is the zip inside the zip of data set 501 of the UCI Machine Learning "
                "Repository, https://archive.ics.uci.edu/dataset/501.",
                url="https://archive.ics.uci.edu/static/public/501/"
                "beijing+multi+site+air+quality+data.zip",
                member="PRSA2017_Data_20130301-20170228.zip",
            ),
            PublicDataset(
                name="beijing12_stations",
                title="coordinates of the 12 stations of beijing12, which UCI does not give",
                file="beijing12/stations.csv",
                sha256="1a7a59408e1b750a63b28425ce960ee1564a5ddc90a54b807dbda8427c089f3a",
                licence="facts",
                citation=_ZHANG,
                obtain="Write a CSV table with the columns station, latitude and longitude, the "
                "stations named as in the file names of beijing12, and pass it as stations=.",
            ),
            PublicDataset(
                name="beijing30_march2015",
                title="PM2.5 and weather at 30 stations in Beijing, hourly, March 2015, with a "
                "published 3-fold split",
                file="beijing30_march2015/beijing30_march2015.csv.gz",
                sha256="3efda91dace2c2810ea0059f99a97a1a0dedbcd9b917e7ec21968ad053e07298",
                licence="none stated; supplementary data of the paper",
                citation="Patel, Z. B. et al. (2022): Accurate and scalable Gaussian processes for "
                "fine-grained air quality inference. Proc. AAAI 36, 12080-12088",
                obtain="The file is a join of tables in https://github.com/patel-zeel/AAAI22, "
                "folder data: the folds *_mar.csv.gz with columns time, station_id, longitude, "
                "latitude, PM25_Concentration, temperature, humidity, wind_speed, filled, fold.",
            ),
            PublicDataset(
                name="usepa_2011",
                title="PM2.5 (FRM/FEM) of 234 sites in the United States, hourly, 2011",
                file="usepa_2011/pm25_frm_fem_hourly_2011.csv.gz",
                sha256="0dbaf0578b17e79700ef40c51f5789e0bf90dc45b4c274b848eefeb006c2b425",
                licence="public domain",
                citation="US Environmental Protection Agency, Air Quality System",
                obtain="Fetch usepa_hourly_2011, the agency's own file of the same year, or "
                "download hourly_88101_2011.zip from "
                "https://aqs.epa.gov/aqsweb/airdata/download_files.html.",
            ),
            PublicDataset(
                name="usepa_hourly_2011",
                title="PM2.5 (FRM/FEM) of all sites in the United States, hourly, 2011, as the "
                "agency publishes it today",
                file="usepa_2011/hourly_88101_2011.zip",
                sha256=None,
                licence="public domain",
                citation="US Environmental Protection Agency, Air Quality System",
                obtain="It is listed at https://aqs.epa.gov/aqsweb/airdata/download_files.html.",
                url="https://aqs.epa.gov/aqsweb/airdata/hourly_88101_2011.zip",
            ),
            PublicDataset(
                name="europe_rural_pm10_2005",
                title="PM10 at 194 rural background stations in Europe with the EMEP model's "
                "value, daily, 2005",
                file="europe_rural_pm10_2005/eu_rb_2005.csv.gz",
                sha256="6e57911c3859d31982b93a9895c60f4b6d8c323555a03a92d1064d6d7d33c9b5",
                licence=_AIRBASE,
                citation="Graeler, B., Gerharz, L. & Pebesma, E. (2012): Spatio-temporal analysis "
                "and interpolation of PM10 measurements in Europe. ETC/ACM Technical Paper 2011/10",
                obtain="It is EU_RB_2005 of the R package spcopula (R-Forge), written as CSV with "
                "coordinates in EPSG:3035 and in degrees.",
            ),
            PublicDataset(
                name="germany_rural_pm10_2005",
                title="PM10 at 69 rural background stations in Germany, daily, 2005",
                file="germany_rural_pm10_2005/de_rb_2005.csv.gz",
                sha256="4ee9de6e53c44a94a0cd8bbda6722d90395bf40a54ebbaf797babd502098ada5",
                licence=_AIRBASE,
                citation="Graeler, B., Pebesma, E. & Heuvelink, G. (2016): Spatio-temporal "
                "interpolation using gstat. The R Journal 8, 204-218, doi:10.32614/RJ-2016-014",
                obtain="It is DE_RB_2005 of the R package gstat (CRAN), written as CSV with "
                "coordinates in EPSG:32632 and in degrees.",
            ),
        )
    }
)
