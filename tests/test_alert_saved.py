"""Saved questions: only what is new, targets without twins, failures that stop nothing; and the way from a broker to light curves."""

import json
import time

import pytest
from loopback import Loopback, Reply

from harvester.alert_search import Keeping, ask_again
from harvester.alert_targets import Followed
from harvester.alerts.alert import Alert
from harvester.alerts.question import Question
from harvester.cli import status_of
from harvester.config import ServiceSettings, Settings
from harvester.emulator import ztf_stream
from harvester.emulator.app import Emulator
from harvester.emulator.faults import Faults
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky
from harvester.emulator.transients import shining
from harvester.errors import StoreError
from harvester.harvest import base_urls
from harvester.session import Client
from harvester.store import Store
from harvester.store.alerts import SavedQuery
from harvester.target import Target

SKY = Sky(clock=time)
ALERT = Alert("fink", "ZTF26aaaaaaa", "1", 61_300.0, 10.0, 20.0, 18.0, "g(ZTF)", "SN candidate", 0.5, survey="ZTF", payload=b'{"a": 1}')
EARLY = 'alerts query --broker fink --class "Early SN Ia candidate" --days 12 --save early --add-targets'


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "s.db", simulated=True) as opened:
        yield opened


class Clock:
    """A clock that a test sets; waiting takes no time."""

    def __init__(self, mjd):
        self.mjd = mjd

    def time(self):
        return (self.mjd - 40587.0) * 86400.0

    def sleep(self, seconds):
        pass


def at_loopback(url):
    names = {name: f"{url}/{place.partition('://')[2]}" for name, place in base_urls().items()}
    return Settings(
        store="", services={name: ServiceSettings(base_url=place, per_second=1000.0, at_once=8) for name, place in names.items()}
    )


def asked(store, settings, name="q", **more):
    with Client(loopback_only=True) as client:
        (saved,) = store.alerts.saved([name])
        return ask_again(saved, store, client, settings, **more)


def fink_rows(*pairs):
    rows = [{"i:objectId": name, "i:candid": number, "i:jd": 2400000.5 + mjd, "i:fid": 1, "i:magpsf": 18.5} for number, name, mjd in pairs]
    return Reply(json.dumps([row | {"i:ra": 10.0 + row["i:candid"], "i:dec": 20.0} for row in rows]).encode())


@pytest.fixture
def fink(store):
    """Fink as a test scripts it, and a saved question to it."""
    with Loopback() as server:
        store.alerts.save(SavedQuery("q", "fink", Question("ztf", class_name="SN candidate", since=61_290.0).as_json(), add_targets=True))
        yield server, at_loopback(server.url.rstrip("/"))


LATESTS = "/api.ztf.fink-portal.org/api/v1/latests"


def test_a_saved_question_tells_an_alert_once_and_asks_from_before_the_newest_on(store, fink):
    server, settings = fink
    server.script(LATESTS, fink_rows((2, "ZTF26aaaaaab", 61_301.0), (1, "ZTF26aaaaaaa", 61_300.0)))
    assert asked(store, settings).alerts == 2
    server.script(LATESTS, fink_rows((3, "ZTF26aaaaaaa", 61_302.0), (2, "ZTF26aaaaaab", 61_301.0)))
    heard = []
    result = asked(store, settings, on_alert=heard.append)
    assert [alert.key for alert in heard] == ["3"]
    assert (result.alerts, result.outcome, result.targets) == (1, "done", ())
    assert [seen.params["startdate"][0][:10] for seen in server.seen] == ["2026-09-07", "2026-09-15"]
    (saved,) = store.alerts.saved()
    assert (saved.newest, saved.alerts, saved.failures, saved.trouble) == (61_302.0, 3, 0, "")


def test_an_alert_that_comes_late_is_still_found(store, fink):
    server, settings = fink
    server.script(LATESTS, fink_rows((2, "ZTF26aaaaaab", 61_301.0)))
    asked(store, settings)
    server.script(LATESTS, fink_rows((2, "ZTF26aaaaaab", 61_301.0), (1, "ZTF26aaaaaaa", 61_299.0)))
    assert asked(store, settings).alerts == 1


def test_a_limit_counts_new_alerts_and_what_it_left_comes_next_time(store, fink):
    server, settings = fink
    store.alerts.save(SavedQuery("few", "fink", Question("ztf", class_name="SN candidate", limit=2).as_json()))
    server.script(LATESTS, fink_rows(*[(number, "ZTF26aaaaaaa", 61_300.0 - number) for number in range(1, 6)]))
    assert [asked(store, settings, "few").alerts for _ in range(4)] == [2, 2, 1, 0]


