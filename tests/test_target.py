import math

import pytest

from harvester.errors import BadCoordinates, BadTarget, BadTargetFile
from harvester.target import Target, at_position, coordinate_name, fold, parse_coordinates, read_targets

M31 = (10.684708, 41.26875)


@pytest.mark.parametrize(
    "text",
    ["10.684708 41.26875", "10.684708,41.26875", "10.684708, +41.26875", "00:42:44.33 +41:16:07.5", "00 42 44.33 +41 16 07.5",
     "00h42m44.33s +41d16m07.5s", "0h42m44.33s, 41°16′07.5″", " 10.684708\t41.26875 "],
)  # fmt: skip
def test_coordinates_are_read_in_every_customary_form(text):
    assert parse_coordinates(text) == pytest.approx(M31, abs=2e-5)


@pytest.mark.parametrize(
    "name",
    [
        "M31",
        "RR Lyr",
        "51 Peg",
        "2MASS J00424433+4116074",
        "4U 1820-30",
        "HD 182989",
        "HS 0218+3229",
        "MS 0317.0+1834",
        "DM +30 2512",
        "433",
        "SN 2011fe",
        "47 Tuc",
        "1ES 1959+650",
    ],
)
def test_names_are_not_taken_for_coordinates(name):
    assert parse_coordinates(name) is None


@pytest.mark.parametrize(
    "text",
    ["400 10", "10 95", "-5 10", "25:00:00 +10:00:00", "10:60:00 +10:00:00", "10:00:00 +10:00:61", "10 20 30", "1,2,3,4", "10.5 41.2 7.0"],
)
def test_malformed_coordinates_are_refused(text):
    with pytest.raises(BadCoordinates) as error:
        parse_coordinates(text)
    assert 1 <= len(error.value.lines()) <= 3


def test_minus_zero_degrees_is_south():
    assert parse_coordinates("12:00:00 -00:30:00") == (180.0, -0.5)


def test_barnards_star_moves_by_its_proper_motion():
    star = Target("Barnard's star", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
    ra, dec = star.at(2016.0)
    assert (dec - star.dec) * 3600 == pytest.approx(16 * 10.362394, abs=2e-3)
    assert (ra - star.ra) * 3600 == pytest.approx(-16 * 0.801551 / 0.99662, abs=5e-3)


def test_a_star_at_the_pole_moves_over_it():
    ra, dec = Target("polar", 0.0, 89.9999, pmdec=20_000.0).at(2050.0)
    assert dec < 90
    assert ra == pytest.approx(180.0)


def test_positions_have_a_name_that_rounds_correctly():
    assert coordinate_name(359.99999999, -0.00001) == "J000000.00-000000.0"
    assert coordinate_name(10.684708, 41.26875) == "J004244.33+411607.5"


@pytest.mark.parametrize(
    "impossible", [{"pmra": math.nan}, {"pmdec": math.inf}, {"parallax": 1e308}, {"epoch": 57388.0}, {"name": " "}, {"name": "a\x1b[31m"}]
)
def test_an_impossible_motion_or_name_makes_no_target(impossible):
    with pytest.raises(BadTarget):
        Target(**{"name": "x", "ra": 1.0, "dec": 2.0} | impossible)


@pytest.mark.parametrize(("ra", "dec"), [(float("nan"), 0.0), (0.0, float("inf")), (360.0, 0.0), (0.0, 90.5)])
def test_an_impossible_position_makes_no_target(ra, dec):
    with pytest.raises(BadCoordinates):
        Target("x", ra, dec)


def test_a_list_of_names_and_positions_is_read():
    assert read_targets("# mine\nRR Lyr\n\n10.684708 41.26875\n", "list.txt") == ["RR Lyr", at_position(*M31)]


def test_a_table_of_targets_is_read():
    text = "name,ra,dec,pmra,pmdec\nRR Lyr,,,,\nBarnard,269.452077,4.693365,-801.551,10362.394\n,00:42:44.33,+41:16:07.5,,\n"
    first, second, third = read_targets(text, "t.csv")
    assert first == "RR Lyr"
    assert second == Target("Barnard", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
    assert third.name == "J004244.33+411607.5"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name,ra,dec\nA,1,2\nB,400,2\n", "line 3"),
        ("name,ra,dec\nA,1\n", "line 2"),
        ("name,ra,dec\nA,1,x\n", "line 2"),
        ("name,ra,dec,color\n", "line 1"),
        ("RR Lyr\n10 95\n", "line 2"),
        ("name,ra,dec,epoch\nA,1,2,soon\n", "line 2"),
        ("name,ra,dec\n,,\n", "line 2"),
        ("", "no target"),
        ("name,ra,dec\nstar A,10,20\nB,1,2\nSTARA,50,20\n", "line 4.*line 2"),
        ("name,ra,dec,pmra\nA,1,2,nan\n", "line 2"),
    ],
)
def test_an_unreadable_target_file_names_the_line(text, where):
    with pytest.raises(BadTargetFile, match=where) as error:
        read_targets(text, "targets.csv")
    assert "targets.csv" in error.value.what


def test_names_are_compared_without_case_and_blanks():
    assert fold("RR  Lyr") == fold("rr lyr") == fold("RR_Lyr")
    assert fold("R Lyr") != fold("RR Lyr")
