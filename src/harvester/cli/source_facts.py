"""What `harvest sources show` says of a source: all that an astronomer needs before using its numbers."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harvester.cli.source_list import cadence, credentials, state
from harvester.passbands import Passband
from harvester.schema import label
from harvester.source import Source, describe, find, load
from harvester.times import BARYCENTRE_SIGMA_S, SITE_SIGMA_S, TimeSystem

if TYPE_CHECKING:
    from harvester.config import ServiceSettings

Facts = list[tuple[str, Any]]
CONVERSION_MS = 0.003
NARROWEST = 40
DERIVED = "as served; where only a flux is served: 2.5/ln(10) * flux_err/flux"
NOT_SHOWN = ("survey", "name", "colour", "marker")
ASKED = {
    "cone": "position and radius",
    "ids": "the survey's own ids",
    "names": "names",
}


def facts(name: str, own: ServiceSettings | None, *, as_json: bool = False) -> Facts:
    """Return pairs of a word and what it says, in the order in which they are read. Raises UnknownSource, BrokenSource.

    For a program what has parts stays an object; for people it becomes lines.
    """
    about, source = describe(find(name)), load(name)
    said = about.facts
    shown = credentials(source, own)
    systems = _grouped({survey: system.describe() for survey, system in source.systems().items()})
    times, bands = (budgets(source), bands_of(source)) if as_json else ("\n".join(_budget_lines(source)), "\n".join(_band_lines(source)))
    return [
        ("source", name),
        ("what", about.title),
        ("package", about.package),
        ("state", state(name, source, shown, simulated=own is None)),
        ("survey", _one_or_all(list(source.systems()))),
        *((word, said[word]) for word in ("release", "manual", "time") if word in said),
        ("time system", systems if as_json else "\n".join(systems)),
        ("time budget", times),
        *((word, said[word]) for word in ("magnitude",) if word in said),
        ("magnitude system", " and ".join(dict.fromkeys(band["system"] for band in bands_of(source)))),
        *([("filters", [one["filter"] for one in bands_of(source)])] if as_json else []),
        ("passbands", bands),
        *([] if as_json or not (notes := _notes(source)) else [("of them", notes)]),
        *([] if "error" in said.get("magnitude", "") and "errors" not in said else [("errors", said.get("errors", DERIVED))]),
        *([("error floor", floors)] if (floors := _floors(source)) else []),
        ("quality", said.get("quality", "not told")),
        ("limits", source.limits or "none"),
        *((word, said[word]) for word in said if word not in KNOWN),
        *_asking(source),
        *_access(name, source, shown, as_json=as_json),
        ("cite", list(source.cite)),
        ("acknowledge", source.acknowledgement or ("" if as_json else "nothing in particular")),
        *([("retired", f"use {source.retired}")] if source.retired else []),
    ]


def _floors(source: Source) -> list[str]:
    """Return the documented error floors of a source's filters; what `export --error-floor survey` adds."""
    bands = [(label(name, survey), band) for survey in source.systems() for name, band in source.bands(survey).items()]
    return [f"{name} {band.error_floor_mag:g} mag (only on request)" for name, band in bands if band.error_floor_mag]


KNOWN = {"release", "manual", "time", "magnitude", "errors", "quality", "cite"}
"""Words of a file's head that have their place above; others follow, but the papers, which the class names as well."""


def budgets(source: Source) -> list[dict[str, Any]]:
    """Return, for each survey, what BJD_TDB is good for (ms, 1 sigma) and the parts of it."""
    return [{"survey": survey, "total_ms": system.total_sigma_s * 1e3, **parts(system)} for survey, system in source.systems().items()]


def parts(system: TimeSystem) -> dict[str, float]:
    """Return the parts of the error of BJD_TDB (ms, 1 sigma); together they are `total_sigma_s`, but for the last, a bound below its digits.

    >>> parts(TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start", sigma_s=0.5))
    {'survey_ms': 500.0, 'site_ms': 0.0, 'ephemeris_ms': 0.43, 'conversion_ms': 0.003}
    """
    site = SITE_SIGMA_S * 1e3 if system.place == "observatory" and system.site is None else 0.0
    ephemeris = 0.0 if system.place == "barycentre" else BARYCENTRE_SIGMA_S * 1e3
    return {"survey_ms": system.sigma_s * 1e3, "site_ms": site, "ephemeris_ms": ephemeris, "conversion_ms": CONVERSION_MS}


