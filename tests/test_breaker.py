"""A host that fails every time is left alone, by all who ask it, and asked again by one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import Loopback, Reply
from test_session import CSV, FAST, FakeClock, service

from harvester.errors import Malformed, Refused, Resting, SourceError, Throttled, TimedOut, Truncated, Unreachable
from harvester.session import Client, Interrupted
from harvester.session.breaker import FAILURES, REST_S, Breaker

PATIENCE = 60.0
DOWN, UP = Reply(status=503), Reply(CSV)


@pytest.fixture
def server():
    with Loopback() as running:
        yield running


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(clock):
    with Client(clock=clock) as made:
        yield made


@pytest.fixture
def http(server, client):
    return client.session(service(server.url, retries=0))


@pytest.fixture
def breaker(clock):
    return Breaker("survey.example", clock)


def pass_through(breaker, error=None):
    with breaker.guarded(PATIENCE) as passage:
        passage.error = error
    return passage


def fail(http, times):
    for _ in range(times):
        with pytest.raises(Unreachable):
            http.get("q")


def test_after_five_failures_in_a_row_nothing_more_is_sent(server, http):
    server.script("/q", DOWN)
    fail(http, 5)
    with pytest.raises(Resting) as caught:
        http.get("q")
    assert len(server.seen) == FAILURES == 5
    assert (caught.value.outcome, caught.value.kind, caught.value.retry_after) == ("postponed", "unreachable", REST_S)
    assert "5 requests in a row failed" in caught.value.what
    assert "HTTP 503" in caught.value.why
    assert len(caught.value.lines()) == 3


def test_a_success_in_between_begins_the_count_anew(server, http):
    server.script("/q", DOWN, DOWN, DOWN, DOWN, UP, DOWN)
    fail(http, 4)
    assert http.get("q").body == CSV
    fail(http, 4)
    assert http.resting is None


def test_the_tries_of_one_request_count_once(server, client):
    server.script("/q", DOWN)
    http = client.session(service(server.url))
    fail(http, 4)
    assert (len(server.seen), http.resting) == (20, None)


def test_after_the_rest_one_probe_goes_through_and_its_success_closes(server, http, clock):
    server.script("/q", *[DOWN] * 5, UP)
    fail(http, 5)
    clock.time += REST_S - 1
    with pytest.raises(Resting) as caught:
        http.get("q")
    assert caught.value.retry_after == pytest.approx(1.0)
    clock.time += 1
    assert (http.resting, http.get("q").body, http.resting) == (0.0, CSV, None)


def test_a_probe_that_fails_is_tried_once_and_opens_again(server, client, clock):
    server.script("/q", DOWN)
    http = client.session(service(server.url))
    fail(http, 5)
    clock.time += REST_S
    before = len(server.seen)
    with pytest.raises(Unreachable) as caught:
        http.get("q")
    assert not isinstance(caught.value, Resting)
    assert len(server.seen) == before + 1
    assert http.resting == REST_S


def test_only_one_probe_at_a_time(breaker, clock):
    for _ in range(5):
        pass_through(breaker, Unreachable("down"))
    clock.time += REST_S
    with breaker.guarded(PATIENCE) as passage:
        assert passage.is_probe
        with pytest.raises(Resting) as caught, breaker.guarded(PATIENCE):
            pass
        assert caught.value.retry_after > 0
    assert breaker.resting is None


def test_an_interrupted_probe_leaves_the_next_one_to_try(breaker, clock):
    for _ in range(5):
        pass_through(breaker, Unreachable("down"))
    clock.time += REST_S
    with pytest.raises(Interrupted), breaker.guarded(PATIENCE):
        raise Interrupted
    assert pass_through(breaker).is_probe


@pytest.mark.parametrize("error", [Malformed("html"), Refused("who are you")])
def test_an_answer_that_is_of_no_use_still_shows_that_the_host_is_there(breaker, error):
    for _ in range(3):
        for _ in range(4):
            pass_through(breaker, Unreachable("down"))
        with pytest.raises(type(error)), breaker.guarded(PATIENCE):
            raise error
    assert breaker.resting is None


def test_half_an_answer_neither_opens_nor_closes(breaker):
    for _ in range(2):
        for _ in range(2):
            pass_through(breaker, TimedOut("silence"))
        for _ in range(9):
            pass_through(breaker, Truncated("cut off"))
    assert breaker.resting is None
    pass_through(breaker, Unreachable("down"))
    assert breaker.resting == REST_S


def test_a_host_that_names_a_long_wait_is_not_asked_again_within_it(server, http, clock):
    server.script("/q", Reply(status=429, headers={"Retry-After": "3600"}), UP)
    with pytest.raises(Throttled):
        http.get("q")
    clock.time += 600
    with pytest.raises(Throttled, match="not asked again before 50 min are over") as caught:
        http.get("q")
    assert (caught.value.retry_after, caught.value.outcome, len(server.seen)) == (3000.0, "postponed", 1)
    clock.time += 3000
    assert http.get("q").body == CSV


def test_an_answer_to_an_earlier_request_does_not_shorten_the_wait_that_was_asked_for(breaker):
    with breaker.guarded(PATIENCE):
        pass_through(breaker, Throttled("later", retry_after=3600))
    assert breaker.resting == 3600


def test_a_short_wait_that_was_kept_does_not_open_it(breaker):
    pass_through(breaker, Throttled("later", retry_after=5))
    assert breaker.resting is None


def test_being_throttled_to_the_end_every_time_opens_it(server, http):
    server.script("/q", Reply(status=429))
    for _ in range(5):
        with pytest.raises(Throttled):
            http.get("q")
    with pytest.raises(Throttled, match="asked us"):
        http.get("q")
    assert len(server.seen) == 5


def test_the_breaker_is_the_hosts_not_the_sources(server, client, http):
    server.script("/q", DOWN)
    server.script("/other", UP)
    fail(http, 5)
    with pytest.raises(Resting):
        client.session(service(server.url, name="another")).get("other")


def test_other_hosts_are_asked_on(server, client, http):
    server.script("/q", DOWN)
    fail(http, 5)
    with Loopback() as second:
        second.script("/q", UP)
        assert client.session(service(second.url)).get("q").body == CSV


def test_what_is_under_way_when_it_opens_is_not_tried_again(server, client):
    gate = threading.Event()
    server.script("/slow", Reply(status=503, gate=gate))
    server.script("/q", DOWN)
    http = client.session(service(server.url))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(http.get, "slow")
        while not any(seen.path == "/slow" for seen in list(server.seen)):
            time.sleep(0.005)
        fail(client.session(service(server.url, retries=0)), 5)
        gate.set()
        with pytest.raises(Unreachable):
            slow.result(timeout=10)
    assert sum(seen.path == "/slow" for seen in server.seen) == 1


def test_many_threads_send_no_more_than_what_was_under_way_when_it_opened(server, client):
    server.script("/q", DOWN)
    http = client.session(service(server.url, retries=0, pace=FAST))

    def ask(_):
        try:
            return http.get("q")
        except SourceError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(ask, range(200)))
    assert len(server.seen) <= FAILURES + FAST.at_once
    assert sum(isinstance(one, Resting) for one in ended) == 200 - len(server.seen)
