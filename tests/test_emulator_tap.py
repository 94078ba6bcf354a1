"""The TAP engine of the emulator: ADQL on its own, then the protocol with pyvo over a real socket."""

import gc
import gzip
import io
import json
import math
import urllib.error
import urllib.parse
import urllib.request

import pytest
import pyvo
import requests
from astropy.io import votable
from astropy.table import Table
from pyvo.io.vosi import parse_availability

from harvester.emulator.adql import Column, run, translate
from harvester.emulator.adql import Table as AdqlTable
from harvester.emulator.app import Emulator
from harvester.emulator.geometry import separation
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky
from harvester.emulator.tokens import AdqlError, constants
from harvester.emulator.votable import serialise

# pyvo reads some pages as streams and leaves their sockets open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

ROWS = [
    (4295806720123456789, 10.0, 20.0, 12.5, 1, "V* A"),
    (2, 10.001, 20.0, None, 0, "it's"),
    (3, 350.0, -89.99, 15.25, 1, "v* a"),
]
COLUMNS = (
    Column("source_id", "long", "", "meta.id", "the id"),
    Column("ra", "double", "deg"),
    Column("dec", "double", "deg"),
    Column("mag", "float", "mag"),
    Column("flag", "boolean"),
    Column("name", "char"),
)
STARS = AdqlTable("cat.stars", COLUMNS, lambda: ROWS)


def ask(query, maxrec=100):
    return run(query, [STARS], maxrec=maxrec)


def values(query):
    return [row[0] if len(row) == 1 else row for row in ask(query).rows]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("flag = 't'", [ROWS[0][0], 3]),
        ("flag = 'TRUE'", [ROWS[0][0], 3]),
        ("flag <> 'true'", [2]),
        ("flag = 'f'", [2]),
        ("name = 'it''s'", [2]),
        ("name = 't'", []),
        ("name LIKE 'V%'", [ROWS[0][0]]),
        ("mag IS NULL -- a comment with 'quotes\n", [2]),
        ('"mag" > 13', [3]),
        ("source_id = 4295806720123456789", [ROWS[0][0]]),
        ("1=CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10, 20, 3./3600))", [ROWS[0][0]]),
        ("CONTAINS(POINT(ra, dec), CIRCLE(POINT(10.001, 20), 0.0001)) = 1", [2]),
        ("1=CONTAINS(POINT('ICRS', ra, dec), BOX('ICRS', 10, 20, 0.01, 0.01))", [ROWS[0][0], 2]),
        ("1=INTERSECTS(CIRCLE('', ra, dec, 0.0005), CIRCLE('', 10.0, 20, 0.0005))", [ROWS[0][0], 2]),
        ("0=INTERSECTS(CIRCLE('', ra, dec, 0.0004), CIRCLE('', 10.0, 20, 0.0005))", [2, 3]),
        ("DISTANCE(POINT('ICRS', ra, dec), POINT('ICRS', 170, -89.99)) < 0.03", [3]),
        ("DISTANCE(ra, dec, 10, 20) < 0.0001", [ROWS[0][0]]),
        ("COORD2(POINT(ra, dec)) < 0", [3]),
    ],
)
def test_a_condition_chooses_these_rows(where, ids):
    assert values(f"SELECT source_id FROM cat.stars WHERE {where}") == ids


def test_a_distance_over_the_pole_is_short():
    assert separation(350.0, -89.99, 170.0, -89.99) == pytest.approx(0.02, abs=1e-9)


def test_top_takes_the_first_after_sorting_and_offset_skips():
    assert values("SELECT TOP 1 source_id FROM cat.stars ORDER BY ra DESC") == [3]
    assert values("SELECT TOP 1 source_id FROM cat.stars ORDER BY ra DESC OFFSET 1") == [2]
    assert values("SELECT source_id FROM cat.stars ORDER BY ra DESC OFFSET 2") == [ROWS[0][0]]


def test_top_inside_a_subquery_binds_there():
    assert values("SELECT COUNT(*) FROM (SELECT TOP 2 ra FROM cat.stars) AS few") == [2]


def test_all_columns_of_a_table_named_with_its_schema():
    assert len(ask("SELECT cat.stars.* FROM cat.stars").columns) == len(COLUMNS)


def test_logarithms_are_natural_in_adql():
    assert values("SELECT LOG(mag) FROM cat.stars WHERE source_id = 3") == [pytest.approx(math.log(15.25))]


