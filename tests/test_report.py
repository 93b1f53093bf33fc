"""The report says what the numbers say, hides nothing, and can be read anywhere."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from report_cases import HOSTILE, pairs_of

from aqreanalysis.atomic import WriteError
from aqreanalysis.report import check_report_target, parts, tables, write_report
from aqreanalysis.report.findings import Findings, Part
from aqreanalysis.report.probability import coverage, positions
from aqreanalysis.report.sheet import colour_of, drawable
from aqreanalysis.report.stations import time_ticks, worst_weeks
from aqreanalysis.report.verdict import verdict
from aqreanalysis.verification import VerificationError, statistics

ERRORS = {"neural": 4.0, "kriging": 5.0, "idw": 8.0}


@pytest.fixture(scope="module")
def findings():
    """Findings of three methods with known errors at 12 stations."""
    pairs = pairs_of(ERRORS, stations=12)
    return Findings.of(pairs, statistics(pairs))


def only(findings, *methods):
    """Return the findings as if only these methods had been verified."""
    chosen = {"estimator": list(methods)}

    def narrowed(part):
        if part is None:
            return None
        bounds = None if part.bounds is None else part.bounds.sel(chosen)
        return Part(part.scores.sel(chosen), bounds)

    compared = "kriging" in methods and len(methods) > 1
    return dataclasses.replace(
        findings,
        pairs=findings.pairs.sel(chosen),
        statistics=findings.statistics.sel(chosen),
        overall=narrowed(findings.overall),
        daily=narrowed(findings.daily),
        change=findings.change.sel(chosen) if compared else None,
        parts={kind: narrowed(part) for kind, part in findings.parts.items()},
        stations=narrowed(findings.stations),
    )


def with_relative(findings, method, value, low, high, *, score="rmse"):
    """Return the findings with another difference of the RMSE from kriging's."""
    change = findings.change.copy(deep=True)
    for bound, number in (("value", value), ("low", low), ("high", high)):
        change[f"relative_{score}"].loc[{"estimator": method, "bound": bound}] = number
    return dataclasses.replace(findings, change=change)


def with_score(findings, method, **scores):
    """Return the findings with other scores of a method, as (value, low, high)."""
    part = Part(findings.overall.scores.copy(deep=True), findings.overall.bounds.copy(deep=True))
    for name, (value, low, high) in scores.items():
        part.scores[name].loc[{"estimator": method}] = value
        for bound, end in (("low", low), ("high", high)):
            part.bounds[name].loc[{"estimator": method, "bound": bound}] = end
    return dataclasses.replace(findings, overall=part)


def said(findings):
    """Return the verdict as one text with plain spaces."""
    return " ".join(verdict(findings)).replace("\u00a0", " ")


def test_a_difference_below_nothing_is_an_advantage(findings):
    better = with_score(
        findings, "neural", rmse=(30.84, 28.0, 33.0), coverage_90=(0.94, 0.93, 0.95)
    )
    better = with_relative(better, "neural", -0.023, -0.041, -0.005)
    assert said(better).startswith(
        "The neural kNN's RMSE is 30.8 μg m⁻³, 2.3 % below ordinary kriging's "
        "(95 % interval: 4.1 to 0.5 % below). "
        "Its 90 % intervals hold 94 % of the measurements: wider than they need be."
    )


def test_a_difference_above_nothing_is_called_worse(findings):
    worse = with_relative(findings, "neural", 0.023, 0.005, 0.041)
    assert "worse: 2.3 % above ordinary kriging's (95 % interval: 0.5 to 4.1 % above)." in said(
        worse
    )


def test_where_rmse_tells_nothing_the_mean_absolute_error_may(findings):
    same = with_relative(findings, "neural", -0.01, -0.041, 0.021)
    other = with_relative(same, "neural", -0.042, -0.051, -0.033, score="mae")
    words = "its mean absolute error is 4.2 % below (5.1 to 3.3 % below)."
    assert words in said(other)
    unsure = with_relative(same, "neural", -0.01, -0.03, 0.01, score="mae")
    assert "absolute" not in said(unsure)


