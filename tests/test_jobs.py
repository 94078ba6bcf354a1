"""Remote jobs: submitted once, however many runs ask and however they ended."""

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from loopback import Loopback, Reply
from test_session import FakeClock, service

from harvester.errors import Pending, Refused, Throttled, Unreachable
from harvester.jobs import LONGEST, Job, ShortMemory, asked, key_of, written
from harvester.session import Client, Errand
from harvester.source import Http, Query
from harvester.store.jobs import StoredJobs, jobs, strike
from harvester.target import Target

STAR = Target("RR Lyr", 291.36631, 42.78436, pmra=-109.7, pmdec=-195.9)
QUERY = Query((STAR,), 1.5, since=60000.0)


class Service:
    """Takes jobs; `known` are those that it has."""

    def __init__(self, trouble=None):
        self.trouble, self.known = trouble, {}

    def submit(self, tag):
        self.known[tag] = f"task/{len(self.known) + 1}"
        if self.trouble:
            raise self.trouble
        return self.known[tag]

    def find(self, tag):
        return self.known.get(tag)


class Killed(BaseException):
    """As if the process had gone."""


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def book(request, tmp_path):
    """Where jobs are written down."""
    if request.param == "memory":
        return ShortMemory()
    from stores import some_place

    from harvester.store import Store

    place = request.getfixturevalue("exits").enter_context(some_place(request, tmp_path / "store.db"))
    store = request.getfixturevalue("exits").enter_context(Store.open(place, simulated=True))
    return StoredJobs(store._database)


@pytest.fixture
def exits():
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield stack


def run(book, query=QUERY):
    """A later run's view of the same question."""
    return Errand(book, "atlas", query)


def test_a_job_is_submitted_once_however_many_runs_ask(book):
    service = Service()
    assert {run(book).job(service.submit, None, "") for _ in range(3)} == {"task/1"}
    assert len(service.known) == 1


def test_a_job_whose_answer_was_stored_is_struck_off_and_the_next_question_is_new(book):
    service, errand = Service(), run(book)
    errand.job(service.submit, None, "")
    (key,) = errand.finished("new")
    book.forget("atlas", key)
    assert run(book).job(service.submit, None, "") == "task/2"


@pytest.mark.parametrize(
    ("outcome", "over"), [("new", 1), ("unchanged", 1), ("empty", 1), ("suspicious", 1), ("pending", 0), ("failed", 0)]
)
def test_a_job_is_over_when_its_answer_was_taken_and_stays_when_it_was_not(outcome, over):
    errand = run(ShortMemory())
    errand.job(Service().submit, None, "")
    assert len(errand.finished(outcome)) == over


def test_a_source_can_say_that_its_job_is_over_though_the_visit_failed():
    errand = run(ShortMemory())
    errand.job(Service().submit, None, "")
    errand.done()
    assert errand.finished("failed") == (key_of(QUERY),)


def test_after_done_the_same_visit_may_submit_anew_and_that_job_stays():
    book, service = ShortMemory(), Service()
    errand = run(book)
    errand.job(service.submit, None, "")
    errand.done()
    assert errand.job(service.submit, None, "") == "task/2"
    assert errand.finished("pending") == ()
    assert run(book).job(service.submit, None, "") == "task/2"


def test_a_kill_between_intent_and_answer_is_healed_by_looking_for_the_tag(book):
    service = Service(trouble=Killed())
    with pytest.raises(Killed):
        run(book).job(service.submit, service.find, "")
    assert book.get("atlas", key_of(QUERY)).remote is None
    service.trouble = None
    assert run(book).job(service.submit, service.find, "") == "task/1"
    assert len(service.known) == 1
    assert book.get("atlas", key_of(QUERY)).remote == "task/1"


def test_without_a_way_to_look_it_is_submitted_again_and_the_log_says_so(caplog):
    book, service = ShortMemory(), Service(trouble=Killed())
    with pytest.raises(Killed):
        run(book).job(service.submit, None, "")
    service.trouble = None
    assert run(book).job(service.submit, None, "") in service.known.values()
    assert "submitting again" in caplog.text


def test_an_answer_lost_on_the_way_is_looked_for_before_anything_is_submitted_again():
    book, service = ShortMemory(), Service(trouble=Unreachable("lost"))
    with pytest.raises(Unreachable):
        run(book).job(service.submit, service.find, "")
    assert run(book).job(service.submit, service.find, "") == "task/1"


@pytest.mark.parametrize("trouble", [Refused("who are you"), Throttled("later")])
def test_what_the_service_certainly_did_not_take_leaves_nothing_behind(trouble):
    book = ShortMemory()
    with pytest.raises(type(trouble)):
        run(book).job(Service(trouble=trouble).submit, None, "")
    assert book.get("atlas", key_of(QUERY)) is None


def test_a_job_that_the_service_has_long_forgotten_is_submitted_anew(book):
    service = Service()
    run(book).job(service.submit, None, "")
    known = book.get("atlas", key_of(QUERY))
    book.put(replace(known, submitted=written(datetime.now(UTC) - LONGEST - timedelta(hours=1))))
    assert run(book).job(service.submit, None, "") == "task/2"


def test_jobs_of_one_question_are_told_apart_by_name():
    book, service = ShortMemory(), Service()
    errand = run(book)
    assert errand.job(service.submit, None, "difference") != errand.job(service.submit, None, "reduced")
    assert len(errand.finished("new")) == 2


