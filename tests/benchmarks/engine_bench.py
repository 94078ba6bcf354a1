"""The engine against the ideal, and against the loop that a user writes with the services' own clients.

Everything talks to one emulator in a process of its own, every answer of which comes 200 ms late; 16 requests may be under way at a host.
The ideal is what those requests take that the emulator counted, if 16 of them are always under way at the busiest host. Our time is that of the
whole command, start of the interpreter included; the peers' is without their imports. What takes a peer minutes is measured on a part of the
targets, and scaled. The survey beside Gaia is asked through a broker (many small answers) or as a data release (one large answer).

Run it: `python tests/benchmarks/engine_bench.py [--targets 500] [--stars 2000] [--nightly 10000] [--part 40]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import peer_bench  # noqa: E402 - the folders above are no packages
import psutil  # noqa: E402

from harvester.emulator.sky import Sky  # noqa: E402

LATENCY_S, AT_ONCE, PER_SECOND = 0.2, 16, 10_000
PLACES = {
    "gaia_dr3": "gea.esac.esa.int",
    "ztf_dr": "irsa.ipac.caltech.edu",
    "alerce": "api.alerce.online",
    "soak_plain": "plain.soak.example",
}
PEERS = ("alerce", "ztfquery", "astroquery>=0.4.11,<0.4.12")
BESIDE_GAIA = {"alerce": "alerce and astroquery", "ztf_dr": "ztfquery and astroquery"}
ENTRIES = "[harvester.sources]\nsoak_plain = soak_surveys:Plain\nsoak_queue = soak_surveys:Queue\n"


def main() -> None:
    asked = argparse.ArgumentParser(prog="engine_bench")
    asked.add_argument("--targets", type=int, default=100, help="targets of ZTF and Gaia (the claim: 500)")
    asked.add_argument("--stars", type=int, default=400, help="sources of Gaia in batches (the claim: 2000)")
    asked.add_argument("--nightly", type=int, default=500, help="targets of a night without anything new (the claim: 10000)")
    asked.add_argument("--part", type=int, default=20, help="targets on which a peer is measured one by one")
    asked.add_argument("--rounds", type=int, default=3, help="how often ours and the threads are measured, in turn")
    asked.add_argument("--beside", action="append", choices=list(BESIDE_GAIA), help="the survey beside Gaia (all)")
    asked.add_argument("--without-peer", action="store_true", help="leave the peers out: they have to be installed first")
    chosen = asked.parse_args()
    chosen.beside = chosen.beside or list(BESIDE_GAIA)
    with tempfile.TemporaryDirectory(prefix="harvest-bench-") as folder, emulator() as process:
        for line in measured(Bench(Path(folder), process), chosen):
            print(line, flush=True)


class Bench:
    """Commands of ours and of the peers against one emulator."""

    def __init__(self, folder: Path, sky: subprocess.Popen) -> None:
        self.folder, self.sky = folder, sky
        self.url = url = sky.stdout.readline().strip()
        about = folder / "plugins" / "soak_surveys-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: soak-surveys\nVersion: 1\n")
        (about / "entry_points.txt").write_text(ENTRIES)
        own = {f"HARVESTER_{name.upper()}_BASE_URL": f"{url}/{host}/" for name, host in PLACES.items()}
        own |= {
            f"HARVESTER_{name.upper()}_{key}": str(value)
            for name in PLACES
            for key, value in (("AT_ONCE", AT_ONCE), ("PER_SECOND", PER_SECOND))
        }
        path = os.pathsep.join([str(folder / "plugins"), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        self.environment = os.environ | own | {"PYTHONPATH": path, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}

    def fetch(self, store: str, targets: str, *sources: str) -> tuple[float, float]:
        """Return the seconds of `harvest fetch`, and its CPU seconds."""
        named = [word for name in sources for word in ("--source", name)]
        command = ["--store", str(self.folder / store), "fetch", *named, "--target", f"@{self.folder / targets}", "-q"]
        return self.timed([sys.executable, "-m", "harvester", *command])

    def asked(self) -> dict:
        """Return what the emulator says of the time since the last call (see engine_sky.py)."""
        self.sky.stdin.write("\n")
        self.sky.stdin.flush()
        return json.loads(self.sky.stdout.readline())

    def downloaded(self, requests: list) -> float:
        """Return the seconds of a client that only downloads the same."""
        command = [sys.executable, str(HERE / "engine_download.py"), self.url, str(AT_ONCE)]
        return json.loads(subprocess.run(command, check=True, input=json.dumps(requests), capture_output=True, text=True).stdout)

    def timed(self, command: list[str]) -> tuple[float, float]:
        before, start = os.times(), perf_counter()
        subprocess.run(command, check=True, env=self.environment, cwd=self.folder)
        after = os.times()
        return perf_counter() - start, after.children_user + after.children_system - before.children_user - before.children_system

    def peer(self, targets: str, threads: int, what: str) -> dict:
        python = peer_bench.environment_with(PEERS, Path(tempfile.gettempdir()) / "harvest-bench-clients")
        command = [python, str(HERE / "engine_peer.py"), self.url, str(self.folder / targets), str(threads), what]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if told["failed"]:
            raise SystemExit(f"{told['failed']} calls of the peer failed, so that its time says nothing: {told['first']}")
        return told

    def write(self, name: str, stars: list) -> str:
        """Write a file of targets; return its name."""
        lines = [f"star {star.gaia_id},{star.ra:.7f},{star.dec:.7f}" for star in stars]
        (self.folder / name).write_text("\n".join(["name,ra,dec", *lines, ""]))
        return name


def measured(bench: Bench, chosen: argparse.Namespace) -> Iterator[str]:
    sky = Sky()
    for beside in chosen.beside:
        yield from against_loops(bench, chosen, stars(sky, chosen.targets, 20.0), beside)
    yield from batches(bench, chosen, stars(sky, chosen.stars, -60.0))
    yield from night(bench, chosen.nightly)
    yield from memory(bench, chosen.nightly)


def ideal(counted: dict[str, int]) -> float:
    """Return the seconds that the requests take at best: those of the busiest host."""
    return max(counted.values()) * LATENCY_S / AT_ONCE


def against_loops(bench: Bench, chosen: argparse.Namespace, targets: list, beside: str) -> Iterator[str]:
    """Compare a run of two sources with the ideal, and with the loops of a user, in turn; medians."""
    file, few = bench.write("targets.csv", targets), bench.write("few.csv", targets[: chosen.part])
    bench.fetch(f"warm_{beside}.db", file, "gaia_dr3", beside)  # the sky is made once
    if not chosen.without_peer:
        bench.peer(file, AT_ONCE, beside)
    ours, cpu, skies, bests, bare, threads = [], [], [], [], [], []
    for turn in range(chosen.rounds):
        bench.asked()
        seconds, busy = bench.fetch(f"ours_{beside}_{turn}.db", file, "gaia_dr3", beside)
        told = bench.asked()
        ours.append(seconds)
        cpu.append(busy)
        skies.append(told["cpu"])
        bests.append(ideal(told["counted"]))
        bare.append(bench.downloaded(told["asked"]))
        if not chosen.without_peer:
            threads.append(bench.peer(file, AT_ONCE, beside)["seconds"])
    seconds, at_best = median(ours), median(bests)
    yield (
        f"{len(targets)} targets x 2, Gaia and {beside}: {seconds:.1f} s ({median(cpu):.1f} s CPU, the emulator {median(skies):.1f}), "
        f"ideal {at_best:.1f} s: {seconds / at_best:.2f} x  (wanted <= 1.3)"
    )
    yield f"the same downloaded, and nothing else: {median(bare):.1f} s: {median(bare) / at_best:.2f} x"
    if not chosen.without_peer:
        alone = bench.peer(few, 1, beside)["seconds"] * len(targets) / len(targets[: chosen.part])
        yield f"{BESIDE_GAIA[beside]}, one by one: {alone:.1f} s: {alone / seconds:.1f} x  (wanted >= 8)"
        yield f"the same in {AT_ONCE} threads: {median(threads):.1f} s: {median(threads) / seconds:.2f} x  (wanted >= 1.0)"


def batches(bench: Bench, chosen: argparse.Namespace, targets: list) -> Iterator[str]:
    file, few = bench.write("stars.csv", targets), bench.write("few_stars.csv", targets[: chosen.part])
    bench.fetch("warm_gaia.db", file, "gaia_dr3")
    seconds, cpu = bench.fetch("gaia.db", file, "gaia_dr3")
    yield f"Gaia, {len(targets)} sources in batches: {seconds:.1f} s ({cpu:.1f} s CPU)"
    if not chosen.without_peer:
        bench.peer(few, 1, "load_data")
        alone = bench.peer(few, 1, "load_data")
        scaled = alone["seconds"] * len(targets) / chosen.part
        yield f"load_data for each source: {scaled:.1f} s: {scaled / seconds:.1f} x  (wanted >= 30)"


def night(bench: Bench, count: int) -> Iterator[str]:
    """Ask three sources again, none of which has anything new; say how much of the time is planning and writing."""
    file = bench.write("nightly.csv", stars(Sky(), count, -85.0))
    names = ("gaia_dr3", "ztf_dr", "soak_plain")
    bench.fetch("night.db", file, *names)
    script = [sys.executable, str(HERE / "engine_night.py"), str(bench.folder / "night.db"), str(bench.folder / file), *names]
    done = subprocess.run(script, check=True, env=bench.environment, cwd=bench.folder, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    part = (told["plan"] + told["write"]) / told["wall"]
    yield (
        f"{count} targets x 3, all unchanged ({told['unchanged']}): {told['wall']:.1f} s, planning {told['plan']:.2f} s, "
        f"writing {told['write']:.2f} s: {part:.1%}  (wanted <= 10 %)"
    )


def memory(bench: Bench, count: int) -> Iterator[str]:
    """Compare the peak memory of few targets and of many; that of a process beside counts."""
    peaks, few = [], min(100, count // 2 or 1)
    for number in (few, count):
        file = bench.write(f"memory{number}.csv", stars(Sky(), number, -85.0))
        words = ["--store", str(bench.folder / f"memory{number}.db"), "fetch", "--source", "soak_plain", "-q"]
        command = [sys.executable, "-m", "harvester", *words, "--target", f"@{bench.folder / file}"]
        with subprocess.Popen(command, env=bench.environment) as process:
            peaks.append(peak(psutil.Process(process.pid)) / 2**20)
    yield f"memory, {few} and {count} targets: {peaks[0]:.0f} and {peaks[1]:.0f} MiB: {peaks[1] / peaks[0]:.2f} x  (wanted <= 1.2)"


def peak(process: psutil.Process) -> int:
    """Return the most memory (bytes) that a process and its children had together, until it ends; looked at every 50 ms."""
    most = 0
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            most = max(most, sum(one.memory_info().rss for one in (process, *process.children())))
            sleep(0.05)
    return most


def stars(sky: Sky, count: int, dec: float) -> list:
    """Return one star near each of so many places, from dec to dec + 20 degrees."""
    places = ((360.0 * number / count, dec + 20.0 * (number % 7) / 7) for number in range(count))
    return [sky.stars_near(ra, dec, 0.05)[0] for ra, dec in places]


@contextmanager
def emulator() -> Iterator[subprocess.Popen]:
    """Serve the emulator in a process of its own."""
    command = [sys.executable, str(HERE / "engine_sky.py"), str(LATENCY_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