def test_an_interval_around_nothing_is_no_difference(findings):
    same = with_relative(findings, "neural", -0.01, -0.041, 0.021)
    words = said(same)
    assert "not distinguishable from ordinary kriging's" in words
    assert "(95 % interval: 4.1 % below to 2.1 % above)" in words
    assert "1.0 %" not in words


def test_without_kriging_nothing_is_said_about_kriging(findings):
    words = said(only(findings, "neural", "idw"))
    assert "the lowest of the methods here" in words
    assert "does not tell whether it improves on kriging" in words
    assert "inverse distance has the lowest" not in words
    assert "the neural kNN has the lowest here" in said(only(findings, "idw", "neural"))


def test_one_method_has_nothing_to_be_compared_with(findings):
    words = said(only(findings, "neural"))
    assert "There is no other method to compare it with." in words
    assert "kriging" not in words
    assert re.search(r"RMSE is [\d.]+ μg m⁻³ \(95 % interval: [\d.]+ to [\d.]+\)\.", words)


def test_kriging_itself_is_compared_with_the_best_of_the_others(findings):
    words = said(only(findings, "kriging", "idw", "neural"))
    assert words.startswith("Ordinary kriging's RMSE is")
    assert "the neural kNN's is" in words
    assert "below ordinary kriging's" in words


def test_a_single_place_gives_no_interval(findings):
    alone = with_relative(findings, "neural", -0.2, np.nan, np.nan)
    assert "20.0 % below ordinary kriging's, but a single place gives no interval" in said(alone)


def test_intervals_that_are_right_or_too_narrow_are_called_so(findings):
    right = with_score(findings, "neural", coverage_90=(0.91, 0.89, 0.93))
    assert "hold 91 % of the measurements, as they should." in said(right)
    narrow = with_score(findings, "neural", coverage_90=(0.71, 0.69, 0.73))
    assert "hold 71 % of the measurements: too narrow." in said(narrow)


def test_no_standard_error_is_said(findings):
    silent = with_score(findings, "neural", crps=(np.nan,) * 3, coverage_90=(np.nan,) * 3)
    assert "It gives no standard errors" in said(silent)
    row = tables.method_table(silent).rows[0]
    assert [cell.text for cell in row.cells[5:7]] == ["no standard error"] * 2


def test_few_places_are_a_caution(findings):
    few = dataclasses.replace(findings, statistics=findings.statistics.isel(station=slice(0, 4)))
    assert said(few).endswith("With only 4 places, this is weak evidence.")
    assert "weak evidence" not in said(findings)


def test_the_verdict_is_at_most_three_sentences(findings):
    for methods in (["neural", "kriging"], ["idw"], ["kriging", "neural"], ["idw", "neural"]):
        assert 1 <= len(verdict(only(findings, *methods))) <= 3


def test_the_table_of_scores_holds_what_the_pairs_give(findings):
    error = (findings.pairs.estimate - findings.pairs.truth).values
    truth = np.broadcast_to(findings.pairs.truth.values, error.shape)
    table = tables.method_table(findings)
    assert [row.head for row in table.rows] == [
        "neural kNN",
        "ordinary kriging",
        "inverse distance",
    ]
    for row, mistakes, measured in zip(table.rows, error, truth, strict=True):
        mistakes, measured = (values[np.isfinite(mistakes)] for values in (mistakes, measured))
        rmse, _, mae, bias, r2 = (cell.text for cell in row.cells[:5])
        assert rmse == f"{np.sqrt((mistakes**2).mean()):.2f}"
        assert mae == f"{np.abs(mistakes).mean():.2f}"
        assert bias.replace("−", "-") == f"{mistakes.mean():+.2f}"
        departures = ((measured - measured.mean()) ** 2).sum()
        assert r2 == f"{1 - (mistakes**2).sum() / departures:.2f}"