def test_a_question_without_a_beginning_begins_with_its_first_answer(store, fink):
    server, settings = fink
    store.alerts.save(SavedQuery("few", "fink", Question("ztf", class_name="SN candidate", limit=2).as_json()))
    server.script(LATESTS, fink_rows(*[(number, "ZTF26aaaaaaa", 61_300.0 - number) for number in range(1, 6)]))
    asked(store, settings, "few")
    asked(store, settings, "few")
    assert ["startdate" in seen.params for seen in server.seen] == [False, True]
    assert next(one for one in store.alerts.saved() if one.name == "few").newest == 61_299.0


def test_a_broker_that_fails_is_an_outcome_and_what_was_known_stays(store, fink):
    server, settings = fink
    server.script(LATESTS, fink_rows((1, "ZTF26aaaaaaa", 61_300.0)))
    asked(store, settings)
    server.script(LATESTS, Reply(b"<html>maintenance</html>", headers={"Content-Type": "text/html"}))
    result = asked(store, settings)
    assert (result.outcome, result.error) == ("failed", "malformed")
    (saved,) = store.alerts.saved()
    assert (saved.newest, saved.failures, saved.alerts) == (61_300.0, 1, 1)
    assert "fink" in saved.trouble
    server.script(LATESTS, fink_rows((2, "ZTF26aaaaaab", 61_301.0), (1, "ZTF26aaaaaaa", 61_300.0)))
    assert asked(store, settings).alerts == 1
    assert store.alerts.saved()[0].failures == 0


def test_an_answer_that_is_not_whole_is_asked_for_again_from_the_same_date(store, fink):
    server, settings = fink
    store.alerts.save(SavedQuery("around", "fink", Question("ztf", object_id="ZTF26aaaaaaa", since=61_290.0).as_json()))
    rows = [(number, "ZTF26aaaaaaa", 61_300.0 - number / 1e4) for number in range(10_000)]
    server.script("/api.ztf.fink-portal.org/api/v1/objects", fink_rows(*rows))
    result = asked(store, settings, "around")
    assert (result.outcome, result.alerts) == ("incomplete", 10_000)
    assert "has more" in result.message
    saved = next(one for one in store.alerts.saved() if one.name == "around")
    assert saved.newest is None
    assert "has more" in saved.trouble


def test_what_was_read_before_a_failure_is_kept_and_not_told_again(store, fink):
    server, settings = fink
    store.alerts.save(SavedQuery("paged", "alerce", Question("ztf", class_name="SN", since=61_000.0).as_json()))
    page = [{"oid": f"ZTF26aaa{number:04d}", "lastmjd": 61_300.0, "class": "SN"} for number in range(500)]
    whole, broken = Reply(json.dumps({"items": page}).encode()), Reply(b"<html>", headers={"Content-Type": "text/html"})
    server.script("/api.alerce.online/ztf/v1/objects/", whole, broken)
    assert asked(store, settings, "paged").outcome == "failed"
    assert len(store.alerts.told("paged")) == 500
    last = Reply(json.dumps({"items": [*page[:1], {"oid": "ZTF26zzzzzzz", "lastmjd": 61_301.0}]}).encode())
    server.script("/api.alerce.online/ztf/v1/objects/", last)
    assert asked(store, settings, "paged").alerts == 1


def test_a_name_is_taken_once_whatever_its_case(store):
    store.alerts.save(SavedQuery("My SNe", "fink", "{}"))
    with pytest.raises(StoreError, match="already"):
        store.alerts.save(SavedQuery("my_sne", "fink", "{}"))
    with pytest.raises(StoreError, match="no saved question 'other'"):
        store.alerts.remove("other")
    store.alerts.remove("MY SNE")
    assert store.alerts.saved() == []


def test_alerts_are_kept_once_on_both_back_ends_as_they_were_told_last(store_url):
    with Store.open(store_url, simulated=True) as store:
        store.add_target(Target("mine", 10.0, 20.0))
        store.alerts.save(SavedQuery("q", "fink", "{}"))
        store.alerts.keep([(ALERT, "mine")], "q")
        changed = Alert(**{name: getattr(ALERT, name) for name in ALERT.__dataclass_fields__} | {"score": 0.9})
        store.alerts.keep([(changed, None)], "q")
        (kept,) = store.alerts.alerts()
        assert (kept["score"], kept["target"], kept["alert_id"]) == (0.9, "mine", "1")
        assert store.alerts.told("q") == {("ZTF", "1")}
        assert not [finding for finding in store.check() if finding.problems]
        store.remove_target("mine")
        assert store.alerts.alerts()[0]["target"] is None


