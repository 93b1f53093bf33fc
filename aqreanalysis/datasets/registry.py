"""Registry of the public measurements that the benchmarks use, and fetching them."""

import hashlib
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from aqreanalysis.atomic import atomic_file, check_target

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
    size : int or None
        Bytes of the file; None where the publisher makes it anew.
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
    size: int | None = None

    @property
    def file_facts(self) -> str:
        """The size and the hash of the file, for a message."""
        size = f"{self.size / 1e6:.2g} MB" if self.size else "size not fixed"
        return f"{size}, SHA-256 {self.sha256 or 'not fixed by the publisher'}"

    def __str__(self) -> str:
        lines = {
            "file": self.file,
            "url": self.url or "none serves this very file",
            "licence": self.licence,
            "citation": self.citation,
            "contents": self.file_facts,
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


def cite(name: str) -> str:
    """Return how to cite a set, its licence and its home.

    Raises
    ------
    DatasetError
        If there is no such set.

    Examples
    --------
    >>> print(cite("beijing12"))
    Zhang, S. et al. (2017): ... data: doi:10.24432/C5RK5G
    Licence: CC BY 4.0
    https://archive.ics.uci.edu/static/public/501/beijing+multi+site+air+quality+data.zip
    """
    dataset = describe(name)
    lines = [dataset.citation, f"Licence: {dataset.licence}", dataset.url or dataset.obtain]
    return "\n".join(lines)


def present(name: str) -> Path | None:
    """Return where the file of a set is, if it is on this machine; its contents are not checked."""
    dataset = describe(name)
    return next((path for path in _candidates(dataset, _home()) if path.is_file()), None)


def fetch(name: str, *, folder: str | Path | None = None, progress: bool = False) -> Path:
    """Return the path of a set's file, downloaded if need be, after checking its hash.

    Searched are ``folder`` if given, the folder named by ``AQREANALYSIS_DATA_DIR``, and the cache
    of this package, in this order; a download goes to the first of them that is named, or the
    cache. A file appears under its name only when it is complete and has the right contents; a
    download that was stopped is gone on with.

    Parameters
    ----------
    name : str
        One of `list_datasets`.
    folder : str or Path, optional
        Searched first, and the target of a download.
    progress : bool
        Whether a bar shows the download.

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
    home = Path(folder).expanduser() if folder is not None else _home()
    for path in _candidates(dataset, home):
        if path.is_file():
            _verify(path, dataset, called=str(path))
            return path
    if dataset.url is None:
        raise DatasetError(
            f"{name} is not in {_searched(dataset, home)}, and no public home serves this very "
            f"file. {_by_hand(dataset, home / dataset.file)}"
        )
    return _download(dataset, home / dataset.file, dataset.url, progress)


def _candidates(dataset: PublicDataset, home: Path) -> Iterator[Path]:
    """Yield possible paths of the file, the preferred first."""
    for folder in dict.fromkeys((home, _home(), _cache())):
        yield folder / dataset.file
        yield folder / PurePosixPath(dataset.file).name


def _searched(dataset: PublicDataset, home: Path) -> str:
    """Return the folders that were searched, for a message."""
    paths = dict.fromkeys(str(path) for path in _candidates(dataset, home))
    unset = "" if os.environ.get(DATA_DIR_VARIABLE) else f" ({DATA_DIR_VARIABLE} is not set)"
    return ", ".join(paths) + unset


def _home() -> Path:
    """Return the folder of data: the one that the environment names, or the cache."""
    variable = os.environ.get(DATA_DIR_VARIABLE)
    return Path(variable).expanduser() if variable else _cache()


def _cache() -> Path:
    """Return the folder for downloads of this user."""
    import pooch

    return Path(pooch.os_cache("aqreanalysis"))


def _download(dataset: PublicDataset, target: Path, url: str, progress: bool) -> Path:
    """Download, unpack and check the file, then move it to the target and return that.

    What a stopped download left is gone on with where a hash tells whether the whole is right; if
    it is not, the download begins anew.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_target(target, overwrite=False, error=DatasetError)
    except OSError as error:
        raise DatasetError(
            f"cannot write into {target.parent} ({error.strerror}). Name another folder with "
            f"folder= (--folder) or {DATA_DIR_VARIABLE}"
        ) from error
    partial = target.with_name(f".{target.name}.download")
    is_resumed = partial.is_file() and partial.stat().st_size > 0 and dataset.sha256 is not None
    _LOGGER.info(
        "%s %s from %s to %s", "going on with" if is_resumed else "downloading", dataset.name, url,
        target,
    )  # fmt: skip
    try:
        if is_resumed and _goes_on(dataset, target, url, partial, progress):
            return target
        partial.unlink(missing_ok=True)
        _attempt(dataset, target, url, partial, progress)
        return target
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        size = partial.stat().st_size if partial.is_file() else 0
        begun = f" ({size / 1e6:.1f} MB came; the next fetch goes on there)" if size else ""
        raise DatasetError(
            f"could not download {dataset.name} from {url}: {error}{begun}. "
            f"{_by_hand(dataset, target)}"
        ) from error


def _goes_on(dataset: PublicDataset, target: Path, url: str, partial: Path, progress: bool) -> bool:
    """Go on with a stopped download; return whether the whole is right."""
    try:
        _attempt(dataset, target, url, partial, progress)
        return True
    except (DatasetError, zipfile.BadZipFile, KeyError):
        pass
    except OSError as error:
        if getattr(error, "response", None) is None:  # there was no reply at all
            raise
    _LOGGER.info("what was left of an earlier download does not fit: beginning anew")
    return False


def _attempt(dataset: PublicDataset, target: Path, url: str, partial: Path, progress: bool) -> None:
    """Download what is missing of a file, unpack and check it; only a stopped one is left."""
    import pooch

    start = partial.stat().st_size if partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with partial.open("ab") as file:
        pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, headers=headers)(
            url, file, None
        )
    try:
        with atomic_file(target) as complete:
            _unpack(partial, dataset.member, complete)
            _verify(complete, dataset, called=f"what {url} serves")
    finally:
        partial.unlink(missing_ok=True)


def _by_hand(dataset: PublicDataset, target: Path) -> str:
    """Return where to put a file that cannot be downloaded here, and which."""
    home = f"from {dataset.url}" if dataset.url else "from its publisher"
    inside = f", where it is {dataset.member} in an archive" if dataset.member else ""
    return (
        f"Without a network, bring the file by hand {home}{inside}, and put it there: {target} "
        f"({dataset.file_facts}), or into the folder that {DATA_DIR_VARIABLE} names. "
        f"{dataset.obtain}"
    )


def _unpack(archive: Path, member: str | None, target: Path) -> None:
    """Put a member of the archive, or the archive itself if there is none, under another name."""
    if member is None:
        shutil.copyfile(archive, target)
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
                size=1_735_860,
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
                size=8_693_426,
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
                size=367,
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
                size=181_798,
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
                size=12_679_910,
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
                size=1_755_007,
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
                size=192_597,
                licence=_AIRBASE,
                citation="Graeler, B., Pebesma, E. & Heuvelink, G. (2016): Spatio-temporal "
                "interpolation using gstat. The R Journal 8, 204-218, doi:10.32614/RJ-2016-014",
                obtain="It is DE_RB_2005 of the R package gstat (CRAN), written as CSV with "
                "coordinates in EPSG:32632 and in degrees.",
            ),
        )
    }
)