def test_differences_stand_beside_kriging_with_their_interval(findings):
    first, reference, last = tables.method_table(findings).rows
    assert re.fullmatch(r"−\d+\.\d\u00a0%", first.cells[1].text)
    assert re.fullmatch(r"\+\d+\.\d\u00a0%", last.cells[1].text)
    assert re.fullmatch(r"−[\d.]+ to −[\d.]+", first.cells[1].interval)
    assert reference.cells[1].text == "the reference"
    without = tables.method_table(only(findings, "neural", "idw"))
    assert [name for name, _ in without.columns][2] == "MAE"


def test_tables_in_parts_add_up_to_all_values(findings):
    total = int(findings.overall.scores["count"].max())
    for table, column in ((tables.distance_table(findings), 1), (tables.level_table(findings), 0)):
        counts = [int(row.cells[column].text.replace("\u202f", "")) for row in table.rows]
        assert sum(counts) == total
    distances = tables.distance_table(findings)
    assert sum(int(row.cells[0].text) for row in distances.rows) == 12
    days = tables.daily_table(findings)
    scores = ["RMSE", "MAE", "Bias", "R²", "CRPS", "90 % coverage"]
    assert [name for name, _ in days.columns] == ["Method", "Days", *scores]


def test_coverage_is_shown_in_every_kind_of_parts_that_is_known():
    """One fold has errors of twice the stated spread: its intervals hold 59 % and not 90 %."""
    pairs = pairs_of({"kriging": 4.0}, stations=8, steps=400)
    pairs = pairs.assign_coords(fold=("station", [*"11112222"]))
    wide = xr.where(pairs.fold == "2", 2.0, 1.0)
    pairs["estimate"] = (pairs.truth + wide * (pairs.estimate - pairs.truth)).transpose(
        *pairs.estimate.dims
    )
    hours = np.broadcast_to(np.where(np.arange(400) % 100 < 90, 0.0, 5.0), (8, 400))
    pairs["silence_hours"] = (("station", "time"), hours)
    findings = Findings.of(pairs, statistics(pairs))
    cells = tables.coverage_table(findings).rows
    rows = {(row.head, row.cells[0].text): row.cells for row in cells}
    shares = {key: float(cells[2].text.split("\u00a0")[0]) for key, cells in rows.items()}
    assert shares["Fold", "1"] == pytest.approx(90, abs=3)
    assert shares["Fold", "2"] == pytest.approx(59, abs=4)
    assert {("Silence, hours", "<1"), ("Silence, hours", "3–6")} <= rows.keys()
    assert {head.split(",")[0] for head, _ in rows} == {"Fold", "Distance", "Level", "Silence"}
    first, second = parts.covered_parts_figures(findings)
    assert (first.title, second.title) == (
        "Coverage by fold and distance", "Coverage by level and silence"
    )  # fmt: skip
    assert re.search(r"by fold (5[5-9]|6[0-3])\u00a0% to (8[7-9]|9[0-3])\u00a0%", first.alt)
    alone = Findings.of(pairs.drop_vars("silence_hours").assign_coords(fold=("station", ["1"] * 8)),
                        statistics(pairs))  # fmt: skip
    assert "Silence, hours" not in {row.head for row in tables.coverage_table(alone).rows}


def test_events_are_counted_for_every_threshold(findings):
    truth = findings.pairs.truth.values
    rows = tables.event_table(findings).rows
    assert [row.head for row in rows[::3]] == ["≥ 35", "≥ 75", "≥ 150"]
    for row, threshold in zip(rows[::3], (35, 75, 150), strict=True):
        assert row.cells[1].text.replace("\u202f", "") == str(int((truth >= threshold).sum()))
    assert rows[-1].cells[2].text == "undefined: no events"


def test_stations_are_listed_with_the_largest_error_first(findings):
    errors = [float(row.cells[2].text) for row in tables.station_table(findings).rows]
    assert len(errors) == 12
    assert errors == sorted(errors, reverse=True)


def test_intervals_that_are_right_hold_what_they_promise(findings):
    for method in findings.methods:
        nominal, observed = coverage(findings, method)
        # 1117 values: the standard error of a share is at most 0.015.
        np.testing.assert_allclose(observed, nominal, atol=0.05)
        np.testing.assert_allclose(nominal, np.arange(1, 20) / 20)
        assert positions(findings, method).mean() == pytest.approx(1)
        in_table = float(findings.overall.scores["coverage_90"].sel({"estimator": method}))
        assert observed[nominal.tolist().index(0.9)] == pytest.approx(in_table, abs=0.003)


