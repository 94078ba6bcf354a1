"""CDS XMatch: what is sent, what is believed, and what the emulator's answers are worth to the service's own client."""

import re
from io import StringIO

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from conftest import needs_recordings
from loopback import Loopback, Reply
from stores import *  # noqa: F403 - fixtures

from harvester.errors import Malformed, Throttled, UsageError
from harvester.session import Client, Service
from harvester.source import Pace
from harvester.store import Store
from harvester.store.matches import Matches, Sought
from harvester.target import Target
from harvester.xmatch import cds

RR_LYR = (291.366304, 42.7843594)
HEADER = "angDist,harvester_id,harvester_ra,harvester_dec,name\n"


@pytest.fixture
def http():
    """Make a session of a service on this machine."""
    with Client(contact="", version="0", loopback_only=True) as client:
        yield lambda url: client.session(Service("xmatch", url, Pace(1000, 1), retries=0))


@pytest.fixture
def server():
    with Loopback() as running:
        yield running


def asked(http, server, *replies, catalogue="simbad", positions=3, **options):
    server.script("/sync", *replies)
    ra, dec = np.linspace(10, 20, positions), np.zeros(positions)
    return list(cds.Asked(catalogue, 2.0, **options).answers(http(server.url), ra, dec))


def rows(*numbers):
    return Reply((HEADER + "".join(f"0.5,{number},10,0,star {number}\n" for number in numbers)).encode())


def uploaded(seen):
    return sorted(int(number) for number in re.findall(rb"^(\d+),[\d.]+,-?[\d.]+\r?$", seen.body, re.MULTILINE))


def test_only_numbers_and_positions_are_sent(http, server):
    (answer,) = asked(http, server, rows(0, 2))
    assert answer.found.to_pylist() == [{"own": number, "separation": 0.5, "name": f"star {number}"} for number in (0, 2)]
    (seen,) = server.seen
    assert uploaded(seen) == [0, 1, 2]
    for field in (b'name="request"', b'name="distMaxArcsec"\r\n\r\n2\r\n', b'name="cat2"\r\n\r\nsimbad', b'name="selection"\r\n\r\nbest'):
        assert field in seen.body


def test_an_answer_that_was_cut_off_is_asked_again_in_halves(http, server):
    found = asked(http, server, rows(0, 1), rows(1), rows(0), positions=2, most_rows=2)
    assert [uploaded(seen) for seen in server.seen] == [[0, 1], [1], [0]]
    assert [answer.found["own"].to_pylist() for answer in found] == [[1], [0]]


def test_one_position_with_too_many_matches_is_an_error(http, server):
    with pytest.raises(UsageError, match="one position has 2 matches or more"):
        asked(http, server, rows(0, 0), positions=1, most_rows=2, best=False)


def test_blocks_are_neighbours_and_hold_every_position_once(http, server):
    random = np.random.default_rng(1)
    ra, dec = random.permutation(np.repeat([10.0, 100.0, 200.0], 4)), np.zeros(12)
    server.script("/sync", Reply(HEADER.encode()))
    parts = [answer.asked for answer in cds.Asked("simbad", 2.0).answers(http(server.url), ra, dec, block=4)]
    assert [len(set(ra[part])) for part in parts] == [1, 1, 1]
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert server.most_at_once == 1


def test_a_ban_is_told_as_such(http, server):
    with pytest.raises(Throttled, match="too many jobs"):
        asked(http, server, Reply(b"forbidden", status=403))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"<html><body>Maintenance</body></html>", "a page came"),
        (b'<VOTABLE version="1.4"><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">no disk</INFO></RESOURCE></VOTABLE>', "no disk"),
        ((HEADER + "0.5,77,10,0,x\n").encode(), "1 of its rows were not asked for"),
        ((HEADER + "9.5,0,10,0,x\n").encode(), "1 of its rows were not asked for"),
        (b"angDist,ra,dec\n0.1,1,2\n", "without harvester_id"),
    ],
)
def test_a_success_that_is_none_is_an_error(http, server, body, words):
    with pytest.raises(Malformed, match=words):
        asked(http, server, Reply(body))


