"""The log: a line per request, a file that rotates, and no secret in any of it."""

import base64
import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from loopback import Loopback, Reply

from harvester import logs
from harvester.access import session_for
from harvester.config import read_settings
from harvester.errors import SourceError, UsageError
from harvester.logs import KEPT, Hider, RotatingFile, secrets_of
from harvester.payload import Payload
from harvester.session import Client, Clock
from harvester.source import Credential, Pace, Query, Source, TimeSystem
from harvester.visiting import bug

log = logging.getLogger("harvester.test")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "harvest.log"


@pytest.fixture(autouse=True)
def _own_hider(monkeypatch):
    """What one test plants, the next does not know."""
    monkeypatch.setattr(logs.hide, "_words", ())
    monkeypatch.setattr(logs.hide, "_learnt", frozenset())


def objects(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# what is in it


def test_a_request_is_one_object_with_host_status_bytes_seconds_and_attempt(harvest, file):
    assert harvest(f"--log-file {file} sources check gaia_dr3 -q") == 0
    requests = [said for said in objects(file) if "attempt" in said]
    assert [(one["method"], one["status"], one["attempt"], one["source"]) for one in requests] == [("POST", 200, 1, "gaia_dr3")] * len(
        requests
    )
    assert {Path(one["path"]).name for one in requests} == {"sync", "data"}
    assert all(one["bytes"] > 0 and one["seconds"] >= 0 and one["host"] == "127.0.0.1" for one in requests)


def test_every_try_is_a_line_with_its_number_and_what_was_lost(file):
    with Loopback() as server, logs.to_file(file), Client(clock=Quick()) as client:
        server.script("/q", Reply(reset=True), Reply(b"x" * 10, truncate=4), Reply(b"ok"))
        session(client, server.url).get("q")
    requests = [said for said in objects(file) if "attempt" in said]
    assert [(one["attempt"], one["status"], one["bytes"], "lost" in one) for one in requests] == [
        (1, None, 0, True),
        (2, 200, 4, True),
        (3, 200, 2, False),
    ]


def test_every_record_has_moment_level_logger_and_message(file):
    with logs.to_file(file):
        log.warning("%d of %d", 1, 2)
    (said,) = objects(file)
    assert (said["level"], said["logger"], said["message"], said["process"]) == ("warning", "harvester.test", "1 of 2", os.getpid())
    assert said["time"].endswith("Z")


def test_an_outcome_is_written_as_fields(file):
    with logs.to_file(file):
        log.info("visited", extra={"outcome": {"target": "RR Lyr", "outcome": "new"}})
    assert objects(file)[0]["target"] == "RR Lyr"


def test_a_traceback_stays_within_its_line(file):
    with logs.to_file(file):
        try:
            int("no\nway")
        except ValueError:
            log.exception("bug")
    (said,) = objects(file)
    assert said["traceback"].splitlines()[-1].startswith("ValueError: invalid literal")


def test_libraries_are_heard_only_when_they_warn(file):
    with logs.to_file(file):
        logging.getLogger("somebody.else").info("chatter")
        logging.getLogger("somebody.else").warning("trouble")
    assert [said["message"] for said in objects(file)] == ["trouble"]


def test_afterwards_nothing_listens_any_more(file):
    before = (list(logging.getLogger().handlers), logging.getLogger().level, logging.getLogger("harvester").level)
    with logs.to_file(file), logs.to_terminal(logging.INFO):
        log.info("within")
    log.warning("after")
    assert (list(logging.getLogger().handlers), logging.getLogger().level, logging.getLogger("harvester").level) == before
    assert len(objects(file)) == 1


def test_the_log_file_is_asked_for_before_or_after_the_command_or_by_variable(harvest, file, monkeypatch):
    for words in (f"--log-file {file} sources check ztf_dr -q", f"sources check ztf_dr -q --log-file {file}"):
        assert harvest(words) == 0
        assert file.exists()
        file.unlink()
    monkeypatch.setenv("HARVESTER_LOG_FILE", str(file))
    assert harvest("sources check ztf_dr") == 0
    assert file.exists()
    assert "means nothing" not in harvest.err


def test_a_log_file_said_twice_is_written_once(harvest, file):
    assert harvest(f"--log-file {file} sources check ztf_dr -q --log-file {file}") == 0
    messages = [said["message"] for said in objects(file) if "attempt" in said]
    assert len(messages) == len(set(messages))


def test_verbose_says_every_request_on_standard_error(harvest):
    assert harvest("sources check ztf_dr -v") == 0
    assert "nph_light_curves: HTTP 200" in harvest.err
    assert "nph_light_curves" not in harvest.out


def test_a_log_file_that_cannot_be_written_is_a_usage_error(harvest, tmp_path):
    assert harvest(f"sources list --log-file {tmp_path}/nowhere/x.log") == 2
    assert "cannot be written" in harvest.err
    with pytest.raises(UsageError), logs.to_file(tmp_path):
        pass


# rotation


def test_a_full_file_is_rotated_and_old_ones_are_dropped(file):
    handler = RotatingFile(file, largest=2000)
    for number in range(200):
        handler.emit(log.makeRecord("x", logging.INFO, "", 0, f"{number:0100d}", None, None))
    handler.close()
    there = sorted(path.name for path in file.parent.glob("harvest.log*") if not path.name.endswith(".lock"))
    assert there == ["harvest.log", *(f"harvest.log.{number}" for number in range(1, KEPT + 1))]
    assert all(path.stat().st_size <= 2000 for path in file.parent.glob("harvest.log*"))


def test_only_its_owner_may_read_it(file):
    with logs.to_file(file):
        log.info("x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


WRITER = """
import logging, sys
from pathlib import Path
from harvester.logs import RotatingFile
handler = RotatingFile(Path(sys.argv[1]), largest=20_000)
log = logging.getLogger("x")
log.addHandler(handler); log.setLevel(logging.INFO)
for number in range(300):
    log.info("%s-%04d %s", sys.argv[2], number, "." * 100)
"""


def test_several_processes_may_write_and_rotate_the_same_file(file, monkeypatch):
    monkeypatch.setattr(logs, "KEPT", 5)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name]) for name in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    lines = [line for path in file.parent.glob("harvest.log*") if not path.name.endswith(".lock") for line in path.read_text().splitlines()]
    assert all(len(line) == len("a-0000 ") + 100 for line in lines), "two lines were mixed"
    assert len(lines) == len(set(lines))
    assert len(lines) == 900, "all of it fits into the files that are kept"


