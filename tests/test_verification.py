"""Verification: what is hidden stays hidden, sums add up, scores are what the field calls them."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xskillscore
from scipy.special import ndtri

import aqreanalysis as aqr
from aqreanalysis.fields.memory import Cost
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.network import great_circle_km
from aqreanalysis.predictive import ErrorCorrelation, RootNormal
from aqreanalysis.verification import (
    VerificationError,
    combine,
    cross_validate,
    differences,
    folds_of,
    intervals,
    metrics,
    statistics,
    verify,
)
from aqreanalysis.verification.pairs import Sample
from aqreanalysis.verification.strata import local_middles

CHEAP = ["kriging", "idw"]


@pytest.fixture(scope="module")
def observations():
    return aqr.synthetic_network(hours=96, seed=3).observations


@pytest.fixture(scope="module")
def pairs(observations):
    return cross_validate(observations, methods=CHEAP, folds=4, progress=False)


@pytest.fixture(scope="module")
def summed(pairs):
    return statistics(pairs)


def made_pairs(truth, estimate, error, *, start="2020-01-01", longitude=0.0, methods=("m",)):
    """Return pairs of arrays: (station, time), and (estimator, station, time) twice."""
    stations, hours = np.shape(truth)
    time = pd.date_range(start, periods=hours, freq="h").values.astype("datetime64[ns]")
    dims = ("estimator", "station", "time")
    return xr.Dataset(
        {
            "truth": (("station", "time"), np.asarray(truth, float)),
            "estimate": (dims, np.asarray(estimate, np.float32)),
            "standard_error": (dims, np.asarray(error, np.float32)),
        },
        coords={
            "estimator": list(methods),
            "station": [f"s{i}" for i in range(stations)],
            "longitude": ("station", np.full(stations, longitude)),
            "latitude": ("station", np.linspace(0, 1, stations)),
            "distance_km": ("station", np.linspace(1, 60, stations)),
            "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
        },
        attrs={"variable": "pm25", "units": "ug m-3", "by": "station", "design": "Made."},
    )


def random_pairs(stations=6, hours=240, methods=("kriging", "other"), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(2, 30, (stations, hours))
    noise = rng.normal(0, 12, (len(methods), stations, hours))
    estimate = np.abs(truth + noise)
    error = rng.uniform(5, 20, estimate.shape)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    return made_pairs(truth, estimate, error, methods=methods)


# What is hidden, learned from and scored


class Spy:
    """A method of somebody else that keeps what it is given, and estimates the mean of it."""

    name, settings, references, takes_background = "spy", {}, "", False
    seen: list = []  # noqa: RUF012  # shared by the copies that each fold makes

    def fit(self, observations, variable):
        self.variable = variable
        self.seen.append(("fit", observations))
        return self

    def field(self, observations, at, hours):
        self.seen.append(("field", observations, at, hours))
        root = np.sqrt(float(observations[self.variable].mean()))

        def everywhere(longitude, latitude, hours):
            shape = longitude.size, hours.stop - hours.start
            return RootNormal(np.full(shape, root), np.full(shape, root))

        return everywhere

    def cost(self, observations, variable, at):
        return Cost()


@pytest.mark.parametrize("by", ["station", "block", "leave_one_out"])
def test_a_method_never_gets_a_value_of_a_hidden_station(observations, by):
    Spy.seen = []
    observations = observations.isel(station=slice(0, 45, 3))
    pairs = cross_validate(
        observations, methods=[Spy()], by=by, folds=3, progress=False, quality="ignore"
    )
    folds = [number for number, call in enumerate(Spy.seen) if call[0] == "fit"]
    assert len(folds) == (15 if by == "leave_one_out" else 3)
    for first, stop in pairwise([*folds, len(Spy.seen)]):
        (_, learned), (_, _, at, _), *_ = Spy.seen[first:stop]
        hidden = set(at.station.values)
        assert not hidden & set(learned.station.values)
        # At the hidden stations, and then at some of the others, to learn how errors last.
        for number, (_, known, asked, _) in enumerate(Spy.seen[first + 1 : stop]):
            assert not hidden & set(known.station.values)
            assert number == 0 or not hidden & set(asked.station.values)
            assert not asked.data_vars
    scored = np.isfinite(pairs.truth)
    assert int(scored.sum()) == int(observations.pm25.notnull().sum())
    expected = observations.pm25.sel(station=pairs.station).values
    np.testing.assert_array_equal(pairs.truth.values[scored], expected[scored.values])


def test_other_values_at_a_hidden_station_change_nothing_but_the_truth(observations, pairs):
    fold = pairs.fold == pairs.fold[0]
    poisoned = observations.copy(deep=True)
    poisoned.pm25.loc[{"station": pairs.station[fold]}] += 500.0
    again = cross_validate(poisoned, methods=CHEAP, folds=4, progress=False)
    xr.testing.assert_identical(
        again.estimate.isel(station=fold.values), pairs.estimate.isel(station=fold.values)
    )
    assert not again.estimate.equals(pairs.estimate)  # they are input for the other folds


def test_blocks_lie_together_and_a_buffer_stays_empty(observations):
    everything = np.ones(observations.sizes["time"], bool)
    folds = folds_of(
        observations, "pm25", by="block", count=4, seed=0, buffer_km=15.0, scored=everything
    )
    lon, lat = observations.longitude.values, observations.latitude.values
    distance = great_circle_km(lon[:, None], lat[:, None], lon, lat)
    assert np.sum([fold.hidden for fold in folds], axis=0).tolist() == [1] * lon.size
    for fold in folds:
        assert distance[np.ix_(fold.hidden, fold.known)].min() > 15.0
        left_out = ~fold.hidden & ~fold.known
        assert (distance[np.ix_(left_out, fold.hidden)].min(axis=1) <= 15.0).all()
        inside = distance[np.ix_(fold.hidden, fold.hidden)]
        assert inside.mean() < 0.7 * distance.mean()


def test_blocks_reach_across_the_date_line():
    network = aqr.synthetic_network(hours=24, seed=0).observations.isel(station=slice(0, 8))
    longitude = [179.0, 179.5, -179.9, -179.5, 20.0, 20.5, 21.0, 21.2]
    network = network.assign_coords(
        longitude=("station", longitude), latitude=("station", [0.0] * 8)
    )
    folds = folds_of(
        network, "pm25", by="block", count=2, seed=0, buffer_km=0.0, scored=np.ones(24, bool)
    )
    assert sorted(tuple(np.flatnonzero(fold.hidden)) for fold in folds) == [
        (0, 1, 2, 3),
        (4, 5, 6, 7),
    ]


def test_stations_at_one_place_are_hidden_together(observations):
    twin = observations.isel(station=[0]).assign_coords(station=["twin"])
    both = xr.concat([observations, twin], dim="station", data_vars="minimal")
    for by in ("station", "block", "leave_one_out"):
        folds = folds_of(
            both, "pm25", by=by, count=3, seed=1, buffer_km=None,
            scored=np.ones(both.sizes["time"], bool),
        )  # fmt: skip
        assert all(fold.hidden[0] == fold.hidden[-1] for fold in folds)


def test_by_month_nothing_of_the_scored_months_is_learned():
    months = aqr.synthetic_network(hours=24 * 75, seed=1, start="2020-01-01").observations
    months = months.isel(station=slice(12))
    Spy.seen = []
    pairs = cross_validate(months, methods=[Spy()], by="month", folds=3, progress=False)
    # Local time is UTC+8: the last eight hours of a month in UTC belong to the next.
    local = pd.DatetimeIndex(pairs.time.values) + pd.Timedelta(8, "h")
    for fold in np.unique(pairs.fold):
        inside = (pairs.fold == fold).values
        hidden = set(pairs.station.values[inside])
        scored = np.isfinite(pairs.truth.values[inside]).any(axis=0)
        result = set(local[scored].month)
        (learned,) = [
            call[1] for call in Spy.seen
            if call[0] == "fit" and not set(call[1].station.values) & hidden
        ]  # fmt: skip
        assert result
        for name in ("pm25", "pm10", "no2", "temperature"):
            reports = learned[name].notnull().any("station").values
            stamps = pd.DatetimeIndex(learned.time.values[reports]) + pd.Timedelta(8, "h")
            assert not result & set(stamps.month)


def test_hours_asked_for_are_scored_and_all_are_learned(observations):
    Spy.seen = []
    day = slice("2020-11-02", "2020-11-02")
    pairs = cross_validate(observations, methods=[Spy()], folds=2, time=day, progress=False)
    assert pairs.sizes["time"] == 24
    fit, field = Spy.seen[:2]
    assert fit[1].sizes["time"] == 96
    assert field[1].sizes["time"] == 96
    assert field[3] == slice(24, 48)


def test_leave_one_out_is_what_kriging_gives_without_the_station(observations):
    few = observations.isel(station=slice(0, 6), time=slice(0, 24))
    pairs = cross_validate(few, methods=["kriging"], by="leave_one_out", progress=False)
    known = few.isel(station=slice(1, None))
    alone = OrdinaryKriging().fit(known, "pm25").predict(known, few.isel(station=[0]))
    np.testing.assert_array_equal(pairs.estimate.values[0, 0], alone.pm25.values[0])
    lon, lat = few.longitude.values, few.latitude.values
    nearest = great_circle_km(lon[0], lat[0], lon[1:], lat[1:]).min()
    assert float(pairs.distance_km[0]) == pytest.approx(nearest)


def test_of_a_hidden_station_the_position_is_given_and_nothing_else(observations):
    given = observations.assign_coords(mean=("station", observations.pm25.mean("time").values))
    Spy.seen = []
    cross_validate(given, methods=[Spy()], folds=2, progress=False)
    at = Spy.seen[1][2]
    assert set(at.variables) == {"station", "longitude", "latitude"}


def test_a_pollutant_that_only_hidden_stations_report_does_not_stop_a_method(observations):
    class Strict(Spy):
        def fit(self, observations, variable):
            observations.aqnet.validate()
            return super().fit(observations, variable)

    alone = observations.copy(deep=True)
    alone.pm10[1:] = np.nan
    pairs = cross_validate(alone, methods=[Strict()], folds=2, progress=False)
    assert pairs.attrs["failures"] == []


def test_folds_without_an_hour_to_score_are_not_fitted():
    months = aqr.synthetic_network(hours=24 * 8, seed=1, start="2020-01-28").observations
    Spy.seen = []
    day = slice("2020-01-29", "2020-01-29")
    pairs = cross_validate(months, methods=[Spy()], by="month", folds=2, time=day, progress=False)
    assert [call[0] for call in Spy.seen].count("fit") == 1
    assert len(np.unique(pairs.fold)) == 1
    assert 0 < pairs.sizes["station"] < months.sizes["station"]


def test_hours_may_be_asked_for_as_of_a_product(observations):
    one = {"methods": [Spy()], "folds": 2, "progress": False}
    assert cross_validate(observations, time="2020-11-02", **one).sizes["time"] == 24
    local = slice("2020-11-02T08:00+08:00", "2020-11-02T10:00+08:00")
    result = cross_validate(observations, time=local, **one).time.values
    assert result[0] == np.datetime64("2020-11-02T00:00")
    assert result.size == 3


# Faults


def test_wrong_events_are_refused_before_anything_is_fitted(observations):
    for call in (verify, lambda obs, **options: obs.aqnet.verify(**options)):
        Spy.seen = []
        with pytest.raises(VerificationError, match="events must be positive"):
            call(observations, methods=[Spy()], events=[35, -1], progress=False)
        assert Spy.seen == []


@pytest.mark.parametrize("wrong", [(-1, 0), (0, -1)])
def test_a_field_of_another_size_than_asked_for_is_a_failure(observations, wrong):
    class Astray(InverseDistance):
        name = "astray"

        def field(self, *arguments, **options):
            engine = super().field(*arguments, **options)

            def smaller(longitude, latitude, hours):
                root = engine(longitude, latitude, hours).root
                root = root[: len(root) + wrong[0], : root.shape[1] + wrong[1]]
                return RootNormal(root, root)

            return smaller

    pairs = cross_validate(observations, methods=["idw", Astray()], folds=2, progress=False)
    expected = "one value for each target and hour, (23, 96); found a root of ("
    assert expected in pairs.attrs["failures"][0]
    assert not np.isfinite(pairs.estimate.sel(estimator="astray")).any()


def test_a_fault_that_is_no_refusal_is_told_with_its_kind(observations):
    class Broken(InverseDistance):
        name = "broken"

        def fit(self, observations, variable):
            return {}["wind"]

    pairs = cross_validate(observations, methods=["idw", Broken()], folds=2, progress=False)
    assert pairs.attrs["failures"][0] == "broken, fold 1: KeyError: 'wind'"


@pytest.mark.parametrize("call", [metrics, intervals, differences, combine])
def test_a_dataset_that_holds_no_statistics_is_refused(observations, pairs, call):
    for wrong in (observations, pairs):
        with pytest.raises(VerificationError, match="no statistics: they lack resolution, count"):
            call(wrong)


def test_fewer_places_than_folds_are_refused(observations):
    with pytest.raises(VerificationError, match=r"found 3 separate stations that report, and "
                       r"folds=5\. Ask for 2 to 3 folds"):  # fmt: skip
        verify(observations.isel(station=slice(0, 3)), methods=CHEAP, progress=False)
    with pytest.raises(VerificationError, match="Add stations at other places"):
        verify(observations.isel(station=[0]), methods=CHEAP, progress=False)


def test_fewer_months_than_folds_are_refused(observations):
    with pytest.raises(VerificationError, match=r"5 folds by month need 5 months; .* hold 1"):
        verify(observations, methods=CHEAP, by="month", progress=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"by": "region"},
            "by must be one of station, block, month, leave_one_out; found 'region'",
        ),
        ({"methods": []}, "methods must be a list"),
        ({"methods": "idw"}, "methods must be a list"),
        ({"methods": ["idw", InverseDistance(3)]}, "two methods are called 'idw'"),
        ({"buffer_km": -1.0}, "buffer_km must be 0 or more; found -1"),
        ({"folds": 1}, "at least two folds"),
        ({"events": [-5.0]}, "events must be positive thresholds"),
    ],
)
def test_requests_that_do_not_fit_are_refused(observations, options, said):
    with pytest.raises(VerificationError, match=re.escape(said)):
        verify(observations, **({"methods": ["idw"], "progress": False} | options))


class Moody(InverseDistance):
    """Fails where a certain station is hidden."""

    name = "moody"

    def fit(self, observations, variable):
        if "S01" not in observations.station.values:
            raise np.linalg.LinAlgError("no wind")
        return super().fit(observations, variable)


def test_a_method_that_fails_in_a_fold_is_named_and_the_others_go_on(observations, caplog):
    pairs = cross_validate(observations, methods=[Moody(), "idw"], folds=3, progress=False)
    fold = str(pairs.fold.sel(station="S01").values)
    assert pairs.attrs["failures"] == [f"moody, fold {fold}: no wind"]
    assert "verification goes on without it" in caplog.text
    scores = metrics(statistics(pairs))
    inside = pairs.isel(station=(pairs.fold == fold).values)
    lost = int(np.isfinite(inside.truth).sum())
    assert scores["missing"].sel(estimator="moody") == lost
    assert scores["missing"].sel(estimator="idw") == 0
    assert scores["count"].sel(estimator="idw") == scores["count"].sel(estimator="moody") + lost
    # The difference is taken where both answer: both are inverse distance there.
    gap = differences(statistics(pairs), to="idw").rmse.sel(estimator="moody")
    np.testing.assert_array_equal(gap, 0.0)


def test_a_block_that_hides_everything_is_a_failure_of_that_fold(observations):
    # The last station is far from all others, which a buffer of 800 km joins.
    far = observations.longitude.values.copy()
    far[-1] = 150.0
    moved = observations.assign_coords(longitude=("station", far))
    pairs = cross_validate(
        moved, methods=["idw"], by="leave_one_out", buffer_km=800.0, progress=False
    )
    # Others are left with the far station alone, which is too little for an interpolation.
    assert len(pairs.attrs["failures"]) == observations.sizes["station"] - 1
    assert "needs at least 2 stations" in pairs.attrs["failures"][0]
    answered = pairs.estimate.notnull().any("time").squeeze()
    assert answered.station.values[answered].tolist() == [str(moved.station.values[-1])]
    with pytest.raises(VerificationError, match=r"no station is left to know; use a smaller"):
        cross_validate(observations, methods=["idw"], by="block", buffer_km=800.0, progress=False)


def test_stations_that_never_report_are_neither_hidden_nor_counted(observations):
    silent = observations.copy(deep=True)
    silent.pm25[{"station": 4}] = np.nan
    pairs = cross_validate(silent, methods=["idw"], folds=3, progress=False)
    assert pairs.sizes["station"] == observations.sizes["station"] - 1


def test_constant_truth_has_no_r2_and_it_is_said():
    pairs = made_pairs(np.full((2, 30), 10.0), np.full((1, 2, 30), 12.0), np.full((1, 2, 30), 2.0))
    scores = metrics(statistics(pairs)).squeeze()
    assert np.isnan(scores.r2)
    assert scores.attrs["undefined"] == [
        "r2 (the truth is constant): m",
        "correlation (the truth or the estimate is constant): m",
        "hit_rate (no event): m, 35.0; m, 75.0; m, 150.0",
        "false_alarm_ratio (no event is estimated): m, 35.0; m, 75.0; m, 150.0",
        "critical_success_index (no event, and none is estimated): m, 35.0; m, 75.0; m, 150.0",
    ]
    assert float(scores.rmse) == pytest.approx(2.0)
    assert float(scores.sd_truth) == 0.0


def test_a_dataset_that_holds_no_pairs_is_refused(observations):
    with pytest.raises(VerificationError, match=r"lack truth on .*, the attribute by"):
        statistics(observations)
    nothing = made_pairs(np.full((1, 3), np.nan), np.ones((1, 1, 3)), np.ones((1, 1, 3)))
    with pytest.raises(VerificationError, match="nothing to verify"):
        statistics(nothing)


# Scores


@pytest.fixture(scope="module")
def flat():
    """Return the pairs of one method as one axis of values, without missing ones."""
    pairs = random_pairs().sel(estimator="other").stack(value=("station", "time"))
    present = pairs.truth.notnull().values
    return pairs.isel(value=present).drop_vars(["value", "station", "time"]).astype(np.float64)


@pytest.fixture(scope="module")
def scores():
    return metrics(statistics(random_pairs())).sel(estimator="other")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("bias", lambda p: xskillscore.me(p.estimate, p.truth)),
        ("mae", lambda p: xskillscore.mae(p.estimate, p.truth)),
        ("rmse", lambda p: xskillscore.rmse(p.estimate, p.truth)),
        ("r2", lambda p: xskillscore.r2(p.truth, p.estimate)),
        ("correlation", lambda p: xskillscore.pearson_r(p.estimate, p.truth)),
        ("centred_rmse", lambda p: (p.estimate - p.truth).std()),
        ("normalised_mean_bias", lambda p: p.estimate.sum() / p.truth.sum() - 1),
        ("factor_of_two", lambda p: (abs(np.log2(p.estimate / p.truth)) <= 1).mean()),
        ("sd_truth", lambda p: p.truth.std()),
        ("sd_estimate", lambda p: p.estimate.std()),
        (
            "coverage_90",
            lambda p: (
                abs(ndtri(RootNormal.from_median(p.estimate, p.standard_error).below(p.truth)))
                <= 1.6449
            ).mean(),
        ),
        (
            "spread_skill",
            lambda p: np.sqrt((p.standard_error**2).mean() / ((p.estimate - p.truth) ** 2).mean()),
        ),
    ],
)
def test_scores_are_those_of_other_packages_and_definitions(scores, flat, name, theirs):
    assert float(scores[name]) == pytest.approx(float(theirs(flat)), rel=1e-9)


def test_index_of_agreement_is_willmotts(scores, flat):
    mean = float(random_pairs().truth.mean())
    potential = (abs(flat.estimate - mean) + abs(flat.truth - mean)) ** 2
    expected = 1 - ((flat.estimate - flat.truth) ** 2).sum() / potential.sum()
    assert float(scores.index_of_agreement) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("event", [35.0, 75.0, 150.0])
def test_event_scores_are_those_of_a_contingency_table(scores, flat, event):
    edges = np.array([-np.inf, event - 1e-9, np.inf])  # xskillscore's bins hold their upper edge
    table = xskillscore.Contingency(flat.truth, flat.estimate, edges, edges, dim="value")
    scored = scores.sel(event=event)
    assert float(scored.hit_rate) == pytest.approx(float(table.hit_rate()))
    assert float(scored.false_alarm_ratio) == pytest.approx(float(table.false_alarm_ratio()))
    assert float(scored.critical_success_index) == pytest.approx(float(table.threat_score()))
    assert float(scored.event_total) == int((flat.truth >= event).sum())


def test_a_case_by_hand():
    # Errors are 1, -1, 4; the truth departs by -10, 0, 10 from its mean.
    pairs = made_pairs([[10.0, 20.0, 30.0]], [[[11.0, 19.0, 34.0]]], np.ones((1, 1, 3)))
    result = metrics(statistics(pairs)).squeeze()
    assert result["count"] == 3
    assert float(result.rmse) == pytest.approx(np.sqrt(6))
    assert float(result.bias) == pytest.approx(4 / 3)
    assert float(result.r2) == pytest.approx(1 - 18 / 200)
    assert float(result.coverage_90) == pytest.approx(2 / 3)  # 30 is beyond 34 less 1.6 and 9 in 10
    assert float(result.width_90) == pytest.approx(3.29, rel=2e-3)


def test_a_calibrated_distribution_is_calibrated_in_every_way():
    rng = np.random.default_rng(0)
    median = np.full((1, 20, 5000), 60.0)
    error = np.sqrt(4 * 60.0 * 1.5**2 + 2 * 1.5**4)
    truth = (np.sqrt(60.0) + 1.5 * rng.normal(size=median[0].shape)) ** 2
    pairs = made_pairs(truth, median, np.full(median.shape, error))
    result = statistics(pairs)
    scores = metrics(result).squeeze()
    # A standard deviation of the share among 100 000 is 0.001.
    assert float(scores.coverage_90) == pytest.approx(0.9, abs=0.004)
    # The median is not the mean: to the variance the squared difference of 1.5^2 is added.
    skill = error / np.sqrt(error**2 + 1.5**4)
    assert float(scores.spread_skill) == pytest.approx(skill, abs=0.01)
    pit = result.pit_count.sum("station").squeeze().values
    assert pit.sum() == 100_000
    np.testing.assert_allclose(pit / 2500, 1, atol=0.1)  # five standard deviations of 2500
    chance = result.sum_probability.sum("station") / result.probability_count.sum("station")
    share = result.event_count.sum("station") / result.probability_count.sum("station")
    finite = np.isfinite(chance.values)
    assert finite.sum() == 3  # one forecast, so one bin for each event
    np.testing.assert_allclose(chance.values[finite], share.values[finite], atol=0.006)


def test_all_methods_are_scored_on_the_values_that_all_of_them_give():
    pairs = random_pairs()
    pairs.estimate[{"estimator": 0, "station": 2, "time": slice(0, 50)}] = np.nan
    scores = metrics(statistics(pairs))
    assert len(np.unique(scores["count"])) == 1
    gone = int(pairs.truth[2, :50].notnull().sum())
    assert scores["missing"].values.tolist() == [gone, 0]
    assert int(scores["count"][0]) == int(pairs.truth.notnull().sum()) - gone


def test_spread_and_skill_are_of_the_same_values():
    error = np.full((1, 1, 4), 2.0)
    error[..., 2:] = [np.nan, -1.0]  # a negative one is none
    pairs = made_pairs([[10.0] * 4], [[[12.0, 8.0, 50.0, 60.0]]], error)
    result = metrics(statistics(pairs)).squeeze()
    assert float(result.spread_skill) == pytest.approx(1.0)
    width = np.subtract(
        *RootNormal.from_median(np.array([12.0, 8.0]), np.array([2.0, 2.0])).interval_90()[::-1]
    ).mean()
    assert float(result.width_90) == pytest.approx(width)
    assert result["count"] == 4


def test_strata_hold_every_value_once(summed):
    whole = metrics(summed)["count"]
    for by in ("distance", "level", "hour", "month", "silence", "fold", "station"):
        parts = metrics(summed, by=by)["count"]
        np.testing.assert_array_equal(parts.sum(by), whole)
        assert parts.dims == ("estimator", by)


def test_silence_is_that_of_the_nearest_station_which_was_not_hidden(observations):
    """The nearest known station is made silent for nine hours; a hidden one never counts."""
    fold = folds_of(
        observations, "pm25", by="station", count=4, seed=0, buffer_km=None,
        scored=np.ones(observations.sizes["time"], bool),
    )[0]  # fmt: skip
    lon, lat = observations.longitude.values, observations.latitude.values
    row = np.flatnonzero(fold.hidden)[0]
    away = great_circle_km(lon[row], lat[row], lon, lat)
    nearest = np.flatnonzero(fold.known)[np.argmin(away[fold.known])]
    full = observations.copy(deep=True)
    full.pm25[:] = full.pm25.fillna(9.0)
    full.pm25[nearest, 4:13] = np.nan
    options = {"methods": ["idw"], "folds": 4, "progress": False, "quality": "ignore"}
    pairs = cross_validate(full, **options).isel(station=row)
    expected = np.zeros(full.sizes["time"])
    expected[4:13] = np.arange(1, 10)
    np.testing.assert_array_equal(pairs.silence_hours, expected)
    table = metrics(statistics(pairs.expand_dims("station").transpose("estimator", ...)),
                    by="silence")["count"].squeeze()  # fmt: skip
    assert table.sel(silence=["<1", "1-3", "3-6", "6-12", "12-24"]).values.tolist() == [
        full.sizes["time"] - 9, 2, 3, 4, 0
    ]  # fmt: skip
    with pytest.raises(VerificationError, match="not of folds: no scores by fold"):
        metrics(statistics(pairs.expand_dims("station").drop_vars("fold")
                           .transpose("estimator", ...)), by="fold")  # fmt: skip


def test_strata_are_of_local_time_and_of_their_edges():
    truth = np.tile(np.arange(24.0), (1, 2)) + 1
    pairs = made_pairs(truth, truth[None], np.ones((1, 1, 48)), longitude=116.4, start="2020-01-31")
    result = statistics(pairs)
    hours = metrics(result, by="hour").mean_truth.squeeze()
    assert hours.sel(hour=8) == 1  # midnight in UTC is 8 in the morning at 116 degrees east
    months = metrics(result, by="month")["count"].squeeze()
    assert (months.sel(month=1).item(), months.sel(month=2).item()) == (16, 32)
    levels = metrics(result, by="level")["count"].squeeze()
    assert levels.sel(level="<5") == 8
    assert levels.sel(level="10-20") == 20


def test_daily_means_need_three_quarters_of_their_hours():
    truth = np.ones((1, 72)) * 10
    truth[0, 24:31] = np.nan  # 17 of 24 hours are left
    truth[0, 48:54] = np.nan  # 18 of 24
    truth[0, 54:] = 22.0
    pairs = made_pairs(truth, np.full((1, 1, 72), 12.0), np.ones((1, 1, 72)))
    daily = metrics(statistics(pairs), resolution="daily").squeeze()
    assert daily["count"] == 2
    assert float(daily.bias) == pytest.approx((2 - 10) / 2)
    assert np.isnan(daily.crps)


def with_lasting(pairs, scales, shares):
    """Return pairs that state how the errors of all methods last."""
    sizes = (pairs.sizes["estimator"], pairs.sizes["station"], len(shares))
    return pairs.assign(
        error_shares=(("estimator", "station", "error_scale_h"), np.broadcast_to(shares, sizes))
    ).assign_coords(error_scale_h=list(scales))


def test_daily_means_have_the_error_of_their_hours():
    """That of all pairs of the hours that are scored, about the mean of the distributions."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 40, (3, 96))
    truth[0, 3:7] = np.nan
    estimate, error = truth[None] + rng.normal(size=(1, 3, 96)), rng.uniform(2, 9, (1, 3, 96))
    estimate[0, 0, 3:7] = 30.0
    error[0, 2, 30] = np.nan
    plain = made_pairs(truth, estimate, error)
    errors = ErrorCorrelation((0.0, 5.0, 1e6), (0.25, 0.5, 0.25))
    pairs = with_lasting(plain, errors.scales, errors.shares)
    sample = Sample.of(pairs)
    days = sample.daily_means(pairs)
    local = np.floor(local_middles(pairs, pairs.longitude.values) / 24).astype(int)
    for station in range(3):
        for number, day in enumerate(range(local.min(), local.max() + 1)):
            hours = (local[station] == day) & np.isfinite(truth[station])
            if not days.scored[0, station, number]:
                continue
            own = error[0, station, hours].astype(np.float32).astype(float)
            expected = errors.of_mean(own, np.flatnonzero(hours))
            if np.isnan(own).any():
                expected = np.nan
            made = days.standard_error[0, station, number]
            np.testing.assert_allclose(made, expected, rtol=1e-6)
            if np.isfinite(expected):
                law = RootNormal.from_median(estimate[0, station, hours], own)
                mean = RootNormal.from_mean(law.mean.mean(), expected)
                np.testing.assert_allclose(days.median[0, station, number], mean.median, rtol=1e-5)
    summed = statistics(pairs)
    parts = [statistics(pairs.isel(station=[n]), reference=summed.reference) for n in range(3)]
    together = metrics(combine(*parts), resolution="daily")
    xr.testing.assert_allclose(together.crps, metrics(summed, resolution="daily").crps)
    without = metrics(statistics(plain), resolution="daily")
    np.testing.assert_allclose(together.rmse, without.rmse)
    assert without.crps.isnull().all()


