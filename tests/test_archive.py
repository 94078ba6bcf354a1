"""Payloads as they came, read again by today's code, and the way out of quarantine; on both back ends."""

import hashlib

import pyarrow.compute as pc
import pytest
import sqlalchemy as sa
from answers import STAR, answered, asked, body
from stores import postgres_url, store, store_url

from harvester.cli.payloads import _harmless
from harvester.errors import StoreError
from harvester.replay import replay
from harvester.sources import gaia_dr3, ztf_dr
from harvester.store import Chosen

__all__ = ["postgres_url", "store", "store_url"]

LATER = "2027-01-01T00:00:00.000Z"


def mags(store, **cuts):
    return store.light_curve("RR Lyr", **({"quality": "all"} | cuts))["mag"].to_pylist()


def query(store, statement):
    with store._database.reading() as connection:
        return connection.execute(sa.text(statement)).all()


def fainter(monkeypatch, by):
    """Let today's code find every magnitude of ztf_dr fainter than yesterday's did."""
    yesterday = ztf_dr.ZtfDr.normalise

    def today(self, payload):
        table = yesterday(self, payload)
        return table.set_column(table.column_names.index("mag"), "mag", pc.add(table["mag"], by))

    monkeypatch.setattr(ztf_dr.ZtfDr, "normalise", today)


def test_a_payload_is_listed_with_its_origin_and_kept_byte_for_byte(store):
    answer = body({1: 12.5})
    answered(store, answer)
    (row,) = store.archive.listed(Chosen())
    assert row["sha256"] == hashlib.sha256(answer).hexdigest()
    assert (row["source"], row["source_version"], row["target"], row["run"]) == ("ztf_dr", "harvester 0.1.0", "RR Lyr", 1)
    assert (row["size"], row["params"], row["url"]) == (len(answer), {"ID": "1"}, "https://irsa.example/lc?ID=1")
    assert 0 < row["stored"] < len(answer) + 20
    assert store.archive.body(row["sha256"][:8]) == (row["sha256"], "text/csv", answer)


def test_an_empty_body_is_kept_too(store):
    answered(store, b"")
    assert store.archive.body(hashlib.sha256(b"").hexdigest())[2] == b""


@pytest.mark.parametrize("prefix", ["", "%", "0000", "zz", "ab"])
def test_a_hash_that_names_no_single_payload_is_an_error(store, prefix):
    answered(store, body({1: 12.5}))
    with pytest.raises(StoreError, match="no payload"):
        store.archive.body(prefix)


def test_requests_are_chosen_by_run_source_target_and_date(store):
    for number, time in enumerate(("2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z"), start=1):
        answered(store, body({number: 12.5}), time=time)
    assert len(store.archive.listed(Chosen())) == 2
    for chosen in (Chosen(run=2), Chosen(since="2026-11-01T12:00"), Chosen(targets=["rr lyr"], sources=["ztf_dr"], since="2026-11-02")):
        assert [row["run"] for row in store.archive.listed(chosen)] == [2]
    assert [row["run"] for row in store.archive.listed(Chosen(until="2026-11-01T12:00"))] == [1]
    assert store.archive.listed(Chosen(sources=["gaia_dr3"])) == []


def test_a_replay_with_the_same_code_changes_nothing(store):
    answered(store, body({1: 12.5, 2: 12.6}))
    before = query(store, "SELECT * FROM photometry ORDER BY 1, 2"), query(store, "SELECT * FROM schedule")
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.counts.known) == ("unchanged", 2)
    assert (query(store, "SELECT * FROM photometry ORDER BY 1, 2"), query(store, "SELECT * FROM schedule")) == before
    assert len(store.archive.listed(Chosen())) == 1


def test_a_replay_with_other_code_makes_revisions_of_what_it_reads_differently(store, monkeypatch):
    answered(store, body({1: 12.5, 2: 12.75}))
    fainter(monkeypatch, 0.5)
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.counts.revised) == ("new", 2)
    assert mags(store) == [13.0, 13.25]
    changed = list(store.past.changes(store.past.state("1"), store.past.state("last")))
    assert [(row["old"]["mag"], row["new"]["mag"], row["run"]) for row in changed] == [(12.5, 13.0, 2), (12.75, 13.25, 2)]
    assert [outcome.kind for outcome in replay(store, Chosen())] == ["unchanged"]


@pytest.mark.parametrize("chosen", [Chosen(), Chosen(run=1), Chosen(until="2026-11-01T12:00")], ids=["all", "run", "until"])
def test_an_older_value_does_not_come_back_over_a_newer_one(store, chosen):
    answered(store, body({1: 12.5, 2: 12.6}))
    answered(store, body({1: 12.7}), time="2026-11-02T00:00:00.000Z")
    answered(store, body({1: 12.5, 2: 12.6, 3: 12.8}), time="2026-11-03T00:00:00.000Z")
    answered(store, body({1: 12.7}), time="2026-11-04T00:00:00.000Z")  # bytes that came before count by their last time
    (outcome,) = replay(store, chosen)
    assert (outcome.kind, outcome.counts.known) == ("unchanged", 3)
    assert mags(store) == [12.7, 12.6, 12.8]


