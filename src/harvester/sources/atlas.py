"""ATLAS forced photometry: c and o at any place of the sky since 2015, from the queue of its server; needs the token of a free account.

release: continuous; Haleakala and Mauna Loa down to declination -50, since 2022 the whole sky with Sutherland and El Sauce
manual: https://fallingstar-data.com/forcedphot/resultdesc/
time: MJD in UTC at the telescope, start of the exposure (30 s), in steps of 0.09 s; middle = start + 15 s
magnitude: AB, 23.9 - 2.5 log10(uJy), of the total flux (forced on the reduced images); saturates near 12.5 without any flag
quality: bad beyond the cuts of the server's FAQ (err, dujy, x, y, maj, min, apfit, mag5sig, sky); suspect with dujy > 4000 or chi/N > 100
missing: none; below 3 sigma a limit of 3 sigma that keeps its signed flux; "No data returned"; a header without rows is not believed
cite: 2018PASP..130f4505T 2020PASP..132h5002S 2018AJ....156..241H 2021TNSAN...7....1S
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import AB_ZEROPOINT_JY, limit_from_flux_err
from harvester.errors import Malformed, Throttled
from harvester.forced import forced_at, place_of, read_spaced, read_words
from harvester.payload import Payload, constant, mapped, number, numpy, text
from harvester.source import Credential, Http, Pace, Query, Source, TimeSystem

FIRST_MJD = 50_000.0  # before the survey; without mjd_min, or with 0, the server gives the last 30 days alone
EXPTIME, LIMIT_SIGMA, LOOK_AGAIN, FULL_QUEUE_WAIT, MOST_TASKS = 30.0, 3.0, 600.0, 3600.0, 100
NO_DATA, FULL, HEADER_ONLY = "No data returned", "too many queued tasks", "a header without rows, though the server has words for no data"
STATE = ("starttimestamp", "finishtimestamp", "result_url", "error_msg", "queuepos")
SITES = {"01": "ATLAS Mauna Loa", "02": "ATLAS Haleakala", "03": "ATLAS Sutherland", "04": "ATLAS El Sauce", "05": "ATLAS Teide"}
COLUMNS = "mjd m dm ujy dujy f err chi/n ra dec x y maj min phi apfit mag5sig sky obs".split()
NUMBERS = {"time": "mjd", "mag": "m", "mag_err": "dm", "flux": "ujy", "flux_err": "dujy", "ra": "ra", "dec": "dec"}
KEPT_FLAGS = "err chi/N dm mag5sig Sky apfit maj min x y".split()  # what cuts are made of
GOOD = {"err": (-1, 1), "dujy": (0, 1e4), "x": (100, 10460), "y": (100, 10460), "maj": (1.6, 5), "min": (1.6, 5)}  # the server's FAQ
GOOD |= {"apfit": (-1, -0.1), "mag5sig": (17, 99), "sky": (17, 99)}
SOUND = {"dujy": (0, 4000), "chi/n": (-1, 100)}  # the survey's own plotting script


class Atlas(Source):
    survey, limits, base_url = "ATLAS", "3 sigma", "https://fallingstar-data.com/forcedphot/"
    time_system = TimeSystem("mjd", "utc", "observatory", stamp="start", sigma_s=0.025)
    radius, cadence, incremental, timeout, pace = 1.5, 2.0, True, 90.0, Pace(per_second=1, at_once=2)
    credentials = (Credential("Token {token}", "A free account at https://fallingstar-data.com/forcedphot/ has it.", "Authorization"),)
    example = Query.at(29.86137, 30.72672, since=59100, until=59190)  # AT 2020wol
    cite = ("2018PASP..130f4505T", "2020PASP..132h5002S", "2018AJ....156..241H", "2021TNSAN...7....1S")
    acknowledgement = "This work has made use of data from the Asteroid Terrestrial-impact Last Alert System (ATLAS) project."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        job, answer = job_of(query, http)
        task = read_words(answer, *STATE)
        if not task["finishtimestamp"]:
            place = "is running" if task["starttimestamp"] else f"is in the queue, at place {task['queuepos']}"
            http.pending(f"job {job} {place}.", LOOK_AGAIN)
        if task["error_msg"] == NO_DATA:
            yield answer.about(role="objects")
            return
        result = http.get(f"queue/{job}/data.txt", accept=(404,)) if task["result_url"] else answer
        if result is answer or result.doubt:
            http.done()
            raise Malformed(f"atlas: job {job} failed.", str(task["error_msg"] or "Its result is gone."), "Ask again.", payload=result)
        yield result.about(objects=(forced_at(query.target),), doubt="" if read_spaced(result, *COLUMNS).num_rows else HEADER_ONLY)

    def normalise(self, payload: Payload) -> pa.Table:
        rows = read_spaced(payload, *COLUMNS)
        table = {name: number(rows[column]) for name, column in NUMBERS.items()}
        seen = pa.array(numpy(table["flux"]) >= LIMIT_SIGMA * numpy(table["flux_err"]))
        table |= {name: pc.if_else(seen, table[name], None) for name in ("mag", "mag_err")}
        table |= {
            "passband": text(rows["f"]),
            "upper_limit": pc.invert(seen),
            "limiting_mag": limit_from_flux_err(LIMIT_SIGMA, numpy(table["flux_err"]), AB_ZEROPOINT_JY),
            "limit_sigma": constant(LIMIT_SIGMA, rows.num_rows),
            "quality": np.where(within(rows, GOOD), np.where(within(rows, SOUND), 0, 1), 2),
            "flags": pc.binary_join_element_wise(*(pc.binary_join_element_wise(n, rows[n.lower()], "=") for n in KEPT_FLAGS), " "),
            "object_id": constant(place_of(rows, payload), rows.num_rows),
            "observation_id": text(rows["obs"]),
            "exptime": constant(EXPTIME, rows.num_rows),
            "facility": mapped(pc.utf8_slice_codeunits(text(rows["obs"]), 0, 2), SITES),
        }
        return pa.table(table)


def job_of(query: Query, http: Http) -> tuple[str, Payload]:
    """The number of the job and what the server says of it; one that is no longer there is submitted anew."""
    target = query.target
    form: dict[str, Any] = {"ra": f"{target.ra:.7f}", "dec": f"{target.dec:.7f}", "mjd_min": max(query.since or 0.0, FIRST_MJD)}
    form |= {"mjd_max": query.until} if query.until else {}
    if target.speed:
        form |= {"radec_epoch_year": target.epoch, "propermotion_ra": target.pmra, "propermotion_dec": target.pmdec}

    def submit(tag: str) -> str:
        answer = http.post("queue/", accept=(400,), data=form | {"use_reduced": "true", "comment": tag}, idempotent=False)
        if FULL in (said := answer.body.decode("utf-8", "replace")):
            raise Throttled("atlas: its queue takes no more of your jobs.", said[:100], retry_after=FULL_QUEUE_WAIT)
        return str(read_words(answer, "id")["id"])

    def find(tag: str) -> str | None:
        page = read_words(http.get("queue/", pagesize=MOST_TASKS), "results", "next")
        while not (mine := [str(task["id"]) for task in page["results"] if task["comment"] == tag]) and page["next"]:
            page = read_words(http.get(page["next"]), "results", "next")
        return mine[0] if mine else None

    job = http.job(submit, find)
    if (answer := http.get(f"queue/{job}/", accept=(404,))).doubt:
        http.done()
        answer = http.get(f"queue/{(job := http.job(submit, find))}/")
    return job, answer


def within(rows: pa.Table, ranges: Mapping[str, tuple[float, float]]) -> Any:
    return np.all([(low < (values := numpy(number(rows[name])))) & (values < high) for name, (low, high) in ranges.items()], axis=0)
