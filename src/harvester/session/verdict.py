"""What an HTTP answer means: good, worth another try, or which error of ours; and what the service says of it.

Pure functions of status, headers and body.
"""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from harvester.errors import Malformed, Refused, SourceError, Throttled, TimedOut, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TRANSIENT = frozenset({408, 429, 502, 503, 504})
OUT_OF_TIME = frozenset({408, 504})
ONCE_MORE = 500
LOOKED_AT = 65_536
LONGEST_COMPLAINT = 200
INFO_ERROR = re.compile(r'<(?:\w+:)?INFO\b(?=[^>]*\bvalue="ERROR")[^>]*(?<!/)>(.*?)</(?:\w+:)?INFO>', re.IGNORECASE | re.DOTALL)
NAMED_ERROR = re.compile(r'<(?:\w+:)?(?:INFO|PARAM)\b(?=[^>]*\bname="Error")[^>]*\bvalue="([^"]*)"', re.IGNORECASE)
MESSAGE_ITEM = re.compile(r"<li>\s*<b>\s*Message:?\s*</b>:?(.*?)</li>", re.IGNORECASE | re.DOTALL)
UNSEEN = re.compile(r"<!--.*?-->|<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
BLOCK = re.compile(r"</?(?:p|h[1-6]|div|li|ul|ol|br|hr|table|tr|pre|body|html)\b[^>]*>", re.IGNORECASE)
TAG = re.compile(r"<!\[CDATA\[|\]\]>|<[^>]*>")
PLAIN_SECONDS = re.compile(r"\d+(\.\d*)?", re.ASCII)
TOO_MANY = re.compile(
    r"too many (requests|connections|queries)|(rate|request)s?[- ]limit|limit exceeded|throttled|quota exceeded|slow down", re.IGNORECASE
)
AVAILABLE_IN = re.compile(r"available in (\d{1,6}) (second|minute|hour)", re.IGNORECASE)
SECONDS_OF = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
QUOTAS = ("x-ratelimit", "x-rate-limit", "x-cone-rate-limit", "ratelimit")
SPENT = frozenset({"0", "exceeded"})
UNIX_TIME, LONGEST_NUMBER = 1e9, 15
JSON_WORDS = ("message", "detail", "error", "errors", "msg", "title", "description", "reason")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came: `headers` in lower case, `body` decoded and whole, `location` (of a redirect) without secrets."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    location: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what may be done: `error` is what it becomes when nothing helps.

    `tries` is how many more it deserves (None: as many as the service allows), `wait` the seconds that the service asked for, `undone`
    whether it is certain that the service did nothing yet, so that even a request that must not be repeated may be.
    """

    error: SourceError
    tries: int | None = 0
    wait: float | None = None
    undone: bool = False


def judge(answer: Answer, who: str, *, patience: float, clean: Callable[[str], str] = str, remedy: str = "") -> Trouble | None:
    """Return None for a success (2xx), or what is wrong.

    `who` names source and host; `patience` is the longest Retry-After (s) that is waited for; `clean` takes secrets out of the service's
    own words; `remedy` tells whom the service refuses what to do.
    """
    if 200 <= answer.status < 300:
        return None
    said = complaint(answer.body)
    if _asks_to_wait(answer, said):
        waits = (retry_after(answer.headers), quota_wait(answer.headers), _in_words(said), _reset(answer.headers))
        wait = next((wait for wait in waits if wait is not None), None)
        return _throttled(answer, who, clean(said), wait=wait, patience=patience)
    return _failed(answer.status, who, clean(said), remedy)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, or None.

    It may be a number, or an HTTP date, which is compared with the server's own Date where it tells one: our clock may be wrong.
    """
    value = headers.get("retry-after", "").strip()
    if PLAIN_SECONDS.fullmatch(value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    then = moment(value)
    if then is None:
        return None
    now = moment(headers.get("date", "")) or datetime.now(UTC)
    return max((then - now).total_seconds(), 0.0)


def quota_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until an allowance of requests that is used up is renewed, None while some of it is left or none is told of.

    TNS has two allowances and counts each down to 0 or the word Exceeded; a second is added to what it has cut off.
    """
    waits = [_until(headers, f"{name}-reset") for name in QUOTAS if _is_spent(headers, name)]
    return max((wait + 1.0 for wait in waits if wait is not None), default=None)


def moment(value: str) -> datetime | None:
    """Return an HTTP date, or None where the text is none."""
    try:
        read = parsedate_to_datetime(value)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def complaint(body: bytes) -> str:
    """Return what a service says of its error, as one short printable line; empty if it says nothing.

    Looks for VOTable INFO elements, the `Message:` item of ESA's pages, the usual words of JSON errors, and else takes the first line of
    the text without its markup.
    """
    text = body[:LOOKED_AT].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    said = _from_json(text) if text.startswith(("{", "[")) else _from_markup(text) if text.startswith("<") else _first_line(text)
    line = "".join(letter for letter in " ".join(said.split()) if letter.isprintable())
    return line if len(line) <= LONGEST_COMPLAINT else f"{line[: LONGEST_COMPLAINT - 1]}…"


def span(seconds: float) -> str:
    """Return seconds as people say them, rounded up."""
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 7200 else f"{math.ceil(seconds / 3600)} h"


def _throttled(answer: Answer, who: str, why: str, *, wait: float | None, patience: float) -> Trouble:
    asked = "" if wait is None else f", {'Retry-After' if 'retry-after' in answer.headers else 'for'} {wait:.0f} s"
    hint = "Try again later." if wait is None else f"Try again in {span(wait)}."
    error = Throttled(f"{who} asked us to wait (HTTP {answer.status}{asked}).", why, hint, retry_after=wait)
    return Trouble(error, tries=0 if wait is not None and wait > patience else None, wait=wait, undone=True)


def _asks_to_wait(answer: Answer, said: str) -> bool:
    """Whether it is 429, or what some services send in its place: 403 or 503 that says so, by its headers or in words."""
    if answer.status not in {403, 503}:
        return answer.status == 429
    spent = any(_is_spent(answer.headers, name) for name in QUOTAS)
    return retry_after(answer.headers) is not None or spent or bool(TOO_MANY.search(said))


def _in_words(said: str) -> float | None:
    """Return the seconds that a sentence asks for ("Expected available in 12 seconds."), or None."""
    found = AVAILABLE_IN.search(said)
    return float(found[1]) * SECONDS_OF[found[2].lower()] if found else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until any allowance of requests is renewed, or None."""
    return next((_until(headers, f"{name}-reset") for name in QUOTAS if f"{name}-reset" in headers), None)


def _is_spent(headers: Mapping[str, str], quota: str) -> bool:
    return headers.get(f"{quota}-remaining", "").strip().lower() in SPENT


def _until(headers: Mapping[str, str], name: str) -> float | None:
    """Return the seconds that a header tells, or None. Some services write a moment (Unix time) instead."""
    value = headers.get(name, "").strip()
    if not PLAIN_SECONDS.fullmatch(value) or len(value) > LONGEST_NUMBER:
        return None
    seconds = float(value)
    now = moment(headers.get("date", "")) or datetime.now(UTC)
    return seconds if seconds < UNIX_TIME else max(seconds - now.timestamp(), 0.0)


def _failed(status: int, who: str, why: str, remedy: str) -> Trouble:
    if status in {401, 403}:
        return Trouble(
            Refused(f"{who} refused us (HTTP {status}).", why, remedy or "Check the credentials of this source in the settings.")
        )
    if status in TRANSIENT:
        return Trouble(_unreachable(status, who, why), tries=None)
    if status >= 500:
        return Trouble(_unreachable(status, who, why), tries=1 if status == ONCE_MORE else 0)
    return Trouble(Malformed(f"{who} did not accept the request (HTTP {status}).", why))


def _unreachable(status: int, who: str, why: str) -> Unreachable:
    kind = TimedOut if status in OUT_OF_TIME else Unreachable
    return kind(f"{who} failed (HTTP {status}).", why, "The service may be down; try again later.")


def _from_json(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _first_line(text)
    return _words(value) or _first_line(text)


def _words(value: Any) -> str:
    """Dig the message out of nested objects and lists."""
    while not isinstance(value, str):
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict) and (known := [word for word in JSON_WORDS if value.get(word)]):
            value = value[known[0]]
        else:
            return ""
    return str(value)


def _from_markup(text: str) -> str:
    for pattern in (INFO_ERROR, NAMED_ERROR, MESSAGE_ITEM):
        found = pattern.search(text)
        if found and (said := _plain(found[1])):
            return said
    title = TITLE.search(text)
    return _first_line(_plain(BLOCK.sub("\n", UNSEEN.sub("\n", text)))) or (_plain(title[1]) if title else "")


def _plain(markup: str) -> str:
    return html.unescape(TAG.sub("", markup)).strip()


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")
