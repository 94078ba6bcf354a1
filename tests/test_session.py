from __future__ import annotations

import contextlib
import email
import gzip
import io
import logging
import pickle
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpcore
import pytest
from loopback import Loopback, Reply

from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.errors import BadSettings, Malformed, Refused, SourceError, Throttled, TimedOut, Truncated, Unreachable
from harvester.session import Client, Clock, Credentials, DryRun, Event, Interrupted, Service, body
from harvester.session.listening import Listening
from harvester.session.pace import Pacer, backoff
from harvester.session.verdict import Answer, complaint, judge, retry_after
from harvester.source import Http, Pace

SHARED = Path(__file__).parents[2] / "shared" / "fixtures"
FAST = Pace(per_second=1e6, at_once=8)
CSV = b"time,mag\n1,2\n"
SECRET = "s3cr3t/token+42"


class FakeClock(Clock):
    """Time that passes only by sleeping."""

    def __init__(self, chance: float = 0.5) -> None:
        super().__init__()
        self.time, self.slept, self._chance = 100.0, [], chance

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        super().sleep(0)
        self.slept.append(seconds)
        self.time += seconds

    def chance(self) -> float:
        return self._chance


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


def service(url, **changes) -> Service:
    return Service(**({"name": "demo", "base_url": url, "pace": FAST} | changes))


@pytest.fixture
def http(server, client):
    return client.session(service(server.url))


# what is sent, what is kept


def test_a_session_is_what_the_contract_promises_to_sources(http):
    checked: Http = http
    assert {"get", "post", "wait"} <= set(dir(checked))


def test_paths_are_joined_below_the_base_url(server, client):
    server.script("/deep/base/query", Reply(CSV))
    for base in ("deep/base", "deep/base/"):
        for path in ("query", "/query"):
            assert client.session(service(server.url + base)).get(path).body == CSV


def test_an_empty_path_asks_the_base_url_itself(server, client):
    server.script("/nph", Reply(CSV))
    assert client.session(service(server.url + "nph")).get("", ID="1").body == CSV


def test_parameters_repeat_for_lists_and_vanish_for_none(server, http):
    server.script("/q", Reply(CSV))
    http.get("q?fixed=1", ID=["7", 8], since=None, ok=True, POS="CIRCLE 1 +2")
    assert server.seen[0].params == {"fixed": ["1"], "ID": ["7", "8"], "ok": ["true"], "POS": ["CIRCLE 1 +2"]}


def test_a_payload_says_what_was_received_from_where_and_when(server, http):
    server.script("/q", Reply(CSV))
    payload = http.get("q", ID=["7", 8], FORMAT="CSV", since=None)
    assert (payload.body, payload.source, payload.content_type, payload.doubt) == (CSV, "demo", "text/csv", "")
    assert payload.url == server.url + "q?ID=7&ID=8&FORMAT=CSV"
    assert payload.params == {"ID": ["7", "8"], "FORMAT": "CSV"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payload.time)


def test_the_user_agent_names_version_and_contact(server, clock):
    server.script("/q", Reply())
    with Client(contact="me@example.org", version="0.1.0", clock=clock) as client:
        client.session(service(server.url)).get("q")
    assert server.seen[0].headers["user-agent"] == "harvester/0.1.0 (+me@example.org)"


def test_a_contact_that_would_break_the_header_is_refused():
    with pytest.raises(BadSettings, match="contact"):
        Client(contact="me@example.org\r\nX: y")


def test_a_post_sends_a_form_and_keeps_what_it_said(server, http):
    server.script("/tap", Reply(CSV))
    payload = http.post("tap", data={"QUERY": "SELECT 1", "ID": ["a", "b"]}, run="1")
    assert (server.seen[0].method, server.seen[0].params) == ("POST", {"run": ["1"]})
    assert server.seen[0].form == {"QUERY": ["SELECT 1"], "ID": ["a", "b"]}
    assert payload.params == {"run": "1", "QUERY": "SELECT 1", "ID": ["a", "b"]}


def test_files_are_sent_as_multipart(server, http):
    server.script("/tap", Reply(CSV))
    http.post("tap", data={"UPLOAD": "t,param:up"}, files={"up": ("t.xml", b"\x00\r\n--<VOTABLE/>", "text/xml"), "raw": b"1"})
    seen = server.seen[0]
    parts = email.message_from_bytes(f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode() + seen.body).get_payload()
    said = [(p.get_param("name", header="content-disposition"), p.get_filename(), p.get_payload(decode=True)) for p in parts]
    assert said == [("UPLOAD", None, b"t,param:up"), ("up", "t.xml", b"\x00\r\n--<VOTABLE/>"), ("raw", "raw", b"1")]
    assert parts[1].get_content_type() == "text/xml"


def test_a_compressed_answer_is_unpacked(server, http):
    server.script("/q", Reply(gzip.compress(CSV) + gzip.compress(CSV), headers={"Content-Encoding": "gzip"}))
    assert http.get("q").body == CSV + CSV
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_an_answer_larger_than_one_step_of_unpacking_is_whole(server, http):
    data = bytes(range(256)) * (3 << 12)
    server.script("/q", Reply(gzip.compress(data), headers={"Content-Encoding": "gzip"}))
    assert http.get("q").body == data


def test_a_compressed_answer_is_whole_wherever_the_wire_divides_it(monkeypatch):
    monkeypatch.setattr(body, "STEP", 64)
    data = bytes(5000) + bytes(range(256))
    packed = gzip.compress(data)
    for split in range(len(packed)):
        received = body.Body("gzip", 6000)
        received.feed(packed[:split])
        received.feed(packed[split:])
        assert received.whole() == data


def test_an_empty_body_is_no_damage_even_if_called_compressed(server, http):
    server.script("/q", Reply(b"", headers={"Content-Encoding": "gzip"}))
    assert http.get("q").body == b""


