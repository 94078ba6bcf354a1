"""Every source that we ship, against every recording of it."""

from pathlib import Path

from harvester.source import registered
from harvester.testing import *  # noqa: F403


def test_every_source_has_a_recording():
    ours = {name for name, entry in registered().items() if entry.dist and entry.dist.name == "harvester"}
    assert ours == {path.name for path in (Path(__file__).parent / "recordings").iterdir()}