def test_the_worst_weeks_hold_the_day_with_the_highest_mean():
    pairs = pairs_of({"mine": 1.0}, steps=24 * 40)
    day = pairs.time.values.astype("datetime64[D]") == np.datetime64("2014-12-05")
    pairs["truth"][:, day] = 500.0
    window = worst_weeks(pairs)
    assert window.peak == np.datetime64("2014-12-05")
    shown = pairs.time.values[window.steps]
    assert shown.size == 14 * 24
    assert shown[0] == np.datetime64("2014-11-28")
    # A day on which hardly anybody reports does not count.
    pairs["truth"][1:, day] = np.nan
    assert worst_weeks(pairs).peak != np.datetime64("2014-12-05")


@pytest.mark.parametrize(
    ("count", "step_hours", "first"),
    [(1, 1, "1 Mar\n05:00"), (48, 1, "1 Mar\n12:00"), (96, 1, "2 Mar"), (14, 24, "2 Mar")],
)
def test_ticks_of_time_are_round_and_few(count, step_hours, first):
    times = np.datetime64("2014-03-01T05", "ns") + np.arange(count) * np.timedelta64(
        step_hours, "h"
    )
    ticks, labels = time_ticks(times)
    assert labels[0] == first
    assert 1 <= len(labels) <= 8
    assert ((ticks >= times[0]) & (ticks <= times[-1])).all()


def test_a_method_has_one_colour_and_kriging_is_grey():
    methods = ["my product", "kriging", "other", "neural"]
    colours = [colour_of(method, methods) for method in methods]
    assert len(set(colours)) == 4
    assert colours[1] == "#4d4d4d"
    assert colours[3] == "#0072b2"


def test_figures_write_no_character_that_would_break_them():
    assert drawable("北京 $x_{1$") == r"?? \$x_{1\$"


def test_statistics_of_other_pairs_are_refused(tmp_path):
    pairs = pairs_of({"mine": 1.0})
    other = statistics(pairs_of({"theirs": 1.0}))
    with pytest.raises(VerificationError, match=r"not those of the pairs.*statistics\(pairs\)"):
        write_report(pairs, tmp_path / "report.html", statistics=other)


def test_nothing_scored_is_an_error(tmp_path):
    pairs = pairs_of({"mine": 1.0, "kriging": 1.0})
    pairs["estimate"][0, :, ::2] = np.nan
    pairs["estimate"][1, :, 1::2] = np.nan
    with pytest.raises(VerificationError, match="no value was scored"):
        write_report(pairs, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.html.txt"])
def test_a_report_ends_in_html(tmp_path, name):
    with pytest.raises(ValueError, match=rf"written as \.html; found '{name}'"):
        write_report(pairs_of({"mine": 1.0}), tmp_path / name)


def test_a_target_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with pytest.raises(WriteError, match="there is no folder"):
        check_report_target(tmp_path / "nowhere" / "report.html")
    path = tmp_path / "REPORT.HTML"
    path.write_text("old")
    assert check_report_target(path) == path
    with pytest.raises(WriteError, match="exists, and overwrite is False"):
        check_report_target(path, overwrite=False)


class Page(HTMLParser):
    """Tags with their attributes and the text of a page, scripts and styles apart."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self._is_code = [], [], False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._is_code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._is_code = False

    def handle_data(self, text):
        if not self._is_code:
            self.texts.append(text)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The report of four methods at 300 stations, some with names that attack the page."""
    names = [*HOSTILE, *(f"station {i}" for i in range(300 - len(HOSTILE)))]
    errors = {"neural": 4.0, "kriging": 5.0, "space_time_kriging": 5.0, HOSTILE[0]: 9.0}
    pairs = pairs_of(
        errors,
        stations=300,
        steps=24 * 12,
        names=names,
        failures=[f"kriging, fold {i}: <b>the matrix</b> is singular" for i in range(3)],
        remarks=["These stations were seen by the product."],
        design="Each <i>station</i> was hidden once.",
    )
    # The attacks as best and as worst station, so that figures and captions bear them.
    pairs["estimate"][0, 0] += 40
    pairs["estimate"][0, 2] = pairs["truth"][2]
    path = write_report(pairs, tmp_path_factory.mktemp("report") / "report.html")
    return Page(path), path


def test_the_page_needs_no_other_file(hostile):
    page, path = hostile
    assert path.stat().st_size < 3e6
    assert {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "form", "base"} == set()
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.of("img"))
    assert [link["href"] for link in page.of("link")] == ["data:,"]
    assert all("src" not in script for script in page.of("script"))
    assert "@import" not in page.source
    assert re.findall(r"url\(", page.source) == []
    assert [other.name for other in path.parent.iterdir()] == ["report.html"]


