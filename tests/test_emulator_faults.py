"""What each fault looks like to a real client."""

import contextlib
import io
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx
import pytest

from harvester.emulator.app import Emulator, Response
from harvester.emulator.counts import Counts
from harvester.emulator.faults import KINDS, Faults, parse_fault
from harvester.emulator.server import serve
from harvester.errors import UsageError

PATH = "/irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves?ID=1499202400017799&TIME=58200+58600&FORMAT=CSV"


class Watch:
    """A clock that is never late: it notes how long it was asked to wait."""

    def __init__(self):
        self.waited = []

    def time(self):
        return 1.8e9

    def sleep(self, seconds):
        self.waited.append(seconds)


@contextlib.contextmanager
def client(*faults, clock=None, seed=1):
    with (
        serve(Emulator(faults=Faults.parse(faults, seed=seed), clock=clock or Watch())) as running,
        httpx.Client(base_url=running.url, timeout=20) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def right():
    with client() as http:
        return http.get(PATH)


def test_without_faults_the_answer_is_right(right):
    assert right.status_code == 200
    assert len(right.text.splitlines()) > 20


def test_latency_is_waited_for(right):
    clock = Watch()
    with client("irsa:latency=2.5", clock=clock) as http:
        assert http.get(PATH).text == right.text
    assert clock.waited == [2.5]


@pytest.mark.parametrize(
    ("fault", "status", "retry"),
    [
        ("429=60", 429, "60"),
        ("429", 429, "1"),
        ("503", 503, None),
        ("503=5", 503, "5"),
        ("500", 500, None),
        ("403", 403, "1"),
        ("403=0", 403, None),
        ("401", 401, None),
        ("502", 502, None),
        ("504", 504, None),
    ],
)
def test_refusals_have_their_status_and_retry_after(fault, status, retry):
    with client(f"irsa:{fault}") as http:
        answer = http.get(PATH)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry)


def test_reset_ends_the_connection_before_any_answer():
    with client("irsa:reset") as http, pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.get(PATH)


def test_truncated_ends_the_body_too_early(right):
    with client("irsa:truncated") as http, http.stream("GET", PATH) as answer:
        assert answer.headers["Content-Length"] == str(len(right.content))
        with pytest.raises(httpx.RemoteProtocolError, match="closed connection"):
            answer.read()


def test_truncated_breaks_even_an_answer_without_a_body_to_cut():
    with client("irsa:truncated=1") as http, pytest.raises(httpx.RemoteProtocolError):
        http.get(PATH.replace("58200+58600", "1+2"))


def test_drip_sends_small_pieces_slowly(right):
    clock = Watch()
    with client("irsa:drip=0.2", clock=clock) as http:
        assert http.get(PATH).content == right.content
    assert clock.waited == [0.2] * -(-len(right.content) // 256)


def test_html_comes_with_status_200_in_place_of_data():
    with client("irsa:html") as http:
        answer = http.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.text.startswith("<!DOCTYPE html>")


def test_header_only_keeps_the_first_line(right):
    with client("irsa:header-only") as http:
        assert http.get(PATH).text == right.text.splitlines(keepends=True)[0]


def test_wrong_type_changes_the_type_alone(right):
    with client("irsa:wrong-type") as http:
        answer = http.get(PATH)
    assert answer.content == right.content
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_giant_goes_on_for_as_long_as_asked():
    with client("irsa:giant=3") as http:
        assert len(http.get(PATH).content) >= 3 << 20


def test_silent_says_nothing_for_long_and_then_hangs_up():
    clock = Watch()
    with client("irsa:silent=30", clock=clock) as http, pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.get(PATH)
    assert clock.waited == [30]


def test_empty_is_a_success_with_nothing():
    with client("irsa:empty") as http:
        answer = http.get(PATH)
    assert (answer.status_code, answer.content) == (200, b"")


def test_shrunk_is_whole_but_has_fewer_rows(right):
    with client("irsa:shrunk=0.4") as http:
        lines = http.get(PATH).text.splitlines()
    whole = right.text.splitlines()
    assert lines == whole[: 1 + int((len(whole) - 1) * 0.4)]


def test_renamed_changes_the_first_columns_name_alone(right):
    with client("irsa:renamed") as http:
        table, votable = http.get(PATH).text, http.get(PATH.replace("CSV", "VOTABLE")).text
    assert table.split(",")[0] == "renamed"
    assert table.split(",")[1:] == right.text.split(",")[1:]
    assert votable.count('name="renamed"') == 1


def test_wrong_clock_is_off_by_what_was_asked(right):
    with client("irsa:wrong-clock=7200") as http:
        answer = http.get(PATH)
    off = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
    assert 7190 < off < 7201
    assert answer.text == right.text


def test_truncated_zip_arrives_whole_and_cannot_be_opened():
    with client("irsa:truncated-zip") as http:
        answer = http.get(PATH)
    assert answer.content.startswith(b"PK")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(answer.content))