def test_alerts_and_saved_questions_go_with_a_store_to_another_place(store, other_url):
    store.alerts.save(SavedQuery("q", "fink", Question("ztf", class_name="SN candidate").as_json(), add_targets=True))
    store.alerts.keep([(ALERT, None)], "q")
    copied = {part.table: part.rows for part in store.copy(other_url)}
    assert [copied[name] for name in ("alert", "saved_query", "saved_query_alert", "payload")] == [1, 1, 1, 1]
    with Store.open(other_url, simulated=True) as other:
        assert other.alerts.alerts() == store.alerts.alerts()
        assert other.alerts.saved() == store.alerts.saved()
        assert other.alerts.told("q") == {("ZTF", "1")}


def alert(object_id, survey="ZTF", ra=10.0, dec=20.0, **more):
    return Alert("fink", object_id, object_id, 61_300.0, ra, dec, survey=survey, **more)


@pytest.mark.parametrize(
    ("known", "told", "name"),
    [
        (Target("my SN", 10.0, 20.0), alert("ZTF26aaaaaaa"), "my SN"),  # by place
        (Target("my SN", 10.0, 20.00027), alert("ZTF26aaaaaaa"), "my SN"),  # 0.97 arcsec
        (Target("far", 10.0, 20.001), alert("ZTF26aaaaaaa"), "ZTF26aaaaaaa"),  # 3.6 arcsec
        (Target("my SN", 50.0, 50.0, ids={"ZTF": ("ZTF26aaaaaaa",)}), alert("ZTF26aaaaaaa"), "my SN"),  # by id
        (Target("SN 2026abc", 50.0, 50.0), alert("ZTF26aaaaaaa", names=("AT 2026abc",)), "SN 2026abc"),  # by what TNS calls it
        (Target("ztf26AAAAAAA", 50.0, 50.0), alert("ZTF26aaaaaaa"), "ztf26AAAAAAA"),  # by name
        (Target("fast", 10.0, 20.0 - 26.8 * 5.0 / 3600, pmdec=5000.0), alert("ZTF26aaaaaaa"), "fast"),  # where it is now
    ],
)
def test_an_object_that_is_followed_already_gets_no_twin(store, known, told, name):
    store.add_target(known)
    assert Followed(store).add(told)[0] == name
    found = store.target(name)
    assert found.ids["ZTF"] == ("ZTF26aaaaaaa",)
    assert set(told.names) <= {known.name, *found.aliases} or known.name == "SN 2026abc"
    assert len(store.targets()) == (2 if name == told.object_id else 1)
    assert Followed(store).add(told) == (name, False)


def test_the_same_thing_told_by_two_surveys_becomes_one_target_with_both_ids(store):
    followed = Followed(store, 1.5)
    assert followed.add(alert("ZTF26aaaaaaa")) == ("ZTF26aaaaaaa", True)
    assert followed.add(alert("170587116732416143", "LSST", dec=20.0002)) == ("ZTF26aaaaaaa", False)
    (target,) = store.targets()
    assert target.ids == {"ZTF": ("ZTF26aaaaaaa",), "LSST": ("170587116732416143",)}
    assert store.target("170587116732416143").name == "ZTF26aaaaaaa"


def test_a_thing_of_the_solar_system_or_without_a_place_makes_no_target(store):
    keeping = Keeping(store, Followed(store))
    told = [alert("a", moving=True), alert("b", ra=None, dec=None)]
    assert [one.object_id for one in keeping.through(iter(told))] == ["a", "b"]
    assert store.targets() == []
    assert (keeping.added, keeping.moving) == ([], 1)
    assert len(store.alerts.alerts()) == 2


def test_a_name_that_two_targets_would_have_stays_with_the_first(store):
    store.add_target(Target("one", 10.0, 20.0, aliases=("AT 2026abc",), ids={"ZTF": ("ZTF26aaaaaaa",)}))
    store.add_target(Target("two", 50.0, 50.0, ids={"ZTF": ("ZTF26aaaaaab",)}))
    assert Followed(store).add(alert("ZTF26aaaaaab", names=("SN 2026abc",)))[0] == "two"
    assert store.target("AT 2026abc").name == "one"


