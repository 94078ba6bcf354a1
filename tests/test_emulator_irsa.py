"""IRSA's ZTF service: what is served is the simulated truth, in the service's own form."""

import csv
import io
import re

import httpx
import numpy as np
import pytest
from conftest import needs_recordings

from harvester.emulator import irsa, ztf
from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky, position, separation

PATH = "/irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves"
HEADER = (
    "oid,expid,hjd,mjd,mag,magerr,catflags,filtercode,ra,dec,chi,sharp,filefracday,field,ccdid,qid,"
    "limitmag,magzp,magzprms,clrcoeff,clrcounc,exptime,airmass,programid"
)
ARCSEC = 1 / 3600
CONTROL = "1499202400017799"


@pytest.fixture(scope="module")
def sky():
    return Sky()


@pytest.fixture(scope="module")
def http():
    with serve(Emulator()) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        yield client


def star(sky, name):
    (found,) = sky.named(name)
    return found


def ask(http, **params):
    return http.get(PATH, params={"FORMAT": "CSV"} | params)


def rows(http, **params):
    answer = ask(http, **params)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def circle(one, radius_arcsec=1.5, epoch=2018.5):
    ra, dec = position(one, epoch)
    return f"CIRCLE {ra:.6f} {dec:.6f} {radius_arcsec * ARCSEC:.6f}"


@pytest.fixture(scope="module")
def rr_lyr(sky, http):
    return rows(http, POS=circle(star(sky, "RR Lyr")))


def test_the_served_light_curve_is_the_truth_to_the_last_digit(sky, rr_lyr):
    told = irsa.epochs(sky, star(sky, "RR Lyr"))
    assert len(rr_lyr) == len(told) > 1000
    assert [np.float32(row["mag"]) for row in rr_lyr] == told["mag"].tolist()
    assert [float(row["mjd"]) for row in rr_lyr] == told["mjd"].tolist()
    assert [int(row["oid"]) for row in rr_lyr] == told["oid"].tolist()


def test_the_columns_are_the_24_of_the_service(http):
    assert ask(http, ID=CONTROL).text.splitlines()[0] == HEADER


def test_noise_has_the_size_of_its_error_and_bad_epochs_are_worse(sky):
    told = np.concatenate([irsa.epochs(sky, star(sky, name)) for name in ("RR Lyr", "V404 Cyg", "ZTF control", "R Hya")])
    pulls = (told["mag"] - told["true_mag"]) / told["magerr"]
    bad = told["catflags"] == ztf.BAD_EPOCH
    assert abs(pulls[~bad].mean()) < 0.05
    assert pulls[~bad].std() == pytest.approx(1.0, abs=0.03)
    assert pulls[bad].std() > 2
    assert 0.01 < bad.mean() < 0.06


def test_times_by_astropys_full_path_are_the_true_ones(sky, rr_lyr):
    from astropy import units
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    told = irsa.epochs(sky, star(sky, "RR Lyr"))
    palomar = EarthLocation.from_geodetic(-116.863 * units.deg, 33.356 * units.deg, 1706 * units.m)
    middle = [float(row["mjd"]) + float(row["exptime"]) / 2 / 86400 for row in rr_lyr]
    place = SkyCoord([float(row["ra"]) for row in rr_lyr], [float(row["dec"]) for row in rr_lyr], unit="deg")
    with iers.conf.set_temp("auto_download", value=False):
        times = Time(middle, format="mjd", scale="utc", location=palomar)
        barycentric = times.tdb + times.light_travel_time(place, ephemeris="builtin")
    assert np.abs((barycentric - Time(told["bjd_tdb"], format="jd", scale="tdb")).to_value("ms")).max() < 1.0


def test_the_heliocentric_time_is_that_of_mid_exposure(sky):
    told = irsa.epochs(sky, star(sky, "RR Lyr"))
    late = (told["bjd_tdb"] - told["hjd"]) * 86400
    assert late.min() > 69.184 - 5
    assert late.max() < 69.184 + 5


def test_the_light_curve_folds_on_the_period_and_on_no_other(sky, rr_lyr):
    one = star(sky, "RR Lyr")
    good = irsa.epochs(sky, one)
    good = good[(good["filtercode"] == "zg") & (good["catflags"] == 0)]

    def roughness(period):
        order = np.argsort((good["bjd_tdb"] - one.epoch) / period % 1)
        return np.abs(np.diff(good["mag"][order])).mean()

    assert roughness(one.period) < 0.03
    assert roughness(one.period * 1.001) > 0.15


