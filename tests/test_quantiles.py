"""Quantiles in products: layers that ascend, lazy, in a file that tools open."""

import netCDF4
import numpy as np
import pytest

import aqreanalysis as aqr


@pytest.fixture(scope="module")
def network():
    return aqr.synthetic_network(hours=72, seed=1)


def test_quantiles_ascend_around_the_estimate_and_are_lazy(network):
    product = network.observations.aqnet.reanalyse(
        grid=0.5, method="kriging", quantiles=(0.05, 0.5, 0.975)
    )
    assert product.pm25_q05.chunks == product.pm25.chunks
    assert product.pm25_q05.dtype == np.float32
    computed = product.compute()
    np.testing.assert_allclose(computed.pm25_q50, computed.pm25, rtol=1e-6)
    assert (computed.pm25_q05 < computed.pm25_q50).all()
    assert (computed.pm25_q50 < computed.pm25_q975).all()
    assert (computed.pm25_q05 >= 0).all()


def test_ninety_percent_of_hidden_measurements_lie_between(network):
    hidden = network.hidden
    product = network.observations.aqnet.reanalyse(
        at=hidden, method="kriging", quantiles=(0.05, 0.95)
    )
    truth = hidden.pm25
    inside = ((truth >= product.pm25_q05) & (truth <= product.pm25_q95)).where(truth.notnull())
    assert 0.82 < float(inside.mean()) < 0.97


def test_quantiles_come_back_from_a_file(network, tmp_path):
    product = network.observations.aqnet.reanalyse(
        grid=0.5, method="idw", quantiles=(0.9,), time=slice("2020-11-02", "2020-11-02")
    )
    path = product.aqnet.to_netcdf(tmp_path / "pm25.nc", progress=False)
    with netCDF4.Dataset(path) as file:
        layer = file["pm25_q90"]
        assert layer.dimensions == ("time", "lat", "lon")
        assert layer.units == "ug m-3"
        assert layer.long_name.startswith("90 % quantile of ")
        assert layer.quantile == 0.9
        assert "pm25_q90" in file["pm25"].ancillary_variables.split()
    with aqr.open_product(path) as reopened:
        # Three significant digits are written.
        np.testing.assert_allclose(reopened.pm25_q90, product.pm25_q90, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("wrong", [(0.0,), (1.0,), (0.5, 50), (np.nan,), ("0.5",)])
def test_what_is_no_probability_is_refused_before_anything_is_fitted(network, wrong):
    with pytest.raises(ValueError, match="quantiles are probabilities between 0 and 1"):
        network.observations.aqnet.reanalyse(quantiles=wrong)


def test_each_quantile_is_asked_for_once(network):
    with pytest.raises(ValueError, match="each quantile once"):
        network.observations.aqnet.reanalyse(quantiles=(0.5, 0.5))