def test_a_column_keeps_its_meaning_through_alias_and_subquery():
    answer = ask("SELECT inside.m AS final, 2*inside.m AS twice FROM (SELECT mag AS m FROM cat.stars) AS inside")
    assert [(c.name, c.datatype, c.unit) for c in answer.columns] == [("final", "float", "mag"), ("twice", "double", "")]


def test_a_computed_column_holds_all_kinds_of_its_values():
    mixed = ask("SELECT CASE WHEN source_id = 2 THEN 1 ELSE 2.5 END AS n, NULL AS void FROM cat.stars")
    assert [column.datatype for column in mixed.columns] == ["double", "double"]
    values = Table.read(io.BytesIO(serialise(mixed, "votable").body), format="votable")
    assert [float(v) for v in values["n"]] == [2.5, 1.0, 2.5]


def test_a_boolean_comes_back_as_a_boolean_and_null_as_none():
    assert ask("SELECT flag, mag FROM cat.stars WHERE source_id = 2").rows == [(False, None)]


def test_too_many_rows_are_cut_and_said_so():
    assert (len(ask("SELECT ra FROM cat.stars", 2).rows), ask("SELECT ra FROM cat.stars", 2).overflow) == (2, True)
    assert not ask("SELECT ra FROM cat.stars", 3).overflow


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT nosuch FROM cat.stars", "no such column: nosuch"),
        ('SELECT ra FROM cat.stars WHERE "nosuch" = 1', "no such column: nosuch"),
        ("SELECT ra FROM cat.nosuch", "no such table"),
        ("DROP TABLE cat.stars", "must begin with SELECT"),
        ("SELECT ra FROM cat.stars; DROP TABLE cat.stars", "';"),
        ("SELECT (ra FROM cat.stars", "not closed"),
        ("SELECT CIRCLE(1, 2) FROM cat.stars", "CIRCLE takes 3 numbers"),
        ("SELECT ra FROM cat.stars WHERE 1=CONTAINS(POINT(ra, dec), POLYGON(1,2,3,4,5,6))", "POLYGON is not supported"),
        ("SELECT TOP 1 ra FROM cat.stars UNION SELECT ra FROM cat.stars", "TOP inside a UNION"),
        ("SELECT ? FROM cat.stars", "'? FROM"),
    ],
)
def test_a_wrong_query_is_refused_with_its_reason(query, reason):
    with pytest.raises(AdqlError, match=reason.replace("?", r"\?")):
        ask(query)


def test_texts_in_quotes_are_never_rewritten():
    sql = translate("SELECT 'TOP 5 \"x\" OFFSET 3' FROM stars", frozenset())
    assert sql == "SELECT 'TOP 5 \"x\" OFFSET 3' FROM stars"


def test_constants_bound_what_is_loaded():
    asked = constants(
        "SELECT * FROM t WHERE (1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',-10.5,+20,5./3600)) OR source_id IN (77, 88)) AND name = 'Mira'"
    )
    assert asked.cones == ((349.5, 20.0, pytest.approx(5 / 3600)),)
    assert {77, 88} <= set(asked.numbers)
    assert "Mira" in asked.texts


def test_a_target_inside_a_circle_around_each_source_bounds_too():
    asked = constants("SELECT * FROM t WHERE 1=CONTAINS(POINT('ICRS',10,20),CIRCLE('ICRS',ra,dec,0.1))")
    assert asked.cones == ((10.0, 20.0, 0.1),)


def test_a_query_without_constants_bounds_nothing():
    assert constants("SELECT COUNT(*) FROM t WHERE ra BETWEEN 1 AND 2").cones == ()


@pytest.fixture(scope="module")
def base():
    with serve(Emulator(Sky())) as running:
        yield f"{running.url}/gea.esac.esa.int/tap-server/tap"
    gc.collect()  # what is left open is closed here, where its warning is expected


def post(url, **form):
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


QUERY = "SELECT TOP 6 source_id, ra, designation, radial_velocity, has_epoch_photometry FROM gaiadr3.gaia_source ORDER BY source_id"


def sync(base, **form):
    return post(f"{base}/sync", **{"REQUEST": "doQuery", "LANG": "ADQL", "QUERY": QUERY, **form})


