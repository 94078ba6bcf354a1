"""What is asked: one request as it can be sent again, shown and kept, without credentials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from collections.abc import Collection

    from harvester.session.service import Credentials

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `params` are what the source said, in the URL or in the body.

    `idempotent`: may be repeated without harm. `accept`: error statuses that the asker wants to see. `follow`: whether redirects are
    followed. `host`: host and port whose pace and breaker it keeps, where they are another's than the service's.
    """

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    idempotent: bool = True
    accept: Collection[int] = ()
    follow: bool = True
    host: str = ""


def pairs(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return parameters as text: a list repeats its name, None leaves it out, truth is true or false."""
    return [(name, _text(value)) for name, values in params.items() for value in _each(values) if value is not None]


def form(data: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a form."""
    return {"Content-Type": FORM}, urlencode(pairs(data)).encode()


def with_fields(ask: Ask, fields: Mapping[str, str]) -> bytes:
    """Return the body with fields added, if it is a form."""
    if not fields or ask.headers.get("Content-Type") != FORM:
        return ask.content
    return b"&".join(part for part in (ask.content, urlencode(fields).encode()) if part)


def as_json(value: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a JSON object."""
    return {"Content-Type": "application/json"}, json.dumps(value).encode()


def read_form(headers: Mapping[str, str], content: bytes) -> dict[str, list[str]]:
    """Return what a form says; nothing if the body is none."""
    is_form = any(name.lower() == "content-type" and value.partition(";")[0] == FORM for name, value in headers.items())
    return parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True) if is_form else {}


def multipart(data: Mapping[str, Any], files: Mapping[str, bytes | tuple[str, bytes, str]]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body (RFC 7578) of a form with files: bytes, or (file name, bytes, type)."""
    parts = [(f'name="{_quoted(name)}"', value.encode()) for name, value in pairs(data)]
    for name, file in files.items():
        file_name, content, kind = (name, file, "application/octet-stream") if isinstance(file, bytes) else file
        parts.append((f'name="{_quoted(name)}"; filename="{_quoted(file_name)}"\r\nContent-Type: {kind}', content))
    boundary = hashlib.sha256(repr(parts).encode()).hexdigest()
    heads = (f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() for head, _ in parts)
    body = b"".join(head + content + b"\r\n" for head, (_, content) in zip(heads, parts, strict=True))
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body + f"--{boundary}--\r\n".encode()


def shown(params: Mapping[str, Any], credentials: Credentials) -> dict[str, Any]:
    """Return what was said, as text, without credentials: what a payload keeps."""
    kept: dict[str, list[str]] = {}
    for name, value in pairs(params):
        if name not in credentials.params:
            kept.setdefault(name, []).append(credentials.scrub(value))
    return {name: values if len(values) > 1 else values[0] for name, values in kept.items()}


def _quoted(name: str) -> str:
    """Write a name inside quotes as browsers do."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _each(values: Any) -> Iterable[Any]:
    return [values] if isinstance(values, str | bytes) or not isinstance(values, Iterable) else values


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return str(value).lower() if isinstance(value, bool) else str(value)
