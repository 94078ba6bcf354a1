"""What holds for every test: no network but this machine, no file of the user's, the real recordings where they stand."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)  # a landing is no place for luck; developers' runs search on
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items):
    """Begin with the slow tests: at the end of a run they would keep one worker busy and the others waiting."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


pytest_plugins = ["stores", "emulated", "asking"]

SHARED = Path(__file__).parents[2] / "shared"
FIXTURES = SHARED / "fixtures"
LOCAL = ("127.", "::1", "localhost")

needs_recordings = pytest.mark.skipif(not FIXTURES.is_dir(), reason="the real recordings (../shared/fixtures) are not here")


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Let sockets reach this machine only; whatever else is tried fails loudly."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith(LOCAL):
            raise AssertionError(f"a test reached for the network: {address[0]}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """Keep the user's settings and store out of every test."""
    for variable in [name for name in os.environ if name.startswith("HARVESTER_") and not name.startswith("HARVESTER_TEST")]:
        monkeypatch.delenv(variable)
    (tmp_path / "home").mkdir(exist_ok=True)
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recorded():
    """Return the bytes of a real recording."""
    return lambda name: (FIXTURES / name).read_bytes()
