"""A listener that is killed: 20 times a SIGKILL at a random moment, and in the end the store holds what an undisturbed one holds.

Half of the moments are statements or commits, counted by the process itself, so that every part of a transaction is met; at the others another
process kills it after a while. Broker and producer are processes of their own.
"""

import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import sqlalchemy as sa
from kafka_here import kafka_here
from stores import postgres_url, store_url

from harvester import listen as listening
from harvester.alerts.streams.consumer import Troubles
from harvester.lanes import Stop
from harvester.store import Store
from harvester.store.alert_tables import alert
from harvester.store.stream_tables import dead_letter, stream_offset
from harvester.store.tables import alias, measurement, payload, superseded, target

__all__ = ["postgres_url", "store_url"]

KILLS, PACKETS, OBJECTS, POISON, PARTITIONS = 20, 150, 12, 6, 3
TOPIC = "fink_kill_ztf"
SMALL_BATCH = 5
BEGINNING = 25
"""Statements that open a store and a run."""
UNEQUAL = {
    "id",
    "run_id",
    "payload_id",
    "replaced_by_run",
    "replaced_at",
    "visit_id",
    "added",
    "seen",
    "updated",
    "target_id",
    "key",
    "body",
    "lost",
}
"""Moments and numbers: what may differ between a store whose listeners were killed and one whose listener was not."""
PRODUCE = f"""
import sys
from confluent_kafka import Producer
from made_packets import packets
producer = Producer({{"bootstrap.servers": sys.argv[1]}})
messages = [(value, key) for _, value, key in packets({PACKETS}, {OBJECTS})]
for number in range({POISON}):
    messages.insert(17 * number, (b"poison %d" % number, b""))
for number, (value, key) in enumerate(messages):
    producer.produce("{TOPIC}", value, key=key, partition=number % {PARTITIONS})
assert producer.flush(60) == 0
"""


def hear(place, servers, group, *, last=None, begun=None):
    """Listen to the end; die before the statement or commit of the number `last`. Return how many there were."""
    counted = []

    def count(*_):
        counted.append(1)
        if len(counted) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    listening.BATCH = SMALL_BATCH
    with Store.open(place, simulated=True) as store:
        sa.event.listen(store._database.engine, "before_cursor_execute", count)
        sa.event.listen(store._database.engine, "commit", count)
        config = {"bootstrap.servers": servers, "group.id": group}
        ear = listening.Ear("fink", [TOPIC], config, add=True, idle=2.0)
        tell = (lambda _: begun.set()) if begun else (lambda _: None)
        listening.listen(ear, store, Stop(300), troubles=Troubles(lambda *_: None), heard=tell)
    return len(counted)


def contents(place):
    """Return everything that a store holds but UNEQUAL, in an order that does not depend on it."""
    tables = (measurement, superseded, payload, alias, alert, dead_letter, stream_offset, target)
    with Store.open(place, simulated=True) as store, store._database.reading() as connection:
        return {
            table.name: sorted(
                repr([(name, value) for name, value in row.items() if name not in UNEQUAL])
                for row in connection.execute(sa.select(table)).mappings()
            )
            for table in tables
        }


def killed(context, place, servers, number, chance):
    """Let a listener be killed; return how it ended. Every one has a group of its own: the broker waits long for one that was killed."""
    begun = context.Event()
    last = chance.randint(BEGINNING, BEGINNING + 60) if number % 2 else None
    child = context.Process(target=hear, args=(place, servers, f"kill-{number}"), kwargs={"last": last, "begun": begun})
    child.start()
    if last is None:
        assert begun.wait(120)
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
    child.join()
    return child.exitcode


@pytest.mark.slow
def test_a_listener_killed_twenty_times_loses_nothing_and_doubles_nothing(store_url, tmp_path, monkeypatch):
    undisturbed, chance = str(tmp_path / "undisturbed.db"), random.Random(5)
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    context = get_context("forkserver")  # imports once, and forks a process for each listener
    context.set_forkserver_preload(["test_streams_kill"])
    with kafka_here() as kafka:
        kafka.topic(TOPIC, PARTITIONS)
        subprocess.run([sys.executable, "-c", PRODUCE, kafka.servers], check=True, timeout=300)
        exits = [killed(context, store_url, kafka.servers, number, chance) for number in range(KILLS)]
        with Store.open(store_url, simulated=True) as store:
            read_before = sum(row["messages"] for row in store.streams.progress())
        hear(store_url, kafka.servers, "last")
        hear(undisturbed, kafka.servers, "undisturbed")
    assert exits == [-signal.SIGKILL] * KILLS
    assert 0 < read_before < PACKETS + POISON
    assert contents(store_url) == contents(undisturbed)
    with Store.open(store_url, simulated=True) as store:
        assert len(store.alerts.alerts()) == PACKETS
        assert len(store.streams.letters()) == POISON
        assert sum(row["messages"] for row in store.streams.progress()) == PACKETS + POISON
        assert not [finding for finding in store.check() if finding.problems]