def test_a_disk_without_room_is_said_once_and_stops_nothing(capfd):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    handler = RotatingFile(Path("/dev/full"), largest=0)
    for _ in range(3):
        handler.emit(log.makeRecord("x", logging.INFO, "", 0, "lost", None, None))
    with pytest.raises(OSError, match="No space"):
        handler.close()
    assert capfd.readouterr().err.count("cannot be written") == 1


# no secrets


TOKEN, KEY, PASSWORD, STORE_PASSWORD = "tok3n/with+odd=chars", "k3y-of-the-param", "p@ss word&more", "st0re%secret"
ECHO = "you sent me"


class Quick(Clock):
    def sleep(self, seconds):
        super().sleep(0)


class Leaky(Source):
    """A source that does everything wrong that a source can do with a secret."""

    survey, base_url, time_system = "LEAKY", "https://leaky.example/", TimeSystem("jd", "utc", "geocentre")
    pace = Pace(per_second=1e6, at_once=4)
    credentials = (
        Credential("Token {token}", "Register.", header="X-Authorization"),
        Credential("{key}", "Register.", param="api_key"),
        Credential("Basic {user}:{password}", "Register.", header="X-Basic"),
    )

    def fetch(self, query, http):
        yield http.get("data", q=f"my key is {KEY}", other=TOKEN)

    def normalise(self, payload):
        log.debug("normalising %r with %s", payload.url, TOKEN)
        raise AssertionError


def planted(url):
    """The settings of a user with secrets in every place that may hold one."""
    environ = {
        "HARVESTER_LEAKY_TOKEN": TOKEN,
        "HARVESTER_LEAKY_KEY": KEY,
        "HARVESTER_LEAKY_USER": "me-myself",
        "HARVESTER_LEAKY_PASSWORD": PASSWORD,
        "HARVESTER_LEAKY_BASE_URL": url.replace("://", f"://proxyuser:{quote(PASSWORD, safe='')}@"),
        "HARVESTER_STORE": f"postgresql://me:{quote(STORE_PASSWORD, safe='')}@db.example/x",
        "https_proxy": f"http://me:{KEY}@proxy.example:3128",
    }
    return environ, read_settings(environ=environ)


