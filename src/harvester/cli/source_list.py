"""What `harvest sources list` says of each source, a row each: as its class and the settings have it, nobody is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from harvester.description import broken
from harvester.schema import label
from harvester.source import Source, describe, load, package, registered

if TYPE_CHECKING:
    from harvester.config import ServiceSettings

COLUMNS = ("source", "survey", "filters", "cadence", "limits", "credentials", "state", "what", "release", "package")
WIDE, WHOLE = ("what", "release", "package"), ("source", "survey", "cadence", "limits", "credentials")
BROKEN = "broken plug-in"
READY, NEEDS = "ready", "needs credentials"
FEW_SURVEYS, FEW_BANDS = 4, 10


def row(entry: EntryPoint, own: ServiceSettings | None) -> dict[str, Any]:
    """Return what is to be said of a source; `own` are its settings, None where everything is simulated. Raises BrokenSource."""
    about, source = describe(entry), load(entry.name)
    try:
        declared = _declared(about.name, source, own)
    except Exception as error:  # an outsider's class may lack anything
        raise broken(entry, f"{type(error).__name__}: {error}") from error
    return declared | {"what": about.title, "release": about.facts.get("release", ""), "package": about.package}


def broken_row(entry: EntryPoint) -> dict[str, Any]:
    """Return the row of a source that cannot be imported: nothing is known of it but that."""
    unknown: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    return unknown | {"source": entry.name, "survey": [], "filters": [], "limits": None, "state": BROKEN, "package": package(entry)}


def cadence(source: Source) -> str:
    """Return how often an update asks: nightly, every so many days, once for each release, or never.

    >>> cadence(load("ztf_dr")), cadence(load("gaia_dr3")), cadence(load("mars"))
    ('60 d', 'release DR3', 'never')
    """
    if source.retired:
        return "never"
    if source.cadence is None:
        return f"release {source.release}" if source.release[:1].isalpha() else "once"
    return "nightly" if source.cadence == 1 else f"{source.cadence:g} d"


def credentials(source: Source, own: ServiceSettings | None) -> str:
    """Return "no" where none are wanted, "set" where the settings have them all, else "yes"; a simulation takes any, and nobody looks."""
    wanted = {secret for one in source.credentials for secret in one.secrets}
    if not source.credentials:
        return "no"
    return "set" if own and all(own.secrets.get(secret) for secret in wanted) else "yes"


def state(name: str, source: Source, shown: str, *, simulated: bool = False) -> str:
    """Return whether anything that is known stands in the way of asking. Whether the service answers, `sources check` tells."""
    if source.retired:
        heirs = ", ".join(word for word in re.findall(r"\w+", source.retired) if word in registered() and word != name)
        return f"retired ({heirs})" if heirs else "retired"
    if not source.is_finished:
        return "unfinished"
    if source.public_from > datetime.now(UTC).date().isoformat():
        return "not yet public"
    return NEEDS if shown == "yes" and not simulated else READY


def narrow(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows for a terminal: a few surveys, a few passbands without their surveys, releases by their names alone."""
    return [
        {
            **row,
            "survey": "\n".join(_few(row["survey"], FEW_SURVEYS)),
            "filters": " ".join(_few(_bands(row["filters"]), FEW_BANDS)),
            "cadence": row["cadence"].removeprefix("release "),
        }
        for row in rows
    ]


def _declared(name: str, source: Source, own: ServiceSettings | None) -> dict[str, Any]:
    shown = credentials(source, own)
    return {
        "source": name,
        "survey": list(source.systems()),
        "filters": [label(band, survey) for survey in source.systems() for band in source.bands(survey)],
        "cadence": cadence(source),
        "limits": bool(source.limits),
        "credentials": shown,
        "state": state(name, source, shown, simulated=own is None),
    }


def _bands(filters: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("(")[0] for name in filters))


def _few(words: Sequence[str], most: int) -> list[str]:
    kept = len(words) if len(words) <= most else most // 2
    return [*words[:kept], *([f"+{len(words) - kept}"] if kept < len(words) else [])]