def test_a_replay_asks_nobody_and_follows_the_targets_of_today(store):
    answered(store, body({1: 12.5}))
    store.move_target(type(STAR)("RR Lyr", 10.0, 10.0))
    (outcome,) = replay(store, Chosen())
    assert outcome.counts.known == 0  # nothing lies there: the star is not what was asked for
    assert mags(store) == [12.5]


def test_what_could_not_be_read_is_read_by_better_code(store, monkeypatch):
    answer = body({1: 12.5}).replace(b"magerr", b"sigma")
    counts = answered(store, answer)
    assert counts.outcome == "failed"
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.error) == ("failed", "malformed")
    yesterday = ztf_dr.read_table
    monkeypatch.setattr(
        ztf_dr, "read_table", lambda payload, *names: yesterday(payload.about(body=payload.body.replace(b"sigma", b"magerr")), *names)
    )
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.counts.new) == ("new", 1)


def test_one_unreadable_answer_does_not_stop_the_others(store):
    answered(store, body({1: 12.5}))
    answered(store, b"<html>maintenance</html>")
    (outcome,) = replay(store, Chosen())
    assert outcome.kind == "unchanged"
    assert "1 unreadable" in outcome.message


def test_a_bug_in_today_s_code_is_reported_and_changes_nothing(store, monkeypatch):
    answered(store, body({1: 12.5}))
    monkeypatch.setattr(ztf_dr.ZtfDr, "normalise", lambda *_: 1 / 0)
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.error) == ("failed", "bug")
    assert mags(store) == [12.5]


def test_a_source_that_is_gone_is_reported(store):
    with store.run("fetch", "0.1.0") as run:
        run.visit(type(asked(b"")[0])(STAR, "old_survey", "OLD", None, asked(b"x")[0].payloads))
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.error) == ("failed", "unknown source")


def test_a_row_leaves_quarantine_when_it_conforms_and_only_then(store, monkeypatch):
    answered(store, body({1: 12.5}, band="zy") + body({2: 99.0}).split(b"\n", 1)[1])
    held = store.archive.quarantined()
    assert sorted(row["reason"] for row in held) == ["impossible magnitude", "unknown passband"]
    assert {row["releasable"] for row in held} == {True}
    replay(store, Chosen())
    assert store.archive.quarantined() == held
    monkeypatch.setitem(ztf_dr.FILTERS, "zy", "i")
    (outcome,) = replay(store, Chosen())
    assert (outcome.counts.new, outcome.counts.quarantined) == (1, 1)
    assert [row["reason"] for row in store.archive.quarantined()] == ["impossible magnitude"]
    assert mags(store, filters=["i(ZTF_DR)"]) == [12.5]


def test_a_pruned_payload_keeps_its_hash_and_says_so(store):
    answered(store, body({1: 12.5}), time="2026-01-01T00:00:00.000Z")
    answered(store, body({2: 12.6}), time="2026-11-01T00:00:00.000Z")
    size = query(store, "SELECT length(body) FROM payload ORDER BY id")[0][0]
    assert store.archive.prune("2026-06-01", dry_run=True) == (1, size)
    assert store.archive.prune("2026-06-01") == (1, size)
    assert store.archive.prune("2026-06-01") == (0, 0)
    old, new = store.archive.listed(Chosen())
    assert (old["stored"], old["size"]) == (None, len(body({1: 12.5})))
    assert store.archive.body(old["sha256"])[2] is None
    assert store.archive.body(new["sha256"])[2] == body({2: 12.6})
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.message) == ("unchanged", "1 answer pruned")
    store.archive.prune(LATER)
    (outcome,) = replay(store, Chosen())
    assert (outcome.kind, outcome.error) == ("failed", "pruned")
    assert mags(store) == [12.5, 12.6]


def test_a_payload_that_came_again_lately_is_not_old(store):
    answered(store, body({1: 12.5}), time="2026-01-01T00:00:00.000Z")
    answered(store, body({1: 12.5}), time="2026-11-01T00:00:00.000Z")
    assert store.archive.prune("2026-06-01")[0] == 0


@pytest.mark.parametrize("days", ["nan", "inf", "1e9", "-1"])
def test_an_age_that_is_none_is_refused_and_nothing_is_removed(harvest, store, store_url, days):
    answered(store, body({1: 12.5}))
    harvest.store = store_url
    assert harvest(f"payloads prune --older-than {days}") == 2
    assert "--older-than" in harvest.err
    assert store.archive.prune("2999-01-01T00:00:00.000Z", dry_run=True)[0] == 1


