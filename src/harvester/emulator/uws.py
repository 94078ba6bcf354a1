"""Asynchronous jobs of a TAP service (UWS 1.1). A job is done in the moment in which it is started, so that nobody waits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from harvester.emulator import votable
from harvester.emulator.app import Request, Response
from harvester.emulator.tokens import AdqlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harvester.emulator.sky import Sky
    from harvester.emulator.tap import Form

    Run = Callable[[Sky, Form], Response]

FIRST_ID = 1744360074103  # milliseconds of a day long past, in the form that ESA's ids have
KEPT = timedelta(days=3)
LONGEST_S = 7200
XML = "text/xml"
NAMES = (
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


@dataclass
class Job:
    """One job: what was asked, how far it is (a UWS phase), its answer or error once it has run, and its longest time (s)."""

    name: str
    made: datetime
    form: Form
    phase: str = "PENDING"
    answer: Response | None = None
    message: str = ""
    duration: int = LONGEST_S


def serve(request: Request, form: Form, run: Run, path: str) -> Response:
    """Answer below ".../async": `run` answers the query of a form, raising AdqlError; `path` is that place inside the service."""
    jobs: dict[str, Job] = request.memory.setdefault("jobs", {})
    base = request.root + path
    name, _, rest = request.tail.strip("/").partition("/")
    if not name:
        return _create(request, form, run, base) if request.method == "POST" else Response(_listing(jobs, base).encode(), XML)
    if name not in jobs:
        return votable.error_document(f"Job {name} not found.", status=404)
    if request.method == "DELETE" or (not rest and form.params.get("action") == "DELETE"):
        del jobs[name]
        return _see(base)
    if request.method == "POST":
        return _change(jobs[name], form, rest, lambda asked: run(request.sky, asked)) or _see(f"{base}/{name}")
    return _look(jobs[name], rest, f"{base}/{name}")


def _create(request: Request, form: Form, run: Run, base: str) -> Response:
    jobs: dict[str, Job] = request.memory["jobs"]
    number = request.memory["made"] = request.memory.get("made", 0) + 1
    name, made = f"{FIRST_ID + number}O", datetime.fromtimestamp(request.now, UTC)
    job = jobs[name] = Job(name, made, form)
    if form.params.get("phase") == "RUN":
        _start(job, lambda asked: run(request.sky, asked))
    return _see(f"{base}/{name}")


def _change(job: Job, form: Form, rest: str, run: Callable[[Form], Response]) -> Response | None:
    """Do what a POST asks of a job; return None where the client is to look at the job afterwards."""
    phase, duration = form.params.get("phase"), form.params.get("executionduration", "")
    if rest == "phase" and phase == "RUN" and job.phase == "PENDING":
        _start(job, run)
        return None
    if rest == "phase" and phase == "ABORT":
        job.phase = "ABORTED" if job.phase == "PENDING" else job.phase
        return None
    if rest == "executionduration" and duration.isdigit():
        job.duration = int(duration)
        return None
    if rest in {"", "parameters"} and job.phase == "PENDING":
        job.form = replace(job.form, params={**job.form.params, **form.params}, files={**job.form.files, **form.files})
        return None
    return None if rest == "destruction" else votable.error_document(f"The job is {job.phase}; this cannot be asked of it.")


def _start(job: Job, run: Callable[[Form], Response]) -> None:
    try:
        job.answer, job.phase = run(job.form), "COMPLETED"
    except AdqlError as error:
        job.message, job.phase = str(error), "ERROR"


def _see(place: str) -> Response:
    return Response(b"", status=303, headers=(("Location", place),))


def _look(job: Job, rest: str, place: str) -> Response:
    parts = {
        "phase": job.phase,
        "executionduration": str(job.duration),
        "destruction": _stamp(job.made + KEPT),
        "quote": "",
        "owner": "",
    }
    if rest in parts:
        return Response(parts[rest].encode())
    if rest == "results/result" and job.answer:
        return job.answer
    if rest == "error" and job.phase == "ERROR":
        return votable.error_document(job.message, status=200)
    documents = {"": _document(job, place), "results": _results(job, place), "parameters": _parameters(job)}
    if rest not in documents:
        return votable.error_document(f"Nothing at {rest} (the job is {job.phase}).", status=404)
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{documents[rest]}'.encode(), XML)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _document(job: Job, place: str) -> str:
    done = (
        f"<uws:startTime>{_stamp(job.made)}</uws:startTime>\n<uws:endTime>{_stamp(job.made)}</uws:endTime>\n"
        if job.phase != "PENDING"
        else ""
    )
    error = f'<uws:errorSummary type="fatal" hasDetail="true"><uws:message>{escape(job.message)}</uws:message></uws:errorSummary>\n'
    return (
        f'<uws:job {NAMES} version="1.1">\n<uws:jobId>{job.name}</uws:jobId>\n<uws:ownerId>anonymous</uws:ownerId>\n'
        f'<uws:phase>{job.phase}</uws:phase>\n<uws:quote xsi:nil="true"/>\n<uws:creationTime>{_stamp(job.made)}</uws:creationTime>\n{done}'
        f"<uws:executionDuration>{job.duration}</uws:executionDuration>\n<uws:destruction>{_stamp(job.made + KEPT)}</uws:destruction>\n"
        f"{_parameters(job)}{_results(job, place)}{error if job.message else ''}</uws:job>\n"
    )


def _parameters(job: Job) -> str:
    shown = {name: value for name, value in job.form.params.items() if name not in job.form.files and name != "phase"}
    lines = "".join(f"<uws:parameter id={quoteattr(name)}>{escape(value)}</uws:parameter>\n" for name, value in shown.items())
    return f"<uws:parameters {NAMES}>\n{lines}</uws:parameters>\n"


def _results(job: Job, place: str) -> str:
    result = f'<uws:result id="result" xlink:type="simple" xlink:href={quoteattr(place + "/results/result")}/>\n' if job.answer else ""
    return f"<uws:results {NAMES}>\n{result}</uws:results>\n"


def _listing(jobs: dict[str, Job], base: str) -> str:
    lines = "".join(
        f'<uws:jobref id="{job.name}" xlink:href={quoteattr(f"{base}/{job.name}")}><uws:phase>{job.phase}</uws:phase></uws:jobref>\n'
        for job in list(jobs.values())
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<uws:jobs {NAMES} version="1.1">\n{lines}</uws:jobs>\n'