def test_magnitudes_are_those_of_the_moment_of_mid_exposure(sky):
    one = star(sky, "HW Vir")
    told = irsa.epochs(sky, one)
    expected = {name: sky.magnitude(one, name[1], told["bjd_tdb"]) for name in ("zg", "zr", "zi")}
    assert all(expected[name][n] == told["true_mag"][n] for n, name in enumerate(told["filtercode"].tolist()))


def test_ccd_and_quadrant_are_hexadecimal_and_floats_have_their_digits(rr_lyr):
    shapes = {
        "ccdid": r"0x[0-9a-f]+",
        "qid": r"0x[1-4]",
        "exptime": r"30|60|90|180|300",
        "filefracday": r"20[12]\d{11}",
        "filtercode": r"z[gri]",
        "mjd": r"\d{5}\.\d{1,12}",
    }
    for name, shape in shapes.items():
        assert all(re.fullmatch(shape, row[name]) for row in rr_lyr), name
    assert all(row["mag"] == f"{float(np.float32(row['mag'])):.9g}" for row in rr_lyr)


def test_exposures_start_on_whole_seconds_at_night_and_the_file_is_named_four_seconds_earlier(rr_lyr):
    for row in rr_lyr:
        seconds = float(row["mjd"]) % 1 * 86400
        assert abs(seconds - round(seconds)) < 0.006
        assert 1.5 < seconds / 3600 < 14.0  # UT hours of night at Palomar
        assert abs(int(row["filefracday"]) % 10**6 * 0.0864 - (seconds - 4)) < 0.1
    assert {row["programid"] for row in rr_lyr} <= {"1", "2", "3"}


def test_the_cadence_is_that_of_a_public_survey_with_seasons(sky):
    told = irsa.epochs(sky, star(sky, "ZTF control"))
    red = np.sort(told["mjd"][told["filtercode"] == "zr"])
    gaps = np.diff(red)
    assert 1.5 < np.median(gaps) < 4
    assert (gaps > 60).sum() >= 6  # behind the Sun, every year
    assert 58194 < red.min() < red.max() < 60861
    assert told["airmass"].max() < 2.5


def test_a_place_without_objects_is_a_header_alone(http):
    assert ask(http, POS="CIRCLE 180 45 0.001").text == HEADER + "\n"


def test_the_south_is_not_served(sky, http):
    assert ask(http, POS=circle(star(sky, "Proxima"), 60)).text == HEADER + "\n"


def test_an_unknown_id_is_a_header_alone(http):
    assert [ask(http, ID=oid).text for oid in ("1", "9999999999999999", "1499202400017798")] == [HEADER + "\n"] * 3


def test_a_star_has_an_object_for_each_filter_and_some_have_two_fields(sky, http):
    filters = {row["oid"]: row["filtercode"] for row in rows(http, POS=circle(star(sky, "R Hya")))}
    assert sorted(filters.values()) == ["zg", "zg", "zi", "zi", "zr", "zr"]
    assert len({oid[:4] for oid in filters}) == 2


def test_the_neighbour_is_an_object_of_its_own(sky, http):
    one = star(sky, "Mira")
    assert len({row["oid"] for row in rows(http, POS=circle(one, 1.5))}) == 3
    assert len({row["oid"] for row in rows(http, POS=circle(one, 5.0))}) == 6


