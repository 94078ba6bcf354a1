"""Listening to a real Kafka listener of this machine: what is heard is stored once, whatever happens to the broker, the messages or the listener."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import count

import pytest
from confluent_kafka import Producer
from kafka_here import kafka_here
from made_packets import packets

from harvester.alerts.streams.consumer import Troubles
from harvester.alerts.streams.where import wanted
from harvester.cli import status_of
from harvester.errors import UsageError
from harvester.lanes import Stop
from harvester.listen import Ear, listen, read_again
from harvester.store import Store
from harvester.target import Target

PATIENCE_S = 300
"""Of a loaded machine."""
_topics = count()


@pytest.fixture(scope="module")
def kafka():
    with kafka_here() as running:
        yield running


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.db", simulated=True) as opened:
        yield opened


class Topic:
    """A topic of its own for a test, and what happens to it."""

    def __init__(self, kafka, partitions):
        self.kafka, self.partitions, self.name = kafka, partitions, f"fink_test_{next(_topics)}_ztf"
        self.producer = Producer({"bootstrap.servers": kafka.servers, "log_level": 0})
        kafka.topic(self.name, partitions)
        self._sent = count()

    def send(self, *messages, headers=None):
        """Send (value, key) pairs, one partition after the other."""
        for value, key in messages:
            self.producer.produce(self.name, value, key=key, partition=next(self._sent) % self.partitions, headers=headers)
        assert self.producer.flush(60) == 0

    def packets(self, number, objects, **options):
        self.send(*((value, key) for _, value, key in packets(number, objects, **options)))


@pytest.fixture
def topic(kafka):
    return Topic(kafka, 2)


def hear(store, topic, *, said=None, heard=lambda _: None, group=None, idle=2.0, **ear):
    """Listen, in a group of its own unless one is named: the local Kafka waits for a member that left as if it had been killed."""
    complaints = said if said is not None else []
    config = {"bootstrap.servers": topic.kafka.servers, "group.id": group or f"group-{next(_topics)}"}
    given = {"add": True, "idle": idle} | ear
    troubles = Troubles(lambda what, hint: complaints.append(f"{what} {hint}"))
    return listen(Ear("fink", [topic.name], config, **given), store, Stop(PATIENCE_S), troubles=troubles, heard=heard)


def points(store):
    return sum(store.points().values())


def test_alerts_become_targets_with_photometry_and_repeats_add_to_it(store, topic):
    topic.packets(10, 5)
    first = hear(store, topic)
    assert (first.messages, first.alerts, first.targets, first.dead, first.lost) == (10, 10, 5, 0, 0)
    assert first.new == points(store) > 100
    (name, *_), *_ = packets(1, 5)
    target = store.target(name)
    assert target.ids["ZTF"] == (name,)
    topic.packets(5, 5, first=10)
    again = hear(store, topic)
    assert (again.messages, again.followed, again.targets) == (5, 5, 0)
    assert again.new > 0
    assert points(store) == first.new + again.new
    alerts = store.alerts.alerts(name)
    assert {row["target"] for row in alerts} == {name}
    assert len({row["alert_id"] for row in alerts}) == 3
    assert not [finding for finding in store.check() if finding.problems]


def test_what_was_read_is_not_read_again_and_what_came_meanwhile_is(store, topic):
    topic.packets(6, 3)
    assert hear(store, topic).messages == 6
    assert hear(store, topic).messages == 0
    topic.packets(2, 3, first=6)
    assert hear(store, topic).messages == 2
    assert [row["messages"] for row in store.streams.progress()] == [4, 4]


def test_a_topic_read_once_more_brings_nothing_new(store, topic):
    topic.packets(8, 4)
    first = hear(store, topic)
    store.streams.forget("fink", [topic.name])
    again = hear(store, topic)
    assert (again.messages, again.new, again.revised, again.targets) == (8, 0, 0, 0)
    assert points(store) == first.new


def test_only_what_the_condition_lets_pass_becomes_a_target(store, topic):
    topic.packets(4, 4)
    assert hear(store, topic, wanted=wanted("mag < 10")).targets == 0
    assert store.targets() == []
    store.streams.forget("fink", [topic.name])
    assert hear(store, topic, wanted=wanted("drb > 0.9 and mag < 19")).targets == 4


def test_followed_targets_alone_are_stored_where_none_may_be_added(store, topic):
    topic.packets(12, 4)
    hear(store, topic, most=1)
    (followed,) = store.targets()
    report = hear(store, topic, add=False)
    assert (report.messages, report.alerts, report.followed) == (11, 11, 2)
    assert store.targets() == [followed] or [target.name for target in store.targets()] == [followed.name]


def test_no_more_messages_are_read_than_were_asked_for(store, topic):
    topic.packets(9, 3)
    assert hear(store, topic, most=4).messages == 4
    assert hear(store, topic, most=100).messages == 5


def test_poison_is_passed_kept_and_told_and_never_read_twice(store, topic):
    topic.packets(3, 3)
    topic.send((b"rubbish", b""), (b"Obj\x01more rubbish", b""), (b"{", b""))
    topic.packets(3, 3, first=3)
    report = hear(store, topic)
    assert (report.messages, report.alerts, report.dead) == (9, 6, 3)
    assert sum(report.reasons.values()) == 3
    assert hear(store, topic).messages == 0
    letters = store.streams.letters("fink")
    assert {store.streams.letter(row["id"]).body for row in letters} == {b"rubbish", b"Obj\x01more rubbish", b"{"}
    assert [row["topic"] for row in letters] == [topic.name] * 3


def test_a_message_that_cannot_be_stored_is_a_dead_letter_and_the_others_are_stored(store, topic, monkeypatch):
    from harvester import listen as listening

    topic.packets(8, 4)
    cursed = "2400000000000000300"

    def tell(read):
        if any(one.alert.alert_id == cursed for one in read.alerts):
            raise ArithmeticError("a bug")
        return lambda _: None

    monkeypatch.setattr(listening, "tell", tell)
    report = hear(store, topic)
    assert (report.messages, report.dead, report.targets) == (8, 1, 4)
    (reason,) = report.reasons
    assert "ArithmeticError: a bug" in reason
    assert hear(store, topic).messages == 0
    assert len(store.streams.letters()) == 1


def test_a_dead_letter_that_can_be_read_now_is_stored_and_one_no_more(store, topic, monkeypatch):
    from harvester.alerts.streams import decoding, quick
    from harvester.alerts.streams.message import Unreadable

    topic.packets(2, 2)
    hear(store, topic, most=2)
    topic.packets(2, 2, first=2)
    with monkeypatch.context() as broken:
        broken.setattr(quick, "packet_of", lambda _: None)
        broken.setattr(decoding, "_schemaless", lambda *_: (_ for _ in ()).throw(Unreadable("too new")))
        assert hear(store, topic).reasons == {"too new": 2}
    before = points(store)
    letters = {row["id"]: store.streams.letter(row["id"]) for row in store.streams.letters()}
    report, still = read_again("fink", letters, store)
    assert (report.alerts, still, store.streams.letters()) == (2, {}, [])
    assert points(store) == before + report.new > before


def test_messages_that_the_broker_dropped_before_they_were_read_are_counted_and_told(store, kafka):
    topic = Topic(kafka, 1)
    topic.packets(2, 2)
    hear(store, topic)
    topic.send(*((b"x" * 500_000, b"") for _ in range(30)))
    topic.packets(1, 2, first=2)
    said = []
    report = hear(store, topic, said=said)
    assert report.lost > 0
    assert report.messages + report.lost == 31
    assert [line for line in said if f"{report.lost} messages of {topic.name} (partition 0) are LOST" in line]
    assert [row["lost"] for row in store.streams.progress() if row["topic"] == topic.name] == [report.lost]
    assert hear(store, topic).lost == 0


def test_an_outage_of_the_broker_is_told_and_survived(store, kafka):
    topic, said = Topic(kafka, 2), []
    topic.packets(4, 4)
    seen = threading.Event()

    def outage():
        assert seen.wait(PATIENCE_S)
        kafka.down()
        wait_for(lambda: any("cannot be reached" in line for line in said))
        kafka.up()
        topic.packets(4, 4, first=4)

    breaker = threading.Thread(target=outage)
    breaker.start()
    try:
        report = hear(store, topic, said=said, heard=lambda _: seen.set(), idle=PATIENCE_S, most=8)
    finally:
        seen.set()
        breaker.join()
    assert (report.messages, report.targets, report.lost) == (8, 4, 0)
    assert len({row["alert_id"] for row in store.alerts.alerts()}) == 8


def test_two_listeners_of_one_group_share_the_partitions_and_store_each_message_once(tmp_path, kafka):
    topic, place = Topic(kafka, 4), tmp_path / "shared.db"
    reports, group = {}, f"group-{next(_topics)}"
    both = threading.Barrier(2)

    def listener(name):
        with Store.open(place, simulated=True) as own:
            both.wait(PATIENCE_S)
            reports[name] = hear(own, topic, group=group, idle=12.0)

    listeners = [threading.Thread(target=listener, args=(name,)) for name in ("one", "two")]
    Store.open(place, simulated=True).close()
    for one in listeners:
        one.start()
    for part in range(10):
        topic.packets(8, 10, first=8 * part)
        time.sleep(0.5)
    for one in listeners:
        one.join(PATIENCE_S)
    assert reports["one"].messages + reports["two"].messages == 80
    assert min(report.messages for report in reports.values()) > 0
    assert reports["one"].new + reports["two"].new == stored_alone(tmp_path, topic)
    with Store.open(place, simulated=True) as own:
        assert len(own.targets()) == 10
        assert len(own.alerts.alerts()) == 80
        assert not [finding for finding in own.check() if finding.problems]


def test_two_listeners_that_do_not_know_each_other_store_each_message_once(tmp_path, kafka):
    topic, place = Topic(kafka, 2), tmp_path / "shared.db"
    topic.packets(60, 10)
    Store.open(place, simulated=True).close()
    reports, said, both = [], [], threading.Barrier(2)

    def listener():
        with Store.open(place, simulated=True) as own:
            both.wait(PATIENCE_S)
            reports.append(hear(own, topic, said=said, idle=4.0))

    listeners = [threading.Thread(target=listener) for _ in range(2)]
    for one in listeners:
        one.start()
    for one in listeners:
        one.join(PATIENCE_S)
    assert sum(report.messages for report in reports) == 60
    assert sum(report.new for report in reports) == stored_alone(tmp_path, topic)
    with Store.open(place, simulated=True) as own:
        assert sum(row["messages"] for row in own.streams.progress()) == 60
        assert len(own.alerts.alerts()) == 60


def stored_alone(tmp_path, topic):
    """Return how many points one undisturbed listener stores of a topic."""
    with Store.open(tmp_path / "alone.db", simulated=True) as alone:
        return hear(alone, topic).new


def test_a_target_that_is_added_while_one_listens_is_heard_of(store, topic, tmp_path):
    topic.packets(4, 4)
    with Store.open(tmp_path / "other.db", simulated=True) as other:
        hear(other, topic)
        (name, *_), *_ = packets(1, 4)
        new = other.target(name)

    def follow(_):
        store.add_target(Target("late", new.ra, new.dec))
        topic.packets(4, 4, first=4)

    topic.send((b"{", b""))
    once = iter([follow])
    report = hear(store, topic, add=False, heard=lambda taken: next(once, lambda _: None)(taken))  # noqa: PLW0108 - the first time only
    assert report.followed == 1
    assert set(store.points()) == {"late"}


def test_a_json_alert_of_a_followed_target_makes_its_source_due(store, kafka):
    topic = Topic(kafka, 1)
    said = {"diaObjectId": 313637935709683761, "ra": 61.6, "decl": -49.3, "lastDiaSourceMjdTai": 60985.25, "classification": "SN"}
    topic.send((json.dumps(said).encode(), b""))
    config = {"bootstrap.servers": kafka.servers, "group.id": f"group-{next(_topics)}"}
    ear = Ear("lasair", [topic.name], config, add=True, most=1)
    report = listen(ear, store, Stop(PATIENCE_S), troubles=Troubles(lambda *_: None))
    assert (report.alerts, report.targets) == (1, 1)
    (target,) = store.targets()
    assert (target.name, target.ids["LSST"]) == ("LSST 313637935709683761", ("313637935709683761",))
    (alert,) = store.alerts.alerts()
    assert (alert["broker"], alert["classification"], alert["target"]) == ("lasair", "SN", target.name)


def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch):
    from harvester.alerts.streams import consumer, decoding

    for name, call, extra in (("confluent_kafka", consumer.confluent, "streams"), ("fastavro", decoding.avro, "alerts")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UsageError, match=extra):
            call()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def command(place, topic, *options):
    return [
        "--store", str(place), "alerts", "listen", "--emulate", "--broker", "fink", "--servers", topic.kafka.servers, "--topic", topic.name,
        "--group", f"group-{next(_topics)}", *options,
    ]  # fmt: skip


def test_the_command_prints_what_it_stores_and_says_what_came_of_it(tmp_path, topic, capsys):
    topic.packets(4, 2)
    topic.send((b"rubbish", b""))
    place = tmp_path / "cli.db"
    assert status_of(command(place, topic, "--add-targets", "--where", "mag < 19", "--timeout", "2s")) == 3
    out, err = capsys.readouterr()
    header, *lines = out.splitlines()
    assert header.split("\t")[:3] == ["broker", "topic", "object_id"]
    assert len(lines) == 4
    assert "1 message could not be read" in err
    assert "5 messages: 4 alerts" in err
    assert "2 new targets" in err
    assert status_of([*command(place, topic), "--progress", "--json"]) == 0
    assert sum(json.loads(line)["next_offset"] for line in capsys.readouterr().out.splitlines()) == 5
    assert status_of(["--store", str(place), "alerts", "dead", "list", "--json"]) == 0
    (dead,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "no alert format" in dead["reason"]
    assert status_of(["--store", str(place), "alerts", "dead", "show", "--id", str(dead["id"])]) == 0
    assert "rubbish" in capsys.readouterr().out
    assert status_of(["--store", str(place), "alerts", "dead", "retry", "--emulate"]) == 3
    assert "0 of 1 could be read now" in capsys.readouterr().err
    assert status_of(["--store", str(place), "alerts", "dead", "drop", "--all", "--emulate"]) == 0
    assert "1 message thrown away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--where", "magn < 19", "--add-targets"], "Did you mean 'mag'"),
        (["--where", "mag < 19"], "go with --add-targets"),
        (["--cone", "here", "--add-targets"], "is no cone"),
        (["--max-alerts", "0"], "0"),
        (["--timeout", "soon"], "no duration"),
    ],
)
def test_bad_options_are_refused_before_anything_is_asked(tmp_path, options, why, capsys):
    given = [
        "--store",
        str(tmp_path / "x.db"),
        "alerts",
        "listen",
        "--broker",
        "fink",
        "--topic",
        "a",
        "--servers",
        "localhost:1",
        "--emulate",
    ]
    assert status_of([*given, *options]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "x.db").exists()


def test_streams_that_want_a_user_or_an_address_say_which_and_where_it_goes(capsys, monkeypatch):
    assert status_of(["alerts", "listen", "--broker", "hop", "--topic", "a"]) == 4
    assert "HARVESTER_HOP_USER and HARVESTER_HOP_PASSWORD" in capsys.readouterr().err
    assert status_of(["alerts", "listen", "--broker", "antares", "--topic", "a"]) == 4
    assert "HARVESTER_ANTARES_API_KEY and HARVESTER_ANTARES_API_SECRET" in capsys.readouterr().err
    assert status_of(["alerts", "listen", "--broker", "fink", "--topic", "fink_in_tns_lsst"]) == 2
    assert "HARVESTER_FINK_SERVERS" in capsys.readouterr().err
    assert status_of(["alerts", "listen", "--broker", "fink", "--topic", "a_ztf", "--emulate"]) == 2
    assert "no simulated stream" in capsys.readouterr().err


def test_credentials_become_what_the_client_shows_and_a_personal_group():
    from harvester.alerts.streams.services import group_of, security_of, servers_of, stream
    from harvester.config import read_settings

    environ = {"HARVESTER_HOP_USER": "ann", "HARVESTER_HOP_PASSWORD": "secret", "HARVESTER_FINK_SERVERS": "one:1"}
    settings = read_settings(environ=environ)
    hop = settings.service("hop").secrets
    shown = security_of(stream("hop"), hop, local=False)
    assert (shown["security.protocol"], shown["sasl.mechanisms"], shown["sasl.username"]) == ("SASL_SSL", "SCRAM-SHA-512", "ann")
    assert group_of(stream("hop"), None, hop) == "ann-harvester"
    assert security_of(stream("fink"), settings.service("fink").secrets, local=False) == {}
    assert servers_of(stream("fink"), ["any"], settings.service("fink").servers) == "one:1"
    assert "secret" not in repr(settings)


def test_a_signal_ends_the_listening_when_what_is_under_way_is_stored(tmp_path, topic):
    topic.packets(6, 3)
    place = tmp_path / "cli.db"
    arguments = [sys.executable, "-m", "harvester", *command(place, topic, "--add-targets", "--json")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as running:
        heard = [json.loads(running.stdout.readline()) for _ in range(6)]
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert "what was heard is stored" in err
    assert len({row["alert_id"] for row in heard}) == 6
    with Store.open(place, simulated=True) as own:
        assert len(own.alerts.alerts()) == 6
        (run,) = own.runs()
        assert run["status"] == "interrupted"
