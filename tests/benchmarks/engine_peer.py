"""The loop that a user writes, run by the peers' own Python: ztfquery and astroquery.gaia, one target after the other or in threads.

Prints as JSON the seconds that it took, without imports, and how many of its calls failed.

Run it: `python engine_peer.py URL TARGETS.csv THREADS WHAT`, where WHAT is "both" (ZTF at the position; Gaia by cone search and load_data) or
"load_data" (of the source_ids at the end of the names).
"""

import contextlib
import csv
import io
import json
import os
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

IRSA, ESA = "irsa.ipac.caltech.edu", "gea.esac.esa.int"
RADIUS = 1.5
PHOTOMETRY = {"data_release": "Gaia DR3", "data_structure": "INDIVIDUAL", "retrieval_type": "EPOCH_PHOTOMETRY", "format": "csv"}


def main(url, file, threads, what):
    gaia, from_position, coordinates, radius = clients(url)
    rows = list(csv.DictReader(Path(file).read_text("utf-8").splitlines()))

    def photometry(source_id):
        gaia.load_data([int(source_id)], **PHOTOMETRY)

    def both(row):
        from_position(float(row["ra"]), float(row["dec"]), RADIUS, collection="ztf_dr24", format="csv", cookies={})
        found = gaia.cone_search(coordinates(row), radius=radius).get_results()
        for star in found[found["has_epoch_photometry"]] if len(found) else ():
            photometry(star["SOURCE_ID" if "SOURCE_ID" in found.colnames else "source_id"])

    work = both if what == "both" else lambda row: photometry(row["name"].split()[-1])
    failures = []

    def one(row):
        try:
            work(row)
        except Exception as error:  # noqa: BLE001 - counted: a user's loop would have stopped here
            failures.append(repr(error)[:200])

    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, rows))
    json.dump({"seconds": perf_counter() - start, "failed": len(failures), "first": failures[:1]}, sys.stdout)


def clients(url):
    """Return the clients, pointed at the emulator; what astroquery asks while it is imported finds nobody."""

    def unreachable(*_args, **_kwargs):
        raise OSError("no network in benchmarks")

    connect, socket.create_connection = socket.create_connection, unreachable
    os.environ.setdefault("MPLBACKEND", "agg")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from astropy import units
        from astropy.coordinates import SkyCoord
        from astroquery.gaia import GaiaClass
        from ztfquery import lightcurve

        socket.create_connection = connect
        gaia = GaiaClass(gaia_tap_server=f"{url}/{ESA}/", gaia_data_server=f"{url}/{ESA}/", show_server_messages=False)
    lightcurve.BASEURL = f"{url}/{IRSA}/cgi-bin/ZTF/nph_light_curves?"
    os.chdir(tempfile.mkdtemp(prefix="harvest-bench-peer-"))
    return (
        gaia,
        lightcurve.LCQuery.from_position,
        (lambda row: SkyCoord(float(row["ra"]) * units.deg, float(row["dec"]) * units.deg)),
        RADIUS * units.arcsec,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