@needs_recordings
def test_a_real_outage_is_an_error(http, server, recorded):
    with pytest.raises(Malformed, match="no connection"):
        asked(http, server, Reply(recorded("xmatch/vizier_no_server_error.xml")))


@needs_recordings
@pytest.mark.parametrize(("best", "count"), [(False, 11), (True, 6)])
def test_a_real_answer_is_read_to_the_last_digit(http, server, recorded, best, count):
    reply = recorded("xmatch/xmatch_query_res.csv").replace(b"angDist,ra,dec,my_id", b"angDist,harvester_ra,harvester_dec,harvester_id")
    own = np.genfromtxt(StringIO(recorded("xmatch/xmatch_posList.csv").decode()), delimiter=",", skip_header=1)
    server.script("/sync", Reply(reply))
    ra, dec = (np.concatenate([[np.nan], own[:, axis]]) for axis in (0, 1))
    (answer,) = cds.Asked("vizier:II/246/out", 5.0, best=best).answers(http(server.url), ra, dec)
    assert answer.found.num_rows == count
    first = answer.found.to_pylist()[0]
    assert (first["own"], first["separation"], first["2MASS"], first["Jmag"], first["e_Kmag"]) == (
        1,
        1.352044,
        "17485281-2021323",
        9.931,
        None,
    )
    assert sorted(answer.asked.tolist()) == [1, 2, 3, 4, 5, 6]


@needs_recordings
def test_the_real_list_of_tables_is_read(http, server, recorded):
    server.script("/sync/tables", Reply(recorded("xmatch/xmatch_tables.csv")))
    known = cds.tables(http(server.url))
    assert known[0] == "simbad"
    assert "II/246/out" in known


def test_a_catalogue_that_is_not_there_is_told_with_the_nearest(harvest):
    assert harvest("xmatch --catalog vizier:II/247/out --target 'RR Lyr'") == 2
    assert "II/246/out" in harvest.err


def test_astroquery_finds_what_the_simulated_sky_has(running, emulator, monkeypatch):
    from astroquery.xmatch import XMatch

    _, server = running
    monkeypatch.setattr(type(XMatch), "URL", f"{server.url}/cdsxmatch.cds.unistra.fr/xmatch/api/v1/sync")
    upload = Table({"ra": [RR_LYR[0], 180.0], "dec": [RR_LYR[1], 45.0], "my_id": ["a", "b"]})
    found = XMatch.query(upload, "vizier:II/246/out", 5 * u.arcsec, colRA1="ra", colDec1="dec", cache=False)
    assert list(found["my_id"]) == ["a", "a"]
    assert found["angDist"][0] == pytest.approx(0.0, abs=1e-3)
    assert found.colnames[:5] == ["angDist", "ra", "dec", "my_id", "2MASS"]
    assert len(XMatch.query(upload, "simbad", 5 * u.arcsec, colRA1="ra", colDec1="dec", cache=False, MAXREC=1)) == 1


def test_a_target_is_sought_where_it_was_in_2000(harvest):
    assert harvest("targets add --target 269.448487,+4.739416 --name Barnard --pmra -801.551 --pmdec 10362.394 --epoch 2016") == 0
    assert harvest("xmatch --catalog simbad --target Barnard --json") == 0
    (row,) = harvest.objects
    assert row["columns"]["main_id"] == "NAME Barnard's star"
    assert row["separation"] < 0.5