def bands_of(source: Source) -> list[dict[str, Any]]:
    """Return what is known of each passband that rows may have."""
    found = [(label(name, survey), band) for survey in source.systems() for name, band in source.bands(survey).items()]
    return [{"filter": name, **{key: value for key, value in asdict(band).items() if key not in NOT_SHOWN}} for name, band in found]


def wrapped(pairs: Facts) -> Facts:
    """Return facts for a terminal of its width: texts broken between words, beside their words."""
    room = max(shutil.get_terminal_size().columns - max(len(word) for word, _ in pairs) - 2, NARROWEST)
    return [(word, "\n".join(_broken(_text(value), room))) for word, value in pairs]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _broken(text: str, room: int) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(line, room, break_long_words="://" not in line, break_on_hyphens=False, subsequent_indent="  ") or [""]


def _budget_lines(source: Source) -> list[str]:
    return _grouped({survey: _budget(system) for survey, system in source.systems().items()})


def _budget(system: TimeSystem) -> str:
    found = parts(system)
    stamp = "; half of each row's exposure time is added to its start" if system.stamp == "start" else ""
    words = [
        f"{found['survey_ms']:g} ms that the survey leaves open about its stamps",
        *([f"{found['site_ms']:.1f} ms for a telescope that could be anywhere on Earth"] if found["site_ms"] else []),
        *([f"{found['ephemeris_ms']:g} ms between ephemerides"] if found["ephemeris_ms"] else []),
        f"{found['conversion_ms']:g} ms of our conversion at most",
    ]
    return f"BJD_TDB good to {float(f'{system.total_sigma_s * 1e3:.3g}'):g} ms (1 sigma): {', '.join(words)}{stamp}"


def _band_lines(source: Source) -> list[str]:
    return [_band(label(name, survey), band) for survey in source.systems() for name, band in source.bands(survey).items()]


def _notes(source: Source) -> str:
    """Return what a user of the magnitudes should know, and what is open about their passbands, each once; of which, if not of all."""
    found = [(label(name, survey), band) for survey in source.systems() for name, band in source.bands(survey).items()]
    said = {name: " ".join(filter(None, (band.note, band.unsettled))) for name, band in found}
    told = {name: words for name, words in said.items() if words}
    return "\n".join(_grouped(told, named=told != said))


def _band(name: str, band: Passband) -> str:
    zero = f"magnitude 0 is {band.zeropoint_jy:g} Jy" if band.zeropoint_jy is not None else "no flux of it"
    pivot, effective = (
        f"{word} {nm:g} nm" if nm is not None else "" for word, nm in (("pivot", band.pivot_nm), ("effective", band.effective_nm))
    )
    return ", ".join(word for word in (f"{name}: {band.system}", zero, pivot or effective, band.svo_id) if word)


def _asking(source: Source) -> Facts:
    return [
        ("asked by", [ASKED.get(way, way) for way in sorted(source.takes)]),
        ("radius", f'{source.radius:g}"'),
        ("targets per query", source.batch),
        ("cadence", cadence(source)),
        ("look-back", f"{source.lookback:g} days before the newest point" if source.incremental else "everything is asked for again"),
        ("pace", f"{source.pace.per_second:g} requests a second, {source.pace.at_once} at once"),
        ("service", f"{source.base_url}{' (no https: what it sends could be changed on the way)' if source.plain_http else ''}"),
    ]


def _access(name: str, source: Source, shown: str, *, as_json: bool) -> Facts:
    from harvester.access import where_to_put

    if not source.credentials:
        return [("credentials", "none")]
    held = {"set": "in your settings"}.get(shown, "not in your settings")
    sent = [f"{one.header or one.param or one.field}: {one.value.replace('{{', '{').replace('}}', '}')}" for one in source.credentials]
    secrets = list(dict.fromkeys(secret for one in source.credentials for secret in one.secrets))
    return [
        ("credentials", [*sent, held] if as_json else "\n".join([*sent, held])),
        ("how to get them", " ".join([*dict.fromkeys(one.how for one in source.credentials), where_to_put(name, secrets)])),
    ]


def _grouped(said: Mapping[str, str], *, named: bool = False) -> list[str]:
    """Return what is said of each without saying the same twice; what is said of all alike without their names, unless they are to be `named`."""
    names: dict[str, list[str]] = {}
    for name, words in said.items():
        names.setdefault(words, []).append(name)
    return list(names) if len(names) == 1 and not named else [f"{', '.join(of)}: {words}" for words, of in names.items()]


def _one_or_all(words: list[str]) -> str | list[str]:
    return words[0] if len(words) == 1 else words
