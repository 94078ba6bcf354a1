"""A client that downloads and does nothing else: what the same answers take at best, in Python, by the library that we use.

Run it: `python engine_download.py URL AT_ONCE`, the requests ([path, parameters], as engine_sky.py tells them) as JSON on standard input. So many
are under way at each host. Prints the seconds that it took, without imports, as JSON.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import httpx


def main(url, at_once):
    hosts = {}
    for path, params in json.load(sys.stdin):
        hosts.setdefault(path.split("/")[1], []).append((path, params))
    with httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=at_once * len(hosts)), timeout=60) as client:

        def download(asked):
            path, params = asked
            response = (
                client.post(f"{url}{path}", data=dict(params)) if path.startswith("/gea.") else client.get(f"{url}{path}", params=params)
            )
            response.raise_for_status()

        start = perf_counter()
        pools = [ThreadPoolExecutor(at_once) for _ in hosts]
        for done in [pool.map(download, asked) for pool, asked in zip(pools, hosts.values(), strict=True)]:
            list(done)
        print(json.dumps(perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