def test_intervals_of_daily_means_hold_what_they_say_where_errors_last():
    """Errors of which half lasts for ever: independent hours would give a third of the width."""
    rng = np.random.default_rng(1)
    stations, days = 60, 40
    errors = 10 * np.sqrt(0.5) * rng.normal(size=(stations, days, 1))
    errors = (errors + 10 * np.sqrt(0.5) * rng.normal(size=(stations, days, 24))).reshape(
        stations, -1
    )
    truth = np.full(errors.shape, 200.0)
    plain = made_pairs(truth, (truth + errors)[None], np.full((1, *errors.shape), 10.0))
    plain = plain.assign_coords(longitude=("station", np.zeros(stations)))
    coverage = {
        name: float(metrics(statistics(pairs), resolution="daily").coverage_90.squeeze())
        for name, pairs in {
            "learned": with_lasting(plain, (0.0, 1e6), (0.5, 0.5)),
            "independent": with_lasting(plain, (0.0,), (1.0,)),
        }.items()
    }
    assert coverage["learned"] == pytest.approx(0.9, abs=0.03)
    assert coverage["independent"] < 0.5


def test_hidden_stations_tell_nothing_of_how_errors_last():
    obs = aqr.synthetic_network(hours=96, seed=0).observations
    options = {"methods": ["idw"], "folds": 3, "progress": False, "quality": "ignore"}
    pairs = cross_validate(obs, "pm25", **options)
    assert np.isfinite(pairs.error_shares).all()
    np.testing.assert_allclose(pairs.error_shares.sum("error_scale_h"), 1.0, rtol=1e-6)
    hidden = np.flatnonzero(pairs.fold == "1")
    other = obs.pm25.copy()
    other[hidden] = other[hidden] * 1.5 + 10 * np.sin(np.arange(96))
    again = cross_validate(obs.assign(pm25=other), "pm25", **options)
    xr.testing.assert_equal(
        again.error_shares.isel(station=hidden), pairs.error_shares.isel(station=hidden)
    )
    daily = metrics(statistics(pairs), resolution="daily")
    assert 0.6 < float(daily.coverage_90.squeeze()) <= 1


