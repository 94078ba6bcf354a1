"""Targets: what the user follows, and how text becomes one.

Positions are ICRS in degrees at `epoch` (Julian year). Text that looks like coordinates needs no network; any other text is a name.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from harvester.errors import BadCoordinates, BadTarget, BadTargetFile, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("name", "ra", "dec", "epoch", "pmra", "pmdec", "parallax")
MAS_PER_DEGREE = 3_600_000.0
FASTEST = 20_000.0
"""Twice Barnard's star, in mas/yr."""
EARLIEST, LATEST = 1800.0, 2200.0
LOOKS_LIKE_COORDINATES = re.compile(r"(?=[\d.+-])[\d\s.:+\-,hmsd°'\"′″]+", re.IGNORECASE)
NUMBER = r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+"
EXAMPLES = "Write '10.6847 41.2688', '00:42:44.3 +41:16:09' or '00h42m44.3s +41d16m09s' (ICRS)."


@dataclass(frozen=True)
class Target:
    """What the user follows: a position that may move, and the names under which surveys know it.

    `ra`, `dec` in degrees (ICRS) at `epoch` (Julian year); `pmra` (with cos dec), `pmdec` in mas/yr; `parallax` in mas.
    `ids` are the object ids already matched, by survey.
    """

    name: str
    ra: float
    dec: float
    epoch: float = 2000.0
    pmra: float = 0.0
    pmdec: float = 0.0
    parallax: float | None = None
    aliases: tuple[str, ...] = ()
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        motion = (self.pmra, self.pmdec, self.parallax or 0.0)
        if not self.name.strip() or not self.name.isprintable():
            raise BadTarget(f"{self.name!r} is no name.", hint="A name has letters or digits, and no control characters.")
        if not (all(math.isfinite(number) and abs(number) <= FASTEST for number in motion) and EARLIEST <= self.epoch <= LATEST):
            raise BadTarget(
                f"'{self.name}' cannot move like that.", "Proper motion and parallax are in mas(/yr), the epoch is a Julian year."
            )
        if not (math.isfinite(self.ra) and math.isfinite(self.dec) and 0 <= self.ra < 360 and -90 <= self.dec <= 90):
            raise BadCoordinates(
                f"'{self.ra} {self.dec}' is not a position.",
                "Right ascension runs from 0 to 360, declination from -90 to +90 degrees.",
                EXAMPLES,
            )

    @property
    def speed(self) -> float:
        """Proper motion in arcseconds a year."""
        return math.hypot(self.pmra, self.pmdec) / 1000

    def apart(self, other: Target) -> float:
        """Return the separation of two targets in arcseconds, both at this one's epoch."""
        ra, dec = (math.radians(angle) for angle in other.at(self.epoch))
        mine = math.radians(self.ra), math.radians(self.dec)
        half = math.sin((dec - mine[1]) / 2) ** 2 + math.cos(dec) * math.cos(mine[1]) * math.sin((ra - mine[0]) / 2) ** 2
        return math.degrees(2 * math.asin(min(1.0, math.sqrt(half)))) * 3600

    def at(self, year: float) -> tuple[float, float]:
        """Return the position (degrees) at a Julian year, moved by the proper motion.

        >>> barnard = Target("Barnard's star", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
        >>> [round(angle, 5) for angle in barnard.at(2016.0)]
        [269.4485, 4.73942]
        """
        ra, dec = moved(self.ra, self.dec, self.pmra, self.pmdec, years=year - self.epoch)
        return float(ra), float(dec)


