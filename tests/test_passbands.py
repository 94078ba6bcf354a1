"""The table of passbands: complete, faithful to the facts that it was made from, and clear about what it lacks."""

import csv
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harvester.errors import HarvesterError
from harvester.passbands import UnknownPassband, passband, passbands, surveys

FACTS = Path(__file__).parents[2] / "shared" / "passbands.csv"
EVERY = [band for survey in surveys() for band in passbands(survey).values()]
COLUMNS = {
    "svo_id": "svo_id",
    "system": "system",
    "zeropoint_jy": "zeropoint_jy",
    "pivot_wavelength_nm": "pivot_nm",
    "effective_wavelength_nm": "effective_nm",
    "fwhm_nm": "fwhm_nm",
    "colour_hex": "colour",
    "marker": "marker",
}


@pytest.mark.skipif(not FACTS.is_file(), reason="the file of facts, ../shared/passbands.csv, is not here")
def test_every_fact_stands_in_the_table():
    with FACTS.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        band = passband(row["passband"], row["survey_label"])
        for column, field in COLUMNS.items():
            value = getattr(band, field)
            assert value == (row[column] if isinstance(value, str) else float(row[column]) if row[column] else None), (
                row["filter"],
                column,
            )
    told = {(row["survey_label"], row["passband"]) for row in rows}
    assert told == {(band.survey, band.name) for band in EVERY if band.survey != "LSST_FP"}


def test_forced_photometry_of_lsst_is_in_the_passbands_of_lsst():
    assert list(passbands("LSST_FP")) == list(passbands("LSST"))
    for name, band in passbands("LSST").items():
        forced = passband(name, "LSST_FP")
        assert all(getattr(forced, field) == getattr(band, field) for field in COLUMNS.values())


def test_there_are_224_passbands_of_43_surveys():
    assert len(EVERY) == 224
    assert len(surveys()) == 43


def test_a_passband_knows_its_own_name():
    for survey in surveys():
        for name, band in passbands(survey).items():
            assert (band.name, band.survey) == (name, survey)


def test_numbers_are_possible():
    for band in EVERY:
        for value in (band.zeropoint_jy, band.pivot_nm, band.effective_nm, band.fwhm_nm):
            assert value is None or (isinstance(value, float) and value > 0), band
        if band.pivot_nm and band.effective_nm:
            assert 0.8 < band.pivot_nm / band.effective_nm < 1.6, band


def test_every_ab_passband_has_the_ab_zero_point():
    assert {band.zeropoint_jy for band in EVERY if band.system == "AB"} == {3630.7805}


def test_no_vega_zero_point_is_the_ab_one():
    assert all(band.zeropoint_jy is None or abs(band.zeropoint_jy - 3630.78) > 1 for band in EVERY if band.system == "Vega")


def test_34_passbands_refuse_to_be_converted():
    blank = [band for band in EVERY if band.zeropoint_jy is None]
    assert len(blank) == 34
    assert {band.survey for band in blank} == {"AAVSO", "FRAM", "GAIA_DR4", "KMTNet", "MOA", "NEOWISE"}


def test_a_system_is_ab_vega_or_other():
    assert {band.system for band in EVERY} == {"AB", "Vega", "other"}


def test_only_tess_has_a_zero_point_in_a_system_of_its_own():
    assert [(band.survey, band.name) for band in EVERY if band.system == "other" and band.zeropoint_jy] == [("TESS", "T")]


def test_colours_and_markers_can_be_drawn():
    from matplotlib.markers import MarkerStyle

    for band in EVERY:
        assert re.fullmatch("#[0-9A-F]{6}", band.colour), band
        assert band.marker in MarkerStyle.markers, band


@pytest.mark.parametrize(
    ("name", "survey"),
    [
        ("T", "TESS"),
        ("W4", "ALLWISE"),
        ("I", "OGLE"),
        ("BT", "TYCHO"),
        ("Ks", "2MASS"),
        ("t", "ATLAS"),
        ("L", "GOTO"),
        ("u", "BLACKGEM"),
        ("G", "GAIA_DR4"),
    ],
)
def test_what_is_unsettled_says_so(name, survey):
    assert passband(name, survey).unsettled


def test_what_is_settled_raises_no_doubt():
    settled = [*passbands("GAIA_DR3").values(), *passbands("ZTF_DR").values(), *passbands("LSST").values()]
    assert not any(band.unsettled for band in settled)


def test_the_letter_does_not_decide_the_system():
    assert passband("R", "PTF").system == "AB"
    assert passband("R", "AAVSO").system == "Vega"
    assert passband("CL", "CRTS").system == "Vega"
    assert passband("CL", "LINEAR").system == "AB"


def test_a_passband_overrides_its_survey():
    assert passband("W4", "ALLWISE").unsettled != passband("W1", "ALLWISE").unsettled
    assert passband("V", "ASASSN").reference.startswith("2017PASP..129j4502K; ")
    assert passband("g", "ASASSN").reference == "2017PASP..129j4502K"


def test_an_unknown_passband_names_those_that_there_are():
    with pytest.raises(UnknownPassband) as caught:
        passband("zg", "ZTF_DR")
    assert caught.value.lines() == ["survey ZTF_DR has no passband 'zg'.", "Did you mean 'g'?"]


def test_an_unknown_survey_names_the_nearest():
    with pytest.raises(UnknownPassband, match=r"no survey 'gaia_dr3' among the passbands\. Did you mean 'GAIA_DR3'\?"):
        passband("G", "gaia_dr3")


def test_a_message_stays_short_where_nothing_is_near():
    with pytest.raises(UnknownPassband) as caught:
        passband("zzzzz", "AAVSO")
    assert "and others" in str(caught.value)
    assert max(map(len, caught.value.lines())) < 120


def test_case_matters():
    with pytest.raises(LookupError):
        passband("R", "ZTF")


def test_the_error_is_one_of_ours_and_a_lookup_error():
    assert issubclass(UnknownPassband, HarvesterError)
    assert issubclass(UnknownPassband, LookupError)


def test_a_survey_without_passbands_has_none():
    assert dict(passbands("NOBODY")) == {}


def test_a_passband_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        passband("g", "ZTF").zeropoint_jy = 3631.0
    with pytest.raises(TypeError):
        passbands("ZTF")["g"] = None


def test_reading_passbands_is_light():
    code = "import sys; from harvester.passbands import passbands; passbands('ZTF'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "harvester.passbands" in loaded
    assert not {"numpy", "pyarrow", "astropy", "pandas", "matplotlib"} & set(loaded)