def test_days_of_a_method_that_cannot_tell_have_no_error(caplog):
    obs = aqr.synthetic_network(hours=48, seed=0).observations.isel(station=slice(9))
    pairs = cross_validate(obs, "pm25", methods=["idw"], folds=3, progress=False)
    assert pairs.error_shares.isnull().all()
    assert metrics(statistics(pairs), resolution="daily").crps.isnull().all()


def test_daily_observations_have_one_resolution():
    pairs = random_pairs(hours=30)
    days = pd.date_range("2020-01-01", periods=30, freq="D").values.astype("datetime64[ns]")
    pairs = pairs.assign_coords(time=("time", days, {"time_label": "start", "step_hours": 24.0}))
    result = statistics(pairs)
    assert result.resolution.values.tolist() == ["daily"]
    assert float(metrics(result).crps[0]) > 0
    assert float(metrics(result, by="hour")["count"].sum()) == 0


def test_a_day_is_of_the_month_of_its_label_everywhere():
    pairs = random_pairs(hours=31)
    days = pd.date_range("2020-01-01", periods=31, freq="D").values.astype("datetime64[ns]")
    pairs = pairs.assign_coords(
        time=("time", days, {"time_label": "start", "step_hours": 24.0}),
        longitude=("station", np.full(6, 174.8)),  # New Zealand: UTC+12
    )
    months = metrics(statistics(pairs), by="month")["count"].sum("estimator")
    assert months.month.values[months > 0].tolist() == [1]


