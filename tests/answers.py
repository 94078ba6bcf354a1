"""Answers of the ZTF archive written by hand, and their way into a store without a network."""

from dataclasses import replace

from harvester.delivery import deliver
from harvester.errors import SourceError
from harvester.payload import Payload
from harvester.source import load
from harvester.target import Target
from harvester.task import Task
from harvester.visiting import _failed, _found

STAR = Target("RR Lyr", 291.36631, 42.78436)
HEAD = "oid,expid,mjd,mag,magerr,catflags,filtercode,ra,dec,exptime"


def body(mags, *, band="zg", oid="686103400067717"):
    """Return a light curve with an epoch per exposure: {exposure: magnitude}."""
    lines = [f"{oid},{exposure},{58000 + exposure}.25,{mag},0.01,0,{band},291.36631,42.78436,30" for exposure, mag in mags.items()]
    return "\n".join([HEAD, *lines, ""]).encode()


def asked(answer, *, targets=(STAR,), radius=1.5, since=None, until=None, time="2026-11-01T00:00:00.000Z"):
    """Return the visits that the engine would make of an answer of ztf_dr."""
    source, task = load("ztf_dr"), Task("ztf_dr", targets, radius, since, until)
    payloads = [Payload(answer, "https://irsa.example/lc?ID=1", {"ID": "1"}, "text/csv", time, "ztf_dr")]
    try:
        found = _found(task, source, payloads, deliver(source, payloads).shared(task.query))
    except SourceError as error:
        found = _failed(task, source, payloads, error)
    return [replace(visit, radius=radius, since=since, until=until, source_version="harvester 0.1.0") for visit, _ in found]


def answered(store, answer, **question):
    """Store an answer of ztf_dr in a run of its own; return what it changed."""
    with store.run("fetch", "0.1.0") as run:
        return next(run.visit(visit) for visit in asked(answer, **question))
