"""Forced photometry at a place that we chose: what its services have in common, as answers and as rows."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa

from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, number, numpy, read_table
from harvester.target import Target, moved

J2000, J2000_MJD, JULIAN_YEAR = 2000.0, 51544.5, 365.25
FARTHEST = 0.3
"""Arcseconds that the measured place may lie from the one asked for: services print 0.04, and 0.1 changes a light curve little."""


def forced_at(target: Target) -> SkyObject:
    """Return the place of a target as the thing that is measured: its id, which every job of that target has, is its place at J2000."""
    ra, dec = (float(angle) for angle in target.at(J2000))
    return SkyObject(f"{ra:.5f}{dec:+.5f}", ra, dec, J2000, target.pmra, target.pmdec)


def place_of(rows: pa.Table, payload: Payload) -> str:
    """Return the id of the place of a result with columns mjd, ra, dec: that of the payload's object, else the first row's own place.

    Raises Malformed where the rows were not measured at the object, its motion applied: another's result, or another notion of motion.
    """
    mjd, ra, dec = (numpy(number(rows[name])) for name in ("mjd", "ra", "dec"))
    if not payload.objects or not rows.num_rows:
        return payload.objects[0].object_id if payload.objects else f"{ra[0]:.5f}{dec[0]:+.5f}" if rows.num_rows else ""
    thing = payload.objects[0]
    years = J2000 + (mjd - J2000_MJD) / JULIAN_YEAR - thing.epoch
    with np.errstate(invalid="ignore"):
        ra0, dec0 = moved(thing.ra, thing.dec, thing.pmra, thing.pmdec, years=years)
        east, north = ((ra - ra0 + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec0)), dec - dec0
    off = np.hypot(east, north)[np.isfinite(mjd + ra + dec)] * 3600.0
    if off.size and not np.median(off) <= FARTHEST:
        what = f'{payload.source}: the result was measured {np.median(off):.1f}" from the place that was asked for.'
        raise Malformed(what, hint=f"Please report it: harvest payloads list --source {payload.source}", payload=payload)
    return thing.object_id


def read_spaced(payload: Payload, *required: str) -> pa.Table:
    """Return a table whose columns are apart by blanks and whose header may begin with #; names in lower case. Raises Malformed.

    Every line of it, the last one too, has its end: without that the table was cut off.
    """
    body = payload.body.lstrip().lstrip(b"#")
    if body and not body.endswith((b"\n", b"\r")):
        raise Malformed(
            f"{payload.source}: expected a table, but its last line has no end.", "It was cut off, or it is none.", payload=payload
        )
    lines = re.sub(rb"[ \t]*[\r\n]+[ \t]*", b"\n", body)
    return read_table(payload.about(body=re.sub(rb"[ \t]+", b",", lines)), *required)


def read_words(payload: Payload, *required: str) -> dict[str, Any]:
    """Return a JSON object with at least these names. Raises Malformed."""
    try:
        told = json.loads(payload.body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or any(name not in told for name in required):
        why = f"Wanted: {', '.join(required)}. Received: {payload.body[:120].decode('utf-8', 'replace')}"
        raise Malformed(f"{payload.source}: expected words about a job in JSON.", why, "The service may have changed.", payload=payload)
    return told
