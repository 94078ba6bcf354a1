"""Two surveys for the soak test: their services, for the emulator, and their sources, which the harvester under test finds as a plug-in's.

`soak_plain` answers a cone at once. `soak_queue` takes a job, is asked how far it is, and has the answer when it was asked twice. Their light
curves follow from the position alone. Neither leaves a silent way to lose rows: an answer says how many it holds.
"""

import json
import re
from hashlib import sha256
from types import SimpleNamespace

import pyarrow as pa

from harvester.emulator.app import Response
from harvester.errors import Malformed
from harvester.passbands import Passband
from harvester.payload import constant, mapped, number, read_table, text
from harvester.source import Pace, Source, TimeSystem

ROWS = 12
FIRST_JD = 2_459_000.5
HEAD = re.compile(rb"# (\d+) rows\n")
POLLS = 2


def light_curve(ra, dec):
    """Return the truth of a place as the services write it."""
    seed = sha256(f"{ra} {dec}".encode()).digest()
    lines = [f"{ra}_{dec},{FIRST_JD + day + seed[day] / 256:.6f},W,{12 + seed[day + 12] / 64:.4f},0.0100" for day in range(ROWS)]
    return "\n".join([f"# {len(lines)} rows", "star,jd,filter,mag,err", *lines, ""]).encode()


def _cone(request):
    return Response(light_curve(request.first("ra"), request.first("dec")), "text/csv")


def _jobs(request):
    """POST takes a job, GET lists those with a tag; below, the state of one and its result. `needless` are jobs asked for before they were read."""
    jobs = request.memory.setdefault("jobs", {})
    name, _, rest = request.tail.partition("/")
    if request.method == "POST":
        name, place = f"J{len(jobs) + 1}", (request.first("ra"), request.first("dec"))
        request.memory.setdefault("needless", []).extend(job for job in list(jobs.values()) if (job.ra, job.dec) == place and not job.read)
        jobs[name] = SimpleNamespace(ra=place[0], dec=place[1], tag=request.first("tag"), polls=0, read=False)
        return _said(job=name)
    if not name:
        return _said(jobs=[name for name, job in list(jobs.items()) if job.tag == request.first("tag")])
    if name not in jobs:
        return Response(b"no such job\n", status=404)
    if rest:
        jobs[name].read = True
        return Response(light_curve(jobs[name].ra, jobs[name].dec), "text/csv")
    jobs[name].polls += 1
    return _said(phase="DONE" if jobs[name].polls >= POLLS else "QUEUED")


def _said(**words):
    return Response(json.dumps(words).encode(), "application/json")


PLAIN = SimpleNamespace(NAME="soak_plain", HOSTS=("plain.soak.example",), ROUTES={"/cone": _cone})
QUEUE = SimpleNamespace(NAME="soak_queue", HOSTS=("queue.soak.example",), ROUTES={"/jobs/*": _jobs})


def remembered(handler):
    """Return a handler that makes the same answer once: the simulated sky does not change, and is dear."""
    answers = {}

    def handle(request):
        key = request.method, request.path, request.params
        if key not in answers:
            answers[key] = handler(request)
        return answers[key]

    return handle


class _Soak(Source):
    time_system = TimeSystem("jd", "tdb", "barycentre")
    cadence, pace, timeout = 1.0, Pace(per_second=100, at_once=8), 2.0

    def normalise(self, payload):
        rows = read_table(payload.about(body=_whole(payload)), "star", "jd", "filter", "mag", "err")
        measured = {"time": number(rows["jd"]), "mag": number(rows["mag"]), "mag_err": number(rows["err"])}
        named = {"passband": mapped(rows["filter"], {"W": "w"}), "object_id": text(rows["star"])}
        ra, dec = (number(pa.array([star.split("_")[place] for star in rows["star"].to_pylist()], pa.string())) for place in (0, 1))
        return pa.table({**named, **measured, "ra": ra, "dec": dec, "quality": constant(0, rows.num_rows)})


def _whole(payload):
    """Return the table of an answer that holds as many rows as it says."""
    head = HEAD.match(payload.body)
    table = payload.body[head.end() :] if head else b""
    if not head or table.count(b"\n") != int(head[1]) + 1:
        raise Malformed(f"{payload.source}: an answer without all of its rows.", payload=payload)
    return table


def _band(survey):
    return (Passband(survey=survey, name="w", system="AB", colour="#333333", marker="o", zeropoint_jy=3630.7805),)


class Plain(_Soak):
    survey, base_url, own_passbands = "PLAIN", "https://plain.soak.example/", _band("PLAIN")

    def fetch(self, query, http):
        yield http.get("cone", **_place(query))


class Queue(_Soak):
    survey, base_url, own_passbands = "QUEUE", "https://queue.soak.example/", _band("QUEUE")

    def fetch(self, query, http):
        def submit(tag):
            return _word(http.post("jobs", data=_place(query) | {"tag": tag}, idempotent=False), "job")

        def find(tag):
            return next(iter(_word(http.get("jobs", tag=tag), "jobs")), None)

        job = http.job(submit, find)
        if _word(http.get(f"jobs/{job}"), "phase") != "DONE":
            http.pending("the job is queued.", 1)
        yield http.get(f"jobs/{job}/result")


def _place(query):
    ra, dec = query.target.at(2016.0)
    return {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}"}


def _word(payload, name):
    try:
        return json.loads(payload.body)[name]
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"{payload.source}: an answer without '{name}'.", payload=payload) from error
