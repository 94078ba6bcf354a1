"""What is shown to a broker's Kafka: exactly what each wants, from settings alone, and to nobody's eyes."""

import contextlib
import os
import socketserver
import struct
import subprocess
import sys
import threading
import time

import pytest

from harvester.alerts.streams.services import security_of, stream
from harvester.config import read_settings
from harvester.errors import BadSettings, Refused

PATIENCE_S = 60.0
USER, PASSWORD = "ann-of-kafka", "a-very-secret-word"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
SASL = {"sasl.username": USER, "sasl.password": PASSWORD}
SCRAM = {"sasl.mechanisms": "SCRAM-SHA-512", **SASL}
WANTED = {
    "fink": {"security.protocol": "SASL_PLAINTEXT", **SCRAM},
    "alerce": {"security.protocol": "SASL_SSL", **SCRAM},
    "hop": {"security.protocol": "SASL_SSL", **SCRAM},
    "antares": {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "ssl.endpoint.identification.algorithm": "none", **SASL},
    "lasair": {},
}


def words(broker):
    service = stream(broker)
    return {service.user: USER, service.password: PASSWORD}


@pytest.mark.parametrize("broker", sorted(WANTED))
def test_each_broker_is_shown_what_it_wants_and_the_client_takes_it(broker):
    confluent = pytest.importorskip("confluent_kafka")
    shown = security_of(stream(broker), words(broker), local=False)
    assert shown == WANTED[broker]
    confluent.Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0, **shown}).close()


@pytest.mark.parametrize("broker", ["fink", "lasair", "alerce"])
def test_public_streams_are_shown_nothing_without_a_password(broker):
    assert security_of(stream(broker), {}, local=False) == {}
    assert security_of(stream(broker), {stream(broker).user: USER}, local=False) == {}


@pytest.mark.parametrize("broker", ["antares", "hop"])
def test_closed_streams_are_refused_without_credentials_and_told_where_they_go(broker):
    with pytest.raises(Refused, match="wants a user") as caught:
        security_of(stream(broker), {}, local=False)
    assert f"HARVESTER_{broker}_".upper() in caught.value.hint
    assert "_file = " in caught.value.hint


def test_a_password_without_a_user_is_a_mistake():
    with pytest.raises(Refused, match="password and no user"):
        security_of(stream("fink"), {"password": PASSWORD}, local=False)


def test_settings_may_name_authority_protocol_and_mechanism():
    told = {"ca": PEM, "protocol": "sasl_ssl", "mechanism": "SCRAM-SHA-256"}
    shown = security_of(stream("alerce"), words("alerce") | told, local=False)
    assert (shown["ssl.ca.pem"], shown["security.protocol"], shown["sasl.mechanisms"]) == (PEM, "SASL_SSL", "SCRAM-SHA-256")
    with pytest.raises(BadSettings, match="protocol of alerce cannot be 'ftp'"):
        security_of(stream("alerce"), words("alerce") | {"protocol": "ftp"}, local=False)


def test_credentials_come_from_files_as_well(tmp_path):
    for name, text in (("user", USER), ("password", PASSWORD), ("ca", PEM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    lines = [f'{name}_file = "{tmp_path / name}"' for name in ("user", "password", "ca")]
    (tmp_path / "harvester.toml").write_text("\n".join(["[sources.hop]", *lines]))
    secrets = read_settings(environ={}, config=str(tmp_path / "harvester.toml")).service("hop").secrets
    assert security_of(stream("hop"), secrets, local=False) == WANTED["hop"] | {"ssl.ca.pem": PEM}


class Listener(socketserver.ThreadingTCPServer):
    """As much of a Kafka as a client meets before it is let in: versions, the mechanism, and what is shown."""

    daemon_threads = allow_reuse_address = True

    def __init__(self):
        self.mechanisms, self.shown, self.asked = [], [], []
        super().__init__(("127.0.0.1", 0), _Conversation)

    @property
    def place(self):
        return "{}:{}".format(*self.server_address)


class _Conversation(socketserver.StreamRequestHandler):
    VERSIONS = ((3, 0, 1), (17, 0, 1), (18, 0, 0), (36, 0, 0))

    def handle(self):
        with contextlib.suppress(OSError, struct.error):
            while True:
                (size,) = struct.unpack(">i", self.rfile.read(4))
                body = self.rfile.read(size)
                kind, version, number = struct.unpack(">hhi", body[:8])
                (length,) = struct.unpack(">h", body[8:10])
                answer = self.answer(kind, version, body[10 + max(length, 0) :])
                if answer is None:
                    return
                self.wfile.write(struct.pack(">ii", len(answer) + 4, number) + answer)

    def answer(self, kind, version, said):
        if kind == 18:
            known = b"".join(struct.pack(">hhh", *one) for one in self.VERSIONS)
            return struct.pack(">hi", 35 if version else 0, len(self.VERSIONS)) + known
        if kind == 17:
            (length,) = struct.unpack(">h", said[:2])
            self.server.mechanisms.append(said[2 : 2 + length].decode())
            return struct.pack(">hih", 0, 1, length) + said[2 : 2 + length]
        if kind == 36:
            (length,) = struct.unpack(">i", said[:4])
            self.server.shown.append(said[4 : 4 + length])
            return struct.pack(">hhi", 0, -1, 0)
        self.server.asked.append(kind)
        return None


@pytest.fixture
def listener():
    with Listener() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def listening(place, listener, *words, broker):
    """Run `harvest alerts listen` until it has shown itself, or for some seconds; return what it printed."""
    arguments = [sys.executable, "-m", "harvester", "-v", "--store", str(place), *words, "alerts", "listen", "--broker", broker]
    arguments += ["--topic", "x", "--servers", listener.place, "--timeout", "3s"]
    assert PASSWORD not in " ".join(arguments)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ) as running:
        end = time.monotonic() + PATIENCE_S
        while not listener.shown and not listener.asked and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        running.kill()
        return running.communicate()[0]


def test_a_listener_is_shown_user_and_password_of_the_environment_and_nobody_else(tmp_path, listener, monkeypatch):
    pytest.importorskip("confluent_kafka")
    for name, text in (("API_KEY", USER), ("API_SECRET", PASSWORD), ("PROTOCOL", "SASL_PLAINTEXT")):
        monkeypatch.setenv(f"HARVESTER_ANTARES_{name}", text)
    said = listening(tmp_path / "s.db", listener, broker="antares")
    assert listener.mechanisms[0] == "PLAIN"
    assert listener.shown[0] == f"\0{USER}\0{PASSWORD}".encode()
    assert PASSWORD not in said
    assert not [path for path in tmp_path.glob("s.db*") if PASSWORD.encode() in path.read_bytes()]


def test_a_simulation_is_shown_no_credentials(tmp_path, listener, monkeypatch):
    pytest.importorskip("confluent_kafka")
    monkeypatch.setenv("HARVESTER_FINK_USER", USER)
    monkeypatch.setenv("HARVESTER_FINK_PASSWORD", PASSWORD)
    listening(tmp_path / "s.db", listener, "--emulate", broker="fink")
    assert listener.asked, "it came, and asked for topics at once"
    assert (listener.mechanisms, listener.shown) == ([], [])