def moved(
    ra: float | NDArray[np.float64],
    dec: float | NDArray[np.float64],
    pmra: float | NDArray[np.float64],
    pmdec: float | NDArray[np.float64],
    *,
    years: float | NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move ICRS positions (degrees) by proper motions (mas/yr, pmra with cos dec) over `years`; all arguments broadcast.

    The star moves on a straight line in space without radial velocity (Hipparcos catalogue, volume 1, section 1.5.4): right up to the poles.
    """
    import numpy as np

    a, d = np.radians(ra), np.radians(dec)
    east, north = (np.radians(np.multiply(pm, years) / MAS_PER_DEGREE) for pm in (pmra, pmdec))
    x = np.cos(d) * np.cos(a) - east * np.sin(a) - north * np.sin(d) * np.cos(a)
    y = np.cos(d) * np.sin(a) + east * np.cos(a) - north * np.sin(d) * np.sin(a)
    z = np.sin(d) + north * np.cos(d)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def parse_coordinates(text: str) -> tuple[float, float] | None:
    """Return ICRS degrees for text that is a position, None for text that is a name.

    Decimal degrees, or sexagesimal hours and degrees with colons, blanks or letters.
    Raises BadCoordinates for what can only be meant as a position and is none.

    >>> parse_coordinates("10.68 41.27")
    (10.68, 41.27)
    >>> parse_coordinates("00:42:44 +41:16:09")
    (10.683333333333334, 41.26916666666667)
    >>> parse_coordinates("M31")
    """
    numbers = re.findall(NUMBER, text)
    if len(numbers) < 2 or not LOOKS_LIKE_COORDINATES.fullmatch(text.strip()) or not re.search(r"\d[\s,:hd+\-°]", text):
        return None
    if len(numbers) == 2 and not re.search(r"[hmsd:°'\"′″]", text, re.IGNORECASE):
        return _checked(text, float(numbers[0]), float(numbers[1]))
    if len(numbers) == 6:
        hours, degrees = (_sexagesimal(text, numbers[part]) for part in (slice(0, 3), slice(3, 6)))
        return _checked(text, 15 * hours, degrees)
    raise BadCoordinates(f"'{text}' is not a position.", f"{len(numbers)} numbers make no right ascension and declination.", EXAMPLES)


def coordinate_name(ra: float, dec: float) -> str:
    """Return the name of a target that was given by its position only.

    >>> coordinate_name(10.684708, 41.268750)
    'J004244.33+411607.5'
    """
    centiseconds = round(ra / 15 * 360_000) % 8_640_000
    tenths = round(abs(dec) * 36_000)
    h, m, s = centiseconds // 360_000, centiseconds // 6_000 % 60, centiseconds % 6_000 / 100
    d, dm, ds = tenths // 36_000, tenths // 600 % 60, tenths % 600 / 10
    return f"J{h:02d}{m:02d}{s:05.2f}{'-' if dec < 0 else '+'}{d:02d}{dm:02d}{ds:04.1f}"


def at_position(ra: float, dec: float) -> Target:
    """Return a target that has no name but its position."""
    return Target(coordinate_name(ra, dec), ra, dec)


def parse_target(text: str) -> Target | str:
    """Return a Target for coordinates, or the name (stripped) that has to be resolved."""
    position = parse_coordinates(text)
    return at_position(*position) if position else text.strip()


def read_targets(text: str, origin: str) -> list[Target | str]:
    """Read a target list: CSV with a header that has `name` (and `ra`, `dec` ...), or a name or position per line; '#' starts a comment.

    Raises BadTargetFile, naming `origin` and the line.
    """
    lines = [
        (number, line)
        for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise BadTargetFile(
            f"{origin}: no target in it.", hint="Write one name or position per line, or a CSV with the columns name, ra, dec."
        )
    header = [name.strip().lower() for name in next(csv.reader([lines[0][1]]))]
    if "name" in header or {"ra", "dec"} <= set(header):
        rows = _rows(lines[1:], header, origin)
        return _distinct([(n, _target_of_row(dict(zip(header, row, strict=False)), f"{origin}, line {n}")) for n, row in rows], origin)
    return _distinct([(number, _target_of_line(line, f"{origin}, line {number}")) for number, line in lines], origin)


@lru_cache(maxsize=8192)
def fold(name: str) -> str:
    """Return the form in which names are compared: case, blanks and underscores do not count.

    >>> fold("RR  Lyr") == fold("rr_lyr")
    True
    """
    return re.sub(r"[\s_]+", "", name).casefold()


def _checked(text: str, ra: float, dec: float) -> tuple[float, float]:
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise BadCoordinates(f"'{text}' is not a position.", f"ra {ra:g} and dec {dec:g} degrees are out of range.", EXAMPLES)
    return ra, dec


def _sexagesimal(text: str, parts: list[str]) -> float:
    whole, minutes, seconds = (float(part) for part in parts)
    if not (0 <= minutes < 60 and 0 <= seconds < 60 and whole == int(whole)):
        raise BadCoordinates(f"'{text}' is not a position.", "Minutes and seconds run from 0 to below 60.", EXAMPLES)
    size = abs(whole) + minutes / 60 + seconds / 3600
    return -size if parts[0].startswith("-") else size


def _rows(lines: Iterable[tuple[int, str]], header: list[str], origin: str) -> Iterable[tuple[int, list[str]]]:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        raise BadTargetFile(f"{origin}, line 1: unknown column '{unknown[0]}'.", hint=f"Known columns: {', '.join(COLUMNS)}.")
    for number, line in lines:
        row = next(csv.reader(io.StringIO(line)))
        if len(row) != len(header):
            raise BadTargetFile(
                f"{origin}, line {number}: {len(row)} fields where the header has {len(header)}.", f"The line reads: {line[:80]}"
            )
        yield number, row


def _distinct(found: Iterable[tuple[int, Target | str]], origin: str) -> list[Target | str]:
    """Leave repeats out; one name at two places is a mistake that only the user can mend."""
    first: dict[str, tuple[int, Target | str]] = {}
    for number, item in found:
        before, known = first.setdefault(fold(item if isinstance(item, str) else item.name), (number, item))
        if known != item and not isinstance(known, str) and not isinstance(item, str):
            what = f"{origin}, line {number}: '{item.name}' stands at another place in line {before}."
            raise BadTargetFile(what, hint="Give each place a name of its own.")
    return [item for _, item in first.values()]


def _target_of_row(row: dict[str, str], where: str) -> Target | str:
    values = {name: text.strip() for name, text in row.items() if text.strip()}
    name = values.pop("name", "")
    if not ({"ra", "dec"} & set(values)):
        if not name:
            raise BadTargetFile(f"{where}: neither a name nor a position.")
        return name
    try:
        position = parse_coordinates(f"{values.pop('ra', '')} {values.pop('dec', '')}") or _no_position(where)
        numbers = {key: float(text) for key, text in values.items()}
        return Target(name or coordinate_name(*position), *position, **numbers)  # type: ignore[arg-type]
    except BadTargetFile:
        raise
    except UsageError as error:
        raise BadTargetFile(f"{where}: {error.what}", error.why, error.hint) from error
    except ValueError as error:
        raise BadTargetFile(f"{where}: {error}", hint=EXAMPLES) from error


def _no_position(where: str) -> NoReturn:
    raise BadTargetFile(f"{where}: right ascension and declination are both needed.", hint=EXAMPLES)


def _target_of_line(line: str, where: str) -> Target | str:
    try:
        return parse_target(line)
    except UsageError as error:
        raise BadTargetFile(f"{where}: {error.what}", error.why, error.hint) from error