def test_an_encoding_that_nobody_asked_for_is_malformed(server, http):
    server.script("/q", Reply(b"xx", headers={"Content-Encoding": "gzip, gzip"}))
    with pytest.raises(Malformed, match="encoding"):
        http.get("q")


def test_no_cookie_is_kept(server, http):
    server.script("/q", Reply(CSV, headers={"Set-Cookie": "id=1; Path=/"}))
    http.get("q")
    http.get("q")
    assert "cookie" not in server.seen[1].headers


# trying again


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_failure_is_tried_again_with_growing_waits(server, http, clock, status):
    server.script("/q", Reply(status=status), Reply(status=status), Reply(status=status), Reply(CSV))
    assert http.get("q").body == CSV
    assert clock.slept == [0.5, 1.0, 2.0]


def test_the_waits_are_spread_and_bounded():
    assert [backoff(n, 0.999999) for n in (1, 2, 3, 9)] == pytest.approx([1, 2, 4, 30], rel=1e-5)
    assert backoff(5, 0.0) == 0.0
    assert 0 <= Clock().chance() < 1


def test_a_failure_that_stays_is_unreachable_after_every_retry(server, http):
    server.script("/q", Reply(b"<html><body><h1>Gateway Time-out</h1></body></html>", status=504))
    with pytest.raises(Unreachable, match="HTTP 504") as caught:
        http.get("q")
    assert caught.value.why == "Gateway Time-out"
    assert len(server.seen) == 5


def test_an_internal_error_is_tried_once_more_and_its_reason_told(server, http):
    server.script("/data", Reply(b"Invalid Data Structure parameter: 'X', valid ones are: RAW, INDIVIDUAL", status=500))
    with pytest.raises(Unreachable, match="Invalid Data Structure parameter"):
        http.post("data", data={"DATA_STRUCTURE": "X"})
    assert len(server.seen) == 2


@pytest.mark.parametrize("bad", [Reply(reset=True), Reply(CSV, truncate=4)], ids=["reset", "cut off"])
def test_a_lost_answer_is_asked_for_again(server, http, bad):
    server.script("/q", bad, bad, Reply(CSV))
    assert http.get("q").body == CSV


def test_a_body_that_is_always_cut_off_is_never_taken_for_data(server, http):
    server.script("/q", Reply(CSV, truncate=4))
    with pytest.raises(Unreachable):
        http.get("q")
    assert len(server.seen) == 5


def test_a_compressed_body_cut_inside_is_never_taken_for_whole(server, http):
    packed = gzip.compress(CSV * 1000)
    server.script("/q", Reply(packed[:-9], headers={"Content-Encoding": "gzip"}), Reply(packed, headers={"Content-Encoding": "gzip"}))
    assert http.get("q").body == CSV * 1000
    assert len(server.seen) == 2


def test_a_damaged_compressed_body_is_unreachable(server, http):
    server.script("/q", Reply(b"no gzip at all", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Unreachable, match="compression is damaged"):
        http.get("q")


def test_silence_is_tried_again(server, client):
    gate = threading.Event()
    server.script("/q", Reply(CSV, gate=gate), Reply(CSV))
    assert client.session(service(server.url, timeout_s=0.1)).get("q").body == CSV
    gate.set()
    assert len(server.seen) == 2


def test_nobody_listening_is_unreachable(client, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        http = client.session(service(f"http://127.0.0.1:{unused.getsockname()[1]}/", retries=2))
        with pytest.raises(Unreachable, match="No connection"):
            http.get("q")
    assert len(clock.slept) == 2


def test_what_must_not_be_repeated_is_not(server, http):
    server.script("/submit", Reply(status=502), Reply(CSV))
    with pytest.raises(Unreachable):
        http.post("submit", data={"job": 1}, idempotent=False)
    assert len(server.seen) == 1


def test_what_must_not_be_repeated_is_when_the_service_only_said_later(server, http):
    server.script("/submit", Reply(status=429), Reply(CSV))
    assert http.post("submit", data={"job": 1}, idempotent=False).body == CSV


def test_a_post_is_repeated_whole(server, http):
    server.script("/tap", Reply(reset=True), Reply(CSV))
    http.post("tap", data={"QUERY": "SELECT 1"})
    assert [seen.form for seen in server.seen] == [{"QUERY": ["SELECT 1"]}] * 2


# being asked to wait


def test_retry_after_in_seconds_is_kept(server, http, clock):
    server.script("/q", Reply(status=429, headers={"Retry-After": "7"}), Reply(CSV))
    assert http.get("q").body == CSV
    assert clock.slept == [7.0]


def test_retry_after_as_a_date_is_measured_by_the_servers_own_clock(server, http, clock):
    dates = {"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Retry-After": "Sat, 01 Jan 2000 00:00:20 GMT"}
    server.script("/q", Reply(status=503, headers=dates), Reply(CSV))
    http.get("q")
    assert clock.slept == [20.0]


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_longer_wait_than_a_run_should_take_is_throttled_at_once(server, http, clock, status):
    server.script("/q", Reply(status=status, headers={"Retry-After": "3600"}))
    with pytest.raises(Throttled, match="Retry-After 3600 s") as caught:
        http.get("q")
    assert (caught.value.retry_after, clock.slept, len(server.seen)) == (3600.0, [], 1)
    assert caught.value.hint == "Try again in 60 min."


def test_too_many_requests_to_the_end_is_throttled_not_unreachable(server, http):
    server.script("/q", Reply(status=429))
    with pytest.raises(Throttled) as caught:
        http.get("q")
    assert (caught.value.retry_after, len(server.seen)) == (None, 5)


def test_retry_after_holds_every_thread_that_asks_the_host(server, client, clock):
    server.script("/q", Reply(status=429, headers={"Retry-After": "30"}), Reply(CSV))
    other = client.session(service(server.url, name="other"))
    began = clock.time
    moments = []
    original = clock.sleep

    def sleep(seconds):
        if seconds == 30.0 and not moments:
            moments.append(clock.time)
            other.get("q")
            moments.append(clock.time)
        original(seconds)

    clock.sleep = sleep
    client.session(service(server.url)).get("q")
    assert moments[0] == began
    assert moments[1] >= began + 30


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (429, {}, b'{"detail":"Request was throttled. Expected available in 12 seconds."}', 12.0),
        (429, {}, b'{"detail":"Request was throttled. Expected available in 3 minutes."}', 180.0),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "44"}, b"", 45.0),  # whole seconds, cut off
        (429, {"x-rate-limit-reset": "17"}, b'{"id_code":429,"id_message":"Too Many Requests"}', 17.0),
        (429, {"Retry-After": "9", "X-RateLimit-Reset": "44"}, b"", 9.0),
        (403, {"X-RateLimit-Remaining": "0", "RateLimit-Reset": "5"}, b"", 5.0),
        (403, {}, b'{"message":"Request limit exceeded. Either wait an hour, or see the documentation."}', None),
        (503, {}, b"<html><body><h1>Too many connections</h1></body></html>", None),
    ],
)
def test_services_ask_to_wait_in_many_ways(status, headers, body, wait):
    answer = Answer(status, {name.lower(): value for name, value in headers.items()}, body)
    trouble = judge(answer, "demo: host", patience=3600)
    assert isinstance(trouble.error, Throttled)
    assert (trouble.wait, trouble.error.retry_after, trouble.undone) == (wait, wait, True)


