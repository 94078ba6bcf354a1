"""What of Elasticsearch ANTARES's clients ask: a filter, or a list of filters, of sky_distance, term, terms, exists and range.

A filter is of fields: `tags`, or `properties.` and the way to a property, through dictionaries and lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from harvester.emulator import asteroids

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {"sky_distance", "term", "terms", "exists", "range"}
LIMITS = {"gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b}
SEEN_TAG = "lc_feature_extractor"
TAGS = {
    SEEN_TAG: "", "young_extragalactic_candidate": "supernova", "dwarf_nova_outburst": "outburst", "microlensing_candidate": "microlensing",
    "nuclear_transient": "none of these",
}  # fmt: skip
"""The tags that are in use, and what kind of star has each; of all kinds, the first."""
Record = dict[str, Any]
Filter = Record


class Found(Protocol):
    """What can be searched."""

    @property
    def properties(self) -> Record:
        """What the list tells of it."""

    @property
    def tags(self) -> list[str]:
        """What filters said of it."""


@dataclass(frozen=True)
class Asteroid:
    """A place where an asteroid was met once."""

    body: str
    met: asteroids.Meeting

    @property
    def name(self) -> str:
        """ANT, a year and letters."""
        return f"ANT20{self.met.object_id[3:]}"

    @property
    def place(self) -> tuple[float, float]:
        """Where it was met, deg."""
        return self.met.ra, self.met.dec

    @property
    def tags(self) -> list[str]:
        """What filters said of it."""
        return [SEEN_TAG]

    @cached_property
    def properties(self) -> Record:
        """What the list tells of it."""
        ids = {"ztf": {"id": [self.met.object_id], "ssnamenr": [self.body]}, "lsst": {"dia_object_id": [], "ss_object_id": []}}
        told: Record = {"num_alerts": 1, "num_mag_values": 1, "is_corrected": "false", "ztf_object_id": self.met.object_id}
        for word in ("oldest", "newest"):
            told |= {f"{word}_alert_id": f"ztf_candidate:{self.met.candid}", f"{word}_alert_observation_time": self.met.mjd}
        return told | {"newest_alert_magnitude": self.met.mag, "ztf_ssnamenr": self.body, "survey": ids}


def filters(query: Record) -> list[Filter]:
    """Return the filters of a query. Raises ValueError, KeyError for one that is not understood here."""
    asked = query["query"]["bool"]["filter"]
    found = asked if isinstance(asked, list) else [{name: value} for name, value in asked.items()]
    if not found or {name for one in found for name in one} - KINDS:
        raise ValueError("nothing that is understood here")
    return found


def terms(found: list[Filter], field: str) -> list[str]:
    """Return the values of a field that filters want."""
    wanted = [(one.get("term") or one.get("terms") or {}).get(field) for one in found]
    return [str(value) for values in wanted for value in (values if isinstance(values, list) else [values]) if value]


def lower_bound(found: list[Filter], field: str) -> float:
    """Return from which value of a field on filters want it."""
    ranges = [one["range"].get(field, {}) for one in found if "range" in one]
    return max((float(limits[word]) for limits in ranges for word in ("gt", "gte") if word in limits), default=0.0)


def asteroid_loci(seed: int, bodies: list[str], until: float) -> list[Asteroid]:
    """Return the places where bodies were met."""
    return [Asteroid(body, met) for body in bodies if body in asteroids.NAMES for met in asteroids.meetings(seed, body, until)]


def fits(locus: Found, one: Filter) -> bool:
    """Whether a locus fulfils a filter; a cone has been looked at before."""
    ((kind, wanted),) = one.items()
    if kind == "sky_distance":
        return True
    if kind == "exists":
        return any(_values(locus, wanted["field"]))
    for field, value in wanted.items():
        held = [*_values(locus, field)]
        if kind == "range" and not all(LIMITS[word](float(each), float(limit)) for each in held for word, limit in value.items()):
            return False
        if kind in {"term", "terms"} and not {str(each) for each in held} & {str(each) for each in (value if kind == "terms" else [value])}:
            return False
    return True


def _values(locus: Found, field: str) -> Iterator[Any]:
    if field == "tags":
        yield from locus.tags
        return
    first, *rest = field.split(".")
    if first != "properties":
        raise ValueError(f"no field {field}")
    held: Any = locus.properties
    for word in rest:
        held = held.get(word) if isinstance(held, dict) else None
    yield from held if isinstance(held, list) else [] if held is None else [held]
