"""A night of alert packets against the bare unpacking of the same file, and against the way of untarring it and reading packet by packet.

    python tests/benchmarks/archive_bench.py [--alerts 4000] [--rounds 3]

The night is made of real packets (../shared/fixtures) of schemas 3.3 to 4.02, each object, candid and place made another; processor time of one
core, every round interleaved, the best of each. Wall time only for the look-up of one alert.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
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
from harvester.alerts.archive.tar import compressed, inflated, packets_of
from harvester.nights import ALL, headlines, in_file, ingest, photometry
from harvester.packets.ztf import HEAD_BYTES
from harvester.store import Store

VERSIONS = {"3.3", "4.01", "4.02"}
APART = 5 / 3600
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
                body = body.replace(varint(one), varint(one + STEP * number))
            step = 0.05 * turn + APART * (number % len(real))  # packets of one object become those of several
            for dec in decs:
                body = body.replace(struct.pack("<d", dec), struct.pack("<d", dec + (-step if dec > 40 else step)))
            member = tarfile.TarInfo(f"{candid + STEP * number}.avro")
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
    for _ in photometry(packets_of(path)):
        pass


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


def peak():
    """Return the most memory (MiB) that this process has held; ru_maxrss would know that of the one that began it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


def alone(work, path):
    """Return the memory (MiB) of a process of its own that does one work once."""
    here = Path(__file__).resolve().parent
    found = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]}; import archive_bench as b"
    command = f"{found}; b.{work.__name__}(b.Path({str(path)!r})); print(b.peak())"
    return int(subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True).stdout)


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
        for work in (columns, stored):
            print(f"memory at its highest, a process that does nothing else, {work.__name__}: {alone(work, path)} MiB")
        print(f"memory at its highest, this benchmark and all that it made: {peak()} MiB")


if __name__ == "__main__":
    main()