def test_a_reset_as_a_moment_is_measured_by_the_servers_own_clock():
    headers = {"x-ratelimit-reset": "1700000030", "date": "Tue, 14 Nov 2023 22:13:20 GMT"}
    assert judge(Answer(429, headers, b""), "demo", patience=60).wait == 30.0


@pytest.mark.parametrize("value", ["soon", "-1", "1e9", "9" * 400, ""])
def test_a_reset_that_cannot_be_read_is_none(value):
    assert judge(Answer(429, {"x-ratelimit-reset": value}, b""), "demo", patience=60).wait is None


@pytest.mark.parametrize(("status", "error"), [(403, Refused), (503, Unreachable)])
def test_a_plain_403_or_503_asks_nobody_to_wait(status, error):
    trouble = judge(Answer(status, {"x-ratelimit-remaining": "7"}, b"Just a moment..."), "demo", patience=60)
    assert isinstance(trouble.error, error)


def test_being_asked_to_wait_without_a_figure_holds_all_who_ask_the_host(server, client, clock):
    server.script("/q", Reply(status=429), Reply(CSV))
    http, starts = client.session(service(server.url)), []
    hold = http._own.pacer.hold
    http._own.pacer.hold = lambda seconds: (starts.append(seconds), hold(seconds))
    http.get("q")
    assert starts == [0.5]


@pytest.mark.parametrize(
    ("reply", "kind", "word"),
    [
        (Reply(reset=True), Unreachable, "unreachable"),
        (Reply(status=502), Unreachable, "unreachable"),
        (Reply(status=504), TimedOut, "timeout"),
        (Reply(CSV, delay=5), TimedOut, "timeout"),
        (Reply(CSV, truncate=4), Truncated, "truncated"),
        (Reply(gzip.compress(CSV)[:-9], headers={"Content-Encoding": "gzip"}), Truncated, "truncated"),
        (Reply(status=429), Throttled, "throttled"),
        (Reply(status=401), Refused, "refused"),
        (Reply(status=404), Malformed, "malformed"),
    ],
)
def test_every_failure_has_its_class(server, client, reply, kind, word):
    server.script("/q", reply)
    with pytest.raises(SourceError) as caught:
        client.session(service(server.url, timeout_s=0.1, retries=1)).get("q")
    assert (type(caught.value), caught.value.kind) == (kind, word)
    assert caught.value.outcome == ("postponed" if kind is Throttled else "failed")


def test_an_error_survives_a_process_border_with_all_that_is_known():
    error = pickle.loads(pickle.dumps(Throttled("later", "busy", "wait", retry_after=7.0)))
    assert (error.lines(), error.retry_after) == (["later", "busy", "wait"], 7.0)


def test_no_host_sees_more_than_its_pace_from_threads_and_services_together():
    app = Emulator(latency=0.05)
    with serve(app) as running, Client() as client, ThreadPoolExecutor(12) as pool:
        official = "https://irsa.ipac.caltech.edu/"
        base = f"{running.url}/irsa.ipac.caltech.edu/"
        lookup, photometry = (
            client.session(Service(name, base, Pace(rate, 3), official)) for name, rate in (("lookup", 60), ("photometry", 40))
        )
        list(pool.map(lambda n: (lookup if n % 2 else photometry).get("nowhere", accept=(404,)), range(60)))
    (count,) = app.counts.by_host.values()
    assert (count.requests, count.most_at_once) == (60, 3)
    assert count.most_per_second <= 40 + 3, "those under way when the second began may arrive late"


def test_each_request_of_a_redirect_keeps_the_pace(server, client, clock):
    server.script("/a", Reply(status=302, headers={"Location": "/b"}))
    server.script("/b", Reply(status=302, headers={"Location": "/q"}))
    server.script("/q", Reply(CSV))
    client.session(service(server.url, pace=Pace(per_second=4, at_once=1))).get("a")
    assert clock.slept == [0.25, 0.25]


@pytest.mark.parametrize(("date", "ahead"), [("Sat, 01 Jan 2000 00:00:00 GMT", -8e8), ("Fri, 01 Jan 2100 00:00:00 GMT", 2e9)])
def test_a_service_whose_clock_is_off_is_noticed(server, http, date, ahead):
    server.script("/q", Reply(CSV, headers={"Date": date}))
    http.get("q")
    assert http.clock_ahead / ahead > 1