def test_hours_stay_hours_where_only_some_of_them_are_left():
    pairs = random_pairs()
    result = statistics(pairs.isel(time=pairs.time.dt.hour.isin([0, 12])))
    assert result.resolution.values.tolist() == ["hourly", "daily"]
    hours = metrics(result, by="hour")["count"].sum("estimator")
    assert hours.hour.values[hours > 0].tolist() == [0, 12]
    assert float(metrics(result, resolution="daily")["count"].sum()) == 0


def test_unknown_parts_and_resolutions_are_refused(summed):
    with pytest.raises(VerificationError, match="by must be one of distance, level"):
        metrics(summed, by="colour")
    with pytest.raises(VerificationError, match="resolution must be one of hourly, daily"):
        metrics(summed, resolution="weekly")
    with pytest.raises(VerificationError, match="no method 'kring' to compare with; these were"):
        differences(summed, to="kring")
    with pytest.raises(VerificationError, match="a single station has no interval"):
        intervals(summed, by="station")


# Sums over chunks


@pytest.mark.parametrize("cuts", [(24,), (48, 72, 168), (120, 144)])
def test_statistics_of_any_chunks_add_up(cuts):
    pairs = random_pairs()
    whole = statistics(pairs)
    edges = [0, *cuts, pairs.sizes["time"]]
    halves = (slice(0, 4), slice(4, None))
    chunks = [
        statistics(pairs.isel(time=slice(*span), station=half), reference=whole.reference)
        for span in pairwise(edges)
        for half in halves
    ]
    added = combine(*chunks)
    for name in whole:
        # Sums of floats in another order: each rounds by 1e-16 of its size, and there are 240.
        np.testing.assert_allclose(
            added[name].transpose(*whole[name].dims), whole[name], rtol=1e-12, err_msg=name
        )
    xr.testing.assert_allclose(metrics(added), metrics(whole), rtol=1e-9)
    assert added.attrs["period"] == whole.attrs["period"]
    xr.testing.assert_equal(added.coords.to_dataset(), whole.coords.to_dataset())