def test_every_kind_of_fault_is_documented():
    from harvester.emulator import faults

    assert faults.__doc__ is not None
    listed = [line.split()[0] for line in faults.__doc__.partition("    fault ")[2].splitlines()[1:] if line.strip()]
    assert listed == list(KINDS)


def test_the_first_fault_in_the_list_strikes():
    faults = Faults.parse(["irsa:reset:x1", "*:429:x2", "irsa:500"])
    assert [faults.next_for("irsa").kind for _ in range(3)] == ["reset", "429", "500"]


def test_a_script_strikes_the_first_requests_and_then_rests():
    with client("irsa:503:x2") as http:
        assert [http.get(PATH).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_a_script_names_the_requests_that_are_struck():
    faults = Faults.parse(["irsa:html:@2,4-5", "irsa:reset:@7-"])
    struck = [getattr(faults.next_for("irsa"), "kind", None) for _ in range(9)]
    assert struck == [None, "html", None, "html", "html", None, "reset", "reset", "reset"]


def test_another_seed_strikes_other_requests():
    struck = [
        [bool(faults.next_for("irsa")) for _ in range(200)] for faults in (Faults.parse(["irsa:429:0.3"], seed=seed) for seed in (1, 2))
    ]
    assert struck[0] != struck[1]


def test_latency_is_added_to_every_answer_struck_or_not():
    clock = Watch()
    with serve(Emulator(faults=Faults.parse(["irsa:429:x1"]), clock=clock, latency={"irsa": 0.2})) as running:
        assert [httpx.get(running.url + PATH).status_code for _ in range(2)] == [429, 200]
        httpx.get(f"{running.url}/gea.esac.esa.int/tap-server/tap/sync")
    assert clock.waited == [0.2, 0.2]


class Slow:
    """A service of a test's own: every answer waits until so many are under way."""

    NAME, HOSTS = "slow", ("slow.example",)

    def __init__(self, parties):
        self.ROUTES = {"/wait/*": self.answer, "/empty": lambda _: Response(b"")}
        self.barrier = threading.Barrier(parties)

    def answer(self, request):
        self.barrier.wait(timeout=10)
        return Response(request.tail.encode())


def test_a_service_of_a_tests_own_is_served_struck_and_counted():
    app = Emulator(services=[Slow(3)], faults=Faults({"slow": ["503:@4"]}))
    with serve(app) as running, ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda n: httpx.get(f"{running.url}/slow.example/wait/{n}").text, range(3)))
        assert said == ["0", "1", "2"]
        assert httpx.get(f"{running.url}/slow.example/wait/9").status_code == 503
    count = app.counts.by_host["slow.example"]
    assert (count.requests, count.under_way, count.most_at_once, count.most_per_second) == (4, 0, 3, 4)


