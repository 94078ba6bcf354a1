"""Colours and markers of filters: the surveys' customs, told apart by shape as well as by hue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.plot.series import Series

MARKERS = "osD^vphP*<X>d8"
UNFILLED = "x+"
UNKNOWN_COLOUR = "#6B7280"


@dataclass(frozen=True, slots=True)
class Style:
    """How one filter is drawn: colour (hex), its darker edge, and matplotlib's letter of a marker."""

    colour: str
    marker: str

    @property
    def edge(self) -> str:
        """A darker shade of the colour: pale ones need it on white."""
        return "#" + "".join(f"{int(int(self.colour[at : at + 2], 16) * 0.65):02X}" for at in (1, 3, 5))

    @property
    def hollow(self) -> bool:
        """Whether the marker has an inside that can be left empty."""
        return self.marker not in UNFILLED


def styles(series: Sequence[Series]) -> list[Style]:
    """Return a style for each series: its customary colour, and its marker or, if an earlier series has that, a free one."""
    taken: set[str] = set()
    found = []
    for one in series:
        custom = one.passband.marker if one.passband else MARKERS[0]
        marker = next((letter for letter in [custom, *MARKERS] if letter not in taken), custom)
        taken.add(marker)
        found.append(Style(one.passband.colour if one.passband else UNKNOWN_COLOUR, marker))
    return found
