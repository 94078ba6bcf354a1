"""Names to positions: recorded replies of the services, and replies that are none."""

import pytest
from conftest import needs_recordings

from harvester.errors import AmbiguousName, Malformed, UnknownName
from harvester.resolve import from_sesame

ONE = """# star\t#Q1
#=Si=Simbad, all IDs (via url):    1     0ms
%@ 1
%I.0 V* XX Sim
%C.0 RR*
%J 10.500000 -20.250000 = 00:42:00.0 -20:15:00
%P -191.45 -145.19 [3.95 2.95 0] A 2007A&A...474..653V
%X 64.12 [3.75] A 2007A&A...474..653V
%I HD 1
%I  Gaia DR3 123456789012345678
#====Done (2026-Nov-21,00:00:00z)====
"""


def test_position_motion_parallax_and_aliases_are_read():
    target = from_sesame("xx sim", ONE)
    assert (target.name, target.ra, target.dec) == ("xx sim", 10.5, -20.25)
    assert (target.pmra, target.pmdec, target.parallax) == (-191.45, -145.19, 64.12)
    assert target.aliases == ("V* XX Sim", "HD 1", "Gaia DR3 123456789012345678")


@needs_recordings
def test_real_replies_are_read(recorded):
    target = from_sesame("castor", recorded("names/sesame_castor_all.txt").decode())
    assert (target.ra, target.dec, target.pmra) == (113.64947164, 31.888282216, -191.45)
    target = from_sesame("NGC 3642", recorded("names/sesame_ngc3642_simbad.txt").decode())
    assert (target.ra, target.dec, target.pmra, target.parallax) == (170.5750583, 59.0742417, 0.0, None)


@needs_recordings
def test_a_position_too_coarse_to_tell_stars_apart_is_refused(recorded):
    with pytest.raises(UnknownName, match="coarse"):
        from_sesame("NGC 3642", recorded("names/sesame_ngc3642_vizier.txt").decode())


@needs_recordings
def test_a_real_reply_for_an_unknown_name_is_an_unknown_name(recorded):
    with pytest.raises(UnknownName):
        from_sesame("IC 12000", recorded("names/sesame_not_found.txt").decode())


def test_several_objects_of_one_name_are_ambiguous():
    with pytest.raises(AmbiguousName, match="2 objects"):
        from_sesame("x", ONE.replace("via url):    1", "via url):    2"))


@pytest.mark.parametrize(
    "reply", ["", "<html>maintenance</html>", "#=S=Simbad (via url):  1\n%I.0 x\n", ONE.replace("%J 10.500000 -20.250000 =", "%J x y =")]
)
def test_a_reply_without_a_position_says_nothing_about_the_name(reply):
    with pytest.raises(Malformed):
        from_sesame("x", reply)
