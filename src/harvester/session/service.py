"""Services: where a source's answers come from, within which limits, and the credentials that must not be seen.

Credentials live in one object that prints nothing of them, gives them out only at the moment of sending, and cleans every text that leaves.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit, urlunsplit

from harvester.errors import BadSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harvester.source import Pace

MIB = 1 << 20
HIDDEN = "***"
SHORTEST_SECRET = 4
DEFAULT_PORT = {"http": 80, "https": 443}
UNFIT = frozenset(" \t\r\n\\")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class Credentials:
    """What a service wants to see before it answers: `headers`, query `params` and `fields` of every form, by name.

    `secrets` are what they were made of.

    Raises BadSettings for a header that HTTP cannot carry, such as a token read with the end of its line.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not (HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value)):
                raise BadSettings(
                    "a credential cannot be sent.",
                    f"The value meant for the header {name!r} is empty, or has line ends, blanks around it or letters beyond ASCII.",
                )

    def scrub(self, text: str) -> str:
        """Return the text with every secret of at least four characters, plain or as URLs and Basic authentication write it, hidden."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return text

    def seen_in(self, text: str) -> bool:
        """Whether a secret stands in the text."""
        return any(word in text for word in self._words)

    def clean(self, url: str) -> str:
        """Return a URL without user, password, fragment, or any parameter that is, or carries, a secret."""
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        safe = [(name, value) for name, value in pairs if name not in self.params and not self.seen_in(value)]
        query = parts.query if len(safe) == len(pairs) else urlencode(safe)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))

    @cached_property
    def _words(self) -> tuple[str, ...]:
        """Longest first, so that no part is hidden before the whole."""
        values = [*self.headers.values(), *self.params.values(), *self.fields.values(), *self.secrets]
        values += [value.split(" ", 1)[1] for value in self.headers.values() if " " in value]
        values += [part for value in self.headers.values() for part in _of_basic(value)]
        forms = {
            form
            for value in values
            for form in (value, quote(value), quote(value, safe=""), quote_plus(value))
            if len(form) >= SHORTEST_SECRET
        }
        return tuple(sorted(forms, key=len, reverse=True))


@dataclass(frozen=True)
class Service:
    """One service as a session asks it.

    `base_url` is where it stands (settings may say a mirror or the emulator), `official_url` where its manual says: absolute URLs below the
    latter are sent to the former, and its host is the one that is paced. A user and password in `base_url` become Basic authentication.
    Times are in seconds: `timeout_s` of silence, `total_timeout_s` for one answer; `max_wait_s` is the longest Retry-After that is waited
    for. `max_bytes` counts the decoded body. `remedy` tells whom the service refuses what to do. `plain_http` is for a service that knows no
    https, and never with credentials. Raises BadSettings for another URL that is not https, but for http on this machine itself.
    """

    name: str
    base_url: str
    pace: Pace
    official_url: str = ""
    timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    max_wait_s: float = 60.0
    max_bytes: int = 512 * MIB
    retries: int = 4
    credentials: Credentials = Credentials()
    remedy: str = ""
    plain_http: bool = False

    def __post_init__(self) -> None:
        plain = self.plain_http and not (self.credentials.headers or self.credentials.params or self.credentials.fields)
        parts = _parts(self.name, self.base_url, plain=plain)
        if parts.username is not None:
            basic = _basic(unquote(parts.username), unquote(parts.password or ""))
            object.__setattr__(self, "credentials", replace(self.credentials, headers={**self.credentials.headers, "Authorization": basic}))
        object.__setattr__(self, "base_url", urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
        if self.official_url:
            _parts(self.name, self.official_url, plain=plain)

    @property
    def is_local(self) -> bool:
        """Whether the service stands on this machine: the emulator, or a test."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def paced_host(self) -> str:
        """Host and port whose pace this service keeps."""
        return _with_port(urlsplit(self.official_url or self.base_url))

    def host_of(self, path: str) -> str:
        """Return host and port that an absolute URL leads to, by their official name; empty for what the service has at its own."""
        if "://" not in path.partition("?")[0]:
            return ""
        try:
            there = _with_port(urlsplit(path))
        except ValueError:  # whoever sends it will say so
            return ""
        return "" if there in {self.paced_host, _with_port(urlsplit(self.base_url))} else there

    def who(self, url: str) -> str:
        """Return the source and the host of a URL, for messages."""
        return f"{self.name}: {urlsplit(url).hostname}"

    def address(self, path: str) -> str:
        """Return the URL of a path below `base_url`, or of an absolute URL."""
        return self.moved(path) if "://" in path.partition("?")[0] else _joined(self.base_url, path)

    def moved(self, url: str) -> str:
        """Return an absolute URL, taken from below `official_url` to below `base_url`.

        What stands on this machine under the official host's name (the emulator) has other hosts beside it under theirs.
        """
        official = self.official_url.rstrip("/")
        rest = url.removeprefix(official) if official else url
        if rest != url and rest[:1] in {"", "/", "?"}:
            return _joined(self.base_url, rest)
        root, _, name = self.base_url.rstrip("/").rpartition("/")
        return f"{root}/{url.partition('://')[2]}" if self.is_local and name == urlsplit(official).netloc != "" else url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def with_params(url: str, params: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """Return a URL with parameters added to its query."""
    if not params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params, quote_via=quote)}"


def _joined(base: str, path: str) -> str:
    if not path or path.startswith("?"):
        return base + path
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def _parts(name: str, url: str, *, plain: bool = False) -> SplitResult:
    """Split a base URL. Raises BadSettings, without repeating the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _bad(name, "It is no URL.") from None
    if not host or port == 0 or parts.scheme not in {"http", "https"} or set(url) & UNFIT:
        raise _bad(name, "It is no URL that begins with https://.")
    if parts.scheme == "http" and not (plain or is_loopback(host)):
        raise _bad(name, f"http is for this machine alone (127.0.0.1); {host} needs https.")
    if parts.query or parts.fragment:
        raise _bad(name, "It must end before the '?' or '#'; credentials have their own settings.")
    return parts


def _bad(name: str, why: str) -> BadSettings:
    return BadSettings(f"{name}: the base URL cannot be used.", why, f"Correct base_url of '{name}' in the settings.")


def _with_port(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or DEFAULT_PORT.get(parts.scheme, 0)}"


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _of_basic(header: str) -> list[str]:
    """Return the password inside a Basic authentication header, so that it can be hidden where it stands alone."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        return [base64.b64decode(coded, validate=True).decode().partition(":")[2]]
    except ValueError:
        return []