def test_names_are_text_and_nothing_else(hostile):
    page, _ = hostile
    assert len(page.of("script")) == 1
    assert all(not image["src"].startswith("http") for image in page.of("img"))
    assert page.of("b") == [{}] * len(page.of("figure"))
    assert page.of("i") == []
    assert "49 &amp; %s" not in page.text
    for name in HOSTILE:
        assert " ".join(name.split()) in page.text


def test_everything_is_on_the_page(hostile):
    page, _ = hostile
    for words in (
        "Verification of PM 2.5 at hidden stations",
        "300 stations",
        "2014-11-20 00:00 to 2014-12-01 23:00 UTC",
        "hourly values in 288 hours",
        "Each <i>station</i> was hidden once.",
        "The neural kNN's RMSE is",
        "3 failures",
        "kriging, fold 2: <b>the matrix</b> is singular",
        "These stations were seen by the product.",
        "Highest RMSE: station <script>",
        "Daily means",
        "Events",
        "By measured level",
        "By distance to the nearest known station",
        "All stations, neural kNN",
        "Taylor 2001",
        "What they cannot tell",
    ):
        assert words in page.text, words
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)
    body = page.source.index
    assert body("RMSE is") < body("3 failures") < body("<figure>")


def test_every_figure_says_what_it_shows(hostile):
    page, _ = hostile
    images = page.of("img")
    # Map, distance, three of coverage, positions, two events, two densities, Taylor, level, hour,
    # month and two stations.
    assert len(images) == 16
    assert all(len(image["alt"]) > 60 for image in images)
    assert len({image["alt"] for image in images}) == 16


def test_a_product_of_days_without_uncertainty_is_reported(tmp_path):
    pairs = pairs_of(
        {"CAMS & co": 9.0},
        steps=40,
        step_hours=24.0,
        stated=False,
        distance_km=np.nan,
        by="product",
        design="Nothing was hidden.",
    )
    page = Page(write_report(pairs, tmp_path / "report.htm"))
    for words in (
        "Verification of CAMS & co against stations",
        "PM2.5, 6 stations",
        "2014-11-20 to 2014-12-29",
        "daily values in 40 days",
        "There is no other method to compare it with.",
        "It gives no standard errors",
        "the distance is not known here",
        "no method gives a standard error",
        "Error by hour of the day is left out: the values are daily means.",
        "no standard error",
    ):
        assert words in page.text, words
    assert "hidden station" not in page.text
    assert "kriging" not in page.text
    assert "Daily means" not in page.text


def test_one_station_a_constant_truth_and_a_failed_method_are_said_not_hidden(tmp_path):
    errors = {"neural": 3.0, "kriging": 4.0, "idw": 5.0}
    pairs = pairs_of(errors, stations=1, constant=True, steps=48)
    pairs["estimate"][2] = np.nan
    title = "Our <own> title"
    page = Page(write_report(pairs, tmp_path / "report.html", title=title))
    for words in (
        title,
        "1 station ",
        "undefined: truth is constant",
        "but a single place gives no interval",
        "No estimate came from inverse distance.",
        "inverse distance no estimate",
        "Taylor's diagram is left out",
        "undefined: no events",
        "Error by month is left out: all values are of November.",
    ):
        assert words in page.text, words
    assert not re.search(r"\bnan\b|\binf\b", page.text)


