"""Numbers, times and words of brokers' answers."""

import doctest
import json

import numpy as np
import pytest
from astropy.time import Time

from harvester import antares_api, tns_api
from harvester.alerts import reading


@pytest.mark.parametrize("module", [reading, tns_api, antares_api], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("mjd", [57754.0, 57753.99999, 61000.123456789, 61236.5])
def test_tai_and_utc_are_those_of_astropy(mjd):
    assert reading.utc_of_tai(mjd) == pytest.approx(Time(mjd, format="mjd", scale="tai").utc.mjd, abs=1e-9)
    assert reading.tai_of_utc(mjd) == pytest.approx(Time(mjd, format="mjd", scale="utc").tai.mjd, abs=1e-9)


@pytest.mark.parametrize("nothing", [None, "", " ", "null", "nan", "NaN", "None"])
def test_words_for_nothing_are_nothing(nothing):
    assert (reading.said(nothing), reading.number(nothing), reading.mjd_of(nothing)) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), ("-2.5", -2.5), (float("nan"), None), (float("inf"), None), ("bright", None), ([], None), (0, 0.0)]
)
def test_a_number_is_finite_or_none(value, number):
    assert reading.number(value) == number


def test_the_size_of_a_flux_has_a_magnitude_and_no_flux_has_none():
    assert reading.ab_mag(-3631e9) == reading.ab_mag(3631e9) == pytest.approx(0.0, abs=1e-3)
    assert [reading.ab_mag(value) for value in (0.0, None, np.nan, "x")] == [None] * 4


@pytest.mark.parametrize(
    "text", ["2026-02-09 03:46:46.998", "2026-02-09T03:46:46.998", "2026-02-09T03:46:46.998Z", "2026-02-09T04:46:46.998+01:00"]
)
def test_a_date_is_utc_unless_it_says_otherwise(text):
    assert reading.mjd_of(text) == pytest.approx(Time("2026-02-09 03:46:46.998", scale="utc").mjd, abs=1e-9)
    assert reading.mjd_of(reading.date_of(reading.mjd_of(text)).isoformat()) == pytest.approx(reading.mjd_of(text), abs=1e-9)


def test_what_is_no_date_is_none():
    assert [reading.mjd_of(text) for text in ("lately", "2026-13-01", 12, "2459994.91")] == [None] * 4


def test_a_payload_is_json_and_keeps_ids_of_64_bits():
    record = {"id": 313637921267122191, "flux": float("nan"), "list": [float("inf"), {"é": 1.5}]}
    body = reading.as_payload(record)
    assert json.loads(body, parse_constant=pytest.fail) == {
        "id": 313637921267122191,
        "flux": None,
        "list": [None, {"é": 1.5}],
    }


def test_words_that_are_near_are_named_and_far_ones_not():
    assert reading.nearest("SNIa", ["SN Ia", "AGN", "SN II"]).startswith(" The nearest: SN Ia")
    assert reading.nearest("quux", ["SN Ia"]) == ""
