"""Packets of ZTF for benchmarks and tests: of as many objects as are wanted, each with a candid of its own.

The template is one of our own with short stamps, or, for what has to be as large as real ones, a real packet where the recordings stand.
"""

import io
import json
import random
from pathlib import Path

import fastavro

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures" / "ztf_alerts" / "pittgoogle"
STAMP_BYTES = {False: 200, True: 16_000}
FIRST_CANDID = 2_400_000_000_000_000_000
JD = 2_460_000.5
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def template(*, large=False):
    """Return a whole packet as a record, and its schema."""
    files = sorted(FIXTURES.glob("*.avro"), key=lambda path: path.stat().st_size)
    if large and files:
        with files[len(files) // 2].open("rb") as file:
            reader = fastavro.reader(file)
            return next(reader), json.dumps(reader.writer_schema)
    return _made(STAMP_BYTES[large])


def packets(count, objects, *, seed=1, first=0, large=False):
    """Yield (object id, packet as Fink sends it: value without schema, schema as key); alerts go round the objects."""
    record, schema = template(large=large)
    parsed = fastavro.parse_schema(json.loads(schema))
    for number in range(first, first + count):
        changed = of_object(record, number % objects, number, seed)
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, changed)
        yield changed["objectId"], body.getvalue(), schema.encode()


def container(count, objects, **options):
    """Yield packets as Avro containers, as ZTF's own are."""
    for _, value, key in packets(count, objects, **options):
        body = io.BytesIO()
        parsed = fastavro.parse_schema(json.loads(key))
        fastavro.writer(body, parsed, [fastavro.schemaless_reader(io.BytesIO(value), parsed)])
        yield body.getvalue()


def of_object(record, thing, number, seed=1):
    """Return a packet's record as the alert `number`, of an object of its own place; its history is the object's, by other candids."""
    chance = random.Random(f"{seed} {thing}")
    name = "ZTF24" + "".join(chance.choice(ALPHABET) for _ in range(7))
    ra, dec = chance.uniform(0.0, 359.9), chance.uniform(-29.0, 80.0)
    own = record["candidate"]
    shift = JD + number / 1000.0 - own["jd"]
    place = {"ra": ra, "dec": dec}
    candid = FIRST_CANDID + number * 100
    before = [
        row | {"jd": row["jd"] + shift} | (place | {"candid": candid + 1 + at} if row.get("candid") else {})
        for at, row in enumerate(record["prv_candidates"] or [])
    ]
    return record | {
        "objectId": name,
        "candid": candid,
        "candidate": own | place | {"candid": candid, "jd": own["jd"] + shift},
        "prv_candidates": before,
    }


def _made(size):
    noise = random.Random(1)
    stamp = {"fileName": "stamp.fits.gz", "stampData": noise.randbytes(size)}
    candidate = {
        "jd": JD,
        "fid": 1,
        "magpsf": 18.5,
        "sigmapsf": 0.1,
        "diffmaglim": 20.5,
        "ra": 0.0,
        "dec": 0.0,
        "candid": 1,
        "isdiffpos": "t",
    }
    candidate |= {"rb": 0.9, "drb": 0.95, "nbad": 0, "magnr": 21.0, "distnr": 5.0}
    before = [candidate | {"jd": JD - day, "candid": None if day % 2 else day} for day in range(1, 25)]
    record = {"schemavsn": "4.02", "publisher": "made", "objectId": "ZTF", "candid": 1, "candidate": candidate, "prv_candidates": before}
    record |= dict.fromkeys(("cutoutScience", "cutoutTemplate", "cutoutDifference"), stamp)
    return record, json.dumps(_schema())


def _schema():
    kinds = {"jd": "double", "fid": "int", "magpsf": ["null", "float"], "sigmapsf": ["null", "float"], "diffmaglim": ["null", "float"]}
    kinds |= {"ra": ["null", "double"], "dec": ["null", "double"], "candid": ["null", "long"], "isdiffpos": ["null", "string"]}
    kinds |= {name: ["null", "float"] for name in ("rb", "drb", "magnr", "distnr")} | {"nbad": ["null", "int"]}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    cutout = {
        "type": "record",
        "name": "cutout",
        "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
    }
    return {
        "type": "record",
        "name": "alert",
        "fields": [
            *({"name": name, "type": "string"} for name in ("schemavsn", "publisher", "objectId")),
            {"name": "candid", "type": "long"},
            {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": fields}},
            {"name": "prv_candidates", "type": ["null", {"type": "array", "items": "candidate"}]},
            {"name": "cutoutScience", "type": cutout},
            {"name": "cutoutTemplate", "type": "cutout"},
            {"name": "cutoutDifference", "type": "cutout"},
        ],
    }
