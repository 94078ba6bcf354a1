"""Every passband as data: what a survey's magnitudes mean, and how they are customarily drawn.

The facts are in `passbands.toml`, which says what each column means and where the numbers come from. Loading is light: no
numpy, no astropy.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from harvester.errors import HarvesterError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NAMES = 12


class UnknownPassband(HarvesterError, LookupError):
    """No such passband, or no such survey, is in `passbands.toml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passband:
    """One physical band of one survey.

    `zeropoint_jy` is the flux density of magnitude 0 (Jy), None where magnitudes cannot become fluxes; the system `other` is
    neither AB nor Vega. `vega_zeropoint_jy` is that of magnitude 0 in Vega for a passband in AB. `error_floor_mag` is a systematic error
    that the survey's own errors leave out. Wavelengths and the full width at half maximum are in nm, None where nobody knows them. `colour` (hex)
    and `marker` (matplotlib's letter) are the survey's custom in pictures. `reference` names papers and pages; `note` says what
    a user of the magnitudes should know, `unsettled` what is still open about the numbers given here.
    """

    survey: str
    name: str
    system: Literal["AB", "Vega", "other"]
    colour: str
    marker: str
    zeropoint_jy: float | None = None
    vega_zeropoint_jy: float | None = None
    error_floor_mag: float | None = None
    pivot_nm: float | None = None
    effective_nm: float | None = None
    fwhm_nm: float | None = None
    svo_id: str = ""
    reference: str = ""
    note: str = ""
    unsettled: str = ""


def passband(name: str, survey: str) -> Passband:
    """Return one passband of a survey. Names are case-sensitive: `r` is not `R`. Raises UnknownPassband with the nearest names.

    >>> passband("G", "GAIA_DR3").zeropoint_jy
    3269.858
    """
    known = passbands(survey)
    if name in known:
        return known[name]
    if not known:
        raise UnknownPassband(
            f"no survey '{survey}' among the passbands.", _nearest(survey, surveys()), "The survey is the word in g(ZTF)."
        )
    raise UnknownPassband(f"survey {survey} has no passband '{name}'.", _nearest(name, tuple(known)))


def passbands(survey: str) -> Mapping[str, Passband]:
    """Return the passbands of a survey by name, in the file's order (mostly blue to red); none for a survey that the file lacks."""
    return _all().get(survey, MappingProxyType({}))


def surveys() -> tuple[str, ...]:
    """Return the name of every survey that has passbands."""
    return tuple(_all())


@cache
def _all() -> Mapping[str, Mapping[str, Passband]]:
    tables = tomllib.loads(files("harvester").joinpath("passbands.toml").read_text("utf-8"))
    return MappingProxyType({survey: _read(survey, table) for survey, table in tables.items()})


def _read(survey: str, table: dict[str, Any]) -> Mapping[str, Passband]:
    """Lay each passband's own values over those of its survey."""
    rows = table.pop("passbands")
    return MappingProxyType({name: Passband(survey=survey, name=name, **(table | row)) for name, row in rows.items()})


def _nearest(wanted: str, known: tuple[str, ...]) -> str:
    folded = {name.casefold(): name for name in reversed(known)}
    near = get_close_matches(wanted.casefold(), folded, n=1)
    if near:
        return f"Did you mean '{folded[near[0]]}'?"
    return f"Known: {', '.join(known[:MOST_NAMES])}{' and others' if len(known) > MOST_NAMES else ''}."
