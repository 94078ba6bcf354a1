"""What a derivation must know besides the rows: where targets are, what filters mean, and how surveys count time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harvester.passbands import Passband, passbands
from harvester.schema import parts

if TYPE_CHECKING:
    from harvester.target import Target
    from harvester.times import TimeSystem


def shipped_band(filter_name: str) -> Passband | None:
    """Return the passband of a filter that harvester itself knows, None for any other."""
    name, survey = parts(filter_name)
    return passbands(survey).get(name)


@dataclass(frozen=True)
class Known:
    """Targets by name; the passband of a filter; the time system of a survey as a source serves it. None is not known."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    band: Callable[[str], Passband | None] = shipped_band
    time_system: Callable[[str, str], TimeSystem | None] = lambda _source, _survey: None
    filters: tuple[str, ...] = ()
    """The filters that may come, in alphabetical order."""