def test_a_method_that_always_failed_has_a_verdict_of_its_own(findings):
    nothing = {name: (np.nan,) * 3 for name in ("rmse", "crps", "coverage_90")}
    failed = with_score(findings, "neural", count=(0.0, 0.0, 0.0), missing=(9.0,) * 3, **nothing)
    assert verdict(failed) == ["The neural kNN gave no estimate that could be scored."]
    assert tables.method_table(failed).rows[0].cells[0].text == "no estimate"
    others = said(only(failed, "kriging", "neural"))
    assert "The others gave no estimates: there is no other method" in others
    assert others.endswith("No estimate came from neural kNN.")


LAPTOP, PHONE = (1366, 768), (390, 844)
#: A4 less the margins of the page's style, in pixels of a ninety-sixth of an inch.
PAPER = (round(184 / 25.4 * 96), round(269 / 25.4 * 96))

_OUTSIDE = """() => [...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && !one.parentElement.closest(".scroll")
    && (box.left < -1 || box.right > innerWidth + 1);
}).map((one) => one.tagName + ": " + one.textContent.slice(0, 60))"""
_BROKEN = (
    """() => [...document.images].filter((one) => !one.complete || !one.naturalWidth).length"""
)
_SMALLEST = """() => Math.min(...[...document.querySelectorAll("body *")]
  .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .map((one) => parseFloat(getComputedStyle(one).fontSize)))"""


@pytest.fixture(scope="module", params=[LAPTOP, PHONE], ids=["laptop", "phone"])
def opened(request, browser, hostile):
    """Return the hostile report in a window, and all that went wrong or was asked for."""
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    asked, wrong = [], []
    page.on("request", lambda one: asked.append(one.url))
    page.on("console", lambda one: wrong.append(one.text))
    page.on("pageerror", lambda one: wrong.append(str(one)))
    page.goto(hostile[1].as_uri())
    yield page, asked, wrong
    page.close()


def test_a_browser_asks_for_the_file_alone_and_complains_of_nothing(opened, hostile):
    page, asked, wrong = opened
    assert [url for url in asked if not url.startswith("data:")] == [hostile[1].as_uri()]
    assert wrong == []
    assert page.title() == "Verification of PM2.5 at hidden stations"


def test_every_picture_is_there_and_nothing_lies_outside_the_window(opened):
    page, _, _ = opened
    page.evaluate("document.querySelector('details').open = true")
    assert page.evaluate("document.images.length") == 16
    assert page.evaluate(_BROKEN) == 0
    assert page.evaluate(_OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(_SMALLEST) >= 12
    page.evaluate("document.querySelector('details').open = false")


def test_verdict_and_scores_are_the_first_screen_of_a_laptop(browser, hostile):
    page = browser.new_page(viewport={"width": LAPTOP[0], "height": LAPTOP[1]})
    page.goto(hostile[1].as_uri())
    bottoms = page.evaluate(
        "['.verdict', '.scores table'].map("
        "(one) => document.querySelector(one).getBoundingClientRect().bottom)"
    )
    assert max(bottoms) <= LAPTOP[1]
    page.close()


def test_in_print_no_figure_is_cut_and_no_table_too_wide(browser, hostile):
    page = browser.new_page(viewport={"width": PAPER[0], "height": PAPER[1]})
    page.goto(hostile[1].as_uri())
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    page.emulate_media(media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('figure, tr')].map((one) => one.offsetHeight)"
    )
    assert max(heights) < PAPER[1]
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('table')].map((one) => one.offsetWidth))"
    )
    assert widest <= PAPER[0] + 1
    page.close()
    sheets = re.findall(rb"/Type /Page\n.*?endobj", printed, re.DOTALL)
    assert 6 <= len(sheets) <= 25
    # A picture that were cut would be drawn on two sheets.
    drawn = [name for sheet in sheets for name in re.findall(rb"/X\d+ (\d+) 0 R", sheet)]
    assert len(drawn) == len(set(drawn)) == 16
    assert b"/ToUnicode" in printed  # words are text, which can be searched
