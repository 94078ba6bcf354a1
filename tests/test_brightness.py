"""Flux and magnitude against independent arithmetic, the golden table and the surveys' own numbers."""

import csv
import doctest
import re
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from harvester import brightness
from harvester.brightness import AB_ZEROPOINT_JY, NotConvertible
from harvester.errors import HarvesterError
from harvester.passbands import passband, passbands, surveys

getcontext().prec = 40
GOLDEN = Path(__file__).parent / "data" / "passbands_golden.csv"
AB_JY = Decimal(10) ** (Decimal("-0.4") * Decimal("48.60")) * Decimal(10) ** 23
LN10 = Decimal(10).ln()


def golden_rows():
    with GOLDEN.open(newline="", encoding="utf-8") as lines:
        return [pytest.param(row, id=row["filter"]) for row in csv.DictReader(lines)]


def band_of(filter_name):
    name, survey = re.fullmatch(r"(.+)\((\w+)\)", filter_name).groups()
    return passband(name, survey)


def exact_flux_ujy(row):
    return Decimal(row["zeropoint_jy"]) * 10**6 * Decimal(10) ** (Decimal("-0.4") * Decimal(row["mag"]))


def test_the_golden_table_is_whole():
    assert len(golden_rows()) == 54


@pytest.mark.parametrize("row", golden_rows())
def test_the_passband_is_the_golden_one(row):
    band = band_of(row["filter"])
    assert band.system == row["system"]
    assert band.zeropoint_jy == float(row["zeropoint_jy"])


@pytest.mark.parametrize("row", golden_rows())
def test_flux_holds_to_exact_arithmetic_and_to_the_printed_digits(row):
    flux = brightness.flux_from_mag(float(row["mag"]), band_of(row["filter"]).zeropoint_jy)
    assert_allclose(flux, float(exact_flux_ujy(row)), rtol=1e-12)
    assert f"{flux:.6g}" == row["flux_ujy"]


@pytest.mark.parametrize("row", golden_rows())
def test_flux_error_holds_to_exact_arithmetic_and_to_the_printed_digits(row):
    exact = Decimal("0.4") * LN10 * exact_flux_ujy(row) * Decimal(row["mag_err"])
    flux_err = brightness.flux_err_from_mag(float(row["mag"]), float(row["mag_err"]), band_of(row["filter"]).zeropoint_jy)
    assert_allclose(flux_err, float(exact), rtol=1e-12)
    assert f"{flux_err:.4g}" == row["flux_err_ujy"]