def test_every_format_tells_the_same_rows(base):
    rows = json.loads(sync(base, FORMAT="json")[2])["data"]
    assert len(rows) == 6
    assert rows[0][3] is None
    assert {row[4] for row in rows} == {True, False}
    csv = sync(base, FORMAT="csv")[2].decode().splitlines()
    assert csv[1] == f'{rows[0][0]},{rows[0][1]},"{rows[0][2]}",,{str(rows[0][4]).lower()}'
    for form, read in (("votable", "votable"), ("votable_plain", "votable"), ("ecsv", "ascii.ecsv"), ("fits", "fits")):
        body = sync(base, FORMAT=form)[2]
        table = Table.read(io.BytesIO(gzip.decompress(body) if form == "fits" else body), format=read)
        assert [int(v) for v in table["source_id"]] == [row[0] for row in rows], form
        assert [float(v) for v in table["ra"]] == [row[1] for row in rows], form
        assert [str(v) for v in table["designation"]] == [row[2] for row in rows], form
        assert [bool(v) for v in table["has_epoch_photometry"]] == [row[4] for row in rows], form


def test_the_zipped_votable_is_zipped(base):
    _, headers, body = sync(base, FORMAT="votable_gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == sync(base, FORMAT="votable")[2]


def test_an_error_is_a_votable_with_status_400(base):
    status, _, body = sync(base, QUERY="SELECT nosuch FROM gaiadr3.gaia_source")
    info = votable.parse(io.BytesIO(body)).resources[0].infos[0]
    assert (status, info.name, info.value) == (400, "QUERY_STATUS", "ERROR")
    assert "no such column: nosuch" in info.content


@pytest.mark.parametrize("form", [{"FORMAT": "xlsx"}, {"REQUEST": "getCapabilities"}, {"LANG": "PQL"}, {"QUERY": ""}, {"MAXREC": "many"}])
def test_a_request_that_is_none_is_refused(base, form):
    assert sync(base, **form)[0] == 400


def test_a_cone_wider_than_the_emulator_serves_is_refused_not_cut(base):
    wide = "SELECT source_id FROM gaiadr3.gaia_source WHERE 1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',10,20,3))"
    status, _, body = sync(base, QUERY=wide)
    assert status == 400
    assert b"up to 0.5 deg" in body


@pytest.fixture
def service(base):
    with requests.Session() as session:
        yield pyvo.dal.TAPService(base, session=session)


def test_an_overflow_is_said_behind_the_table(base):
    infos = votable.parse(io.BytesIO(sync(base, MAXREC="2")[2])).resources[0].infos
    assert [info.value for info in infos if info.name == "QUERY_STATUS"] == ["OK", "OVERFLOW"]


def test_pyvo_searches(service):
    assert len(service.search(QUERY)) == 6
    assert len(service.search(QUERY, maxrec=2)) == 2


def test_pyvo_runs_a_job_and_deletes_it(service):
    job = service.submit_job(QUERY, maxrec=2)
    assert job.phase == "PENDING"
    job.execution_duration = 30
    job.run().wait(timeout=10)
    assert (job.phase, job.execution_duration.sec, job.query) == ("COMPLETED", 30, QUERY)
    assert len(job.fetch_result()) == 2
    assert job.job_id in [each.jobid for each in service.get_job_list()]
    job.delete()
    assert job.job_id not in [each.jobid for each in service.get_job_list()]


def test_pyvo_learns_why_a_job_failed(service):
    with pytest.raises(pyvo.dal.exceptions.DALQueryError, match="no such column: nosuch"):
        service.run_async("SELECT nosuch FROM gaiadr3.gaia_source")


def test_a_job_can_be_aborted(service):
    job = service.submit_job(QUERY)
    job.abort()
    assert job.phase == "ABORTED"


def test_an_unknown_job_is_not_found(base):
    assert post(f"{base}/async/nosuch", PHASE="RUN")[0] == 404


def test_pyvo_reads_tables_and_capabilities(service):
    column = next(c for c in service.tables["gaiadr3.gaia_source"].columns if c.name == "ra")
    assert (column.unit, column.datatype.content) == ("deg", "double")
    assert service.hardlimit == 3_000_000
    assert service.get_tap_capability().get_adql().name == "ADQL"


def test_the_service_says_that_it_is_up(base):
    with urllib.request.urlopen(f"{base}/availability") as reply:
        assert parse_availability(reply.read).available
