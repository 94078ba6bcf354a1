"""Visits as three surveys would make them, in equal shares: every column that the survey fills is filled, with as many digits as it sends.

`gaia`: transits in three bands, no place. `ztf_dr`: depth, exposure and a place for each. `alert`: candid, limits among
the detections, a place per epoch.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from harvester.payload import Payload
from harvester.schema import SCHEMA
from harvester.store import Visit
from harvester.target import Target

MOMENT = "2026-11-21T02:00:00.000Z"
ROWS_PER_VISIT = 10_000


class Made(NamedTuple):
    """What rows are made from: chance, the number of the visit and its survey, and how many there shall be."""

    rng: np.random.Generator
    number: int
    survey: str
    count: int


def visits(rows: int, *, each: int = ROWS_PER_VISIT, first: int = 0, version: str = "1") -> Iterator[Visit]:
    """Yield visits of `each` rows, each of a target of its own, until there are as many rows; `version` only changes the payload."""
    for number in range(first, first + rows // each):
        yield visit(number, each, version)


def visit(number: int, count: int, version: str = "1") -> Visit:
    source, survey, make = MAKERS[number % len(MAKERS)]
    made = Made(np.random.default_rng(number), number, survey, count)
    given = {name: pa.array(values, SCHEMA.field(name).type, from_pandas=True) for name, values in make(made).items()}
    table = pa.table([given.get(name, pa.nulls(count, SCHEMA.field(name).type)) for name in SCHEMA.names], schema=SCHEMA)
    body = BytesIO()
    csv.write_csv(table, body)
    answer = Payload(body.getvalue() + version.encode(), f"https://example.org/{source}", {"ID": str(number)}, "text/csv", MOMENT, source)
    rows = table.append_column("payload", pa.array(np.zeros(count, np.int32)))
    return Visit(
        Target(f"star {number}", number % 360, number % 90), source, survey, rows, [answer], object_ids=(given["object_id"][0].as_py(),)
    )


def _common(made: Made) -> dict:
    time = np.sort(made.rng.uniform(58_000, 61_000, made.count).round(7))
    mag = made.rng.uniform(12, 20, made.count)
    flux = 3.6e9 * 10 ** (-0.4 * mag)
    return {
        "time": time,
        "bjd_tdb": time + 2_400_000.5 + made.rng.uniform(-0.006, 0.006, made.count),
        "mag": mag,
        "mag_err": made.rng.uniform(0.001, 0.1, made.count),
        "flux": flux,
        "flux_err": flux * made.rng.uniform(0.001, 0.1, made.count),
        "upper_limit": np.zeros(made.count, bool),
        "quality": (made.rng.random(made.count) < 0.05) * 2,
    }


def _gaia(made: Made) -> dict:
    transits = 15_000_000_000_000_000 + made.rng.choice(10**9, made.count, replace=False)
    bands = np.array(["G", "BP", "RP"])[np.arange(made.count) % 3]
    return _common(made) | {
        "filter": [f"{band}({made.survey})" for band in bands],
        "object_id": [str(2_125_982_599_343_482_624 + made.number)] * made.count,
        "observation_id": [f"{transit}-{band}" for transit, band in zip(transits, bands, strict=True)],
        "flags": [f"variability false photometry false other {flag}" for flag in made.rng.choice([0, 0, 0, 0, 1024, 3072], made.count)],
    }


def _ztf(made: Made) -> dict:
    bands = np.array(["g", "r"])[np.arange(made.count) % 2]
    objects = [f"{1 + row % 2:04d}{made.number:011d}" for row in range(made.count)]
    exposures = made.rng.choice(10**8, made.count, replace=False) + 10**8
    chip = f"field={made.number % 1895} ccdid=0x3 qid=0x1 programid="
    common = _common(made)
    for name in ("mag", "mag_err"):
        common[name] = np.array([float(f"{value:.9g}") for value in common[name].astype(np.float32)])
    return (
        common
        | {
            "filter": [f"{band}({made.survey})" for band in bands],
            "object_id": objects,
            "observation_id": [f"{word}-{exposure}" for word, exposure in zip(objects, exposures, strict=True)],
            "flags": [f"catflags=0 {chip}{1 + row % 3}" for row in range(made.count)],
            "limiting_mag": made.rng.uniform(20, 21, made.count).round(7),
            "limit_sigma": np.full(made.count, 5.0),
            "exptime": np.full(made.count, 30.0),
        }
        | _place(made)
    )


def _alert(made: Made) -> dict:
    bands = np.array(["g", "r"])[np.arange(made.count) % 2]
    limit = np.arange(made.count) % 4 == 3
    common = _common(made)
    common |= {name: np.where(limit, np.nan, common[name]) for name in ("mag", "mag_err", "flux", "flux_err")}
    return (
        common
        | {
            "upper_limit": limit,
            "filter": [f"{band}({made.survey})" for band in bands],
            "object_id": [f"ZTF18aa{made.number:06d}"] * made.count,
            "observation_id": [str(1_500_000_000_000_000_000 + candid) for candid in made.rng.choice(10**12, made.count)],
            "limiting_mag": made.rng.uniform(19, 21, made.count).round(4),
            "limit_sigma": np.full(made.count, 5.0),
            "exptime": np.full(made.count, 30.0),
        }
        | _place(made)
    )


def _place(made: Made) -> dict:
    return {"ra": 180 + made.rng.normal(0, 3e-5, made.count).round(7), "dec": 30 + made.rng.normal(0, 3e-5, made.count).round(7)}


MAKERS = [("gaia_dr3", "GAIA_DR3", _gaia), ("ztf_dr", "ZTF_DR", _ztf), ("alerce", "ZTF", _alert)]