def test_barnards_star_has_an_object_for_each_year_and_none_where_it_was_in_2000(sky, http):
    one = star(sky, "Barnard's star")
    assert ask(http, POS=circle(one, 5.0, epoch=2000.0)).text == HEADER + "\n"
    first = rows(http, POS=circle(one, 1.5, epoch=2018.5))
    assert {int(float(row["mjd"])) // 365 for row in first} == {58290 // 365}
    told = rows(http, POS=circle(one, 45.0, epoch=2021.5))
    mine = {str(oid) for oid in irsa.epochs(sky, one)["oid"].tolist()}
    years = {int(2000 + (float(row["mjd"]) - 51544.5) / 365.25) for row in told if row["oid"] in mine}
    assert years == set(range(2018, 2025))
    for row in told:
        where = position(one, 2000 + (float(row["mjd"]) - 51544.5) / 365.25)
        assert row["oid"] not in mine or separation(float(row["ra"]), float(row["dec"]), *where) < 0.4 * ARCSEC


def test_a_star_that_hardly_moves_keeps_its_objects(sky):
    assert len(ztf.objects(sky, star(sky, "V404 Cyg"))) in (3, 6)


@pytest.mark.parametrize("name", ["RR Lyr", "Barnard's star", "R Hya", "ULENS SIM 1"])
def test_every_id_finds_its_object(sky, name):
    mine = ztf.objects(sky, star(sky, name))
    assert [ztf.object_by_id(sky, one.oid) for one in mine] == mine


def test_the_ids_of_anonymous_stars_are_all_different_and_find_them(sky):
    found = list(ztf.objects_near(sky, 150.0, 20.0, 0.1))
    assert len({one.oid for one in found}) == len(found) > 100
    assert all(ztf.object_by_id(sky, one.oid) == one for one in found[::20])


def test_the_control_object_has_its_true_ids(http):
    told = rows(http, POS="CIRCLE 44.859053 4.493684 0.000556")
    assert {row["oid"]: row["filtercode"] for row in told} == {
        "1499102400003467": "zg",
        "1499202400017799": "zr",
        "1499302400008608": "zi",
    }
    assert {(row["field"], row["ccdid"], row["qid"]) for row in told} == {("1499", "0x2", "0x4")}
    medians = {code: np.median([float(row["mag"]) for row in told if row["filtercode"] == code]) for code in ("zg", "zr")}
    assert medians == pytest.approx({"zg": 20.1, "zr": 19.6}, abs=0.2)


def test_ids_may_be_repeated_or_listed(http):
    both = {"1499102400003467", CONTROL}
    assert {row["oid"] for row in rows(http, ID=sorted(both))} == both
    assert {row["oid"] for row in rows(http, ID=",".join(sorted(both)))} == both


def test_circle_is_another_word_for_pos(http):
    assert ask(http, CIRCLE="44.859053 4.493684 0.000556").text == ask(http, POS="circle 44.859053 4.493684 0.000556").text


@pytest.mark.parametrize(
    ("params", "codes"),
    [
        ({"BANDNAME": "g"}, {"zg"}),
        ({"BANDNAME": "g,3"}, {"zg", "zi"}),
        ({"BAND": "6e-7 6.5e-7"}, {"zr"}),
        ({"BAND": "5e-7"}, {"zg"}),
        ({"MAG": "19.9 30"}, {"zg"}),
        ({"NOBS_MIN": "200"}, {"zg", "zr"}),
    ],
)
def test_objects_can_be_chosen(http, params, codes):
    assert {row["filtercode"] for row in rows(http, POS="CIRCLE 44.859053 4.493684 0.000556", **params)} == codes


def test_epochs_can_be_chosen_by_time_and_flags(http):
    everything = rows(http, ID=CONTROL)
    late = rows(http, ID=CONTROL, TIME="59000 Inf")
    assert late == [row for row in everything if float(row["mjd"]) >= 59000]
    clean = rows(http, ID=CONTROL, BAD_CATFLAGS_MASK="32768")
    assert clean == [row for row in everything if not int(row["catflags"]) & 32768]
    assert 0 < len(clean) < len(everything)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"POS": "CIRCLE 10 20"},
        {"POS": "CIRCLE 10 20 0.2"},
        {"POS": "CIRCLE 10 20 0"},
        {"POS": "CIRCLE 10 95 0.1"},
        {"POS": "CIRCLE ten 20 0.1"},
        {"POS": "CIRCLE nan 20 0.1"},
        {"POS": "BOX 1 2 3 4"},
        {"ID": "abc"},
        {"ID": "1", "BANDNAME": "g"},
        {"ID": "1", "MAG": "1 2"},
        {"CIRCLE": "10 20 0.1", "BANDNAME": "z"},
        {"CIRCLE": "10 20 0.1", "TIME": "2 1"},
        {"CIRCLE": "10 20 0.1", "NOBS_MIN": "-1"},
        {"CIRCLE": "10 20 0.1", "FORMAT": "XLS"},
        {"CIRCLE": "10 20 0.1", "NUM_OBS": "3"},
    ],
    ids=str,
)
def test_a_bad_parameter_is_400_with_a_message(http, params):
    answer = ask(http, **params)
    assert answer.status_code == 400
    assert len(answer.text.strip()) > 5


