"""Visits as three surveys would make them, in equal shares: every column that the survey fills is filled, with as many digits as it sends.

`gaia`: transits in three bands, no place. `ztf_dr`: 24 columns' worth, with chi and sharp in the flags. `alert`: candid, limits among
the detections, a place per epoch.
"""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pyarrow as pa
from pyarrow import csv

from harvester.payload import Payload
from harvester.schema import SCHEMA
from harvester.store import Visit
from harvester.target import Target

MOMENT = "2026-11-21T02:00:00.000Z"
ROWS_PER_VISIT = 10_000


def visits(rows: int, *, kinds: tuple[str, ...] = ("gaia", "ztf_dr", "alert"), first: int = 0, version: str = "1") -> Iterator[Visit]:
    """Yield visits of ROWS_PER_VISIT rows, each of a target of its own, until there are as many rows; `version` only changes the payload."""
    for number in range(first, first + rows // ROWS_PER_VISIT):
        yield visit(number, kinds[number % len(kinds)], version)


def visit(number: int, kind: str, version: str = "1") -> Visit:
    rng = np.random.default_rng(number)
    source, survey, make = MAKERS[kind]
    given = {name: pa.array(values, SCHEMA.field(name).type, from_pandas=True) for name, values in make(rng, number, survey).items()}
    table = pa.table([given.get(name, pa.nulls(ROWS_PER_VISIT, SCHEMA.field(name).type)) for name in SCHEMA.names], schema=SCHEMA)
    body = BytesIO()
    csv.write_csv(table, body)
    answer = Payload(body.getvalue() + version.encode(), f"https://example.org/{kind}", {"ID": str(number)}, "text/csv", MOMENT, source)
    rows = table.append_column("payload", pa.array(np.zeros(ROWS_PER_VISIT, np.int32)))
    return Visit(
        Target(f"star {number}", number % 360, number % 90), source, survey, rows, [answer], object_ids=(given["object_id"][0].as_py(),)
    )


def _common(rng: np.random.Generator) -> dict:
    time = np.sort(rng.uniform(58_000, 61_000, ROWS_PER_VISIT).round(7))
    mag = rng.uniform(12, 20, ROWS_PER_VISIT)
    flux = 3.6e9 * 10 ** (-0.4 * mag)
    return {
        "time": time,
        "bjd_tdb": time + 2_400_000.5 + rng.uniform(-0.006, 0.006, ROWS_PER_VISIT),
        "mag": mag,
        "mag_err": rng.uniform(0.001, 0.1, ROWS_PER_VISIT),
        "flux": flux,
        "flux_err": flux * rng.uniform(0.001, 0.1, ROWS_PER_VISIT),
        "upper_limit": np.zeros(ROWS_PER_VISIT, bool),
        "quality": (rng.random(ROWS_PER_VISIT) < 0.05) * 2,
    }


def _gaia(rng: np.random.Generator, number: int, survey: str) -> dict:
    transits = 15_000_000_000_000_000 + rng.choice(10**9, ROWS_PER_VISIT, replace=False)
    bands = np.array(["G", "BP", "RP"])[np.arange(ROWS_PER_VISIT) % 3]
    return _common(rng) | {
        "filter": [f"{band}({survey})" for band in bands],
        "object_id": [str(2_125_982_599_343_482_624 + number)] * ROWS_PER_VISIT,
        "observation_id": [f"{transit}-{band}" for transit, band in zip(transits, bands, strict=True)],
        "flags": [f"variability false photometry false other {flag}" for flag in rng.choice([0, 0, 0, 0, 1024, 3072], ROWS_PER_VISIT)],
    }


def _ztf(rng: np.random.Generator, number: int, survey: str) -> dict:
    bands = np.array(["g", "r"])[np.arange(ROWS_PER_VISIT) % 2]
    objects = [f"{1 + row % 2:04d}{number:011d}" for row in range(ROWS_PER_VISIT)]
    exposures = rng.choice(10**8, ROWS_PER_VISIT, replace=False) + 10**8
    fits = rng.uniform(0.5, 1.5, (2, ROWS_PER_VISIT)).astype(np.float32)
    chip = f"field={number % 1895} ccdid=0x3 qid=0x1 programid="
    common = _common(rng)
    for name in ("mag", "mag_err"):
        common[name] = np.array([float(f"{value:.9g}") for value in common[name].astype(np.float32)])
    return (
        common
        | {
            "filter": [f"{band}({survey})" for band in bands],
            "object_id": objects,
            "observation_id": [f"{word}-{exposure}" for word, exposure in zip(objects, exposures, strict=True)],
            "flags": [
                f"catflags=0 {chip}{1 + row % 3} chi={chi:.9g} sharp={sharp:.9g}"
                for row, (chi, sharp) in enumerate(zip(*fits, strict=True))
            ],
            "limiting_mag": rng.uniform(20, 21, ROWS_PER_VISIT).round(7),
            "limit_sigma": np.full(ROWS_PER_VISIT, 5.0),
            "exptime": np.full(ROWS_PER_VISIT, 30.0),
        }
        | _place(rng)
    )


def _alert(rng: np.random.Generator, number: int, survey: str) -> dict:
    bands = np.array(["g", "r"])[np.arange(ROWS_PER_VISIT) % 2]
    limit = np.arange(ROWS_PER_VISIT) % 4 == 3
    common = _common(rng)
    common |= {name: np.where(limit, np.nan, common[name]) for name in ("mag", "mag_err", "flux", "flux_err")}
    return (
        common
        | {
            "upper_limit": limit,
            "filter": [f"{band}({survey})" for band in bands],
            "object_id": [f"ZTF18aa{number:06d}"] * ROWS_PER_VISIT,
            "observation_id": [str(1_500_000_000_000_000_000 + candid) for candid in rng.choice(10**12, ROWS_PER_VISIT)],
            "limiting_mag": rng.uniform(19, 21, ROWS_PER_VISIT).round(4),
            "limit_sigma": np.full(ROWS_PER_VISIT, 5.0),
            "exptime": np.full(ROWS_PER_VISIT, 30.0),
        }
        | _place(rng)
    )


def _place(rng: np.random.Generator) -> dict:
    return {"ra": 180 + rng.normal(0, 3e-5, ROWS_PER_VISIT).round(7), "dec": 30 + rng.normal(0, 3e-5, ROWS_PER_VISIT).round(7)}


MAKERS = {"gaia": ("gaia_dr3", "GAIA_DR3", _gaia), "ztf_dr": ("ztf_dr", "ZTF_DR", _ztf), "alert": ("alerce", "ZTF", _alert)}