def test_blocks_of_stations_change_nothing(monkeypatch):
    pairs = random_pairs()
    whole = statistics(pairs)
    monkeypatch.setattr("aqreanalysis.verification.summing.BLOCK_VALUES", 500)
    xr.testing.assert_allclose(statistics(pairs), whole, rtol=1e-12)


def test_chunks_that_do_not_belong_together_are_refused():
    pairs = random_pairs()
    one = statistics(pairs, reference=50.0)
    with pytest.raises(VerificationError, match="they differ in reference"):
        combine(one, statistics(pairs, reference=51.0))
    with pytest.raises(VerificationError, match="they differ in event"):
        combine(one, statistics(pairs, reference=50.0, events=[20.0]))
    with pytest.raises(VerificationError, match="they differ in estimator"):
        combine(one, statistics(pairs.isel({"estimator": [0]}), reference=50.0))
    moved = pairs.assign_coords(longitude=pairs.longitude + 1)
    with pytest.raises(VerificationError, match="station s0 has another longitude"):
        combine(one, statistics(moved, reference=50.0))


def test_statistics_and_pairs_go_through_netcdf(summed, pairs, tmp_path):
    for name, dataset in (("summed", summed), ("pairs", pairs)):
        dataset.to_netcdf(tmp_path / f"{name}.nc")
    with xr.open_dataset(tmp_path / "summed.nc") as opened:
        xr.testing.assert_allclose(metrics(opened), metrics(summed))
    with xr.open_dataset(tmp_path / "pairs.nc") as opened:
        xr.testing.assert_allclose(metrics(statistics(opened)), metrics(summed))


