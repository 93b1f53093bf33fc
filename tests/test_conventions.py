"""The vocabulary is consistent in itself, and a name is found however it is spelt."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqreanalysis.conventions import (
    POLLUTANTS,
    PRODUCT_FLAGS,
    UnknownPollutantError,
    find_pollutant,
    pollutant,
)


@pytest.mark.parametrize("name", POLLUTANTS)
def test_a_pollutant_is_found_by_its_name_and_by_each_alias(name):
    assert pollutant(name) is POLLUTANTS[name]
    for alias in POLLUTANTS[name].aliases:
        assert pollutant(alias).name == name


@given(
    name=st.sampled_from(sorted(POLLUTANTS)),
    upper=st.booleans(),
    separators=st.lists(st.sampled_from("_- /"), min_size=6, max_size=6),
)
def test_case_and_separators_do_not_matter(name, upper, separators):
    spelt = "".join(map("".join, zip(name, separators, strict=False)))

    assert find_pollutant(spelt.upper() if upper else spelt).name == name


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("PM2.5", "pm25"),
        ("pm2p5", "pm25"),
        ("PM25_Concentration", "pm25"),
        ("PM10 concentration", "pm10"),
        ("Nitrogen dioxide", "no2"),
        ("nitrogen_monoxide", "no"),
        ("Ozone", "o3"),
        ("carbon monoxide", "co"),
        ("88101", "pm25"),
        ("81102", "pm10"),
    ],
)
def test_spellings_of_public_files(spelt, name):
    assert pollutant(spelt).name == name


def test_no_spelling_means_two_pollutants():
    spellings = [s for p in POLLUTANTS.values() for s in (p.name, *p.aliases)]

    assert len(spellings) == len(set(spellings))


def test_keys_names_and_standard_names_agree():
    assert list(POLLUTANTS) == [p.name for p in POLLUTANTS.values()]
    assert len({p.standard_name for p in POLLUTANTS.values()}) == len(POLLUTANTS)
    assert all(p.standard_name.startswith("mass_concentration_of_") for p in POLLUTANTS.values())
    assert all(p.plausible[0] == 0 < p.plausible[1] for p in POLLUTANTS.values())


def test_molar_masses_are_the_sums_of_their_atoms():
    # IUPAC 2021: C 12.011, N 14.007, O 15.999, S 32.06 (CIAAW abridged to 5 digits).
    atoms = {
        "no2": 14.007 + 2 * 15.999,
        "no": 14.007 + 15.999,
        "o3": 3 * 15.999,
        "so2": 32.06 + 2 * 15.999,
        "co": 12.011 + 15.999,
    }
    for name, mass in atoms.items():
        # Sulfur's standard weight is known to 0.01 alone.
        assert POLLUTANTS[name].molar_mass == pytest.approx(mass, abs=0.01)
    assert POLLUTANTS["pm25"].molar_mass is None
    assert POLLUTANTS["pm10"].molar_mass is None


@pytest.mark.parametrize("name", ["humidity", "pm1", "nox", "", "pm", "2.5"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    assert find_pollutant(name) is None
    with pytest.raises(
        UnknownPollutantError, match="known are pm25, pm10, no2, no, o3, so2, co"
    ) as caught:
        pollutant(name)
    assert repr(name) in str(caught.value)


def test_the_vocabulary_cannot_be_changed():
    with pytest.raises(TypeError, match="does not support item assignment"):
        POLLUTANTS["pm25"] = POLLUTANTS["o3"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        PRODUCT_FLAGS["supported"] = 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        POLLUTANTS["pm25"].name = "o3"


def test_flags_are_the_numbers_of_the_contract():
    assert dict(PRODUCT_FLAGS) == {
        "supported": 0,
        "far_from_stations": 1,
        "few_stations_reporting": 2,
        "no_estimate": 3,
    }
