"""The options that ask for derived columns: an error floor, a magnitude system, a unit of flux, nights binned, outliers flagged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harvester.derive import Derivation

FLOOR = "Add an error in quadrature: survey (as documented), 0.01, or 'G(GAIA_DR3)=0.0045'."
UNITS = ("uJy", "nJy", "mJy", "Jy", "cgs")


def derived_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare what can be derived of a light curve as it is read; nothing of it is stored."""
    for option in reversed((
        click.option("--error-floor", "error_floor", multiple=True, metavar="survey|MAG|FILTER=MAG", help=FLOOR),
        click.option("--system", type=click.Choice(["ab", "vega"]), help="Magnitudes in this system.  [default: each passband's own]"),
        click.option("--flux-unit", type=click.Choice(UNITS), default="uJy", show_default=True, help="cgs is erg/s/cm2/Hz."),
        click.option("--bin", "bin_by", type=click.Choice(["night"]), help="One weighted point a night and filter; leaves bad points out."),
        click.option("--clip", type=click.FloatRange(min=0, min_open=True), metavar="SIGMA", help="Flag outliers in a column; none goes."),
    )):  # fmt: skip
        function = option(function)
    return function


def derivation(
    time: str, *, error_floor: Sequence[str], system: str | None, flux_unit: str, bin_by: str | None, clip: float | None
) -> Derivation:
    """Return what was asked for. Raises UsageError."""
    from harvester.derive import Derivation, read_floors

    floors, documented = read_floors(error_floor)
    return Derivation(time, floors, documented, system or "", flux_unit, night=bin_by == "night", clip=clip)