def test_saved_questions_are_listed_run_and_removed(harvest):
    assert harvest('alerts query --broker fink --class "SN candidate" --days 5 --save sne') == 0
    first = harvest.rows
    assert first
    assert harvest("alerts saved list --json") == 0
    (listed,) = harvest.objects
    assert (listed["name"], listed["broker"], listed["alerts"]) == ("sne", "fink", len(first))
    assert harvest("alerts saved run --name sne") == 0
    assert harvest.rows == []
    assert harvest("alerts saved run") == 2
    assert harvest("alerts saved run --name other") == 1
    assert harvest("alerts saved remove --name sne") == 0
    assert harvest("alerts saved list --json") == 0
    assert harvest.objects == []


def test_a_saved_question_that_fails_makes_an_update_partial_and_stops_no_source(harvest, emulator, monkeypatch):
    monkeypatch.setattr("harvester.cli.update.chosen_sources", lambda _app, sources: list(sources) or ["gaia_dr3"])
    harvest("targets add --target 10.5,41.5 --name somewhere")
    harvest('alerts query --broker fink --class "SN candidate" --days 5 --save sne')
    emulator.faults = Faults({"fink": ["html"]})
    assert harvest("update --source gaia_dr3 --json") == 0  # of some sources only: no broker is asked
    assert [found["source"] for found in harvest.objects] == ["gaia_dr3"]
    harvest("targets add --target 11.5,41.5 --name elsewhere")
    assert harvest("update --json") == 3
    told, *outcomes = harvest.objects
    assert (told["saved_query"], told["outcome"], told["error"]) == ("sne", "failed", "malformed")
    assert {found["source"]: found["outcome"] for found in outcomes if found["target"] == "elsewhere"}["gaia_dr3"] != "failed"
    assert "sne (fink)" in harvest.err


@pytest.mark.slow
def test_from_a_saved_class_query_through_a_target_to_light_curves_from_all_sources(tmp_path, capfd, monkeypatch):
    """Night by night: before the first alert there is nothing; after it the transient is a target, and in the digest; later alerts bring no twins."""
    streams = [one for star in shining(SKY.seed, 61_300.0, 61_345.0) if (one := ztf_stream.stream(SKY, star)) and one.star.dec > 0]
    clean = [
        one for one in streams if len(one.detections) > 4 and (one.detections["rb"] >= 0.55).all() and not one.detections["nbad"].any()
    ]
    chosen = min(clean, key=lambda one: one.detections["jd"][1] - one.detections["jd"][0])
    times = chosen.detections["jd"] - 2400000.5
    clock = Clock(times[0] - 0.05)
    app = Emulator(clock=clock)
    with serve(app) as server:
        monkeypatch.setattr("harvester.cli.options.App.emulator", server)

        def harvest(*words):
            capfd.readouterr()
            status = status_of(["--store", str(tmp_path / "s.db"), "--emulate", *words])
            return status, capfd.readouterr()

        since = ["--since", str(times[0] - 0.1), "--save", "early", "--add-targets"]
        harvest("alerts", "query", "--broker", "fink", "--class", "Early SN Ia candidate", *since)
        with Store.open(tmp_path / "s.db", simulated=True) as store:
            assert store.target(chosen.oid) is None
        clock.mjd = times[1] + 0.01
        status, told = harvest("update", "--json")
        with Store.open(tmp_path / "s.db", simulated=True) as store:
            target = store.target(chosen.oid)
            assert target.ids["ZTF"] == (chosen.oid,)
            curve = store.light_curve(chosen.oid)
            found = {row["observation_id"] for row in curve.to_pylist() if row["filter"] in {"g(ZTF)", "r(ZTF)"}}
            assert {str(candid) for candid in chosen.detections["candid"][:2]} <= found
        outcomes = [json.loads(line) for line in told.out.splitlines()]
        kinds = {one["source"]: one["outcome"] for one in outcomes if one.get("target") == chosen.oid}
        assert status in {0, 3}, told.err
        assert {kinds[source] for source in ("alerce", "antares", "fink", "lasair")} == {"new", "unchanged"}  # the same alerts, kept once
        assert set(kinds) >= {"alerce", "antares", "atlas", "fink", "gaia_dr3", "lasair", "tns", "ztf_dr", "ztf_forced"}
        status, told = harvest("digest", "--text")
        assert status == 0
        assert chosen.oid in told.out, "the digest shows what the night brought"
        before = curve.num_rows
        clock.mjd = times[-1] + 0.01
        harvest("update", "--json")
        with Store.open(tmp_path / "s.db", simulated=True) as store:
            assert sum(chosen.oid in (one.name, *one.ids.get("ZTF", ())) for one in store.targets()) == 1
            assert len(store.alerts.alerts(chosen.oid)) >= 2
            assert store.light_curve(chosen.oid).num_rows >= before
