"""AAVSO: the variable star index and the observations of the International Database, behind a guard that dislikes some programs.

Simplifications: of the index's many views there are the list, the object and the observations; XML is served of the object alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

import numpy as np

from harvester.emulator.aavso_observers import OBSERVERS, Observer, Reports, plain_name, reports, watched
from harvester.emulator.app import Request, Response
from harvester.emulator.names import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harvester.emulator.stars import Star

NAME = "aavso"
HOSTS = ("vsx.aavso.org", "www.aavso.org")
COLUMNS = """JD mag uncert band by comCode compStar1 compStar2 charts comment transformed airmass val cmag kmag starName obsAffil mtype
    adsRef digitizer credit obsID fainterThan obsType software obsName obsCountry""".split()
KINDS = {"rrlyr": "RRAB", "cepheid": "DCEP", "mira": "M", "eclipsing": "EA", "contact": "EW", "outburst": "UGSS", "supernova": "SN"}
DISLIKED = ("mozilla", "curl")
GUARD = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Enable JavaScript and cookies to continue</body></html>"
PAGE = b"<!DOCTYPE html><html><head><title>The International Variable Star Index</title></head><body>VSX</body></html>"
WIDEST_DEG = 5.0
NEVER = (-np.inf, np.inf)


def index(request: Request) -> Response:
    """Answer by the view that is asked for; 403 to what looks like a browser that is none, a page to what is not understood."""
    if request.headers.get("User-Agent", "").lower().startswith(DISLIKED):
        return Response(GUARD, "text/html; charset=UTF-8", 403)
    view = VIEWS.get(request.first("view"))
    try:
        return view(request) if view else _page()
    except ValueError:
        return _page()


def moved(request: Request) -> Response:
    """Send old links to where the index stands now."""
    return Response(status=301, headers=(("Location", f"https://{HOSTS[0]}/index.php?{urlencode(request.params)}"),))


def _page() -> Response:
    return Response(PAGE, "text/html; charset=UTF-8")


def _list(request: Request) -> Response:
    """List the variables of a cone: many as a list, one alone without it, none as an empty list one level higher."""
    ra, dec, radius = (float(request.first(name)) for name in ("ra", "dec", "radius"))
    faintest = float(request.first("tomag") or np.inf)
    near = request.sky.stars_near(ra, dec, min(radius, WIDEST_DEG))
    stars = [_record(star) for star in near if star.kind != "constant" and star.mean["V"] - star.amplitude / 2 <= faintest]
    found = {"VSXObject": stars[0] if len(stars) == 1 else stars} if stars else []
    return Response(json.dumps({"VSXObjects": found}).encode(), "application/json")


def _object(request: Request) -> Response:
    star = _identified(request)
    record = _record(star) if star else {}
    if request.first("format") == "json":
        return Response(json.dumps({"VSXObject": record or []}).encode(), "application/json")
    words = "".join(f" {key}={quoteattr(value)}" for key, value in record.items())
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n<VSXObject{words}/>\n'.encode(), "text/xml; charset=UTF-8")


def _record(star: Star) -> dict[str, str]:
    """Describe a star as the index does: every value is text, and what is not known is left out."""
    auid = {star.gaia_id: auid for auid, star in watched().items()}.get(star.gaia_id)
    record = {"Name": plain_name(star) or f"SIM {star.gaia_id}"} | ({"AUID": auid} if auid else {})
    record |= {"RA2000": f"{star.ra:.5f}", "Declination2000": f"{star.dec:.5f}", "VariabilityType": KINDS.get(star.kind, "VAR")}
    record |= {"Period": f"{star.period}"} if star.period else {}
    return record | {"MaxMag": f"{star.mean['V'] - star.amplitude / 2:.2f} V", "Category": "Variable"}


def _identified(request: Request) -> Star | None:
    ident = request.first("ident").strip()
    named = (star for star in request.sky.named(ident) if any(star.gaia_id == known.gaia_id for known in watched().values()))
    folded = next((star for star in watched().values() if fold(plain_name(star)) == fold(ident)), None)
    return watched().get(ident) or folded or next(named, None)


def _delim(request: Request) -> Response:
    """Write observations, oldest first; an unknown star has a header alone."""
    star, delimiter = _identified(request), request.first("delimiter") or ","
    first, last = (float(request.first(name) or end) for name, end in zip(("fromjd", "tojd"), NEVER, strict=True))
    lines = [COLUMNS] if star is None else [COLUMNS, *_lines(request.sky.seed, star, (first, last))]
    return Response("".join(f"{delimiter.join(line)}\n" for line in lines).encode(), "text/plain; charset=UTF-8")


def _lines(seed: int, star: Star, window: tuple[float, float]) -> list[list[str]]:
    found = [(jd, line) for observer in OBSERVERS for jd, line in _of_one(observer, star, reports(seed, star, observer)) if _in(jd, window)]
    return [line for _, line in sorted(found)]


def _in(jd: float, window: tuple[float, float]) -> bool:
    return window[0] <= jd <= window[1]


def _of_one(observer: Observer, star: Star, rows: Reports) -> Iterator[tuple[float, list[str]]]:
    """Write the reports of one observer; what nobody said is empty, the air mass nonsense at times, comments have blanks and commas."""
    jd_digits, mag_digits = observer.digits
    by_eye = observer.kind == "Visual"
    for row in rows:
        said = {
            "JD": f"{row['jd']:.{jd_digits}f}",
            "mag": f"{row['mag']:.{mag_digits}f}",
            "uncert": "" if by_eye or row["fainter"] else f"{row['error']:.3f}",
            "band": observer.band,
            "by": observer.code,
            "compStar1": "000-BCP-198",
            "comment": "" if by_eye else "a comment, with a comma; and ~ | besides",
            "transformed": "0",
            "airmass": "" if by_eye else "-10.2",
            "val": str(row["val"]),
            "starName": plain_name(star).upper(),
            "mtype": "STD",
            "obsID": str(row["number"]),
            "fainterThan": str(int(row["fainter"])),
            "obsType": observer.kind,
            "obsName": "Simulated, Observer",
            "obsCountry": "XX",
        }
        yield float(row["jd"]), [said.get(name, "") for name in COLUMNS]


VIEWS = {"api.list": _list, "api.object": _object, "api.delim": _delim}
ROUTES = {"/index.php": index, "/vsx/index.php": moved}
