"""One night in this process, with a clock at planning and writing: `python engine_night.py STORE TARGETS.csv SOURCE...`. Prints JSON.

The CPU seconds of the thread that plans and writes are counted, not the time for which it waits for its turn.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter, thread_time

from harvester import __version__
from harvester.config import read_settings
from harvester.harvest import plan, run
from harvester.session import Client
from harvester.store import Store
from harvester.store.run import Run
from harvester.target import read_targets


def main(store, file, *sources):
    spent, visits = [0.0], Run.visits

    def timed(self, delivered):
        stored = visits(self, delivered)
        while True:
            start = thread_time()
            counts = next(stored, None)
            spent[0] += thread_time() - start
            if counts is None:
                return
            yield counts

    Run.visits = timed
    settings = read_settings(store=store)
    targets = list(read_targets(Path(file).read_text("utf-8"), file))
    with Store.open(store, simulated=None, create=False) as opened, Client(contact="", version=__version__) as client:
        start, cpu = perf_counter(), thread_time()
        tasks = list(plan(targets, sources, settings))
        planned = thread_time() - cpu
        outcomes = run(tasks, opened, client, settings)
        wall = perf_counter() - start
    kinds = Counter(outcome.kind for outcome in outcomes)
    print(json.dumps({"wall": wall, "plan": planned, "write": spent[0], "unchanged": dict(kinds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
