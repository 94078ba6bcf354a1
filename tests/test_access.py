"""How a source is reached: credentials from files or environment, shown to its service alone."""

import base64

import pytest
from loopback import Loopback, Reply
from test_session import FakeClock

from harvester.access import missing, session_for
from harvester.config import read_settings
from harvester.errors import Refused
from harvester.jobs import ShortMemory, key_of
from harvester.session import Client
from harvester.source import Credential, Pace, Query, Source, TimeSystem

TOKEN = "abcd1234efgh"
HOW = "Register at https://guarded.example/register and copy the token from your profile."


class Guarded(Source):
    survey, base_url, time_system = "GUARDED", "https://guarded.example/api/", TimeSystem("jd", "utc", "geocentre")
    pace = Pace(per_second=1e6, at_once=4)
    credentials = (Credential("Token {token}", HOW, header="Authorization"),)

    def fetch(self, query, http):
        yield http.get("data")

    def normalise(self, payload):
        raise NotImplementedError


class Basic(Guarded):
    credentials = (Credential("Basic {user}:{password}", HOW, header="Authorization"), Credential("{user}", HOW, param="email"))


class InTheForm(Guarded):
    credentials = (Credential("{token}", HOW, field="api_key"), Credential('agent{{"id":{user}}}', HOW, header="User-Agent"))

    def fetch(self, query, http):
        yield http.post("data", data={"ra": 1})


class Open(Guarded):
    credentials = ()


@pytest.fixture
def server():
    with Loopback() as running:
        running.script("/data", Reply(b"x"))
        yield running


def asked(source, server, *, loopback_only=False, **environ):
    settings = read_settings(environ={"HARVESTER_GUARDED_BASE_URL": server.url, **environ})
    with Client(clock=FakeClock(), loopback_only=loopback_only) as client:
        http = session_for("guarded", source, client, settings)
        return next(source.fetch(Query.at(1.0, 2.0), http))


def test_a_token_of_the_environment_is_sent_as_the_source_says(server):
    payload = asked(Guarded(), server, HARVESTER_GUARDED_TOKEN=f" {TOKEN}\n")
    assert server.seen[0].headers["authorization"] == f"Token {TOKEN}"
    assert TOKEN not in repr(payload)


def test_a_token_of_a_file_is_sent(server, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n", "utf-8")
    (tmp_path / "harvester.toml").write_text(f'[sources.guarded]\ntoken_file = "{tmp_path / "token"}"\n', "utf-8")
    asked(Guarded(), server)
    assert server.seen[0].headers["authorization"] == f"Token {TOKEN}"


def test_user_and_password_are_sent_as_http_demands_and_as_parameters(server):
    payload = asked(Basic(), server, HARVESTER_GUARDED_USER="me@example.org", HARVESTER_GUARDED_PASSWORD="pass:word")
    assert server.seen[0].headers["authorization"] == f"Basic {base64.b64encode(b'me@example.org:pass:word').decode()}"
    assert server.seen[0].params == {"email": ["me@example.org"]}
    assert "email" not in payload.url


def test_a_key_is_sent_in_the_form_and_braces_as_they_are(server):
    payload = asked(InTheForm(), server, HARVESTER_GUARDED_TOKEN=TOKEN, HARVESTER_GUARDED_USER="17")
    assert server.seen[0].form == {"ra": ["1"], "api_key": [TOKEN]}
    assert server.seen[0].headers["user-agent"] == 'agent{"id":17}'
    assert TOKEN not in repr(payload)


def test_the_secrets_that_are_missing_are_named():
    settings = read_settings(environ={"HARVESTER_GUARDED_USER": "me"})
    assert missing("guarded", Basic(), settings) == ["password"]
    assert missing("guarded", Open(), settings) == []


def test_what_is_missing_is_said_with_how_to_get_it_and_where_to_put_it(server):
    with pytest.raises(Refused) as caught:
        asked(Guarded(), server)
    what, why, hint = caught.value.lines()
    assert what == "guarded needs a token, and the settings have none."
    assert why == HOW
    assert "HARVESTER_GUARDED_TOKEN" in hint
    assert "token_file" in hint
    assert server.seen == []


def test_only_what_is_missing_is_asked_for(server):
    with pytest.raises(Refused) as caught:
        asked(Basic(), server, HARVESTER_GUARDED_USER="me")
    assert "needs a password" in caught.value.what
    assert "HARVESTER_GUARDED_USER" not in caught.value.hint


def test_a_token_that_is_refused_is_said_with_how_to_get_another(server):
    server.script("/data", Reply(b'{"detail":"Invalid token."}', status=401))
    with pytest.raises(Refused) as caught:
        asked(Guarded(), server, HARVESTER_GUARDED_TOKEN=TOKEN)
    assert caught.value.why == "Invalid token."
    assert HOW in caught.value.hint


def test_a_source_without_credentials_that_is_refused_is_not_told_to_check_them(server):
    server.script("/data", Reply(status=403))
    with pytest.raises(Refused) as caught:
        asked(Open(), server)
    assert "needs no credentials" in caught.value.hint


def test_a_token_that_cannot_be_sent_is_refused_so_that_other_sources_go_on(server):
    with pytest.raises(Refused, match="cannot be sent") as caught:
        asked(Guarded(), server, HARVESTER_GUARDED_TOKEN="abc\ndef")
    assert "abc" not in str(caught.value)


def test_a_simulation_is_shown_no_secret_and_needs_none(server):
    asked(Guarded(), server, loopback_only=True, HARVESTER_GUARDED_TOKEN=TOKEN)
    asked(Guarded(), server, loopback_only=True)
    assert all(TOKEN not in str(seen) for seen in server.seen)


def test_a_query_of_remote_jobs_remembers_them_where_it_is_told(server):
    book, query = ShortMemory(), Query.at(1.0, 2.0)
    settings = read_settings(environ={"HARVESTER_GUARDED_BASE_URL": server.url})
    with Client(clock=FakeClock()) as client:
        http = session_for("guarded", Open(), client, settings, query=query, jobs=book)
        assert http.job(lambda _: "task/7") == "task/7"
    assert book.get("guarded", key_of(query)).remote == "task/7"