@pytest.mark.parametrize("release", ["ztf_dr3", "ztf_dr99", ""])
def test_a_release_that_is_not_held_is_an_error_in_a_votable_with_status_200(http, release):
    answer = ask(http, ID=CONTROL, COLLECTION=release)
    assert answer.status_code == 200
    assert answer.text.startswith("<")
    assert 'value="ERROR"' in answer.text


def test_every_format_holds_the_same_values(http):
    from astropy.io import ascii as tables
    from astropy.io.votable import parse_single_table

    question = {"ID": CONTROL, "TIME": "58200 58600"}
    reference = rows(http, **question)
    default = http.get(PATH, params=question)
    votable = parse_single_table(io.BytesIO(default.content)).to_table()
    ipac = tables.read(ask(http, **question, FORMAT="IPAC_TABLE").text, format="ipac")
    tsv = list(csv.DictReader(io.StringIO(ask(http, **question, FORMAT="TSV").text), delimiter="\t"))
    assert tsv == reference
    assert ipac.colnames == votable.colnames == HEADER.split(",")
    for name in ("oid", "mjd", "hjd"):
        typed = [int(row[name]) if name == "oid" else float(row[name]) for row in reference]
        assert list(votable[name]) == list(ipac[name]) == typed
    assert [f"{value:.9g}" for value in votable["mag"].tolist()] == [row["mag"] for row in reference]
    assert ask(http, **question, FORMAT="HTML").text.count("<tr>") == len(reference) + 1


def test_the_ids_of_a_cone_come_by_tap_too(sky, http):
    ra, dec = position(star(sky, "R Hya"), 2018.5)
    query = (
        "SELECT oid,ra,dec,filtercode,field,ccdid,qid,ngoodobs FROM ztf_objects_dr24 "
        f"WHERE CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',{ra:.6f},{dec:.6f},0.0004))=1"
    )
    answer = http.get("/irsa.ipac.caltech.edu/TAP/sync", params={"FORMAT": "CSV", "QUERY": query})
    listed = {row["oid"]: int(row["ngoodobs"]) for row in csv.DictReader(io.StringIO(answer.text))}
    told = irsa.epochs(sky, star(sky, "R Hya"))
    assert listed == {str(oid): int(((told["oid"] == oid) & (told["catflags"] == 0)).sum()) for oid in np.unique(told["oid"])}


def test_the_newest_release_is_found_by_tap(http):
    query = "SELECT table_name FROM TAP_SCHEMA.tables WHERE table_name LIKE 'ztf_objects_dr%'"
    answer = http.get("/irsa.ipac.caltech.edu/TAP/sync", params={"FORMAT": "CSV", "QUERY": query})
    assert list(csv.reader(io.StringIO(answer.text))) == [["table_name"], ["ztf_objects_dr24"]]


def test_an_unknown_table_is_an_error_with_status_200(http):
    answer = http.get("/irsa.ipac.caltech.edu/TAP/sync", params={"FORMAT": "CSV", "QUERY": "SELECT * FROM ztf_objects_dr999"})
    assert answer.status_code == 200
    assert 'value="ERROR"' in answer.text


@needs_recordings
def test_numbers_are_printed_as_in_the_real_answer(http, recorded):
    real = recorded("ztf_dr/nph_light_curves_two_objects.vot.xml").decode()
    ours = http.get(PATH, params={"ID": CONTROL}).text
    fields = [re.findall(r'<FIELD name="(\w+)" datatype="(\w+)"', text) for text in (real, ours)]
    assert fields[0] == fields[1]
    cells = dict(zip((name for name, _ in fields[0]), re.findall(r"<TD>(.*?)</TD>", real), strict=False))
    for name, text in cells.items():
        kind = ztf.EPOCH[name]
        value = np.array([int(text, 0) if kind.kind in "iu" else text]).astype(kind)
        assert irsa._texts(name, value) == [text], name


@needs_recordings
def test_expid_counts_from_the_same_day_as_the_real_one(recorded):
    from astropy.io.votable import parse_single_table

    from harvester.emulator.palomar import EXPOSURE_ORIGIN, EXPOSURES_PER_DAY

    real = parse_single_table(io.BytesIO(recorded("ztf_dr/nph_light_curves_two_objects.vot.xml")), verify="ignore").to_table()
    ours = np.floor((np.asarray(real["mjd"]) - EXPOSURE_ORIGIN) * EXPOSURES_PER_DAY)
    assert np.abs(ours - np.asarray(real["expid"])).max() <= 1
