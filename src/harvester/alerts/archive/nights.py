"""What nights the archive has: its index page and its list of checksums, and the names of its files.

A file is named by the UT date. An empty night is a stub of some dozen bytes; the sizes of stubs have changed, so that only opening one tells. A
night that is not there was not observed, or is not posted yet (today's comes about 07 to 10 UT).
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harvester.errors import Malformed, UsageError

if TYPE_CHECKING:
    from harvester.payload import Payload
    from harvester.source import Http

STEM = "ztf_public_"
SUFFIX = ".tar.gz"
CHECKSUMS = "MD5SUMS"
FILE = re.compile(r"ztf_\w+\.tar\.gz")
CELL = r"\s*(?:</td>)?\s*(?:<td[^>]*>)?\s*"
LINK = re.compile(rf'<a href="([^"/?]+\.tar\.gz)">[^<]*</a>{CELL}([\d-]{{10}} [\d:]{{5}})?{CELL}([\d.]+[KMGT]?)?')
SUM = re.compile(r"([0-9a-f]{32})\s+\*?(\S+)")
DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Night:
    """One file of the archive: its name, UT date, size in bytes as the index rounds it, when it was posted, and its MD5; None or "" if not told."""

    name: str
    date: str
    size: int | None = None
    posted: str = ""
    md5: str = ""


def listed(http: Http) -> list[Night]:
    """Return the nights of the archive by date. Raises SourceError; Malformed where the page is no index."""
    page = http.get("")
    found = {night.name: night for night in _index(page)}
    if not found:
        raise Malformed(
            f"{page.source}: expected an index of nights, and found none on the page.", hint="The archive may be down or may have changed."
        )
    sums = checksums(http.get(CHECKSUMS))
    return sorted((replace(night, md5=sums.get(night.name, "")) for night in found.values()), key=lambda night: (night.date, night.name))


def checksums(payload: Payload) -> dict[str, str]:
    """Return the MD5 of each file, by its name without folders; comments are passed over."""
    lines = payload.body.decode("utf-8", "replace").splitlines()
    return {found[2].rpartition("/")[2]: found[1] for line in lines if (found := SUM.fullmatch(line.strip()))}


def file_of(said: str) -> str:
    """Return the file's name for a date or a name. Raises UsageError.

    >>> file_of("2025-01-03"), file_of("ztf_public_20250103.tar.gz")
    ('ztf_public_20250103.tar.gz', 'ztf_public_20250103.tar.gz')
    """
    if FILE.fullmatch(said):
        return said
    found = DATE.fullmatch(said)
    if found is None or not ("01" <= found[2] <= "12" and "01" <= found[3] <= "31"):
        raise UsageError(f"'{said}' is no night.", hint="Write its UT date (2025-01-03), the name of its file, or a path to one.")
    return f"{STEM}{''.join(found.groups())}{SUFFIX}"


def date_of(name: str) -> str:
    """Return the UT date of a file.

    >>> date_of("ztf_public_20250103.tar.gz")
    '2025-01-03'
    """
    digits = re.search(r"(\d{4})(\d{2})(\d{2})", name)
    return "-".join(digits.groups()) if digits else ""


def _index(page: Payload) -> list[Night]:
    text = html.unescape(page.body.decode("utf-8", "replace"))
    return [
        Night(found[1], date_of(found[1]), _size(found[3]), found[2] or "") for found in LINK.finditer(text) if FILE.fullmatch(found[1])
    ]


def _size(text: str | None) -> int | None:
    if not text:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "")
    return round(float(number) * UNITS[unit])
