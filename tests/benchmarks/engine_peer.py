"""The loop that a user writes, run by the peers' own Python: ztfquery or alerce, and astroquery.gaia, one target after the other or in threads.

Prints as JSON the seconds that it took, without imports, and how many of its calls failed.

Run it: `python engine_peer.py URL TARGETS.csv THREADS WHAT`, where WHAT is "ztf_dr" or "alerce" (that at the position, and Gaia by cone search and
load_data) or "load_data" (of the source_ids at the end of the names).
"""

import contextlib
import csv
import io
import json
import os
import re
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
    gaia, coordinates, radius = clients(url)
    rows = list(csv.DictReader(Path(file).read_text("utf-8").splitlines()))
    survey = {"ztf_dr": from_ztf, "alerce": from_alerce, "load_data": lambda _: None}[what](url)

    def photometry(source_id):
        gaia.load_data([int(source_id)], **PHOTOMETRY)

    def both(row):
        survey(float(row["ra"]), float(row["dec"]))
        found = gaia.cone_search(coordinates(row), radius=radius).get_results()
        for star in found[found["has_epoch_photometry"]] if len(found) else ():
            photometry(star["SOURCE_ID" if "SOURCE_ID" in found.colnames else "source_id"])

    work = (lambda row: photometry(row["name"].split()[-1])) if what == "load_data" else both
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

        socket.create_connection = connect
        gaia = GaiaClass(gaia_tap_server=f"{url}/{ESA}/", gaia_data_server=f"{url}/{ESA}/", show_server_messages=False)
    return (gaia, (lambda row: SkyCoord(float(row["ra"]) * units.deg, float(row["dec"]) * units.deg)), RADIUS * units.arcsec)


def from_ztf(url):
    """Return how ztfquery is asked about a place."""
    from ztfquery import lightcurve

    lightcurve.BASEURL = f"{url}/{IRSA}/cgi-bin/ZTF/nph_light_curves?"
    os.chdir(tempfile.mkdtemp(prefix="harvest-bench-peer-"))
    return lambda ra, dec: lightcurve.LCQuery.from_position(ra, dec, RADIUS, collection="ztf_dr24", format="csv", cookies={})


def from_alerce(url):
    """Return how ALeRCE's client is asked about a place: its objects, and all that there is of each."""
    import alerce

    own = (Path(alerce.__file__).parent / "default_config.json").read_text("utf-8")
    settings = Path(tempfile.mkdtemp(prefix="harvest-bench-peer-")) / "config.json"
    settings.write_text(re.sub(r"https://(api(?:-lsst)?\.alerce\.online)", rf"{url}/\1", own))
    os.environ["ALERCE_CONFIG_PATH"] = str(settings)
    from alerce.core import Alerce

    client = Alerce()

    def place(ra, dec):
        found = client.query_objects(ra=ra, dec=dec, radius=RADIUS, format="pandas", survey="ztf")
        for oid in found["oid"].unique() if len(found) else ():
            client.query_detections(oid, format="pandas", survey="ztf")
            client.query_non_detections(oid, format="pandas", survey="ztf")
            client.query_forced_photometry(oid, format="json", survey="ztf")

    return place


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
