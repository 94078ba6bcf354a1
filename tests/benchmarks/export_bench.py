"""An export of the whole store against the fastest way there is, and one light curve against the bare driver.

The fastest way is ADBC straight into a Parquet writer: the table as it lies there, neither decoded nor sorted. Each export runs in a process of
its own, in turn with the other, and the medians are compared; the peak memory is that of the whole process, our reading process apart.
Run it: `PYTHONPATH=src python tests/benchmarks/export_bench.py [ROWS]`. Without the extra `fast` the export is left out.
"""

import json
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent))

ROWS, MADE, ROUNDS, LOOKUPS, POINTS = 500_000, 100_000, 3, 21, 1_000
TELL = """
import json
peak_kib = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss knows the parent's peak too
print(json.dumps([seconds, peak_kib / 1024]))
"""
OURS = f"""
import sys, time
from harvester.export import export
from harvester.store import LIGHT_CURVE, Store
start = time.perf_counter()
with Store.open(sys.argv[1], simulated=None) as store:
    export(LIGHT_CURVE, store.read(quality="all"), sys.argv[2], form=None, about=store.about())
seconds = time.perf_counter() - start
{TELL}
"""
THEIRS = f"""
import sys, time
import pyarrow.parquet as pq
from adbc_driver_sqlite import dbapi
start = time.perf_counter()
with dbapi.connect(f"file:{{sys.argv[1]}}?mode=ro") as connection, connection.cursor() as cursor:
    cursor.adbc_statement.set_options(**{{"adbc.sqlite.query.batch_rows": "65536"}})
    cursor.execute(sys.argv[3])
    found = cursor.fetch_record_batch()
    with pq.ParquetWriter(sys.argv[2], found.schema, compression="zstd") as writer:
        for batch in found:
            writer.write_batch(batch)
seconds = time.perf_counter() - start
{TELL}
"""


def ratios(rows=ROWS):
    """Return (name, our seconds, their seconds, our peak memory in MiB or None)."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "store.db"
        make(place, rows)
        return [*([exported(place, rows)] if find_spec("adbc_driver_sqlite") else []), looked_up(place)]


def exported(place, rows):
    typed = typed_query()
    pairs = [(run(OURS, place), run(THEIRS, place, typed)) for _ in range(ROUNDS + 1)][1:]  # the first round warms the file up
    ours, theirs = ([result[side][0] for result in pairs] for side in (0, 1))
    return f"export of {rows:,} rows to Parquet", median(ours), median(theirs), max(result[0][1] for result in pairs)


def looked_up(place):
    from harvester.store import Store

    with Store.open(place, simulated=None) as store, sqlite3.connect(place) as raw:
        name, target_id = raw.execute("SELECT name, id FROM target ORDER BY id DESC LIMIT 1").fetchone()
        rows = "SELECT * FROM photometry WHERE series_id IN (SELECT id FROM series WHERE target_id = ?)"
        pairs = [
            (seconds(store.light_curve, name, quality="all"), seconds(lambda: raw.execute(rows, [target_id]).fetchall()))
            for _ in range(LOOKUPS)
        ][1:]
    ours, theirs = zip(*pairs, strict=True)
    return f"one target of {POINTS:,} points, as Arrow", median(ours), median(theirs), None


def typed_query():
    """ADBC takes a column's type from its first rows: the first tells it, as our own reader does."""
    from harvester.store.stream import ZERO
    from harvester.store.tables import STORED

    types = ", ".join(f"{ZERO.get(field.type, '0')} AS {field.name}" for field in STORED)
    return f"SELECT {types} UNION ALL SELECT * FROM (SELECT {', '.join(STORED.names)} FROM photometry)"


def make(place, rows):
    """Fill a store with MADE rows through the front door, and copy them inside the file until there are as many as wanted."""
    from made_rows import visits

    from harvester.store import Store

    with Store.open(place, simulated=True) as store, store.run("bench", "0") as run:
        for visit in visits(min(rows, MADE), each=POINTS):
            run.visit(visit)
    with sqlite3.connect(place) as raw:
        targets, series = (raw.execute(f"SELECT max(id) FROM {table}").fetchone()[0] for table in ("target", "series"))
        for times in range(1, rows // MADE):
            copy(
                raw, "target", f"id <= {targets}", id=f"id + {times * targets}", name=f"name || '+{times}'", folded=f"folded || '+{times}'"
            )
            copy(raw, "series", f"id <= {series}", id=f"id + {times * series}", target_id=f"target_id + {times * targets}")
            copy(raw, "photometry", f"series_id <= {series}", series_id=f"series_id + {times * series}")
            raw.commit()


def copy(raw, table, where, **changed):
    names = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
    raw.execute(f"INSERT INTO {table} SELECT {', '.join(changed.get(name, name) for name in names)} FROM {table} WHERE {where}")


def run(code, place, *arguments):
    command = [sys.executable, "-c", code, str(place), str(place.with_suffix(".parquet")), *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def seconds(work, *arguments, **options):
    start = perf_counter()
    work(*arguments, **options)
    return perf_counter() - start


if __name__ == "__main__":
    for name, ours, theirs, peak in ratios(int(sys.argv[1]) if sys.argv[1:] else ROWS):
        memory = f", peak {peak:.0f} MiB" if peak else ""
        sys.stdout.write(f"{name:40} {ours:8.4f} s, the bare way {theirs:8.4f} s: {ours / theirs:.2f} x{memory}\n")
