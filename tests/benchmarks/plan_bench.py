"""How long it takes to plan a night, and how much memory: 10^5 targets at 10 sources, on a store that knows all of them.

Run it: `python tests/benchmarks/plan_bench.py [--targets N] [--sources N]`; it prints JSON. Two thirds of the pairs are due, which is many.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

import sqlalchemy as sa

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
ROWS_AT_ONCE = 50_000


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--targets", type=int, default=100_000)
    asked.add_argument("--sources", type=int, default=10)
    asked.add_argument("--store", help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.store:
        print(json.dumps(planned(chosen.store, chosen.sources)))
    else:
        print(json.dumps(measured(chosen.targets, chosen.sources)))


def measured(targets: int, sources: int) -> dict[str, float]:
    """Fill a store, and plan in a process of its own, whose memory nothing else has touched."""
    with tempfile.TemporaryDirectory(prefix="harvest-plan-") as folder:
        place = Path(folder) / "store.db"
        fill(place, targets, sources)
        command = [sys.executable, __file__, "--store", str(place), "--sources", str(sources)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(told.stdout)


def names(sources: int) -> list[str]:
    return [f"survey_{number}" for number in range(sources)]


def fill(place: Path, targets: int, sources: int) -> None:
    """Follow targets that every source was asked about: a third not due yet, a third due since an hour, a third known from long ago."""
    from harvester.store import Store
    from harvester.store.tables import run, schedule, source, target, visit

    with Store.open(place, simulated=True) as store, store._database.writing() as connection:
        connection.execute(run.insert(), {"id": 1, "command": "", "version": "", "started": written(NOW), "status": "running"})
        connection.execute(source.insert(), [{"id": number + 1, "name": name} for number, name in enumerate(names(sources))])
        position = {"epoch": 2000.0, "pmra": 0.0, "pmdec": 0.0, "added": written(NOW)}
        for part in parts(targets):
            rows = [{"id": n, "name": f"T{n}", "folded": f"t{n}", "ra": n % 360, "dec": n % 90, **position} for n in part]
            connection.execute(target.insert(), rows)
        zero = dict.fromkeys(("new", "revised", "known", "known_elsewhere", "quarantined"), 0)
        asked = {"run_id": 1, "outcome": "unchanged", "error_kind": "", "message": "", "seconds": 0.0, "source_version": "", **zero}
        connection.execute(visit.insert(), {"id": 1, "target_id": 1, "source_id": 1, "time": written(NOW), **asked})
        due = [written(NOW + timedelta(hours=hours)) for hours in (12, -1, -100)]
        for source_id in range(1, sources + 1):
            for part in parts(targets):
                key = {"source_id": source_id, "visit_id": 1, "failures": 0, "served": 300, "release": ""}
                known = {"last_success": written(NOW - timedelta(days=2)), "digest": "a" * 64}
                rows = [{"target_id": n, "watermark": 2461300.5 + n % 7, "next_due": due[n % 3], **key, **known} for n in part]
                connection.execute(schedule.insert(), rows)
    with Store.open(place, simulated=True) as store, store._database.outside() as connection:
        connection.execute(sa.text("ANALYZE"))


def parts(count: int) -> list[range]:
    return [range(first, min(first + ROWS_AT_ONCE, count + 1)) for first in range(1, count + 1, ROWS_AT_ONCE)]


def written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def peak_mib() -> float:
    """The most memory that this process has held so far; unlike getrusage it knows nothing of the parent."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def planned(place: str, sources: int) -> dict[str, float]:
    """Plan, then take every task of one source, as a run would in the course of the night."""
    from harvester import plan
    from harvester.config import Settings
    from harvester.source import Source, TimeSystem
    from harvester.store import Store

    class Survey(Source):
        survey, base_url, time_system = "S", "https://survey.example/", TimeSystem("mjd", "utc", "geocentre")
        incremental, cadence = True, 1.0

        def fetch(self, query, http):
            raise NotImplementedError

        def normalise(self, payload):
            raise NotImplementedError

    plan.load = lambda _: Survey()
    with Store.open(place, simulated=None) as store:
        before = peak_mib()
        start, spent = perf_counter(), process_time()
        made = plan.due(store, names(sources), Settings(place), now=NOW)
        seconds, cpu = perf_counter() - start, process_time() - spent
        after_plan = peak_mib()
        start = perf_counter()
        tasks = sum(1 for _ in made.parts[0].tasks)
        taken = perf_counter() - start
    peak = peak_mib()
    return {
        "due": made.targets, "seconds": seconds, "cpu_s": cpu, "mib_before": before, "mib_after_plan": after_plan, "mib_peak": peak, "tasks": tasks,
        "us_per_task": taken / max(tasks, 1) * 1e6,
    }  # fmt: skip


if __name__ == "__main__":
    main()
