"""Colours and markers of filters: the surveys' customs, told apart by shape as well as by hue."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harvester.plot.series import Series

MARKERS = "osD^vpP*<X>dh"
UNFILLED = "x+"
UNKNOWN_COLOUR = "#6B7280"
CONTRAST, CONTRAST_BY_NIGHT = 3.0, 6.0
"""The least contrast with the ground: what WCAG 2.2 (1.4.11) asks of graphics, and more on a dark page, where small marks drown."""
WHITE, NIGHT = (1.0, 1.0, 1.0), (0.07, 0.08, 0.1)
RGB = tuple[float, float, float]


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

    @property
    def by_day(self) -> str:
        """The colour, or the nearest shade of it that can be seen on white."""
        return shade(self.colour, WHITE, CONTRAST)

    @property
    def by_night(self) -> str:
        """The colour, or the nearest shade of it that can be seen on a dark page."""
        return shade(self.colour, NIGHT, CONTRAST_BY_NIGHT)


def styles(series: Sequence[Series]) -> list[Style]:
    """Return a style for each series: its customary colour, and its marker or, if an earlier series has that, a free one.

    Where there are more series than markers, those of like colours differ still.
    """
    found: list[Style] = []
    for one in series:
        colour = one.passband.colour if one.passband else UNKNOWN_COLOUR
        custom = one.passband.marker if one.passband else MARKERS[0]
        choice = [custom, *(letter for letter in MARKERS if letter != custom)]
        found.append(Style(colour, min(choice, key=lambda letter: _taken(letter, colour, found))))
    return found


def _taken(marker: str, colour: str, found: Sequence[Style]) -> tuple[int, int]:
    """Return how many have that marker: in a like colour, and in any."""
    having = [look for look in found if look.marker == marker]
    return sum(_hue(look.colour) == _hue(colour) for look in having), len(having)


def _hue(colour: str) -> int:
    """Return which of six parts of the colour circle a colour is in; 6 for greys."""
    hue, _, saturation = colorsys.rgb_to_hls(*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    return int(hue * 6 + 0.5) % 6 if saturation > 0.15 else 6


def shade(colour: str, ground: RGB, contrast: float) -> str:
    """Return a colour (hex), made lighter or darker by as little as makes it stand out from the ground by so much.

    >>> shade("#000000", WHITE, 3.0), shade("#000000", NIGHT, 3.0)
    ('#000000', '#636363')
    """
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    step = -0.01 if _luminance(ground) > 0.5 else 0.01
    found = (red, green, blue)
    while _contrast(found, ground) < contrast and 0 < lightness + step < 1:
        lightness += step
        found = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(part * 255):02X}" for part in found)


def _contrast(one: RGB, other: RGB) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: RGB) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
