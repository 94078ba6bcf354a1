"""ANTARES's API of loci, as the source and the broker ask it: its lists, page by page, and its cone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harvester.alert_photometry import answered
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import Http

NEWEST_FIRST = "-properties.newest_alert_observation_time"


def pages(http: Http, path: str, **asked: Any) -> Iterator[Payload]:
    """Yield all pages of a list; of the link to the next one only the question is taken: it may name another host, or no https."""
    while path:
        answer = http.get(path, **asked)
        yield answer
        links = (answered(answer).get("links") or {}) if data(answer) else {}
        path, asked = (f"{path.partition('?')[0]}?{link.partition('?')[2]}" if (link := links.get("next")) else ""), {}


def data(payload: Payload) -> list[dict[str, Any]]:
    """Return what a page lists, nothing for one in doubt. Raises Malformed."""
    said = {"data": []} if payload.doubt or (found := answered(payload)) is None else found
    held = said.get("data") if isinstance(said, dict) else None
    if not isinstance(held, list) or not all(isinstance(item, dict) for item in held):
        raise Malformed("antares: expected a list.", f"Received: {str(said)[:100]}", "Try again later.", payload=payload)
    return held


def cone(ra: float, dec: float, radius: float) -> dict[str, str]:
    """Return what `sky_distance` wants to know of a cone (deg, deg, arcsec)."""
    from astropy.coordinates import SkyCoord

    return {"radius": f"{radius / 3600.0:.7f} degree", "location": SkyCoord(ra, dec, unit="deg").to_string("hmsdms", precision=5)}
