"""Objects of alert brokers: where to look for those of a target, survey by survey, and what they are to `match`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harvester.errors import Malformed, SourceError
from harvester.payload import Payload, SkyObject

if TYPE_CHECKING:
    from harvester.source import Query

SPANS: Mapping[str, tuple[float, float]] = {"ZTF": (2022.0, 4.5), "LSST": (2027.0, 1.5)}
"""Middle and half of the time that a survey has given alerts, Julian years."""
FORCED = {"ZTF": "ZTF_FP", "LSST": "LSST_FP"}
J2000_MJD, JULIAN_YEAR = 51544.5, 365.25


def around(query: Query, survey: str) -> tuple[float, float, float]:
    """Return right ascension, declination (deg) and radius (arcsec) to ask for: a moving star left its alerts where it was."""
    middle, half = SPANS[survey]
    ra, dec = query.target.at(middle)
    return round(ra, 7), round(dec, 7), round(query.radius + query.target.speed * half, 3)


def each_survey(surveys: Iterable[str], ask: Callable[[str], Iterable[Payload]]) -> Iterator[Payload]:
    """Yield what `ask` brings of each survey, which has a host of its own: one that is down does not keep the others' photometry from the store.

    What came of a survey before its failure is kept, but is no answer. Raises the failure at the end, `partial` where another survey answered.
    """
    answered, failures = list[str](), list[SourceError]()
    for survey in surveys:
        heard: list[Payload] = []
        try:
            for payload in ask(survey):
                heard.append(payload)  # noqa: PERF402 - what came before a failure is kept
        except SourceError as error:
            failures.append(error)
            heard = [payload.about(role="objects", objects=()) for payload in heard]
        else:
            answered.append(survey)
        yield from heard
    if failures:
        raise _told(failures[0], answered)


def _told(failure: SourceError, answered: list[str]) -> SourceError:
    """Return a failure that says whose answer is stored all the same."""
    if answered:
        failure.partial = True
        failure.hint = f"What came of {' and '.join(answered)} is stored; all is asked again by: harvest update"
    return failure


def things(
    payload: Payload, listed: Iterable[Mapping[str, Any]], survey: str, keys: tuple[str, str, str, str, str]
) -> tuple[SkyObject, ...]:
    """Return each object once (brokers list some once per classifier), and once more as that of the survey's forced photometry.

    `keys` are the broker's words for id, right ascension, declination, first and last epoch (MJD, or JD). Raises Malformed.
    """
    found: dict[str, tuple[float, float, float]] = {}
    for item in listed:
        try:
            name, ra, dec, first, last = (item[key] for key in keys)
            middle = (float(first) + float(last)) / 2
            mjd = middle - 2_400_000.5 if middle > 2_000_000 else middle
            found[str(name)] = float(ra), float(dec), 2000.0 + (mjd - J2000_MJD) / JULIAN_YEAR
        except (KeyError, TypeError, ValueError) as error:
            what = f"{payload.source}: an object of {survey} lacks its place ({str(error)[:60]})."
            raise Malformed(what, hint="The service has changed, or cut its answer.", payload=payload) from error
    sure = [SkyObject(name, ra, dec, epoch, has_photometry=True, survey=survey) for name, (ra, dec, epoch) in found.items()]
    return (*sure, *(SkyObject(name, ra, dec, epoch, survey=FORCED[survey]) for name, (ra, dec, epoch) in found.items()))
