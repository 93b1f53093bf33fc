"""Units convert once, by the right factor, and what cannot be is refused."""

import numpy as np
import pytest

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.observations import ObservationError, concentration_factor, to_concentration
from aqreanalysis.observations.checks.units import linear_conversion
from aqreanalysis.observations.variables import METEOROLOGY


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("ug m-3", 1.0),
        ("ug/m3", 1.0),
        ("µg/m³", 1.0),
        ("μg m⁻³", 1.0),
        ("UG/M3", 1.0),
        ("ug/m^3", 1.0),
        ("ug.m-3", 1.0),
        ("Micrograms/cubic meter (25 C)", 1.0),
        ("micrograms per cubic metre", 1.0),
        ("mg/m3", 1e3),
        ("ng m-3", 1e-3),
        ("kg m**-3", 1e9),
        ("g/L", 1e9),
    ],
)
def test_spellings_of_mass_concentrations(units, factor):
    assert concentration_factor(units, "pm25") == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("gas", [name for name, p in POLLUTANTS.items() if p.molar_mass])
def test_mixing_ratios_follow_the_ideal_gas(gas):
    """At 298.15 K and 1013.25 hPa a mole fills 24.4654 l, at 293.15 K 24.0551 l."""
    mass = POLLUTANTS[gas].molar_mass
    assert concentration_factor("ppb", gas) == pytest.approx(mass / 24.4654, rel=1e-5)
    assert concentration_factor("ppm", gas) == pytest.approx(1e3 * mass / 24.4654, rel=1e-5)
    europe = concentration_factor("ppb", gas, temperature_k=293.15)
    assert europe == pytest.approx(mass / 24.0551, rel=1e-5)
    assert concentration_factor("Parts per billion", gas) == concentration_factor("nmol/mol", gas)


def test_missing_values_stay_missing():
    values = to_concentration([np.nan, 1.0], "mg m-3", "pm10")
    np.testing.assert_array_equal(values, [np.nan, 1000.0])


@pytest.mark.parametrize(
    ("units", "name", "words"),
    [
        ("ppb", "pm25", "pm25 is made of particles and cannot be in 'ppb'"),
        ("smoots", "o3", "unknown units 'smoots' of o3; expected units that convert to 'ug m-3'"),
        ("K", "o3", "o3 cannot be in 'K'"),
        ("", "o3", "o3 cannot be in ''"),
    ],
)
def test_what_is_no_concentration_is_refused(units, name, words):
    with pytest.raises(ObservationError, match=words):
        concentration_factor(units, name)


@pytest.mark.parametrize(
    ("units", "name", "value", "expected"),
    [
        ("K", "temperature", 273.15, 0.0),
        ("degF", "temperature", 212.0, 100.0),
        ("°C", "dew_point", 7.0, 7.0),
        ("Pa", "pressure", 101325.0, 1013.25),
        ("mbar", "pressure", 990.0, 990.0),
        ("km/h", "wind_speed", 36.0, 10.0),
        ("1", "relative_humidity", 0.5, 50.0),
        ("inch", "rain", 1.0, 25.4),
    ],
)
def test_meteorology(units, name, value, expected):
    factor, offset = linear_conversion(units, METEOROLOGY[name].units, name)
    assert value * factor + offset == pytest.approx(expected, abs=1e-9)
