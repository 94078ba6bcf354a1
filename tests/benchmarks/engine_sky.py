"""The emulator in a process of its own, late by 200 ms at every answer; each answer is made once. Run it: `python engine_sky.py LATENCY`.

Prints its URL, and serves until its standard input ends. For every line that it is told there, it prints what has happened since the line before:
how many requests each host got, which they were (path, parameters), and the CPU seconds that answering took.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).parents[1]))

from soak_surveys import PLAIN, QUEUE, remembered

from harvester.emulator.app import Emulator
from harvester.emulator.server import serve

REMEMBERED = {"irsa", "gaia", "alerce"}


def main(latency: float) -> None:
    app = Emulator(services=[PLAIN, QUEUE], latency=latency)
    app._routes = [
        replace(route, handler=remembered(route.handler)) if route.service.NAME in REMEMBERED else route for route in app._routes
    ]
    with serve(app) as server:
        print(server.url, flush=True)
        before = process_time()
        for _ in sys.stdin:
            counted = {host: count["requests"] for host, count in app.counts.as_objects().items()}
            asked = [(path, params) for _, path, params in app.requests]
            print(json.dumps({"counted": counted, "asked": asked, "cpu": process_time() - before}), flush=True)
            before = process_time()
            app.counts.clear()
            app.requests.clear()


if __name__ == "__main__":
    main(float(sys.argv[1]))