@pytest.mark.parametrize(
    "other",
    [
        Query((replace(STAR, ra=10.0),), 1.5, since=60000.0),
        Query((replace(STAR, pmra=0.0),), 1.5, since=60000.0),
        Query((STAR,), 2.0, since=60000.0),
        Query((STAR,), 1.5, since=60001.0),
        Query((STAR,), 1.5, since=60000.0, until=60010.0),
        Query((STAR, replace(STAR, name="another")), 1.5, since=60000.0),
        Query((STAR,), 1.5, since=60000.0, options={"reduced": True}),
    ],
)
def test_another_question_is_another_job(other):
    assert key_of(other) != key_of(QUERY)


def test_what_becomes_known_of_a_target_meanwhile_changes_nothing():
    known = replace(STAR, ids={"ATLAS": ("7",)}, aliases=("HD 182989",))
    assert key_of(Query((known,), 1.5, since=60000.0)) == key_of(QUERY)


def test_a_job_keeps_what_was_asked_so_that_a_later_run_can_ask_the_same():
    book = ShortMemory()
    run(book).job(Service().submit, None, "")
    kept = json.loads(book.get("atlas", key_of(QUERY)).state)
    again = Query((STAR,), kept["radius"], kept["since"], kept["until"], kept["options"])
    assert kept["targets"] == ["RR Lyr"]
    assert key_of(again) == key_of(QUERY)
    assert asked(again) == asked(QUERY)


def test_the_tag_of_every_submission_is_another():
    first = Job("atlas", key_of(QUERY), None, "2026-11-21T10:00:00.000Z")
    assert first.tag != replace(first, submitted="2026-11-21T10:00:00.001Z").tag
    assert len(first.tag) < 40


# on the road


@pytest.fixture
def http():
    with Loopback() as server, Client(clock=FakeClock()) as client:
        server.script("/queue", Reply(b"77", status=201))
        yield client.session(service(server.url, name="atlas"), Errand(ShortMemory(), "atlas", QUERY)), server


def test_a_session_offers_jobs_to_sources(http):
    session, server = http
    checked: Http = session

    def submit(tag):
        return session.post("queue", data={"ra": 1, "comment": tag}, idempotent=False).body.decode()

    assert [checked.job(submit), checked.job(submit)] == ["77", "77"]
    assert len(server.seen) == 1
    assert session.finished_jobs("new") == (key_of(QUERY),)


def test_a_pending_visit_is_no_failure_and_says_when_to_come_back(http):
    with pytest.raises(Pending) as caught:
        http[0].pending("place 12 in the queue", 600)
    assert (caught.value.outcome, caught.value.kind, caught.value.retry_after) == ("pending", "", 600)
    assert caught.value.lines() == ["atlas: place 12 in the queue", "Its answer is fetched by the first run after 10 min."]


# in the store


@pytest.fixture
def stored(store):
    return StoredJobs(store._database)


def test_a_job_is_written_in_place_of_the_earlier_one(stored, store):
    job = Job("atlas", "k", None, "2026-11-21T10:00:00.000Z", '{"targets": []}')
    for given in (job, replace(job, remote="https://atlas.example/queue/7/")):
        stored.put(given)
        assert stored.get("atlas", "k") == given
    with store._database.reading() as connection:
        assert len(jobs(connection)) == 1


def test_a_job_is_struck_off_with_the_visit_or_not_at_all(stored, store):
    for source in ("atlas", "ztf_fp"):
        stored.put(Job(source, "k", "7", "2026-11-21T10:00:00.000Z"))

    def killed_before_the_end():
        with store._database.writing() as connection:
            strike(connection, "atlas", ["k"])
            raise Killed

    with pytest.raises(Killed):
        killed_before_the_end()
    assert stored.get("atlas", "k")
    with store._database.writing() as connection:
        strike(connection, "atlas", ["k"])
    assert stored.get("atlas", "k") is None
    assert stored.get("ztf_fp", "k")


def test_many_threads_may_write_jobs_down_at_once(stored, store):
    def put(number):
        stored.put(Job("atlas", f"k{number % 20}", str(number), "2026-11-21T10:00:00.000Z"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(100)))
    with store._database.reading() as connection:
        assert {job.key for job in jobs(connection)} == {f"k{number}" for number in range(20)}


RUN = """
import sys
from harvester.session import Client, Errand, Service
from harvester.source import Pace, Query
from harvester.store import Store
from harvester.store.jobs import StoredJobs

place, url = sys.argv[1:]
query = Query.at(1.0, 2.0)
with Store.open(place, simulated=True) as store, Client() as client:
    http = client.session(Service("atlas", url, Pace(100, 4)), Errand(StoredJobs(store._database), "atlas", query))
    submit = lambda tag: http.post("queue", data={"comment": tag}, idempotent=False).body.decode()
    find = lambda tag: http.get("list", comment=tag).body.decode() or None
    print(http.job(submit, find))
"""


@pytest.mark.parametrize("moment", ["before the service answers", "after the service answered"])
def test_a_process_killed_around_the_submission_submits_nothing_twice(tmp_path, moment):
    """The service takes the job in both cases; in the first its answer never arrives."""
    gate = threading.Event()
    with Loopback() as server:
        early = moment.startswith("before")
        server.script("/queue", Reply(b"77", status=201, gate=gate if early else None))
        server.script("/list", Reply(b"77"))
        words = [sys.executable, "-c", RUN, str(tmp_path / "store.db"), server.url]
        first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        if early:
            wait_until(lambda: any(seen.path == "/queue" for seen in list(server.seen)))
        else:
            assert first.stdout.readline() == "77\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
        again = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        gate.set()
        asked_for = [seen.path for seen in server.seen]
        tags = {seen.form["comment"][0] for seen in server.seen if seen.path == "/queue"}
        looked = {seen.params["comment"][0] for seen in server.seen if seen.path == "/list"}
    assert again.stdout == "77\n"
    assert asked_for == (["/queue", "/list"] if early else ["/queue"])
    assert looked == (tags if early else set())


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
