"""The emulator in a process of its own, late by 200 ms at every answer; each answer is made once. Run it: `python engine_sky.py LATENCY`.

Prints its URL, and serves until its standard input ends. For every line that it is told there, it prints how many requests each host has got
since the line before.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

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
        for _ in sys.stdin:
            print(json.dumps({host: count["requests"] for host, count in app.counts.as_objects().items()}), flush=True)
            app.counts.clear()


if __name__ == "__main__":
    main(float(sys.argv[1]))