def test_failures_stay_whole_through_netcdf(tmp_path):
    pairs = random_pairs().assign_attrs(failures=["m, fold 1: no wind"], remarks=[])
    pairs.to_netcdf(tmp_path / "pairs.nc")
    with xr.open_dataset(tmp_path / "pairs.nc") as opened:
        result = statistics(opened)
    assert (result.attrs["failures"], result.attrs["remarks"]) == (["m, fold 1: no wind"], [])
    result.to_netcdf(tmp_path / "found.nc")
    with xr.open_dataset(tmp_path / "found.nc") as opened:
        assert combine(opened, opened).attrs["failures"] == ["m, fold 1: no wind"]


def test_places_of_two_networks_stay_apart():
    here = random_pairs(stations=3).assign_coords(place=("station", [0, 1, 2]))
    second = random_pairs(stations=3, seed=1).assign_coords(
        station=["a", "b", "c"],
        place=("station", [0, 1, 1]),
        longitude=("station", [50.0, 51.0, 51.0]),
        latitude=("station", [0.0, 0.0, 0.001]),
    )
    added = combine(*(statistics(pairs, reference=50.0) for pairs in (here, second)))
    assert added.place.values.tolist() == [0, 1, 2, 3, 4, 4]


# Intervals


def test_intervals_hold_what_new_stations_would_give():
    """The interval of the bias over independent stations is that of a mean of normal values."""
    rng = np.random.default_rng(1)
    offset = rng.normal(0, 10, (1, 200, 1))
    truth = np.full((200, 24), 50.0) + rng.normal(0, 0.01, (200, 24))
    pairs = made_pairs(truth, truth[None] + offset, np.ones((1, 200, 24)))
    low, high = intervals(statistics(pairs), draws=4000).bias.squeeze().values
    half = 1.96 * offset.std() / np.sqrt(200)
    # An end of 4000 draws scatters by about 2 % of the half-width.
    assert high - low == pytest.approx(2 * half, rel=0.08)
    assert low < offset.mean() < high


