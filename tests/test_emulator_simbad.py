"""The emulator's SIMBAD, asked by astroquery's own client and by pyvo with an upload."""

import gc
from io import BytesIO

import pytest
import pyvo
import requests
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astroquery.simbad import SimbadClass
from conftest import needs_recordings

from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.emulator.simbad import identifiers, spell
from harvester.emulator.sky import Sky

# pyvo reads some pages as streams and leaves their sockets open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

SKY = Sky()
RR_LYR = SKY.named("RR Lyr")[0]


@pytest.fixture(scope="module")
def tap():
    with serve(Emulator(SKY)) as running, requests.Session() as session:
        yield pyvo.dal.TAPService(f"{running.url}/simbad.cds.unistra.fr/simbad/sim-tap", session=session)
    gc.collect()  # what is left open is closed here, where its warning is expected


@pytest.fixture
def simbad(tap, monkeypatch):
    """Return astroquery's client with its service put in place of the one that it would make."""
    monkeypatch.setattr(SimbadClass, "tap", tap)
    SimbadClass.clear_cache()
    return SimbadClass()


@pytest.mark.parametrize("name", ["RR Lyr", "V* RR Lyr", "rr lyr", "HD 182989", f"Gaia DR3 {RR_LYR.gaia_id}"])
def test_query_object_finds_a_star_under_each_of_its_names(simbad, name):
    found = simbad.query_object(name)
    assert list(found["main_id"]) == ["V* RR Lyr"]
    assert float(found["ra"][0]) == RR_LYR.ra
    assert float(found["dec"][0]) == RR_LYR.dec
    assert str(found["ra"].unit) == "deg"
    assert found["matched_id"][0] in identifiers(RR_LYR)


def test_query_object_says_when_there_is_none(simbad):
    with pytest.warns(Warning, match="no data corresponding"):
        assert len(simbad.query_object("No Such Star")) == 0


def test_query_object_gives_motion_parallax_and_type_when_asked(simbad):
    simbad.add_votable_fields("pmra", "pmdec", "plx_value", "otype", "sp_type")
    row = simbad.query_object("RR Lyr")[0]
    assert (row["pmra"], row["pmdec"], row["plx_value"], row["otype"]) == (RR_LYR.pmra, RR_LYR.pmdec, RR_LYR.parallax, "RR*")
    assert not row["sp_type"]


def test_query_object_joins_the_other_tables(simbad):
    simbad.add_votable_fields("ids", "alltypes")
    row = simbad.query_object("RR Lyr")[0]
    assert row["ids"].split("|") == list(identifiers(RR_LYR))
    assert "RR*" in row["alltypes.otypes"].split("|")


def test_query_objects_uploads_names_and_leaves_unknown_ones_empty(simbad):
    found = simbad.query_objects(["rr lyr", "No Such Star", "HD 182989"])
    by_name = {row["user_specified_id"]: str(row["main_id"]) for row in found}
    assert by_name["rr lyr"] == by_name["HD 182989"] == "V* RR Lyr"
    assert by_name["No Such Star"] in {"", "--"}


def test_query_region_finds_the_named_stars_of_a_cone(simbad):
    around = SkyCoord(RR_LYR.ra, RR_LYR.dec, unit="deg")
    assert list(simbad.query_region(around, radius=5 * units.arcsec)["main_id"]) == ["V* RR Lyr"]


def test_query_region_of_many_centres_joins_an_uploaded_table(tap):
    centres = Table({"ra": [RR_LYR.ra, 1.0], "dec": [RR_LYR.dec, 1.0], "radius": [0.001, 0.001]})
    inside = "CONTAINS(POINT('ICRS', basic.ra, basic.dec), CIRCLE('ICRS', centers.ra, centers.dec, centers.radius)) = 1"
    query = f"SELECT main_id FROM (SELECT ra, dec, radius FROM TAP_UPLOAD.centers) AS centers, basic WHERE {inside}"
    assert list(tap.run_sync(query, uploads={"centers": centres}).to_table()["main_id"]) == ["V* RR Lyr"]


def test_query_objectids_lists_every_identifier_and_no_more(simbad):
    assert set(simbad.query_objectids("rr lyr")["id"]) == set(identifiers(RR_LYR))


def test_query_tap_takes_adql(simbad):
    found = simbad.query_tap("SELECT main_id, otype FROM basic WHERE main_id IN ('rr lyr', 'omi cet') ORDER BY main_id")
    assert [tuple(row) for row in found] == [("* omi Cet", "Mi*"), ("V* RR Lyr", "RR*")]


def test_wildcards_are_matched(simbad):
    assert "V* RR Lyr" in list(simbad.query_object("V* R* Lyr", wildcard=True)["main_id"])


def test_the_tables_describe_themselves(simbad):
    assert {"basic", "ident", "ids", "alltypes", "flux", "allfluxes"} <= set(simbad.list_tables()["table_name"])
    columns = simbad.list_columns("basic")
    ra = columns[columns["column_name"] == "ra"][0]
    assert (ra["datatype"], ra["unit"], ra["ucd"]) == ("DOUBLE", "deg", "pos.eq.ra;meta.main")
    assert "ident" in set(simbad.list_linked_tables("basic")["from_table"])
    assert {"main_id", "allfluxes", "propermotions", "G"} <= set(simbad.list_votable_fields()["name"])


@needs_recordings
def test_the_columns_of_basic_are_those_of_the_real_service(simbad, recorded):
    real = Table.read(BytesIO(recorded("names/simbad_simbad_basic_columns.xml")), format="votable")
    ours = simbad.list_columns("basic")
    assert {row["column_name"]: str(row["ucd"]) for row in ours} == {row["column_name"]: str(row["ucd"]) for row in real}


def test_a_query_too_large_for_the_service_is_refused_by_the_client(simbad):
    assert simbad.hardlimit == 2_000_000
    assert simbad.uploadlimit == 200_000


def test_a_companion_has_no_name_here(simbad):
    around = SkyCoord(RR_LYR.ra, RR_LYR.dec, unit="deg")
    assert len(SKY.stars_near(RR_LYR.ra, RR_LYR.dec, 6 / 3600)) > 1
    assert len(simbad.query_region(around, radius=6 * units.arcsec)) == 1


def test_spelling_changes_names_only():
    assert spell(SKY, "hd182989") == "HD 182989"
    assert spell(SKY, "ICRS") == "ICRS"
