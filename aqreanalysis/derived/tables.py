"""The tables of air-quality indices, each with its source."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

#: How the hours of a term are averaged: a running mean, or the weighted mean of the NowCast.
Averaging = Literal["mean", "nowcast"]


@dataclass(frozen=True)
class Term:
    """A pollutant's concentration, averaged over hours, and what index it has.

    Attributes
    ----------
    hours : int
        Of the average, which ends with the hour that the index is of.
    low, high : tuple of float
        First and last concentration of each piece, in ``unit``.
    index_low, index_high : tuple of float
        The index at these. Below the first piece there is none; above the last it is the last.
    unit : {"ug m-3", "ppb", "ppm"}
    decimals : int, optional
        Digits that a concentration has.
    digits : {"truncated", "rounded"}
        How it gets them.
    averaging : {"mean", "nowcast"}
    """

    hours: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    index_low: tuple[float, ...]
    index_high: tuple[float, ...]
    unit: Literal["ug m-3", "ppb", "ppm"] = "ug m-3"
    decimals: int | None = None
    digits: Literal["truncated", "rounded"] = "truncated"
    averaging: Averaging = "mean"


@dataclass(frozen=True)
class IndexTable:
    """An air-quality index.

    Attributes
    ----------
    title, source : str
    categories : tuple of str
        From the best to the worst.
    colours : tuple of str
        Of the categories, as ``#rrggbb``.
    upper : tuple of float
        The highest index of each category but the last.
    terms : mapping of str to tuple of Term
        Of each pollutant, of which the highest counts.
    numeric : bool
        Whether the index is a number; of others the category is all there is.
    rounding : {"nearest", "up"}
        Of the number.
    note : str
        What differs from the letter of the source.
    """

    title: str
    source: str
    categories: tuple[str, ...]
    colours: tuple[str, ...]
    upper: tuple[float, ...]
    terms: Mapping[str, tuple[Term, ...]]
    numeric: bool = True
    rounding: Literal["nearest", "up"] = "nearest"
    note: str = ""


def _pieces(
    hours: int,
    *pieces: tuple[float, float, float, float],
    unit: Literal["ug m-3", "ppb", "ppm"] = "ug m-3",
    decimals: int = 0,
    averaging: Averaging = "mean",
) -> Term:
    """Return a term of pieces (low, high, index at low, index at high)."""
    low, high, index_low, index_high = zip(*pieces, strict=True)
    return Term(
        hours, low, high, index_low, index_high, unit, decimals=decimals, averaging=averaging
    )


def _joined(hours: int, limits: tuple[float, ...], indices: tuple[float, ...]) -> Term:
    """Return a term whose pieces join at limits, from 0 on."""
    edges, values = (0.0, *limits), (0.0, *indices)
    return Term(hours, edges[:-1], edges[1:], values[:-1], values[1:])


def _classes(hours: int, *limits: float, decimals: int | None = None) -> tuple[Term, ...]:
    """Return the term of a pollutant that has categories alone, given their upper limits."""
    number = tuple(float(n) for n in range(1, len(limits) + 2))
    low, high = (0.0, *limits), (*limits, math.inf)
    return (Term(hours, low, high, number, number, decimals=decimals, digits="rounded"),)


_EPA = IndexTable(
    title="US EPA air quality index",
    source=(
        "US EPA 2024, Technical assistance document for the reporting of daily air quality, "
        "EPA-454/B-24-002; 40 CFR Part 58, Appendix G"
    ),
    categories=(
        "good",
        "moderate",
        "unhealthy_for_sensitive_groups",
        "unhealthy",
        "very_unhealthy",
        "hazardous",
    ),
    colours=("#00e400", "#ffff00", "#ff7e00", "#ff0000", "#8f3f97", "#7e0023"),
    upper=(50, 100, 150, 200, 300),
    terms={
        "pm25": (
            _pieces(
                12,
                (0, 9.0, 0, 50),
                (9.1, 35.4, 51, 100),
                (35.5, 55.4, 101, 150),
                (55.5, 125.4, 151, 200),
                (125.5, 225.4, 201, 300),
                (225.5, 325.4, 301, 500),
                decimals=1,
                averaging="nowcast",
            ),
        ),
        "pm10": (
            _pieces(
                12,
                (0, 54, 0, 50),
                (55, 154, 51, 100),
                (155, 254, 101, 150),
                (255, 354, 151, 200),
                (355, 424, 201, 300),
                (425, 604, 301, 500),
                averaging="nowcast",
            ),
        ),
        "o3": (
            _pieces(
                8,
                (0, 0.054, 0, 50),
                (0.055, 0.070, 51, 100),
                (0.071, 0.085, 101, 150),
                (0.086, 0.105, 151, 200),
                (0.106, 0.200, 201, 300),
                unit="ppm",
                decimals=3,
            ),
            _pieces(
                1,
                (0.125, 0.164, 101, 150),
                (0.165, 0.204, 151, 200),
                (0.205, 0.404, 201, 300),
                (0.405, 0.604, 301, 500),
                unit="ppm",
                decimals=3,
            ),
        ),
        "no2": (
            _pieces(
                1,
                (0, 53, 0, 50),
                (54, 100, 51, 100),
                (101, 360, 101, 150),
                (361, 649, 151, 200),
                (650, 1249, 201, 300),
                (1250, 2049, 301, 500),
                unit="ppb",
            ),
        ),
        "so2": (
            _pieces(
                1,
                (0, 35, 0, 50),
                (36, 75, 51, 100),
                (76, 185, 101, 150),
                (186, 304, 151, 200),
                unit="ppb",
            ),
            _pieces(24, (305, 604, 201, 300), (605, 1004, 301, 500), unit="ppb"),
        ),
        "co": (
            _pieces(
                8,
                (0, 4.4, 0, 50),
                (4.5, 9.4, 51, 100),
                (9.5, 12.4, 101, 150),
                (12.5, 15.4, 151, 200),
                (15.5, 30.4, 201, 300),
                (30.5, 50.4, 301, 500),
                unit="ppm",
                decimals=1,
            ),
        ),
    },
    note=(
        "hourly: NowCast of PM2.5 and PM10 over 12 h; ozone is its 8 h mean (the ozone NowCast is "
        "a regression on other hours) and its hour from 0.125 ppm on; never above 500"
    ),
)

_CHINA_INDICES = (50, 100, 150, 200, 300, 400, 500)

_CHINA = IndexTable(
    title="China air quality index",
    source="HJ 633-2012, Technical regulation on ambient air quality index (on trial), table 1",
    categories=(
        "excellent",
        "good",
        "lightly_polluted",
        "moderately_polluted",
        "heavily_polluted",
        "severely_polluted",
    ),
    colours=("#00e400", "#ffff00", "#ff7e00", "#ff0000", "#99004c", "#7e0023"),
    upper=(50, 100, 150, 200, 300),
    terms={
        "pm25": (_joined(24, (35, 75, 115, 150, 250, 350, 500), _CHINA_INDICES),),
        "pm10": (_joined(24, (50, 150, 250, 350, 420, 500, 600), _CHINA_INDICES),),
        "o3": (
            _joined(1, (160, 200, 300, 400, 800, 1000, 1200), _CHINA_INDICES),
            _joined(8, (100, 160, 215, 265, 800), _CHINA_INDICES[:5]),
        ),
        "no2": (_joined(1, (100, 200, 700, 1200, 2340, 3090, 3840), _CHINA_INDICES),),
        "so2": (_joined(1, (150, 500, 650, 800), _CHINA_INDICES[:4]),),
        "co": (_joined(1, (5e3, 10e3, 35e3, 60e3, 90e3, 120e3, 150e3), _CHINA_INDICES),),
    },
    rounding="up",
    note="hourly: running means of PM over 24 h and of ozone over 8 h, others as they are",
)

_EUROPE = IndexTable(
    title="European air quality index",
    source="European Environment Agency, European Air Quality Index, bands of 2017 to 2024",
    categories=("good", "fair", "moderate", "poor", "very_poor", "extremely_poor"),
    colours=("#50f0e6", "#50ccaa", "#f0e641", "#ff5050", "#960032", "#7d2181"),
    upper=(1, 2, 3, 4, 5),
    terms={
        "pm25": _classes(24, 10, 20, 25, 50, 75),
        "pm10": _classes(24, 20, 40, 50, 100, 150),
        "no2": _classes(1, 40, 90, 120, 230, 340),
        "o3": _classes(1, 50, 100, 130, 240, 380),
        "so2": _classes(1, 100, 200, 350, 500, 750),
    },
    numeric=False,
    note="hourly: running means of PM over 24 h, gases as they are",
)

_GERMANY = IndexTable(
    title="German air quality index",
    source="Umweltbundesamt, Luftqualitätsindex, classes of 2025",
    categories=("very_good", "good", "moderate", "poor", "very_poor"),
    colours=("#50f0e6", "#50ccaa", "#f0e641", "#ff5050", "#960032"),
    upper=(1, 2, 3, 4),
    terms={
        "pm25": _classes(1, 5, 15, 30, 50, decimals=0),
        "pm10": _classes(1, 9, 27, 54, 90, decimals=0),
        "no2": _classes(1, 10, 30, 60, 100, decimals=0),
        "o3": _classes(1, 24, 72, 144, 240, decimals=0),
        "so2": _classes(1, 10, 30, 60, 100, decimals=0),
    },
    numeric=False,
    note="hourly means, rounded to whole ug m-3",
)

#: The indices by name.
INDICES: Mapping[str, IndexTable] = MappingProxyType(
    {"us_epa": _EPA, "china": _CHINA, "europe": _EUROPE, "germany": _GERMANY}
)