def test_a_method_does_not_differ_from_itself(summed):
    for by in (None, "distance", "level"):
        gap = differences(summed, by=by).sel(estimator="kriging")
        scored = metrics(summed, by=by).sel(estimator="kriging")["count"] > 0
        for name in ("rmse", "relative_rmse"):
            np.testing.assert_array_equal(gap[name].sel(bound="value") == 0, scored)
            assert float(abs(gap[name]).max()) == 0.0
            assert gap[name].sel(bound=["low", "high"]).notnull().any()


def test_differences_are_paired():
    """Two methods with equal errors at every station but a constant differ without doubt."""
    rng = np.random.default_rng(2)
    truth = 50 + 20 * rng.random((12, 48))
    error = rng.normal(0, 1, (12, 1)) * 10
    estimate = np.stack([truth + error, truth + 1.1 * error])
    pairs = made_pairs(truth, estimate, np.ones(estimate.shape), methods=("kriging", "worse"))
    result = differences(statistics(pairs)).relative_rmse.sel(estimator="worse")
    np.testing.assert_allclose(result, 0.1, atol=1e-5)


def test_a_single_place_has_no_interval():
    pairs = random_pairs(stations=1)
    bounds = intervals(statistics(pairs))
    assert bounds.rmse.isnull().all()
    assert not differences(statistics(pairs)).rmse.sel(bound="value").isnull().any()


