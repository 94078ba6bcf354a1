"""ADQL's functions of geometry and mathematics, for a SQLite connection.

SQLite passes no shapes, so a shape travels as text: "circle 12.5 -3.0 0.1". Angles are degrees. A shape of a null is null.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

SIZES = {"point": 2, "circle": 3, "box": 4}


def register(database: sqlite3.Connection, complaints: list[str]) -> None:
    """Teach a connection ADQL's functions. SQLite hides why a function failed: the reason is added to `complaints`."""
    for name, arguments, function in FUNCTIONS:
        database.create_function(name, arguments, _complaining(function, complaints), deterministic=True)


def _complaining(function: Callable[..., Any], complaints: list[str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any) -> Any:
        if any(argument is None for argument in arguments):
            return None
        try:
            return function(*arguments)
        except (ValueError, TypeError, re.error) as error:
            complaints.append(str(error))
            raise

    return called


def separation(ra: float, dec: float, ra0: float, dec0: float) -> float:
    """Return the angle between two directions (deg), exact for small and large ones.

    >>> round(separation(10.0, 60.0, 12.0, 60.0), 6)
    0.999962
    """
    a, d, d0 = math.radians(ra - ra0), math.radians(dec), math.radians(dec0)
    half = math.sin((d - d0) / 2) ** 2 + math.cos(d) * math.cos(d0) * math.sin(a / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, half))))


def _shape(kind: str) -> Callable[..., str]:
    def made(*arguments: Any) -> str:
        numbers = _numbers(arguments)
        if len(numbers) != SIZES[kind]:
            raise ValueError(f"{kind.upper()} takes {SIZES[kind]} numbers, not {len(numbers)}")
        return " ".join([kind, *map(repr, numbers)])

    return made


def _numbers(arguments: tuple[Any, ...]) -> list[float]:
    """Return the numbers of a call, points taken apart, without the coordinate system that may come first."""
    points = [word for value in arguments if isinstance(value, str) and value.startswith("point ") for word in value.split()[1:]]
    plain = [value for value in arguments if not isinstance(value, str)]
    return [float(value) for value in (*points, *plain)]


def _read(shape: Any) -> tuple[str, list[float]]:
    kind, *numbers = str(shape).split()
    if kind not in SIZES:
        raise ValueError(f"{shape!r} is not a shape")
    return kind, [float(number) for number in numbers]


def contains(inner: str, outer: str) -> int:
    """CONTAINS: 1 if a point, or a whole circle, lies in a circle or box; the border belongs to it."""
    (kind, small), (_, large) = _read(inner), _read(outer)
    if outer.startswith("circle"):
        return int(separation(small[0], small[1], large[0], large[1]) + (small[2] if kind == "circle" else 0.0) <= large[2])
    return int(_in_box(small, large))


def _in_box(point: list[float], box: list[float]) -> bool:
    if len(box) < SIZES["box"] or len(point) != SIZES["point"]:
        raise ValueError("CONTAINS is known here for a point in a circle or box and a circle in a circle")
    east = abs((point[0] - box[0] + 180) % 360 - 180)
    return east <= box[2] / 2 and abs(point[1] - box[1]) <= box[3] / 2


def intersects(one: str, other: str) -> int:
    """INTERSECTS: of two circles; with a point it is CONTAINS."""
    kinds = {_read(one)[0], _read(other)[0]}
    if "point" in kinds:
        return contains(one, other) if one.startswith("point") else contains(other, one)
    if kinds != {"circle"}:
        raise ValueError("INTERSECTS is known here for circles and points")
    (_, a), (_, b) = _read(one), _read(other)
    return int(separation(a[0], a[1], b[0], b[1]) <= a[2] + b[2])


def distance(*arguments: Any) -> float:
    """DISTANCE of two points, or of four numbers (deg)."""
    numbers = _numbers(arguments)
    if len(numbers) != 4:
        raise ValueError("DISTANCE takes two points or four numbers")
    return separation(*numbers)


def coordinate(number: int) -> Callable[[str], float]:
    """COORD1 and COORD2 of a point."""
    return lambda point: _read(point)[1][number]


def area(shape: str) -> float:
    """AREA of a circle (square degrees, on the sphere)."""
    kind, numbers = _read(shape)
    if kind != "circle":
        raise ValueError("AREA is known here for circles")
    return 4 * math.pi * math.sin(math.radians(numbers[2]) / 2) ** 2 * math.degrees(1) ** 2


def matches(text: str, pattern: str) -> int:
    """REGEXP of SIMBAD: 1 where a regular expression is found, letters of either case."""
    return int(re.search(pattern, text, re.IGNORECASE) is not None)


FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("point", -1, _shape("point")),
    ("circle", -1, _shape("circle")),
    ("box", -1, _shape("box")),
    ("contains", 2, contains),
    ("intersects", 2, intersects),
    ("distance", -1, distance),
    ("coord1", 1, coordinate(0)),
    ("coord2", 1, coordinate(1)),
    ("area", 1, area),
    ("regexp", 2, matches),
    ("lowercase", 1, str.lower),  # SIMBAD's words for LOWER and UPPER
    ("uppercase", 1, str.upper),
    ("log", 1, math.log),  # natural in ADQL, decimal in SQLite
    ("log10", 1, math.log10),
    ("sqrt", 1, math.sqrt),
    ("power", 2, math.pow),
    ("exp", 1, math.exp),
)