def every_form():
    secrets = (TOKEN, KEY, PASSWORD, STORE_PASSWORD)
    forms = {
        form for secret in secrets for form in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    }
    basic = {base64.b64encode(f"{user}:{PASSWORD}".encode()).decode() for user in ("me-myself", "proxyuser")}
    return forms | basic


def session(client, url):
    from harvester.session import Service

    return client.session(Service("demo", url, Pace(1e6, 8)))


def test_planted_secrets_are_nowhere(tmp_path, file, capfd):
    with Loopback() as server, logs.to_file(file), logs.to_terminal(logging.DEBUG), Client(clock=Quick()) as client:
        echo = f'{{"detail": "{ECHO} Authorization: Token {TOKEN} and {KEY} and {quote_plus(PASSWORD)}"}}'.encode()
        server.script(
            "/data", Reply(echo, status=503), Reply(reset=True), Reply(status=302, headers={"Location": f"/{KEY}/?api_key={KEY}"})
        )
        server.script(f"/{KEY}/", Reply(echo, status=403))
        environ, settings = planted(server.url)
        own = settings.service("leaky")
        logs.hide.learn(secrets_of(settings.store, own.secrets.values(), [own.base_url], environ))
        source = Leaky()
        http = session_for("leaky", source, client, settings)
        said = []
        try:
            list(source.fetch(Query.at(1.0, 2.0), http))
        except SourceError as error:
            log.exception("the source failed")
            said += error.lines()
        try:
            source.normalise(Payload(b"", url=f"{server.url}?token={TOKEN}"))
        except AssertionError:
            log.exception("bug with %s and %s", KEY, settings.store)
        log.error("settings: %s; environment: %s", settings, environ)
        log.error("headers: %s", {"Authorization": f"Token {TOKEN}"}, extra={"outcome": {"message": PASSWORD}})
    assert [seen.headers["x-authorization"] for seen in server.seen[:3]] == [f"Token {TOKEN}"] * 3, "the service itself must be shown it"
    captured = capfd.readouterr()
    written = [file.read_text("utf-8"), captured.out, captured.err, *said]
    assert ECHO in written[0]
    assert ECHO in captured.err
    leaked = {form for form in every_form() for text in written if form in text}
    assert not leaked


def test_planted_secrets_are_in_no_file_after_a_whole_command(harvest, emulator, tmp_path, file, monkeypatch):
    secret_file = tmp_path / "secret-of-the-user"
    secret_file.write_text(f"{TOKEN}\n", "utf-8")
    secret_file.chmod(0o600)
    (tmp_path / "harvester.toml").write_text(f'[sources.ztf_dr]\ntoken_file = "{secret_file}"\n', "utf-8")
    monkeypatch.setenv("HARVESTER_ZTF_DR_KEY", KEY)
    monkeypatch.setenv("HARVESTER_GAIA_DR3_PASSWORD", PASSWORD)
    assert harvest(f"-vv --log-file {file} fetch --target '291.36631 42.78436'") == 0
    leaked = [
        (path.name, form)
        for path in tmp_path.rglob("*")
        if path.is_file() and path != secret_file
        for form in every_form()
        if form.encode() in path.read_bytes()
    ]
    assert not leaked
    assert not [form for form in every_form() if form in harvest.out + harvest.err]


def test_the_words_of_a_bug_are_stored_and_shown_without_secrets():
    logs.hide.learn([TOKEN])
    assert TOKEN not in str(bug("leaky", ValueError(f"cannot use {TOKEN}")))


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hunter2secret@host.example/x",
        "GET /x?access_token=hunter2secret&y=1",
        "GET /x?X-Amz-Signature=hunter2secret",
        "{'Authorization': 'Bearer hunter2secret'}",
        "authorization: hunter2secret",
        "password=hunter2secret",
    ],
)
def test_what_looks_like_a_secret_is_hidden_even_if_nobody_knew_it(text):
    assert "hunter2secret" not in Hider()(text)
    assert "***" in Hider()(text)


@pytest.mark.parametrize(
    "text", ["RR Lyr: 3 new points", "https://irsa.ipac.caltech.edu/cgi-bin/ZTF?POS=CIRCLE", "key=value", "token bucket"]
)
def test_what_is_no_secret_stays(text):
    assert Hider()(text) == text


def test_a_word_too_short_to_be_a_secret_hides_nothing():
    hider = Hider()
    hider.learn(["ab", ""])
    assert hider("about") == "about"
