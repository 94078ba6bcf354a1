"""Sesame: real clients resolve names against the emulator."""

import re

import httpx
import pytest
from conftest import needs_recordings

from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky


@pytest.fixture(scope="module")
def url():
    with serve(Emulator()) as running:
        yield running.url


def reply(url, path, host="cds.unistra.fr"):
    answer = httpx.get(f"{url}/{host}/cgi-bin/nph-sesame{path}", timeout=20)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain"
    return answer.text


@pytest.fixture
def astropy_resolver(url):
    from astropy.coordinates.name_resolve import sesame_url

    with sesame_url.set([f"{url}/cds.unistra.fr/cgi-bin/nph-sesame/"]):
        yield


@pytest.mark.parametrize("name", ["RR Lyr", "delta Cep", "Mira", "Algol", "Barnard's star", "BD+04 3561a"])
def test_astropy_finds_a_star_by_name(astropy_resolver, name):
    from astropy.coordinates import SkyCoord

    (star,) = Sky().named(name)
    found = SkyCoord.from_name(name)
    assert (found.ra.deg, found.dec.deg) == pytest.approx((star.ra, star.dec), abs=1e-8)


def test_astropy_is_told_that_a_name_is_unknown(astropy_resolver):
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError

    with pytest.raises(NameResolveError, match="Unable to find coordinates"):
        SkyCoord.from_name("IC 12000")


@pytest.mark.parametrize("host", ["cds.unistra.fr", "cdsweb.u-strasbg.fr", "vizier.cfa.harvard.edu"])
def test_every_mirror_answers(url, host):
    assert "%J 291.366304000 +42.784359400 = 19:25:27.91 +42:47:03.7" in reply(url, "/SNV?RR%20Lyr", host)


def test_all_names_come_when_asked_for(url):
    told = reply(url, "/-oIF/SNV?Mira")
    assert "#=Si=Simbad, all IDs (via url):    1" in told
    assert "%I.0 * omi Cet\n" in told
    assert "%I HD 14386\n" in told
    assert "%I HD" not in reply(url, "/SNV?Mira")


def test_proper_motion_and_parallax_are_told(url):
    told = reply(url, "/-oI/S?Barnard%27s%20star")
    assert re.search(r"^%P -801\.551 10362\.394 \[", told, re.MULTILINE)
    assert re.search(r"^%X 546\.9760 \[", told, re.MULTILINE)


def test_the_name_may_stand_in_the_path(url):
    assert "%I.0 * bet Per" in reply(url, "/-oI/S/Algol")


def test_vizier_gives_a_position_and_no_motion(url):
    told = reply(url, "/V?RR%20Lyr")
    assert told.startswith("# RR Lyr")
    assert "#=V=VizieR (local):    1" in told
    assert "%P" not in told


@pytest.mark.parametrize("path", ["/A?XX+Nowhere", "/N?RR%20Lyr", "/A?", ""])
def test_nothing_found_is_said_in_sesames_words(url, path):
    told = reply(url, path)
    assert "#! *** Nothing found *** \n" in told
    assert "%J" not in told


def test_an_ambiguous_name_is_counted(url):
    told = reply(url, "/-oI/SNV?SIM%20Twins")
    assert re.search(r"^#=Si=.*:    2 ", told, re.MULTILINE)
    assert len(re.findall(r"^%J ", told, re.MULTILINE)) == 2


@needs_recordings
@pytest.mark.parametrize(("recording", "path"), [("sesame_castor_simbad.txt", "/S?Algol"), ("sesame_not_found.txt", "/A?IC%2012000")])
def test_each_kind_of_line_is_written_as_in_the_recordings(url, recorded, recording, path):
    real, ours = recorded(f"names/{recording}").decode(), reply(url, path)
    shapes = {
        "%J": r"%J \d+\.\d{9} [+-]\d+\.\d{9} = \d\d:\d\d:\d\d\.\d\d [+-]\d\d:\d\d:\d\d\.\d",
        "%J.E": r"%J\.E \[[\d. ]+\] \w \S+",
        "%P": r"%P -?[\d.]+ -?[\d.]+ \[[\d. ]+\] \w \S+",
        "%X": r"%X [\d.]+ \[[\d.]+\] \w \S+",
        "#!": r"#! \*\*\* Nothing found \*\*\* ",
    }
    compared = 0
    for start, shape in shapes.items():
        lines = [line for text in (real, ours) for line in text.splitlines() if line.split(" ")[0] == start]
        assert len(lines) in (0, 2)
        assert all(re.fullmatch(shape, line) for line in lines), lines
        compared += len(lines)
    assert compared >= 2
    assert re.search(r"^#====Done \(\d{4}-\w{3}-\d\d,\d\d:\d\d:\d\dz\)====", real, re.MULTILINE)
    assert re.search(r"^#====Done \(\d{4}-\w{3}-\d\d,\d\d:\d\d:\d\dz\)====", ours, re.MULTILINE)