def test_a_connection_that_died_while_the_machine_slept_is_made_anew(server, http, clock):
    server.script("/q", Reply(CSV, truncate=len(CSV)), Reply(CSV))
    http.get("q")
    assert server.is_idle()
    clock.time += 8 * 3600
    assert (http.get("q").body, len(server.seen), clock.slept) == (CSV, 2, [])


def test_the_date_of_a_cached_answer_says_nothing_of_clocks(server, http):
    server.script("/q", Reply(CSV, headers={"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Age": "60"}))
    http.get("q")
    assert http.clock_ahead is None


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e400", "nan", "inf", "٣"])
def test_a_retry_after_that_says_nothing_is_ignored(value):
    assert retry_after({"retry-after": value}) is None


def test_a_retry_after_of_the_past_means_now():
    assert retry_after({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}) == 0.0


# being refused, being misunderstood


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_final(server, http, status):
    server.script("/q", Reply(b'{"detail": "Invalid token."}', status=status))
    with pytest.raises(Refused, match=r"Invalid token\.") as caught:
        http.get("q")
    assert len(server.seen) == 1
    assert len(caught.value.lines()) == 3


def test_a_rejected_request_is_malformed_and_its_answer_kept(server, http):
    page = b"<html><head><title>Error</title></head><body><ul><li><b>Message: </b>Unknown column 'x'</li></ul></body></html>"
    server.script("/tap", Reply(page, status=400))
    with pytest.raises(Malformed, match="Unknown column 'x'") as caught:
        http.post("tap", data={"QUERY": "SELECT x"})
    assert caught.value.payload.body == page
    assert len(server.seen) == 1


def test_an_accepted_status_comes_back_with_a_doubt(server, http):
    server.script("/q", Reply(b"none here", status=404))
    payload = http.get("q", accept=(404,))
    assert (payload.body, payload.doubt) == (b"none here", "HTTP 404")


def test_an_accepted_status_is_still_tried_again_first(server, http):
    server.script("/q", Reply(status=500), Reply(CSV))
    assert http.get("q", accept=(500,)).body == CSV


COMPLAINTS = {
    "votable": (
        b'<?xml version="1.0"?><VOTABLE><RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">bad <![CDATA[a<b]]>\n</INFO>',
        "bad a",
    ),
    "votable attribute": (
        b'<VOTABLE><INFO ID="Error" name="Error" value="Error in input RA value: as3f"/></VOTABLE>',
        "Error in input RA value: as3f",
    ),
    "esa page": (b"<html><body><ul><li><b>Message: </b>Cannot parse &lt;query&gt;\n here</li></ul>", "Cannot parse <query> here"),
    "page": (b"<!DOCTYPE html><html><head><title>502</title></head><body><!-- x --><h1>Bad gateway</h1><p>nginx</p>", "Bad gateway"),
    "only a title": (b"<html><head><title>Down for maintenance</title></head><body></body></html>", "Down for maintenance"),
    "json": (b'{"code": 5, "errors": [{"detail": "no such field"}]}', "no such field"),
    "json without words": (b'{"code": 5}', '{"code": 5}'),
    "text": (b"\n\nInvalid RA\nmore", "Invalid RA"),
    "nothing": (b"", ""),
    "terminal codes": (b"\x1b[31mred\x07", "[31mred"),
}


@pytest.mark.parametrize("name", COMPLAINTS)
def test_the_services_own_words_are_dug_out(name):
    body, said = COMPLAINTS[name]
    assert complaint(body) == said


def test_a_complaint_is_one_short_line():
    assert len(complaint(b"x" * 5000)) == 200
    assert complaint(b"[" * 60_000).startswith("[[")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here (../shared/fixtures)")
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("tap_generic/conesearch_error1.xml", "Error in input RA value: as3f"),
        ("tap_generic/conesearch_error3.xml", "Invalid data type: text/html"),
        ("tap_generic/conesearch_error4.xml", "Invalid data type: text/html"),
        ("tap_generic/pyvo_errorstatus.xml", "ERROR"),
        ("xmatch/vizier_no_server_error.xml", "-- no connection Report from"),
    ],
)
def test_real_services_are_understood(file, said):
    assert complaint((SHARED / file).read_bytes()).startswith(said)


# limits


def test_an_answer_that_announces_too_much_is_not_read(server, client):
    server.script("/q", Reply(b"x" * 5000))
    with pytest.raises(Malformed, match="larger than 1000 bytes"):
        client.session(service(server.url, max_bytes=1000)).get("q")
    assert len(server.seen) == 1
    assert server.is_idle(), "the rest must not stay in a connection that is used again"


def test_an_answer_of_exactly_the_limit_is_taken(server, client):
    server.script("/q", Reply(b"x" * 1000))
    assert len(client.session(service(server.url, max_bytes=1000)).get("q").body) == 1000


def test_an_endless_answer_is_stopped(server, client):
    server.script("/q", Reply(b"x" * 65536, endless=True))
    with pytest.raises(Malformed, match="larger than 2 MiB") as caught:
        client.session(service(server.url, max_bytes=2 << 20)).get("q")
    assert caught.value.payload is None


