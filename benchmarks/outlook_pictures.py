"""Three pictures of the outlook: a week of haze that was, attention by day, the cyclic encoding."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import ConciseDateFormatter, DayLocator, date2num
from matplotlib.figure import Figure

from aqreanalysis import Outlook
from aqreanalysis.conventions import pollutant
from aqreanalysis.outlook.product import attention_by_day
from benchmarks.outlook import VALIDATION, VARIABLE, ZONE, Split

#: A start of the test period, local, and which of the visible stations is drawn.
START, STATION = np.datetime64("2016-12-18T00"), 0
#: Starts over which attention is averaged, every so many.
ATTENTION_EVERY = 8
BLUE, DARK, ORANGE = "#2f6db3", "#222222", "#d9731a"


def draw(data: Path, folder: Path) -> list[Path]:
    """Return the paths of three pictures; the outlook is learned first, which takes minutes."""
    split = Split.of(data, 0)
    first, last = (instant - ZONE for instant in VALIDATION)
    model = Outlook(progress=False).fit(split.learned_from, VARIABLE, validation=slice(first, last))
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "outlook_week": week(split, model),
        "outlook_attention": attention(split, model),
        "outlook_cycles": cycles(),
    }
    paths = []
    for name, figure in pictures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=100)
        plt.close(figure)
    return paths


def week(split: Split, model: Outlook) -> Figure:
    """Return a hindcast beside what was measured, with its 90 % interval."""
    start = START - ZONE
    one = model.predict(split.visible, start=start, quantiles=(0.05, 0.95)).isel(station=STATION)
    period = slice(start - np.timedelta64(3, "D"), one.time.values[-1])
    observed = split.visible[VARIABLE].isel(station=STATION).sel(time=period)
    figure, axes = plt.subplots(figsize=(8.5, 3.6), layout="constrained")
    ahead = one.time.values + ZONE
    axes.fill_between(
        ahead,
        one[f"{VARIABLE}_q05"],
        one[f"{VARIABLE}_q95"],
        color=BLUE,
        alpha=0.2,
        lw=0,
        label="90 % interval",
    )
    axes.plot(observed.time.values + ZONE, observed, color=DARK, lw=1.1, label="measured")
    axes.plot(ahead, one[VARIABLE], color=BLUE, lw=1.8, label="outlook")
    axes.axvline(date2num(START), color=DARK, lw=0.8, ls="--")
    axes.annotate(
        "start", (START, 1), (4, -4), xycoords=("data", "axes fraction"), va="top",
        textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_ylabel(f"{pollutant(VARIABLE).label}, µg m$^{{-3}}$")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    _days(axes)
    axes.set_title(f"One week from {pd.Timestamp(START):%d %B %Y}, {one.station.item()}, Beijing")
    axes.set_xlabel("local time (UTC+8)")
    axes.legend(frameon=False, loc="upper right")
    return figure


def attention(split: Split, model: Outlook) -> Figure:
    """Return the attention of each predicted day for each past day, a mean over starts.

    It is relative to even attention to all tokens: the last day has more of them than others.
    """
    forecast = model.issue(split.visible, split.columns[::ATTENTION_EVERY], attention=True)
    if forecast.attention is None:
        raise ValueError(f"method {model.name!r} gives no attention")
    sizes = model.configuration
    tokens = len(sizes.edges) - 1
    even = attention_by_day(np.full((1, len(sizes.knots), tokens), 1 / tokens), sizes, 1.0)[0]
    share = forecast.attention.mean((0, 1)) / even  # (predicted day, past day)
    most = float(abs(share - 1).max())
    figure, axes = plt.subplots(figsize=(8.5, 3.6), layout="constrained")
    image = axes.imshow(share[:, ::-1], cmap="RdBu_r", aspect="auto", vmin=1 - most, vmax=1 + most)
    days, past = share.shape
    for row in range(days):
        for column in range(past):
            value = share[row, past - 1 - column]
            colour = "white" if abs(value - 1) > 0.7 * most else "black"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8
            )
    axes.set_xticks(range(past), [f"−{past - column}" for column in range(past)])
    axes.set_yticks(range(days), [f"+{day + 1}" for day in range(days)])
    axes.set_xlabel("past day (−1: the last 24 hours)")
    axes.set_ylabel("predicted day")
    axes.set_title("Where the outlook looks: attention, 1 is even")
    figure.colorbar(image, ax=axes, label="relative to even attention", pad=0.01)
    return figure


def cycles() -> Figure:
    """Return the cyclic encoding of the hour, and that 23 and 0 are neighbours in it."""
    hours = np.arange(24)
    angle = 2 * np.pi * hours / 24
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.5, 3.6), layout="constrained", width_ratios=(1.7, 1)
    )
    fine = np.linspace(0, 48, 481)
    left.plot(fine, np.sin(2 * np.pi * fine / 24), color=BLUE, label="sine")
    left.plot(fine, np.cos(2 * np.pi * fine / 24), color=ORANGE, label="cosine")
    left.set_xticks(range(0, 49, 6), [str(hour % 24) for hour in range(0, 49, 6)])
    left.set_xlabel("local solar hour, two days")
    left.set_ylabel("encoding")
    left.margins(x=0)
    left.set_ylim(-1.15, 1.45)
    left.legend(frameon=False, ncols=2, loc="upper right")
    left.set_title("Sine and cosine return each day")
    right.plot(np.sin(angle), np.cos(angle), "o", color=BLUE, ms=4)
    for hour, x, y in zip(hours, np.sin(angle), np.cos(angle), strict=True):
        right.text(1.17 * x, 1.17 * y, str(hour), ha="center", va="center", fontsize=8)
    right.set_aspect("equal")
    right.set_xlim(-1.35, 1.35)
    right.set_ylim(-1.35, 1.35)
    right.set_xlabel("sine")
    right.set_ylabel("cosine")
    right.set_title("so 23 and 0 are neighbours")
    return figure


def _days(axes: Any) -> None:
    """Put a tick at each midnight."""
    locator = DayLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
