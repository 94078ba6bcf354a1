"""The engine: lanes, back-pressure, stopping, breakers, remote jobs; on real servers on this machine."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from loopback import Reply
from nights import DOWN, _surveys, answer, later, sky, small_sky, star
from stores import postgres_url, store, store_url

from harvester import lanes as lanes_
from harvester.errors import StoreError
from harvester.harvest import Stop, due, plan, run
from harvester.lanes import Crew, Lane
from harvester.session.pace import Pacer, Unsent
from harvester.source import Pace
from harvester.store import Store
from harvester.task import Task

__all__ = ["_surveys", "postgres_url", "sky", "small_sky", "store", "store_url"]


def task(number, source="night"):
    return Task(source, (star(number),), 1.5)


def lane(host, count, threads=1, **options):
    made = Lane(host, threads, **options)
    made.lines.append(iter([task(number, host) for number in range(count)]))
    return made


def told(outcomes):
    return {(outcome.target, outcome.source): outcome.kind for outcome in outcomes}


def statuses(store):
    with sqlite3.connect(store.place) as connection:
        return [row[0] for row in connection.execute("SELECT status FROM run ORDER BY id")]


def harvest(sky, tasks, **options):
    with sky.client() as client:
        return run(tasks, sky.store, client, sky.settings, **options)


def tasks_of(sky, sources, count):
    return plan([star(number) for number in range(count)], sources, sky.settings)


def test_a_slow_host_never_keeps_another_waiting():
    gate, order = threading.Event(), []

    def do(task):
        if task.source == "slow":
            assert gate.wait(10)
        return task

    crew = Crew([lane("slow", 3, threads=3), lane("quick", 20, threads=2)], do, Stop())
    for done in chain.from_iterable(crew.results(gate.set)):
        order.append(done.source)
        if order == ["quick"] * 20:
            gate.set()
    assert order == ["quick"] * 20 + ["slow"] * 3


def test_sources_of_one_host_take_turns():
    shared = lane("one", 3)
    shared.lines.append(iter([task(number, "two") for number in range(3)]))
    crew = Crew([shared], lambda task: task.source, Stop())
    assert list(chain.from_iterable(crew.results(lambda: None))) == ["one", "two"] * 3


def test_no_more_is_taken_than_the_one_that_writes_can_take():
    taken = []

    def endless():
        for number in range(10_000):
            taken.append(number)
            yield task(number)

    busy = Lane("host", 4)
    busy.lines.append(endless())
    results = Crew([busy], lambda task: task, Stop()).results(lambda: None)
    next(results)
    time.sleep(0.5)
    assert len(taken) <= 2 * lanes_.WAITING_TO_BE_WRITTEN + 4 + 2
    results.close()


def test_a_bug_of_ours_in_a_thread_ends_the_run_and_every_thread():
    def do(task):
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(Crew([lane("a", 5, 3), lane("b", 5, 3)], do, Stop()).results(lambda: None))
    assert threading.active_count() == before


def test_once_asked_to_stop_nothing_is_begun_and_what_is_under_way_is_finished():
    stop, begun = Stop(), []

    def do(task):
        begun.append(task)
        stop.asked = True
        time.sleep(0.05)
        return task

    crew = Crew([lane("host", 50, threads=3)], do, stop)
    assert len(list(chain.from_iterable(crew.results(lambda: None)))) == len(begun) <= 3
    assert crew.left_over


def test_a_deadline_stops_like_a_signal():
    crew = Crew([lane("host", 1000)], lambda _: time.sleep(0.02), Stop(0.2))
    list(crew.results(lambda: None))
    assert crew.left_over


class Rest:
    """A host that was left alone, and is well again once it was probed."""

    def __init__(self):
        self.left = 1.0

    def __call__(self):
        return self.left


def test_a_host_that_rests_is_probed_by_one_task_while_others_are_at_work():
    rest, under_way, most = Rest(), Counter(), Counter()

    def do(task):
        under_way[task.source] += 1
        most[task.source, rest.left] = max(most[task.source, rest.left], under_way[task.source])
        time.sleep(0.02)
        under_way[task.source] -= 1
        return task.source

    crew = Crew([lane("ill", 30, threads=4, resting=rest), lane("well", 60, threads=1)], do, Stop())
    done = []
    for source in chain.from_iterable(crew.results(lambda: None)):
        done.append(source)
        if len(done) == 15:
            assert set(done) == {"well"}
            rest.left = 0.0
        if source == "ill":
            rest.left = None
    assert Counter(done) == {"ill": 30, "well": 60}
    assert most["ill", 0.0] == 1
    assert most["ill", None] > 1


def test_a_run_does_not_wait_for_a_host_that_rests():
    start = time.monotonic()
    crew = Crew(
        [lane("ill", 30, threads=2, resting=lambda: 60.0), lane("ill too", 30, threads=2, resting=lambda: 60.0)], lambda _: 1, Stop()
    )
    assert sum(chain.from_iterable(crew.results(lambda: None))) == 60
    assert time.monotonic() - start < 5


def test_one_host_down_leaves_the_others_complete_and_is_soon_left_alone(small_sky):
    for number in range(30):
        small_sky.says("night", star(number), answer(star(number)))
        small_sky.says("other", star(number), DOWN)
    outcomes = told(harvest(small_sky, tasks_of(small_sky, ["night", "other"], 30)))
    assert [outcomes[f"T{number}", "night"] for number in range(30)] == ["new"] * 30
    kinds = Counter(outcomes[f"T{number}", "other"] for number in range(30))
    assert set(kinds) == {"failed", "postponed"}
    assert kinds["failed"] <= 12
    assert len(small_sky.asked("other")) <= 12 * 5
    assert statuses(small_sky.store) == ["partial"]


def test_what_was_postponed_for_a_host_that_was_down_is_first_in_line_at_the_next_update(small_sky):
    for number in range(30):
        small_sky.says("other", star(number), DOWN)
    outcomes = harvest(small_sky, tasks_of(small_sky, ["other"], 30))
    postponed = {outcome.target for outcome in outcomes if outcome.kind == "postponed"}
    for number in range(30):
        small_sky.says("other", star(number), answer(star(number)))
    tasks = list(due(small_sky.store, ["other"], small_sky.settings, now=later(hours=3)).parts[0].tasks)
    assert {task.targets[0].name for task in tasks[: len(postponed)]} == postponed
    assert set(told(harvest(small_sky, tasks)).values()) == {"new"}


def test_each_failure_names_its_class(small_sky):
    answers = {
        "unreachable": DOWN,
        "refused": Reply(status=401),
        "malformed": Reply(b"<html>maintenance</html>", headers={"Content-Type": "text/html"}),
        "truncated": Reply(b"x" * 1000, truncate=10),
        "throttled": Reply(status=429, headers={"Retry-After": "3600"}),
    }
    for number, (_, reply) in enumerate(answers.items()):
        small_sky.says("night", star(number), reply)
    outcomes = harvest(small_sky, tasks_of(small_sky, ["night"], len(answers)), stop=None)
    found = {outcome.target: outcome.error for outcome in outcomes if outcome.kind != "postponed" or outcome.error == "throttled"}
    expected = {f"T{number}": name for number, name in enumerate(answers)}
    assert found.items() <= expected.items()
    assert found["T4"] == "throttled"


def test_a_run_that_is_stopped_says_so_and_the_next_one_does_the_rest(small_sky):
    for number in range(40):
        small_sky.says("night", star(number), answer(star(number)))
        small_sky.store.add_target(star(number))
    stop = Stop()

    def first_ones(outcome):
        stop.asked = True

    first = harvest(small_sky, due(small_sky.store, ["night"], small_sky.settings), stop=stop, on_outcome=first_ones)
    second = harvest(small_sky, due(small_sky.store, ["night"], small_sky.settings))
    assert 0 < len(first) < 40
    assert len(first) + len(second) == 40
    assert statuses(small_sky.store) == ["interrupted", "done"]
    assert Counter(target for target, _ in small_sky.asked("night")) == {f"T{number}": 1 for number in range(40)}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(b"later", status=503, headers={"Retry-After": "50"}, delay=1.0), ("postponed", "throttled")),
        (Reply(b"down", status=502, delay=1.0), ("failed", "unreachable")),
    ],
)
def test_who_is_asked_to_stop_finishes_what_was_sent_and_tries_nothing_again(small_sky, reply, expected):
    small_sky.says("night", star(0), reply)
    small_sky.store.add_target(star(0))
    stop = Stop()

    def asked_in_mid_answer():
        while not small_sky.server.seen:
            time.sleep(0.01)
        stop.asked = True

    threading.Thread(target=asked_in_mid_answer, daemon=True).start()
    began = time.monotonic()
    (outcome,) = harvest(small_sky, due(small_sky.store, ["night"], small_sky.settings), stop=stop)
    assert (outcome.kind, outcome.error) == expected
    assert len(small_sky.server.seen) == 1
    assert time.monotonic() - began < 40


def test_what_waits_behind_a_host_that_asked_us_to_wait_is_put_off_when_the_run_is_to_end(small_sky):
    stop = Stop()
    with small_sky.client() as client:
        client.clock.ending = lambda: stop.asked
        pacer = Pacer(Pace(per_second=10, at_once=2), client.clock)
        pacer.hold(50)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(pacer.step)
            stop.asked = True
            with pytest.raises(Unsent):
                waiting.result(timeout=20)


def test_the_work_of_tasks_can_be_done_elsewhere(small_sky):
    for number in range(5):
        small_sky.says("night", star(number), answer(star(number)))
    with ThreadPoolExecutor(2, thread_name_prefix="elsewhere") as pool:
        outcomes = harvest(small_sky, tasks_of(small_sky, ["night"], 5), executor=pool)
    assert set(told(outcomes).values()) == {"new"}


def test_a_store_on_a_full_disk_ends_the_run_at_once_and_the_next_one_completes_it(small_sky):
    for number in range(60):
        small_sky.says("night", star(number), answer(star(number), days=400))
    database = small_sky.store._database
    full = Store.open(small_sky.store.place, simulated=True)
    with full._database.engine.connect() as connection:  # the pool hands the same connection out again
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 40}")
    with small_sky.client() as client, pytest.raises(StoreError, match="cannot be used") as caught:
        run(tasks_of(small_sky, ["night"], 60), full, client, small_sky.settings)
    assert "full" in caught.value.why
    assert threading.active_count() < 20
    full.close()
    outcomes = harvest(small_sky, tasks_of(small_sky, ["night"], 60))
    assert set(told(outcomes).values()) <= {"new", "unchanged"}
    assert sum(small_sky.store.points().values()) == 60 * 400
    assert not [finding for finding in small_sky.store.check() if finding.problems]
    database.engine.dispose()


def test_a_remote_job_is_submitted_once_however_many_runs_it_takes(sky):
    sky.says("queue", star(1), Reply(b"J1\n"))
    sky.says("queue", "jobs/J1", Reply(b"queued\n"), Reply(b"queued\n"), answer(star(1)))
    sky.store.add_target(star(1))
    kinds = []
    for hours in (0, 1, 2, 3):
        plan = due(sky.store, ["queue"], sky.settings, now=later(hours=hours))
        kinds += [outcome.kind for outcome in harvest(sky, plan)]
    assert kinds == ["pending", "pending", "new"]
    assert [name for name, _ in sky.asked("queue")] == ["T1", "jobs/J1", "jobs/J1", "jobs/J1"]
    assert sky.store.timetable.jobs() == []
    assert sky.store.status()[0]["failures"] == 0


def test_a_job_that_failed_on_the_way_stays_until_its_answer_is_stored(sky):
    sky.says("queue", star(1), Reply(b"J1\n"))
    sky.says("queue", "jobs/J1", DOWN)
    sky.store.add_target(star(1))
    assert [outcome.kind for outcome in harvest(sky, due(sky.store, ["queue"], sky.settings))] == ["failed"]
    assert [job.remote for job in sky.store.timetable.jobs()] == ["J1"]
    sky.says("queue", "jobs/J1", answer(star(1)))
    assert [outcome.kind for outcome in harvest(sky, due(sky.store, ["queue"], sky.settings, now=later(days=1)))] == ["new"]
    assert [name for name, _ in sky.asked("queue")].count("T1") == 1


def test_the_jobs_of_an_answer_go_with_it_or_not_at_all(sky, monkeypatch):
    sky.says("queue", star(1), Reply(b"J1\n"))
    sky.says("queue", "jobs/J1", answer(star(1)))
    sky.store.add_target(star(1))

    def killed(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("harvester.store.write.keep_ids", killed)
    with pytest.raises(ZeroDivisionError):
        harvest(sky, due(sky.store, ["queue"], sky.settings))
    assert (len(sky.store.timetable.jobs()), sky.store.points()) == (1, {})
    monkeypatch.undo()


@pytest.mark.parametrize("wait", [False, True])
def test_two_updates_of_one_store_follow_one_another(sky, store_url, wait):
    begun, order = threading.Event(), []

    def second():
        with Store.open(store_url, simulated=True) as other, other.alone(wait=wait) as mine:
            order.append(("second", mine))

    with sky.store.alone() as mine:
        order.append(("first", mine))
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait(0.5)
        order.append(("first ends", True))
    thread.join()
    if wait:
        assert order == [("first", True), ("first ends", True), ("second", True)]
    else:
        assert order == [("first", True), ("second", False), ("first ends", True)]


HOLDER = """
import sys, time
from harvester.store import Store
with Store.open(sys.argv[1], simulated=True) as store, store.alone() as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_crash_leaves_no_lock_behind(store, store_url):
    with subprocess.Popen([sys.executable, "-c", HOLDER, store_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with store.alone() as mine:
            assert not mine
        os.kill(process.pid, signal.SIGKILL)
    with store.alone(wait=True) as mine:
        assert mine


def test_the_lock_is_the_same_by_whatever_way_the_store_is_reached(tmp_path):
    with Store.open(tmp_path / "s.db", simulated=True) as store:
        (tmp_path / "link.db").symlink_to(tmp_path / "s.db")
        with Store.open(tmp_path / "link.db", simulated=True) as other, store.alone() as mine, other.alone() as also:
            assert (mine, also) == (True, False)
