"""What each fault looks like to a real client."""

import contextlib
import io
import zipfile

import httpx
import pytest

from harvester.emulator.app import Emulator
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
    ("fault", "status", "retry"), [("429=60", 429, "60"), ("429", 429, "1"), ("503", 503, None), ("503=5", 503, "5"), ("500", 500, None)]
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
    "text", ["irsa", "irsa:", "irsa:typhoon", "irsa:429:1.5", "irsa:429=x", "irsa:429:", "irsa:429:x", "irsa:429:1.2.3", "IRSA 429"]
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
