"""Nights that are killed: at 50 moments per back end the writing process gets a SIGKILL, the night is run again, and nothing shows.

Half of the moments are statements, counted by the process itself, so that every part of a transaction is met; at the others another
process kills it after a while, so that a statement or a commit may be met in its middle.
"""

import os
import random
import signal
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from stores import postgres_url, store_url
from test_store import PAYLOAD, rows

from harvester.store import Store, Visit
from harvester.store.tables import alias, measurement, payload, schedule, superseded
from harvester.target import Target

__all__ = ["postgres_url", "store_url"]

NIGHTS = 50
SOURCES = ("ztf_dr", "alerce")
STAR = Target("one", 10.0, 20.0)
UNEQUAL = {"run_id", "payload_id", "replaced_by_run", "replaced_at", "visit_id", "last_success", "id"}
"""Moments and numbers: what may differ between a store whose writer was killed and one whose writer was not."""


def night(number):
    """Return the visits of one night, each with points that are known, revised and new."""
    return [visit(number, source) for source in SOURCES]


def visit(number, source):
    base = 1000 * SOURCES.index(source)
    days = range(base + 10 * number, base + 10 * number + 30)
    mags = [12.0 + (number if day % 5 == 0 else 0) for day in days]
    table = rows(*(f"o{day}" for day in days), mag=mags, flags=[f"night={number}" if day % 7 == 0 else None for day in days])
    answer = replace(PAYLOAD, body=b"%d %s" % (number, source.encode()))
    return Visit(STAR, source, "ZTF", table, [answer], object_ids=(f"{source}{number}",))


def write(place, number, *, last=None, begun=None):
    """Write a night; die before the statement, or the commit, of the number `last`. Return how many there were."""
    counted = []

    def count(*_):
        counted.append(1)
        if len(counted) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with Store.open(place, simulated=True) as store:
        sa.event.listen(store._database.engine, "before_cursor_execute", count)
        sa.event.listen(store._database.engine, "commit", count)
        if begun:
            begun.set()
        with store.run("update", "0.1.0") as run:
            for _ in run.visits(night(number) * 2):  # the second half brings nothing new, and shares a transaction
                pass
    return len(counted)


def killed_at_a_statement(context, place, number, last):
    child = context.Process(target=write, args=(place, number), kwargs={"last": last})
    child.start()
    child.join()
    return child.exitcode


def killed_after(context, place, number, seconds):
    begun = context.Event()
    child = context.Process(target=write, args=(place, number), kwargs={"begun": begun})
    child.start()
    assert begun.wait(60)
    time.sleep(seconds)
    child.kill()
    child.join()
    return child.exitcode


def contents(place):
    """Return everything that a store holds but UNEQUAL, in an order that does not depend on it."""
    with Store.open(place, simulated=True) as store, store._database.reading() as connection:
        return {
            table.name: sorted(
                repr([(name, value) for name, value in row.items() if name not in UNEQUAL and not isinstance(value, bytes)])
                for row in connection.execute(sa.select(table)).mappings()
            )
            for table in (measurement, superseded, payload, schedule, alias)
        }


@pytest.mark.slow
def test_nights_whose_writer_was_killed_end_as_undisturbed_ones(store_url, tmp_path, monkeypatch):
    undisturbed, chance = str(tmp_path / "undisturbed.db"), random.Random(3)
    context = get_context("forkserver")  # imports once, and forks a process per night
    context.set_forkserver_preload(["test_store_kill"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    statements = write(store_url, 0)
    write(undisturbed, 0)
    exits = []
    for number in range(1, NIGHTS + 1):
        start = time.perf_counter()
        write(undisturbed, number)
        seconds = time.perf_counter() - start
        if number % 2:
            exits.append(killed_at_a_statement(context, store_url, number, chance.randint(1, statements)))
        else:
            killed_after(context, store_url, number, chance.uniform(0, seconds))
        statements = min(statements, write(store_url, number))
    assert exits == [-signal.SIGKILL] * (NIGHTS // 2)
    assert contents(store_url) == contents(undisturbed)
    assert pa.Table.from_batches(read_whole(store_url)).equals(pa.Table.from_batches(read_whole(undisturbed)))


def read_whole(place):
    with Store.open(place, simulated=True) as store:
        return list(store.read(quality="all"))