@pytest.mark.parametrize("row", golden_rows())
def test_magnitude_comes_back(row):
    mag = brightness.mag_from_flux(float(exact_flux_ujy(row)), band_of(row["filter"]).zeropoint_jy)
    assert_allclose(mag, float(row["mag_back"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("row", golden_rows())
def test_magnitude_error_comes_back(row):
    flux_err = Decimal("0.4") * LN10 * exact_flux_ujy(row) * Decimal(row["mag_err"])
    assert_allclose(brightness.mag_err_from_flux(float(exact_flux_ujy(row)), float(flux_err)), float(row["mag_err"]), rtol=1e-12)


@pytest.mark.parametrize("row", golden_rows())
def test_ab_magnitude_holds_to_exact_arithmetic_and_to_the_printed_digits(row):
    exact = Decimal(row["mag"]) + Decimal("2.5") * (AB_JY / Decimal(row["zeropoint_jy"])).log10()
    mag_ab = brightness.ab_from_vega(float(row["mag"]), band_of(row["filter"]).zeropoint_jy)
    assert_allclose(mag_ab, float(exact), rtol=0, atol=1e-6)
    assert f"{mag_ab:.4f}" == row["mag_ab"]
    assert_allclose(brightness.vega_from_ab(mag_ab, band_of(row["filter"]).zeropoint_jy), float(row["mag"]), rtol=0, atol=1e-12)


def test_the_ab_zero_point_is_not_3631():
    assert pytest.approx(float(AB_JY), rel=1e-14) == AB_ZEROPOINT_JY
    assert f"{AB_ZEROPOINT_JY:.4f}" == "3630.7805"


@pytest.mark.parametrize(
    ("flux_ujy", "mag"),
    [
        pytest.param(1000 * 1e-3, 31.4 - 7.5, id="LSST 1000 nJy"),
        pytest.param(1000, 16.4, id="ATLAS 1000 uJy"),
        pytest.param(10 ** (0.4 * (23.9 - 22.5)), 22.5, id="SDSS 1 nanomaggie"),
        pytest.param(1e-5 * 1e6, 8.90 + 12.5, id="PS1 1e-5 Jy"),
    ],
)
def test_the_surveys_own_flux_zero_points_agree(flux_ujy, mag):
    assert_allclose(brightness.mag_from_flux(flux_ujy, AB_ZEROPOINT_JY), mag, rtol=0, atol=1e-9)


def test_a_nanomaggie_is_3_630781_ujy():
    assert f"{brightness.flux_from_mag(22.5, AB_ZEROPOINT_JY):.6f}" == "3.630781"


GAIA_DR3 = [
    ("G", 25.6873668671, 25.8010446445),
    ("BP", 25.3385422158, 25.3539555559),
    ("RP", 24.7478955012, 25.1039837393),
]


@pytest.mark.parametrize(("name", "vega", "ab"), GAIA_DR3)
def test_gaia_counts_give_one_flux_by_vega_and_by_ab(name, vega, ab):
    counts = np.array([1e4, 3.0, -20.0])
    by_vega = brightness.flux_from_counts(counts, vega, passband(name, "GAIA_DR3").zeropoint_jy)
    by_ab = brightness.flux_from_counts(counts, ab, AB_ZEROPOINT_JY)
    assert_allclose(by_vega, by_ab, rtol=1e-6)


def test_gaia_counts_give_the_archive_s_magnitude():
    zero = passband("G", "GAIA_DR3").zeropoint_jy
    flux = brightness.flux_from_counts(1e4, 25.6873668671, zero)
    assert_allclose(brightness.mag_from_flux(flux, zero), 15.6873668671, rtol=0, atol=1e-9)
    assert_allclose(brightness.ab_from_vega(15.6873668671, zero), 15.801045, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("filter_name", "mag", "wrong_ujy"),
    [
        pytest.param("G(GAIA_DR3)", 15, 3228.75, id="Gaia by SVO's zero point"),
        pytest.param("G(GAIA_DR3)", 15, 3630.78, id="Gaia taken as AB"),
        pytest.param("G(GAIA_DR3)", 15, 3579.60, id="G by the zero point of BP"),
        pytest.param("R(PTF)", 18, 193.33, id="PTF R taken as Cousins R"),
        pytest.param("W1(ALLWISE)", 12, 4790.7, id="W1 by the offset to AB"),
        pytest.param("u(SDSS)", 19, 94.62, id="SDSS u shifted to true AB"),
        pytest.param("V(ASASSN)", 14, 9636.4, id="the flux column of ASAS-SN"),
    ],
)
def test_a_known_wrong_answer_is_not_ours(filter_name, mag, wrong_ujy):
    flux = brightness.flux_from_mag(mag, band_of(filter_name).zeropoint_jy)
    assert abs(flux / wrong_ujy - 1) > 0.01


@pytest.mark.parametrize(("name", "survey"), [("G", "GAIA_DR4"), ("I", "KMTNet"), ("Red", "MOA"), ("Vis", "AAVSO"), ("UNK", "FRAM")])
def test_a_passband_without_a_zero_point_refuses(name, survey):
    zero = passband(name, survey).zeropoint_jy
    for convert in (brightness.flux_from_mag, brightness.mag_from_flux, brightness.ab_from_vega, brightness.vega_from_ab):
        with pytest.raises(NotConvertible, match="zero point is not known"):
            convert([15.0], zero)
    with pytest.raises(NotConvertible):
        brightness.flux_err_from_mag([15.0], [0.1], zero)
    with pytest.raises(NotConvertible):
        brightness.flux_from_counts([1.0], 25.0, zero)
    with pytest.raises(NotConvertible):
        brightness.limit_from_flux_err(5, [1.0], zero)


@pytest.mark.parametrize("zero", [0.0, -3631.0, np.nan, np.inf])
def test_an_impossible_zero_point_is_refused(zero):
    with pytest.raises(NotConvertible, match="impossible"):
        brightness.flux_from_mag(15.0, zero)


def test_the_refusal_is_one_of_our_errors():
    assert issubclass(NotConvertible, HarvesterError)


def test_a_flux_that_is_not_positive_has_no_magnitude_and_makes_no_noise():
    flux = np.array([-10.0, 0.0, -0.0, np.nan, 10.0])
    assert_array_equal(np.isnan(brightness.mag_from_flux(flux, AB_ZEROPOINT_JY)), [True, True, True, True, False])
    assert_array_equal(np.isnan(brightness.mag_err_from_flux(flux, np.ones(5))), [True, True, True, True, False])


def test_absurd_numbers_become_infinite_without_noise():
    assert np.isinf(brightness.flux_from_mag(-1000.0, AB_ZEROPOINT_JY))
    assert np.isinf(brightness.mag_err_from_flux(1e-310, 1.0))


def test_missing_stays_missing():
    assert np.isnan(brightness.flux_from_mag(np.nan, AB_ZEROPOINT_JY))
    assert np.isnan(brightness.flux_err_from_mag(15.0, np.nan, AB_ZEROPOINT_JY))
    assert np.isnan(brightness.mag_err_from_flux(10.0, np.nan))


def test_the_magnitude_error_is_not_the_relative_error():
    assert_allclose(brightness.mag_err_from_flux(1000.0, 10.0), 0.010857362047581296, rtol=1e-12)


def test_a_limit_does_not_depend_on_the_flux():
    limits = brightness.limit_from_flux_err(3, [2.0, 2.0], AB_ZEROPOINT_JY)
    assert_allclose(limits, 23.9 - 2.5 * np.log10(6.0), rtol=0, atol=1e-9)


def test_a_limit_is_brighter_at_more_sigmas():
    three, five = (brightness.limit_from_flux_err(n, 2.0, AB_ZEROPOINT_JY) for n in (3, 5))
    assert_allclose(three - five, 2.5 * np.log10(5 / 3), rtol=1e-12)


def test_an_error_of_zero_is_no_limit():
    assert np.isnan(brightness.limit_from_flux_err(5, 0.0, AB_ZEROPOINT_JY))


@pytest.mark.parametrize("n", [0, -3, np.nan])
def test_a_limit_needs_a_positive_number_of_sigmas(n):
    with pytest.raises(ValueError, match="sigma"):
        brightness.limit_from_flux_err(n, 1.0, AB_ZEROPOINT_JY)


def test_difference_flux_becomes_total_only_with_a_reference():
    total = brightness.total_from_difference([5.0, -5.0, 5.0, 5.0], [100.0, 100.0, np.nan, 100.0], sign=[1, 1, 1, -1])
    assert_array_equal(total, [105.0, 95.0, np.nan, 95.0])


def test_a_total_below_zero_stays_negative():
    assert brightness.total_from_difference(-20.0, 5.0) == -15.0


@pytest.mark.parametrize("sign", [0, 2, np.nan])
def test_a_sign_is_plus_or_minus_one(sign):
    with pytest.raises(ValueError, match="sign"):
        brightness.total_from_difference(1.0, 1.0, sign=sign)


CONVERTIBLE = [band.zeropoint_jy for survey in surveys() for band in passbands(survey).values() if band.zeropoint_jy]


@settings(deadline=None)
@given(mag=st.floats(-30, 40), zero=st.sampled_from(CONVERTIBLE))
def test_magnitude_to_flux_and_back_changes_nothing(mag, zero):
    assert_allclose(brightness.mag_from_flux(brightness.flux_from_mag(mag, zero), zero), mag, rtol=0, atol=1e-11)


@settings(deadline=None)
@given(mag=st.floats(-30, 40), mag_err=st.floats(1e-6, 1), zero=st.sampled_from(CONVERTIBLE))
def test_errors_to_flux_and_back_change_nothing(mag, mag_err, zero):
    flux_err = brightness.flux_err_from_mag(mag, mag_err, zero)
    assert_allclose(brightness.mag_err_from_flux(brightness.flux_from_mag(mag, zero), flux_err), mag_err, rtol=1e-12)


def test_an_error_is_the_slope_of_the_conversion():
    step = 1e-5
    slope = (brightness.flux_from_mag(15 - step, 3269.858) - brightness.flux_from_mag(15 + step, 3269.858)) / (2 * step)
    assert_allclose(brightness.flux_err_from_mag(15, 1.0, 3269.858), slope, rtol=1e-8)


def test_the_examples_in_the_docstrings_hold():
    failed, attempted = doctest.testmod(brightness)
    assert attempted >= 9
    assert failed == 0
