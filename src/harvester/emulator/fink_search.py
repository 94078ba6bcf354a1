"""Fink's searches: the latest alerts of a class (ZTF) or a tag (LSST), newest first, and bodies of the solar system.

As the real ones: a class that does not exist has no alerts, a tag that does not exist is an error in prose, one name that nobody knows spoils a
whole list, and no more than `n` rows come, without a word that there were more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harvester.emulator import asteroids, lsst_stream, ztf_stream
from harvester.emulator.stars import famous
from harvester.emulator.transients import NIGHTS, shining

if TYPE_CHECKING:
    from harvester.emulator.app import Request

JD_OF_MJD, MJD_OF_UNIX = 2400000.5, 40587.0
BEGAN = 58788.0  # November 2019
CHUNK_DAYS = 30.0
EARLY_DAYS, NAMED_DAYS = 10.0, 15.0
SIMBAD, TNS = "(SIMBAD) ", "(TNS) "
LABELS = {
    "microlensing": "Microlensing candidate",
    "rrlyr": "RRLyr",
    "cepheid": "Cepheid",
    "mira": "Mira",
    "eclipsing": "EB*",
    "contact": "EB*WUMa",
    "outburst": "CataclyV*",
    "rvtau": "PulsV*RVTau",
    "ellipsoidal": "EllipVar",
}
FINK = ("Early SN Ia candidate", "Kilonova candidate", "SN candidate", "SLSN candidate", "Microlensing candidate", "Tracklet")
TAGS = {
    **dict.fromkeys(("extragalactic_lt20mag_candidate", "extragalactic_new_candidate", "hostless_candidate", "in_tns"), True),
    **dict.fromkeys(("most_likely_sn", "remove_unlikely_transients", "sn_near_galaxy_candidate"), True),
    **dict.fromkeys(("extragalactic_svom", "faint_trails", "fast_transient_gvom"), True),
    "uniform_sample": False,
}
OF_SUPERNOVAE = {"extragalactic_lt20mag_candidate", "extragalactic_new_candidate", "in_tns", "most_likely_sn", "sn_near_galaxy_candidate"}
Record = dict[str, Any]


def label(found: ztf_stream.Stream, jd: float) -> str:
    """Return Fink's class of one alert."""
    if found.star.kind == "supernova":
        return "Early SN Ia candidate" if jd - found.detections["jd"][0] < EARLY_DAYS else "SN candidate"
    return LABELS.get(found.star.kind, "Unknown")


def latest(request: Request, said: dict[str, Any]) -> Iterator[tuple[ztf_stream.Stream, Any]]:
    """Yield the alerts of a class, each with its stream, newest first, as many as were asked for."""
    name, left = str(said["class"]), int(said.get("n", 10))
    in_tns, wanted = name.startswith(TNS), name.removeprefix(SIMBAD)
    for since, until in _chunks(*_window(request, said)):
        found = [
            (one, row)
            for one in _streams(request, wanted, (since, until))
            for row in one.detections[(one.detections["jd"] > since + JD_OF_MJD) & (one.detections["jd"] <= until + JD_OF_MJD)]
            if (_is_named(one, row, name) if in_tns else label(one, row["jd"]) == wanted)
        ]
        for one, row in sorted(found, key=lambda pair: (pair[1]["jd"], pair[0].oid), reverse=True)[:left]:
            left -= 1
            yield one, row
        if not left:
            return


def tagged(request: Request, said: dict[str, Any]) -> Iterator[tuple[lsst_stream.Stream, Any]]:
    """Yield the detections of LSST with a tag, each with its stream, newest first. Raises LookupError, with Fink's words, for no such tag."""
    tag, where = str(said["tag"]), f"https://{request.host}/api/v1/tags"
    if tag not in TAGS:
        told = f"{tag} is not a valid tag. Here is the list of tags:\n        {sorted(TAGS)}"
        raise LookupError(f"\n        {told}\n        And you can always retrieve available tags at {where}\n        ")
    if not TAGS[tag]:
        told = f"{tag} is only available from the Livestream service (no API support defined)."
        raise LookupError(
            f"\n        {told}\n        And you can always retrieve available tags and their API support at {where}\n        "
        )
    since, until = _window(request, said)
    stars = [*shining(request.sky.seed, *lsst_stream.NIGHTS), *(star for star in famous() if star.kind == "supernova")]
    streams = [one for star in stars if tag in OF_SUPERNOVAE and (one := lsst_stream.stream(request.sky, star))]
    found = [(one, row) for one in streams for row in one.detections if since < row["midpointMjdTai"] <= until]
    newest = sorted(found, key=lambda pair: (pair[1]["midpointMjdTai"], pair[0].dia_object_id), reverse=True)
    return iter(newest[: int(said.get("n", 10))])


def bodies(request: Request, said: dict[str, Any]) -> Iterator[tuple[str, asteroids.Meeting]]:
    """Yield the detections of bodies of the solar system, newest first. Raises LookupError, with Fink's words, for a name nobody knows."""
    for name in str(said["n_or_d"]).split(","):
        body = asteroids.found_under(name)
        if body is None:
            raise LookupError(f"{name.strip()} is not a valid name or number according to quaero.\n")
        for met in asteroids.meetings(request.sky.seed, body, min(request.sky.now, NIGHTS[1])):
            yield body, met


def _is_named(one: ztf_stream.Stream, row: Any, name: str) -> bool:
    """Whether TNS had classified it by then; Fink gives one row for each of these, its newest alert."""
    is_last = row["candid"] == one.detections["candid"][-1]
    old = row["jd"] - one.detections["jd"][0] > NAMED_DAYS
    return bool(name == "(TNS) SN Ia" and one.star.kind == "supernova" and is_last and old)


def _streams(request: Request, wanted: str, window: tuple[float, float]) -> list[ztf_stream.Stream]:
    """Return the streams of those stars that may have alerts of a class in a window."""
    kinds = {kind for kind, name in LABELS.items() if name == wanted} or {"supernova"}
    stars = [*famous(), *shining(request.sky.seed, *window)]
    return [one for star in stars if star.kind in kinds and (one := ztf_stream.stream(request.sky, star))]


def _chunks(since: float, until: float) -> Iterator[tuple[float, float]]:
    """Part a window, from its end on: where there are many transients a month at a time."""
    while until > since:
        start = max(since, until - CHUNK_DAYS) if until > NIGHTS[0] else since
        yield start, until
        until = start


def _window(request: Request, said: dict[str, Any]) -> tuple[float, float]:
    now = min(request.sky.now, float(NIGHTS[1]))
    return _mjd(said.get("startdate"), BEGAN), min(_mjd(said.get("stopdate"), now), now)


def _mjd(text: Any, default: float) -> float:
    """Read what a date may be: ISO, JD or MJD. Raises ValueError."""
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(str(text).removesuffix("Z"))
        return moment.replace(tzinfo=UTC).timestamp() / 86400.0 + MJD_OF_UNIX
    return number - JD_OF_MJD if number > JD_OF_MJD else number