def test_a_small_answer_that_unpacks_to_a_giant_one_is_stopped(server, client):
    bomb = gzip.compress(bytes(50 << 20))
    server.script("/q", Reply(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Malformed, match="larger than 1 MiB"):
        client.session(service(server.url, max_bytes=1 << 20)).get("q")


def test_a_slow_drip_is_cut_at_the_total_time_and_not_tried_again(server):
    server.script("/q", Reply(b"x" * 1000, drip=0.02))
    with Client() as client, pytest.raises(Unreachable, match="not complete"):
        client.session(service(server.url, total_timeout_s=0.2)).get("q")
    assert len(server.seen) == 1


# where requests may go


@pytest.mark.parametrize(
    "url",
    [
        "http://survey.example/",
        "http://127.0.0.1.example/",
        "http://127.0.0.1@survey.example/",
        "http://localhost.example/",
        "ftp://127.0.0.1/",
        "survey.example",
        "",
        "https://",
        "https://survey.example/?token=1",
        "https://survey.example/#x",
        "https://survey.example:99999/",
        "http://127.0.0.1\\@survey.example/",
        "https://survey example/",
    ],
)
def test_a_base_url_must_be_https_or_this_machine(url):
    with pytest.raises(BadSettings) as caught:
        service(url)
    assert len(caught.value.lines()) == 3


@pytest.mark.parametrize(
    "url", ["https://survey.example/", "http://127.0.0.1:8080", "http://127.3.2.1/", "http://[::1]:8080/", "http://localhost/"]
)
def test_https_and_this_machine_are_good_base_urls(url):
    assert service(url).base_url == url


def test_a_redirect_is_followed(server, http):
    server.script("/a", Reply(status=301, headers={"Location": "/b?x=1"}))
    server.script("/b", Reply(CSV))
    payload = http.get("a")
    assert (payload.body, payload.url) == (CSV, server.url + "a")


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirected_post_becomes_a_get_unless_the_status_keeps_it(server, http, status, method):
    server.script("/a", Reply(status=status, headers={"Location": "/b"}))
    server.script("/b", Reply(CSV))
    http.post("a", data={"x": 1})
    assert (server.seen[1].method, bool(server.seen[1].body)) == (method, method == "POST")


def test_a_circle_of_redirects_ends(server, http):
    server.script("/a", Reply(status=302, headers={"Location": "/a"}))
    with pytest.raises(Malformed, match="more than 5"):
        http.get("a")
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    "place", ["http://survey.example/", "ftp://127.0.0.1/", "file:///etc/passwd", "//survey.example:80/", "http://[bad"]
)
def test_a_redirect_to_anything_unsafe_is_not_followed(server, http, place):
    server.script("/a", Reply(status=302, headers={"Location": place}))
    with pytest.raises(Malformed):
        http.get("a")
    assert len(server.seen) == 1


def test_a_remote_service_cannot_send_us_to_this_machine(server, client):
    http = client.session(service("https://survey.example/"))
    with pytest.raises(Malformed, match="this machine"):
        http.get(server.url + "q")
    assert server.seen == []


def test_a_simulated_run_never_leaves_this_machine(server, clock):
    with Client(loopback_only=True, clock=clock) as client:
        with pytest.raises(Malformed, match="survey"):
            client.session(service("https://survey.example/")).get("q")
        server.script("/a", Reply(status=302, headers={"Location": "https://survey.example/"}))
        with pytest.raises(Malformed, match="Simulated"):
            client.session(service(server.url)).get("a")


def test_an_absolute_url_of_the_manual_goes_where_the_settings_say(server, client):
    server.script("/gea/tap/sync", Reply(CSV))
    http = client.session(service(server.url + "gea/", official_url="https://gea.example/"))
    assert http.get("https://gea.example/tap/sync", q=1).body == CSV


def test_a_host_that_only_begins_alike_is_not_rewritten():
    moved = service("http://127.0.0.1:1/", official_url="https://gea.example").moved("https://gea.example.evil/tap")
    assert moved == "https://gea.example.evil/tap"


