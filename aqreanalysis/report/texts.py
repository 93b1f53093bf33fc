"""What the report says of itself: how it was done, what scores mean, what it cannot tell."""

from dataclasses import dataclass

from aqreanalysis.report.findings import Findings
from aqreanalysis.report.words import counted, label_of, listed


@dataclass(frozen=True)
class Definition:
    """A term, what it means, and who defined it."""

    term: str
    meaning: str
    source: str = ""


_GNEITING = (
    "Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102, 359–378, doi:10.1198/016214506000001437"
)

DEFINITIONS = (
    Definition("Error", "Estimate minus measurement."),
    Definition(
        "RMSE, MAE, bias",
        "Root of the mean squared error, mean absolute error, mean error.",
        "Wilks 2019, Statistical Methods in the Atmospheric Sciences, chapter 9",
    ),
    Definition(
        "R²",
        "1 minus the sum of squared errors over the sum of squared departures of the "
        "measurements from their mean: 1 is perfect, 0 no better than the mean, and it can be "
        "negative.",
        "Nash and Sutcliffe 1970, J. Hydrol. 10, 282–290, doi:10.1016/0022-1694(70)90255-6",
    ),
    Definition(
        "CRPS",
        "Continuous ranked probability score of the distribution that estimate and standard "
        "error stand for: the square root is normal, the estimate is the median. It is the mean "
        "absolute error of a distribution; smaller is better.",
        _GNEITING,
    ),
    Definition(
        "90 % coverage",
        "Share of the measurements between the 5 % and the 95 % quantile of that distribution. "
        "The standard error is that of a measurement, so 90 % is ideal.",
    ),
    Definition(
        "Position of the measurement (PIT)",
        "Probability that the estimated distribution gives to less than was measured. Uniform if "
        "the distributions are right.",
        "Gneiting, Balabdaoui and Raftery 2007, J. R. Stat. Soc. B 69, 243–268, "
        "doi:10.1111/j.1467-9868.2007.00587.x",
    ),
    Definition(
        "Reliability diagram",
        "How often an event happened, against the probability that was given to it, in ten "
        "classes; classes of fewer than 30 values are left out.",
        "Bröcker and Smith 2007, Weather Forecast. 22, 651–661, doi:10.1175/WAF993.1",
    ),
    Definition(
        "Hit rate, false-alarm ratio, critical success index",
        "With hits H, misses M and false alarms F: H/(H+M), F/(H+F), H/(H+M+F).",
        "Schaefer 1990, Weather Forecast. 5, 570–575, "
        "doi:10.1175/1520-0434(1990)005<0570:TCSIAA>2.0.CO;2",
    ),
    Definition(
        "Taylor diagram",
        "Correlation as angle, standard deviation of the estimates over that of the measurements "
        "as radius.",
        "Taylor 2001, J. Geophys. Res. 106, 7183–7192, doi:10.1029/2000JD900719",
    ),
    Definition(
        "95 % interval",
        "Percentiles of 1000 draws of places with replacement, all values of a place together; "
        "stations on one site count as one place. Differences between methods are taken within "
        "each draw.",
        "Efron and Tibshirani 1993, An Introduction to the Bootstrap, doi:10.1201/9780429246593",
    ),
)

LIMITS = (
    "Stations stand where networks put them, most of them in towns. The scores hold for places "
    "like those of the stations, not for all of a map.",
    "A station measures a point with an instrument that errs too; part of every error here is the "
    "station's own.",
    "Stations were drawn, hours were not: the intervals do not tell how another season or year "
    "would turn out. Neighbouring stations are alike, which makes intervals somewhat too narrow.",
    "CRPS, coverage and probabilities read every estimate and standard error as a normal square "
    "root. A method whose errors have another shape scores worse there, not in RMSE and MAE.",
    "Of many stations one is always best and one worst; the two time series show the range, not "
    "what is usual.",
)


def how_done(findings: Findings) -> list[str]:
    """Return how the values came to be, one sentence each."""
    said = [
        str(findings.pairs.attrs.get("design", "")),
        f"Methods: {listed(label_of(method) for method in findings.methods)}.",
        "A value counts where there is a measurement, and an estimate of every method that "
        "answers at that station.",
        f"Intervals draw from {counted(findings.places, 'place')}.",
    ]
    return [sentence for sentence in said if sentence]