def test_values_of_one_place_have_no_interval_where_others_have_one():
    truth = np.full((3, 48), 50.0)
    truth[0, :5] = 300.0  # a level that a single station reaches
    estimate = truth + np.arange(3)[:, None] + 1
    pairs = made_pairs(truth, estimate[None], np.ones((1, 3, 48)))
    pairs = pairs.assign_coords(place=("station", [0, 1, 1]))
    levels = intervals(statistics(pairs), by="level").rmse.squeeze()
    assert levels.sel(level=">250").isnull().all()
    assert levels.sel(level="35-75").notnull().all()
    twins = statistics(pairs.isel(station=[1, 2]))  # two stations, one place
    assert intervals(twins).rmse.isnull().all()


def test_a_method_that_is_right_has_no_relative_difference_to_it():
    truth = 50 + np.random.default_rng(0).random((3, 24)).astype(np.float32)
    pairs = made_pairs(
        truth, np.stack([truth, truth + 1]), np.ones((2, 3, 24)), methods=("right", "other")
    )
    gap = differences(statistics(pairs), to="right")
    assert gap.relative_rmse.isnull().all()
    np.testing.assert_allclose(gap.rmse.sel(estimator="other"), 1.0)


def test_only_metrics_tell_what_is_undefined(summed):
    few = metrics(summed.assign(count_probabilistic=0 * summed.count_probabilistic))
    assert "crps (no standard error): kriging; idw" in few.attrs["undefined"]
    for drawn in (intervals(summed, draws=5), differences(summed, draws=5)):
        assert "undefined" not in drawn.attrs


def test_the_same_seed_gives_the_same(observations, pairs, summed):
    again = cross_validate(observations, methods=CHEAP, folds=4, progress=False)
    xr.testing.assert_identical(again, pairs)
    xr.testing.assert_identical(intervals(summed, seed=3), intervals(summed, seed=3))
    other = cross_validate(observations, methods=["idw"], folds=4, seed=7, progress=False)
    assert not other.fold.equals(pairs.fold)