def test_no_proxy_stands_before_this_machine(server, http, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.script("/q", Reply(CSV))
    assert http.get("q").body == CSV


def test_the_proxy_of_the_environment_is_used_for_the_world(server, client, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(Unreachable):
        client.session(service("https://survey.example/", retries=0)).get("q")
    assert [seen.method for seen in server.seen] == ["CONNECT"]


def made_certificate(folder):
    """Return a key and a certificate of localhost, signed by itself."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return key, certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make a certificate with")
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(client, clock, tmp_path):
    key, certificate = made_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        handshake = pool.submit(_shake_hands, listener, context)
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            client.session(service(f"https://localhost:{listener.getsockname()[1]}/")).get("q")
        assert handshake.result() == "refused"
    assert clock.slept == []


def _shake_hands(listener, context):
    connection, _ = listener.accept()
    with connection:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, OSError):
            return "refused"
    return "accepted"


# pace


def test_requests_of_one_host_start_apart_whoever_asks(server, client, clock):
    server.script("/q", Reply(CSV))
    slow = Pace(per_second=2, at_once=2)
    sessions = [client.session(service(server.url, name=name, pace=slow)) for name in ("one", "two")]
    began = clock.time
    for http in sessions * 3:
        http.get("q")
    assert clock.time - began == pytest.approx(2.5)


def test_the_slower_pace_of_two_services_holds_for_their_host(server, client, clock):
    server.script("/q", Reply(CSV))
    http = client.session(service(server.url))
    client.session(service(server.url, pace=Pace(per_second=0.1, at_once=1)))
    http.get("q")
    http.get("q")
    assert clock.slept == pytest.approx([10.0])


def test_services_behind_one_emulator_keep_the_paces_of_their_own_hosts(server, client, clock):
    server.script("/q", Reply(CSV))
    slow = Pace(per_second=0.1, at_once=1)
    for host in ("gaia", "ztf"):
        client.session(service(server.url, official_url=f"https://{host}.example/", pace=slow)).get("q")
    assert clock.slept == []


def test_no_more_than_so_many_are_under_way_at_once(server):
    server.script("/q", Reply(CSV, delay=0.03))
    with Client() as client, ThreadPoolExecutor(8) as pool:
        sessions = [client.session(service(server.url, pace=Pace(per_second=1e6, at_once=2))) for _ in range(8)]
        assert [future.result().body for future in [pool.submit(http.get, "q") for http in sessions]] == [CSV] * 8
    assert server.most_at_once == 2


def test_threads_together_keep_the_rate():
    clock = FakeClock()
    pacer = Pacer(Pace(per_second=10, at_once=1), clock)
    began = clock.time

    def turn(_):
        with pacer.turn():
            return clock.time

    with ThreadPoolExecutor(4) as pool:
        starts = sorted(pool.map(turn, range(20)))
    assert starts[0] == began
    assert all(later - earlier >= 0.1 - 1e-5 for earlier, later in pairwise(starts))


# secrets


def planted(server) -> dict[str, Service]:
    secret = {"headers": {"Authorization": f"Token {SECRET}"}, "params": {"api_key": SECRET}}
    with_user = server.url.replace("http://", "http://me:s3cr3t%2Ftoken%2B42@")
    return {
        "header": service(server.url, credentials=Credentials(headers=secret["headers"])),
        "param": service(server.url, credentials=Credentials(params=secret["params"])),
        "user": service(with_user),
    }


FORMS = (SECRET, "s3cr3t%2Ftoken%2B42", "s3cr3t/token%2B42", "bWU6czNjcjN0L3Rva2VuKzQy")
ECHOES = {
    "works": [Reply(CSV)],
    "rejected": [Reply(f"no user with {SECRET}".encode(), status=400)],
    "refused": [Reply(f"<p>bad key {SECRET}</p>".encode(), status=401)],
    "down": [Reply(f"{SECRET}".encode(), status=503)],
    "internal": [Reply(status=500)],
    "reset": [Reply(reset=True)],
    "cut off": [Reply(CSV, truncate=3)],
    "garbled": [Reply(headers={f"X {SECRET}": "y"})],
    "redirected": [Reply(status=302, headers={"Location": f"/elsewhere?api_key={SECRET}&x={SECRET}#{SECRET}"})],
    "redirected with a password": [Reply(status=302, headers={"Location": "http://you:s3cr3t%2Ftoken%2B42@127.0.0.1:9/"})],
    "redirected by path": [Reply(status=302, headers={"Location": f"http://127.0.0.1:9/{SECRET}"})],
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("kind", ["header", "param", "user"])
def test_no_secret_is_kept_shown_or_logged(server, client, caplog, kind, echo):
    caplog.set_level(logging.DEBUG)
    for name in ("harvester", "httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.script("/q", *ECHOES[echo])
    server.script("/elsewhere", Reply(CSV))
    asked = planted(server)[kind]
    traces = [repr(asked), str(asked)]
    try:
        payload = client.session(asked).get("q", note=f"with {SECRET}", api_key=SECRET if kind == "param" else None)
        traces += [payload.url, repr(payload.params), repr(payload.about(body=b"")), payload.doubt]
    except SourceError as error:
        traces += ["".join(traceback.format_exception(error)), repr(error.lines()), repr(error.__cause__)]
        traces += [repr(error.payload.about(body=b"")) if isinstance(error, Malformed) and error.payload else ""]
    traces += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert "demo" in caplog.text
    assert [(form, trace) for form in FORMS for trace in traces if form in trace] == []


def test_credentials_reach_their_service(server, client):
    server.script("/q", Reply(CSV))
    for http in (client.session(one) for one in planted(server).values()):
        http.get("q")
    assert server.seen[0].headers["authorization"] == f"Token {SECRET}"
    assert server.seen[1].params == {"api_key": [SECRET]}
    assert server.seen[2].headers["authorization"] == "Basic bWU6czNjcjN0L3Rva2VuKzQy"


@pytest.mark.parametrize("kind", ["header", "param", "user"])
def test_credentials_are_never_forwarded_to_another_host(server, client, kind):
    with Loopback() as other:
        target = other.script("/take", Reply(CSV))
        server.script("/q", Reply(status=307, headers={"Location": f"{target}?api_key={SECRET.replace('+', '%2B')}&x=1"}))
        assert client.session(planted(server)[kind]).post("q", data={"a": 1}).body == CSV
        assert client.session(planted(server)[kind]).get(target).body == CSV
        for seen in other.seen:
            assert "s3cr3t" not in repr(seen)
            assert "authorization" not in seen.headers


def test_credentials_follow_a_redirect_on_their_own_host(server, client):
    server.script("/q", Reply(status=302, headers={"Location": "/r"}))
    server.script("/r", Reply(CSV))
    client.session(planted(server)["header"]).get("q")
    assert server.seen[1].headers["authorization"] == f"Token {SECRET}"


@pytest.mark.parametrize("value", ["abc\n", "", " abc", "abc\r\nX: y", "ab\u00e9"])
def test_a_token_that_http_cannot_carry_is_refused_without_being_shown(value):
    with pytest.raises(BadSettings) as caught:
        Credentials(headers={"Authorization": value})
    assert not value.strip() or value.strip() not in str(caught.value)


def test_the_loggers_of_httpx_stay_audible_to_others(caplog, client):
    with caplog.at_level(logging.INFO, logger="httpx"):
        logging.getLogger("httpx").info("of another program")
    assert "of another program" in caplog.text


def test_one_line_is_logged_for_each_request(server, http, caplog):
    server.script("/q", Reply(status=503), Reply(CSV))
    with caplog.at_level(logging.INFO, logger="harvester.session"):
        http.get("q", ID="1")
    lines = [record.getMessage() for record in caplog.records if hasattr(record, "request")]
    assert [line.rpartition(" bytes, ")[0] for line in lines] == [
        "demo: 127.0.0.1 GET /q: HTTP 503, 0",
        "demo: 127.0.0.1 GET /q: HTTP 200, 13",
    ]
    assert [line.rpartition(", ")[2] for line in lines] == ["try 1", "try 2"]


# dry runs, progress, interrupts


def test_a_dry_run_tells_the_first_request_and_sends_nothing(server, clock):
    told = []
    with Client(clock=clock, dry_run=True, on_request=lambda *request: told.append(request)) as client:
        http = client.session(service(server.url, credentials=Credentials(params={"api_key": SECRET})))
        with pytest.raises(DryRun):
            http.post("tap", data={"QUERY": "SELECT 1"}, api_key=SECRET, run=1)
    assert told == [("POST", server.url + "tap?run=1", {"run": "1", "QUERY": "SELECT 1"})]
    assert server.seen == []


def test_progress_tells_bytes_and_waits(server, clock):
    events: list[Event] = []
    server.script("/q", Reply(status=429, headers={"Retry-After": "3"}), Reply(CSV))
    with Client(clock=clock, on_event=events.append) as client:
        client.session(service(server.url)).get("q")
    assert [(event.service, event.kind, event.amount) for event in events] == [("demo", "waiting", 3.0), ("demo", "bytes", len(CSV))]
    assert "HTTP 429" in events[0].because


def test_closing_wakes_a_thread_that_waits():
    client = Client()
    http = client.session(service("https://survey.example/"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http.wait, 600)
        client.close()
        with pytest.raises(Interrupted):
            waiting.result(timeout=10)


def test_closing_wakes_a_thread_that_queues_for_its_turn():
    clock = Clock()
    pacer = Pacer(Pace(per_second=1, at_once=1), clock)
    with ThreadPoolExecutor(1) as pool, pacer.turn():
        waiting = pool.submit(lambda: pacer.turn().__enter__())
        clock.stop()
        with pytest.raises(Interrupted):
            waiting.result(timeout=10)


@pytest.mark.parametrize("silence", [Reply(CSV, delay=8.0), Reply(CSV, drip=8.0)])
def test_closing_wakes_a_thread_that_listens_to_a_silent_service(server, silence):
    server.script("/q", silence)
    heard = threading.Event()
    with ThreadPoolExecutor(1) as pool, Client(on_event=lambda _: heard.set()) as client:
        listening = pool.submit(client.session(service(server.url)).get, "q")
        while not (heard.is_set() if silence.drip else server.seen):
            assert not listening.done()
        began = time.monotonic()
        client.close()
        with pytest.raises(Interrupted):
            listening.result(timeout=5)
        assert time.monotonic() - began < 5


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make a certificate with")
def test_closing_wakes_who_listens_through_encryption(tmp_path):
    key, certificate = made_certificate(tmp_path)
    server, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    server.load_cert_chain(certificate, key)
    listening, asked = Listening(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(2) as pool, httpcore.ConnectionPool(trusted) as connections:
        silent = pool.submit(_say_nothing, listener, server, asked)
        url, known = f"https://localhost:{listener.getsockname()[1]}/", {"trace": listening.note}
        waiting = pool.submit(connections.request, "GET", url, extensions=known)
        assert asked.wait(10)
        listening.end()
        with pytest.raises((httpcore.NetworkError, httpcore.ProtocolError)):
            waiting.result(timeout=5)
        assert silent.result(timeout=5) == b""


def _say_nothing(listener, context, asked):
    """Take a request in, answer nothing; return what comes then."""
    with listener.accept()[0] as connection, context.wrap_socket(connection, server_side=True) as encrypted:
        encrypted.recv(65_536)
        asked.set()
        try:
            return encrypted.recv(65_536)
        except (ssl.SSLError, OSError):
            return b""


def test_a_closed_client_asks_nothing(server, http, client):
    client.close()
    with pytest.raises(Interrupted):
        http.get("q")
    assert server.seen == []


def test_an_interrupt_passes_through_and_gives_its_turn_back(server, clock):
    server.script("/q", Reply(CSV))
    interrupts = iter([KeyboardInterrupt()])

    def interrupt(_):
        for one in interrupts:
            raise one

    with Client(clock=clock, on_event=interrupt) as client:
        http = client.session(service(server.url, pace=Pace(per_second=1e6, at_once=1)))
        with pytest.raises(KeyboardInterrupt):
            http.get("q")
        assert http.get("q").body == CSV
    assert len(server.seen) == 2


def test_waiting_for_a_polled_service_takes_that_long(http, clock):
    http.wait(2.5)
    assert clock.slept == [2.5]


# the bridge


VOTABLE = b"""<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>
<TABLE><FIELD name="source_id" datatype="long"/><DATA><TABLEDATA><TR><TD>1457486023639239296</TD></TR></TABLEDATA></DATA></TABLE>
</RESOURCE></VOTABLE>"""
BAD_QUERY = VOTABLE.replace(b'"OK"/>', b'"ERROR">Cannot parse the query</INFO>')
CAPABILITIES = b"""<?xml version="1.0"?>
<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0"><capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">
<language><name>ADQL</name><version>2.1</version></language><outputFormat><mime>text/xml</mime></outputFormat>
<outputLimit><hard unit="row">2000000</hard></outputLimit></capability></vosi:capabilities>"""
XML = {"Content-Type": "application/x-votable+xml"}


def test_pyvo_takes_the_same_road(server, client):
    pyvo = pytest.importorskip("pyvo")
    server.script("/tap/sync", Reply(status=503), Reply(gzip.compress(VOTABLE), headers=XML | {"Content-Encoding": "gzip"}))
    http = client.session(service(server.url, official_url="https://survey.example/"))
    rows = pyvo.dal.TAPService("https://survey.example/tap", session=http.requests).run_sync("SELECT 1")
    assert rows["source_id"][0] == 1457486023639239296
    assert [seen.form["QUERY"] for seen in server.seen] == [["SELECT 1"]] * 2
    assert server.seen[0].headers["user-agent"] == "harvester"


def test_pyvo_judges_the_errors_of_a_query_itself(server, http):
    pyvo = pytest.importorskip("pyvo")
    server.script("/tap/sync", Reply(BAD_QUERY, status=400, headers=XML))
    with pytest.raises(pyvo.dal.DALQueryError, match="Cannot parse the query"):
        pyvo.dal.TAPService(server.url + "tap", session=http.requests).run_sync("SELECT")


def test_a_service_that_is_down_is_unreachable_through_pyvo_too(server, http):
    pyvo = pytest.importorskip("pyvo")
    server.script("/tap/sync", Reply(status=503))
    with pytest.raises(Unreachable), http.own_errors():
        pyvo.dal.TAPService(server.url + "tap", session=http.requests).run_sync("SELECT 1")
    assert len(server.seen) == 5


def test_an_error_that_pyvo_forgets_on_the_way_is_still_ours(server, http):
    pyvo = pytest.importorskip("pyvo")
    for path in ("/tap/capabilities", "/capabilities"):
        server.script(path, Reply(status=401))
    with pytest.raises(Refused), http.own_errors():
        pyvo.dal.TAPService(server.url + "tap", session=http.requests).capabilities  # noqa: B018


def test_a_failure_that_the_library_got_over_is_forgotten(server, http):
    server.script("/bad", Reply(status=401))
    server.script("/good", Reply(CSV))

    def stumble():
        with contextlib.suppress(Refused):
            http.requests.get(server.url + "bad", timeout=1)
        http.requests.get(server.url + "good", timeout=1)
        raise KeyError("x")

    with pytest.raises(KeyError), http.own_errors():
        stumble()


def test_errors_that_are_not_ours_stay_what_they_are(http):
    with pytest.raises(KeyError), http.own_errors():
        raise KeyError("x")


def test_an_asynchronous_job_of_pyvo_runs_over_the_bridge(server, http):
    pyvo = pytest.importorskip("pyvo")
    job = """<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink"><uws:jobId>7</uws:jobId>
    <uws:phase>{}</uws:phase><uws:results><uws:result id="result" xlink:href="{}tap/async/7/results/result"/></uws:results></uws:job>"""
    pending, done = (job.format(phase, server.url).encode() for phase in ("PENDING", "COMPLETED"))
    server.script("/tap/async", Reply(status=303, headers={"Location": server.url + "tap/async/7"}))
    server.script("/tap/async/7", Reply(pending), Reply(pending), Reply(done))
    server.script("/tap/async/7/phase", Reply(status=303, headers={"Location": server.url + "tap/async/7"}))
    server.script("/tap/async/7/results/result", Reply(VOTABLE, headers=XML))
    running = pyvo.dal.TAPService(server.url + "tap", session=http.requests).submit_job("SELECT 1")
    rows = running.run().wait(timeout=5).fetch_result()
    assert rows["source_id"][0] == 1457486023639239296


def test_astroquery_takes_the_same_road(server, client, monkeypatch, tmp_path):
    simbad = pytest.importorskip("astroquery.simbad")
    monkeypatch.chdir(tmp_path)
    server.script("/simbad/sim-tap/sync", Reply(VOTABLE, headers=XML))
    server.script("/simbad/sim-tap/capabilities", Reply(CAPABILITIES, headers={"Content-Type": "text/xml"}))
    http = client.session(service(server.url, official_url="https://simbad.cds.unistra.fr/"))
    asking = simbad.SimbadClass()
    asking._session = http.requests
    assert asking.query_tap("SELECT 1 FROM basic")["source_id"][0] == 1457486023639239296
    assert server.seen[0].headers["user-agent"] == "harvester"


def test_the_raw_stream_of_the_bridge_reads_as_urllib3s(server, http):
    server.script("/q", Reply(gzip.compress(CSV), headers={"Content-Encoding": "gzip", "Content-Type": "text/csv"}))
    answer = http.requests.get(server.url + "q", stream=True, timeout=1, params={"a": "b c"})
    assert (answer.status_code, answer.headers["content-type"], answer.raw.read(4), answer.raw.read()) == (
        200,
        "text/csv",
        CSV[:4],
        CSV[4:],
    )
    assert server.seen[0].params == {"a": ["b c"]}


@pytest.mark.parametrize("body", ["x=1", b"x=1", io.BytesIO(b"x=1"), iter([b"x=", b"1"])], ids=["text", "bytes", "file", "parts"])
def test_the_bridge_sends_any_body_again_after_a_loss(server, http, body):
    server.script("/q", Reply(reset=True), Reply(CSV))
    assert http.requests.post(server.url + "q", data=body, timeout=1).content == CSV
    assert [seen.body for seen in server.seen] == [b"x=1"] * 2


def test_the_bridge_follows_redirects_by_the_same_rules(server, http):
    server.script("/a", Reply(status=302, headers={"Location": "/b"}))
    server.script("/b", Reply(status=302, headers={"Location": "http://survey.example/"}))
    with pytest.raises(Malformed, match="https"):
        http.requests.get(server.url + "a", timeout=1)
    assert http.requests.get(server.url + "a", timeout=1, allow_redirects=False).headers["location"] == server.url + "b"


def test_the_bridge_adds_credentials_and_reads_no_netrc(server, client, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.script("/q", Reply(CSV))
    assert client.session(service(server.url)).requests.get(server.url + "q", timeout=1).ok
    answer = client.session(planted(server)["param"]).requests.get(server.url + "q", timeout=1)
    assert "authorization" not in server.seen[0].headers
    assert server.seen[1].params == {"api_key": [SECRET]}
    assert "s3cr3t" not in answer.url


def test_the_bridge_is_dry_in_a_dry_run(server, clock):
    told = []
    with Client(clock=clock, dry_run=True, on_request=lambda *request: told.append(request)) as client, pytest.raises(DryRun):
        client.session(service(server.url)).requests.post(server.url + "q", data={"QUERY": "SELECT 1"}, timeout=1)
    assert told == [("POST", server.url + "q", {"QUERY": "SELECT 1"})]


def test_importing_the_session_loads_neither_requests_nor_astronomy():
    code = "import sys, harvester.session; print(sorted({'requests', 'astropy', 'pyvo', 'pandas'} & set(sys.modules)))"
    import sys

    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_real_time_is_monotonic():
    clock = Clock()
    before = clock.now()
    clock.sleep(0.001)
    assert clock.now() > before
    assert abs(time.monotonic() - clock.now()) < 60