@pytest.mark.parametrize("path", ["/slow.example/empty", "/slow.example/nowhere", PATH])
def test_one_after_the_other_is_never_two_at_once(path):
    app = Emulator(services=[Slow(1)])
    with serve(app) as running:
        for _ in range(30):
            with httpx.Client() as fresh:
                fresh.get(running.url + path)
    (count,) = app.counts.by_host.values()
    assert (count.requests, count.most_at_once) == (30, 1)


def test_requests_of_a_second_are_those_within_any_second(monkeypatch):
    moments = iter([0.0, 0.5, 0.9, 1.0, 1.4, 1.45, 3.0])
    monkeypatch.setattr("harvester.emulator.counts.monotonic", lambda: next(moments))
    counts = Counts()
    for _ in range(7):
        with counts.counted("h"):
            pass
    assert counts.by_host["h"].most_per_second == 5


def test_counts_are_told_over_http_and_begin_anew_when_deleted():
    with serve(Emulator(clock=Watch())) as running:
        httpx.get(running.url + PATH)
        assert httpx.get(f"{running.url}/_emulator/counts").json()["irsa.ipac.caltech.edu"]["requests"] == 1
        assert httpx.delete(f"{running.url}/_emulator/counts").json() == {}


def test_the_command_takes_latency_and_a_seed():
    words = ["emulate", "--port", "0", "--latency", "0.3", "--seed", "7", "--fault", "irsa:429:0.5"]
    with subprocess.Popen([sys.executable, "-m", "harvester", *words], stdout=subprocess.PIPE, text=True) as server:
        try:
            url, start = server.stdout.readline().strip(), time.monotonic()
            struck = [httpx.get(url + PATH, timeout=20).status_code == 429 for _ in range(6)]
            took = time.monotonic() - start
        finally:
            server.terminate()
    expected = Faults.parse(["irsa:429:0.5"], seed=7)
    assert struck == [expected.next_for("irsa") is not None for _ in range(6)]
    assert took >= 6 * 0.3


def test_a_reset_ends_the_count_as_well():
    app = Emulator(faults=Faults({"irsa": ["reset"]}))
    with serve(app) as running, pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        httpx.get(running.url + PATH)
    assert app.counts.by_host["irsa.ipac.caltech.edu"].under_way == 0


def test_a_rate_strikes_the_same_requests_again():
    faults = [Faults.parse(["irsa:429:0.3"], seed=5) for _ in range(2)]
    struck = [[one.next_for("irsa") is not None for _ in range(1000)] for one in faults]
    assert struck[0] == struck[1]
    assert 250 < sum(struck[0]) < 350


def test_a_fault_belongs_to_its_service():
    faults = Faults({"irsa": ["reset"], "*": ["429:x1"]})
    assert faults.next_for("irsa").kind == "reset"
    assert faults.next_for("gaia").kind == "429"
    assert faults.next_for("gaia") is None


def test_services_count_their_own_requests():
    faults = Faults({"*": ["503:x1"]})
    assert [bool(faults.next_for(name)) for name in ("gaia", "irsa", "gaia", "irsa")] == [True, True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "irsa",
        "irsa:",
        "irsa:typhoon",
        "irsa:429:1.5",
        "irsa:429=x",
        "irsa:429:",
        "irsa:429:x",
        "irsa:429:1.2.3",
        "IRSA 429",
        "irsa:429:@",
        "irsa:429:@0",
        "irsa:429:@2,",
        "irsa:429:@a",
    ],
)
def test_a_fault_that_cannot_be_read_is_a_usage_error(text):
    with pytest.raises(UsageError) as caught:
        parse_fault(text)
    assert 1 <= len(caught.value.lines()) <= 3


def test_the_log_still_counts_what_was_struck():
    app = Emulator(faults=Faults({"irsa": ["500"]}), clock=Watch())
    with serve(app) as running:
        httpx.get(running.url + PATH)
    assert [(method, path) for method, path, _ in app.requests] == [("GET", PATH.partition("?")[0])]
