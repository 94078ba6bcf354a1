"""A night of alert packets against the bare unpacking of the same file, and against the way of untarring it and reading packet by packet.

    python tests/benchmarks/archive_bench.py [--alerts 4000] [--rounds 3]

The night is made of real packets (../shared/fixtures) of schemas 3.3 to 4.02, each object, candid and place made another; processor time of one
core, every round interleaved, the best of each. Wall time only for the look-up of one alert.
"""

from __future__ import annotations

import argparse
import io
import resource
import struct
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path

import fastavro

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import FIXTURES

from harvester.alerts.archive.index import build, look_up
from harvester.alerts.archive.tar import batches, compressed, inflated, packets_of
from harvester.nights import ALL, BATCH, headlines, in_file, ingest
from harvester.packets import ztf_rows
from harvester.packets.ztf import HEAD_BYTES
from harvester.store import Store

VERSIONS = {"3.3", "4.01", "4.02"}
STEP = 448  # a candid that differs by this many is written in as many bytes


def varint(number):
    number, out = number << 1, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def real_packets():
    for path in sorted(FIXTURES.glob("ztf_alerts/**/*.avro")):
        body = path.read_bytes()
        try:
            (said,) = fastavro.reader(io.BytesIO(body))
        except Exception:  # noqa: BLE001 - damaged in any way, or several records
            continue
        if said.get("schemavsn") in VERSIONS:
            before = [one for one in said["prv_candidates"] or [] if one["candid"]]
            yield (
                body,
                said["objectId"],
                said["candid"],
                {one["candid"] for one in before} | {said["candid"]},
                {one["dec"] for one in [*before, said["candidate"]]},
            )


def make_night(path, alerts):
    real = list(real_packets())
    with tarfile.open(path, "w:gz", compresslevel=6, format=tarfile.USTAR_FORMAT) as tar:
        for number in range(alerts):
            body, name, candid, candids, decs = real[number % len(real)]
            turn = number // len(real)
            letters = "".join(chr(97 + number // 26**place % 26) for place in range(7))
            body = body.replace(name.encode(), f"ZTF22{letters}".encode())
            for one in candids:
                body = body.replace(varint(one), varint(one + STEP * turn))
            for dec in decs:
                body = body.replace(struct.pack("<d", dec), struct.pack("<d", dec + (-0.05 if dec > 40 else 0.05) * turn))
            member = tarfile.TarInfo(f"{candid + STEP * turn}.avro")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def gunzip(path):
    for _ in inflated(compressed(path)):
        pass


def gunzip_zlib(path):
    stream = zlib.decompressobj(31)
    for piece in compressed(path):
        stream.decompress(piece)


def count(path):
    return sum(1 for _ in packets_of(path, most=0))


def places(path):
    for rows in headlines(packets_of(path, most=HEAD_BYTES)):
        rows.select(["candid", "ra", "dec"])


def columns(path):
    for batch in batches(packets_of(path), BATCH):
        ztf_rows([member.body for member in batch])


def untarred(path):
    """The way of the Pitt broker: all files on disk, each with its schema read anew."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")
        for file in Path(folder).glob("*.avro"):
            with file.open("rb") as opened:
                next(fastavro.reader(opened))


def stored(path):
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "s.db", simulated=False) as store:
        ingest(store, in_file(path), ALL)


def cpu(work, path):
    start = time.process_time()
    work(path)
    return time.process_time() - start


def main():
    reader = argparse.ArgumentParser()
    reader.add_argument("--alerts", type=int, default=4000)
    reader.add_argument("--rounds", type=int, default=3)
    said = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "night.tar.gz"
        make_night(path, said.alerts)
        ways = (gunzip, gunzip_zlib, count, places, columns, untarred, stored)
        columns(path)  # compiled once
        best = {way: min(times) for way, *times in zip(ways, *([cpu(way, path) for way in ways] for _ in range(said.rounds)), strict=True)}
        for way, seconds in best.items():
            print(f"{way.__name__:<12} {seconds:7.2f} s  {said.alerts / seconds:7.0f} alerts/s  {best[gunzip] / seconds:5.2f} x gunzip")
        print(
            f"columns are {best[untarred] / best[columns]:.1f} x as fast as untarring; the store takes {best[columns] / best[stored]:.2f} x"
        )
        build(path)
        candids = [int(member.name.removesuffix(".avro")) for member in packets_of(path, most=0)][:: max(said.alerts // 40, 1)]
        walls = []
        for candid in candids:
            start = time.perf_counter()
            assert look_up(path, candid)
            walls.append(time.perf_counter() - start)
        print(f"look-up: median {sorted(walls)[len(walls) // 2] * 1e3:.0f} ms, slowest {max(walls) * 1e3:.0f} ms")
        print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