def test_a_pruned_body_that_comes_again_is_kept_again(store):
    answered(store, body({1: 12.5}))
    store.archive.prune(LATER)
    answered(store, body({1: 12.5}))
    assert store.archive.body(hashlib.sha256(body({1: 12.5})).hexdigest())[2] == body({1: 12.5})


def test_targets_that_shared_an_answer_share_it_again(harvest, monkeypatch):
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr' --target 'SS Cyg' --target 10.0,20.0 --json") in (0, 3)
    points = {row["target"]: row["new"] for row in harvest.objects}
    assert sum(count > 0 for count in points.values()) >= 2
    monkeypatch.setattr(gaia_dr3.GaiaDr3, "fetch", None)
    assert harvest("payloads replay --json") == 0
    assert {row["target"]: row["known"] for row in harvest.objects} == points
    assert {row["outcome"] for row in harvest.objects} == {"unchanged"}


def test_a_replay_matches_with_what_fetch_knew_of_the_objects(harvest, monkeypatch):
    harvest("fetch --source gaia_dr3 --target 'RR Lyr'")
    seen = []
    normalise = gaia_dr3.GaiaDr3.normalise
    monkeypatch.setattr(gaia_dr3.GaiaDr3, "normalise", lambda self, payload: seen.append(payload) or normalise(self, payload))
    harvest("payloads replay")
    (payload,) = seen
    assert payload.role == "photometry"
    assert all(thing.pmra and 2000 < thing.epoch < 2030 for thing in payload.objects)
    assert payload.objects


def test_payloads_at_the_command_line(harvest, tmp_path, emulator):
    harvest("fetch --source ztf_dr --target 'RR Lyr'")
    assert harvest("payloads list") == 0
    short = harvest.rows[0]["sha256"]
    assert len(short) == 12
    assert harvest("payloads list --json --source ztf_dr --target 'rr lyr' --run 1 --since 2020-01-01") == 0
    row = harvest.objects[0]
    assert harvest(f"payloads show --payload {short} -o {tmp_path}/body.csv") == 0
    assert hashlib.sha256((tmp_path / "body.csv").read_bytes()).hexdigest() == row["sha256"]
    assert harvest(f"payloads show --payload {short}") == 0
    assert harvest.out.encode() == (tmp_path / "body.csv").read_bytes()
    emulator.requests.clear()
    assert harvest("payloads replay --source ztf_dr") == 0
    assert "Nothing new" in harvest.err
    assert not emulator.requests
    assert harvest("payloads prune --older-than 0 --dry-run --json") == 0
    would = harvest.objects[0]
    assert (would["payloads"], would["bytes"]) == (1, row["stored"])
    assert harvest("payloads prune --older-than 0") == 0
    assert f"1 body of {row['stored']} bytes removed" in harvest.err
    assert harvest(f"payloads show --payload {short}") == 2
    assert "was pruned" in harvest.err
    assert harvest("payloads replay") == 1
    assert "pruned" in harvest.err
    assert harvest("payloads list --source gaia_dr3") == 2


def test_quarantine_at_the_command_line(harvest, monkeypatch):
    with monkeypatch.context() as yesterday:
        yesterday.delitem(ztf_dr.FILTERS, "zi")
        harvest("fetch --source ztf_dr --target 'RR Lyr' --json")
    held = harvest.objects[0]["quarantined"]
    assert held > 100
    assert harvest("quarantine list") == 0
    assert harvest.rows == [{"source": "ztf_dr", "reason": "unknown passband", "rows": str(held), "targets": "1"}]
    assert harvest("quarantine show --source ztf_dr --json") == 0
    assert len(harvest.objects) == held
    assert harvest.objects[0]["row"]["passband"] == "zi"
    assert harvest("quarantine release") == 0
    assert f"{held} of {held} rows released." in harvest.err
    assert harvest("quarantine list --json") == 0
    assert harvest.objects == []
    assert harvest("quarantine release") == 0
    assert "0 of 0 rows released." in harvest.err


def test_a_terminal_never_gets_control_characters():
    shown = _harmless(b"oid,mjd\r\n\x1b]0;owned\x07\x9b31m\xff\tend\n" + "\x9b5m".encode())
    assert shown == "oid,mjd\\x0d\n\\x1b]0;owned\\x07\\x9b31m\\xff\tend\n\\x9b5m"


def test_the_payload_that_could_not_be_read_is_kept(store):
    assert answered(store, b"<html>maintenance</html>").outcome == "failed"
    assert store.archive.body(hashlib.sha256(b"<html>maintenance</html>").hexdigest())[2] == b"<html>maintenance</html>"