def test_matches_are_stored_and_shown_without_asking(harvest, emulator):
    assert harvest("xmatch --catalog gaia --target 'RR Lyr' --target 180,45 --json") == 0
    rows_ = {row["target"]: row for row in harvest.objects}
    assert rows_["RR Lyr"]["columns"]["Source"] == "2125982599343482624"
    assert [row["rank"] for row in rows_.values()].count(0) == 1
    emulator.requests.clear()
    assert harvest("xmatch --show --target 'RR Lyr'") == 0
    assert [row["Gmag"] for row in harvest.rows] == ["7.63"]
    assert harvest("targets show --target 'RR Lyr'") == 0
    assert "match vizier:I/355/gaiadr3" in harvest.out
    assert not emulator.requests
    assert harvest("payloads list") == 0
    assert harvest("db check") == 0, harvest.out
    assert harvest("targets remove --target 'RR Lyr'") == 0
    assert harvest("xmatch --show --json") == 0
    assert [row["rank"] for row in harvest.objects] == [0]


def test_the_rows_of_a_table_keep_their_columns(harvest, tmp_path):
    (tmp_path / "mine.csv").write_text(f"name,RAdeg,Dec,ra\nrr,{RR_LYR[0]},{RR_LYR[1]},00123\nvoid,180,45,x\n", "utf-8")
    assert harvest("xmatch --catalog simbad --table mine.csv --ra radeg -o out.csv --columns main_id,RA") == 0
    head, row = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert head == '"name","RAdeg","Dec","ra","separation","main_id","ra_2","data"'
    assert row.startswith('"rr",291.366304,42.7843594,"00123",0,"V* RR Lyr",291.366304')
    assert "1 match of 1 of 2 positions in simbad" in harvest.err


def test_a_catalogue_on_this_machine_is_matched_and_stored_too(harvest, tmp_path, emulator):
    (tmp_path / "mine.csv").write_text(f"id,ra,dec\n9007199254740993,{RR_LYR[0]},{RR_LYR[1]}\n", "utf-8")
    harvest("targets add --target 'RR Lyr'")
    emulator.requests.clear()
    assert harvest("xmatch --catalog mine.csv --all --json") == 0
    assert harvest.objects[0]["columns"]["id"] == "9007199254740993"
    assert not emulator.requests


@pytest.mark.parametrize(
    "words",
    [
        "--all",
        "--catalog simbad",
        "--catalog simbad --all --table x.csv",
        "--catalog nonsense --all",
        "--catalog simbad --target 10,10 --radius 181",
        "--catalog simbad --target 10,10 --columns nonsense --radius 100",
        "--catalog simbad --target 10,10 -o out.txt",
        "--catalog missing.parquet --target 10,10",
    ],
)
def test_what_makes_no_sense_is_refused(harvest, words):
    harvest("targets add --target 'RR Lyr'")
    assert harvest(f"xmatch {words}".replace("10,10", "'RR Lyr'")) == 2


def test_both_back_ends_keep_matches(store: Store):
    targets = [Target("one", 10.0, 20.0, pmra=3600.0), Target("two", 30.0, 40.0)]
    for target in targets:
        store.add_target(target)
    matches = Matches(store)
    for catalogue, columns in (("a", {"id": 1 << 60}), ("a", {"id": 5, "mag": float("nan")}), ("b", {"id": 6})):
        with store.run("xmatch", "0") as run:
            matches.keep(run.id, Sought(catalogue, 2.0, 2010.0, best=True), [(targets[0], [(0.5, columns)]), (targets[1], [])])
    told = [(row["target"], row["catalogue"], row["rank"], row["columns"], row["run"]) for row in matches.newest()]
    assert told == [
        ("one", "a", 1, {"id": 5, "mag": None}, 2),
        ("one", "b", 1, {"id": 6}, 3),
        ("two", "a", 0, {}, 2),
        ("two", "b", 0, {}, 3),
    ]
    assert [row["target"] for row in matches.newest(["two"], "b")] == ["two"]
    store.remove_target("one")
    assert {row["target"] for row in matches.newest()} == {"two"}
    assert not [finding for finding in store.check() if finding.problems]
