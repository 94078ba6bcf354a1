"""ZTF forced photometry: difference images measured at a place on request, in minutes to days, by IPAC's service (ZFPS).

release: all difference images since 2018-03-17 that the user may see, measured anew for each request
manual: https://irsa.ipac.caltech.edu/data/ZTF/docs/ztf_zfps_userguide.pdf
time: JD in UTC, start of the exposure; middle = start + exptime/2
magnitude: AB, a zero point per row, no colour term; total where the reference has a source within 1 arcsec, else of the difference (see flags);
  above 3 sigma a detection, else a limit of 5; error of a total: with the reference's; differences may swing 4 to 8 % wider than in ztf_dr
quality: bad where procstatus failed, or by infobitssci, scisigpix > 25, sciinpseeing > 4; suspect where procstatus warns (56, 57)
missing: null; an image without a flux is no measurement
cite: 2019PASP..131a8003M 2023arXiv230516279M
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import reduce
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvester.brightness import AB_ZEROPOINT_JY, flux_from_mag, limit_from_flux_err, total_or_difference
from harvester.errors import Malformed, Throttled
from harvester.payload import Payload, constant, mapped, number, numpy, text, words
from harvester.source import Credential, Http, Pace, Query, Source, TimeSystem
from harvester.tables import alike, listed, read_blanks

SUBMIT, STATUS = "cgi-bin/requestForcedPhotometry.cgi", "cgi-bin/getForcedPhotometryRequests.cgi"
FIRST_MJD, MJD_OF_1970, JD_OF_MJD, MIDDLE, SOUTHERNMOST = 58194.0, 40587.0, 2400000.5, 2021.85, -32.0
LOOK_AGAIN_S, DAY_S, MOST_WAITING = 6 * 3600.0, 86400.0, 100  # the status page is renewed hourly; so many requests of one user may wait
MARKS, MARK_DAYS, SAME = 4000, 1e-4, 5e-5  # a request is known by how much too early it begins: up to 0.4 days
ASKED, ANSWERED = ("ra", "dec", "jdstart"), ("ra", "dec", "ended", "exitcode", "lightcurve")
SIMILAR, PLACE = b"request similar to yours", re.compile(rb"R\.A\. = (\S+) deg.*? Dec\. = (\S+) deg", re.DOTALL)
FILTERS = {"ZTF_g": "g", "ZTF_r": "r", "ZTF_i": "i"}
WORST = {"infobitssci": (1 << 25) - 1, "scisigpix": 25.0, "sciinpseeing": 4.0}  # no bit of clouds; DN; pixels: beyond, an image is bad
WARNED = r"^(0|56|57)(,(0|56|57))*$"  # procstatus: 56 and 57 warn, anything else is a failure
SAME_SOURCE, DETECTED, LIMIT_SIGMA = 1.0, 3.0, 5.0
KEPT = "procstatus infobitssci field ccdid qid rfid programid nearestrefmag".split()
FLUXES = "forcediffimflux forcediffimfluxunc zpdiff dnearestrefsrc nearestrefmag nearestrefmagunc".split()
ACCOUNT = "Mail to ztf@ipac.caltech.edu for an account; the manual names the login that all share."


class ZtfForced(Source):
    survey, base_url, incremental, cadence = "ZTF_FP", "https://ztfweb.ipac.caltech.edu/", True, 3.0
    time_system = TimeSystem("jd", "utc", "observatory", site="Palomar", stamp="start", sigma_s=0.5)
    limits, timeout, pace, cite = "5 sigma", 120.0, Pace(per_second=1, at_once=1), ("2019PASP..131a8003M", "2023arXiv230516279M")
    login = Credential("Basic {http_user}:{http_password}", ACCOUNT, header="Authorization")
    credentials = (login, Credential("{email}", ACCOUNT, param="email"), Credential("{userpass}", ACCOUNT, param="userpass"))
    example = Query.at(226.1040824, 10.4942218, since=58194, until=58300)
    acknowledgement = "The ZTF forced-photometry service was funded under the Heising-Simons Foundation grant 12540303 (PI: Graham)."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        if query.target.at(MIDDLE)[1] < SOUTHERNMOST:
            return
        job = http.job(lambda tag: submit(known_as(query, tag), query, http), lambda tag: find(known_as(query, tag), requests(http))["job"])
        found = find(job, requests(http))
        if not (found["lightcurve"] or found["ended"]):
            http.pending("the request waits for its turn, minutes to days.", LOOK_AGAIN_S)
        answer = http.get(found["lightcurve"], accept=(404,)) if found["lightcurve"] else None
        if answer is None or answer.doubt:
            http.done()
            raise Malformed(f"ztf_forced: the request ended (code {found['exitcode']}) without a light curve, or that is no longer kept.")
        yield answer if answer.body.strip() else answer.about(doubt="the light curve came without even a header")

    def normalise(self, payload: Payload) -> pa.Table:
        rows = read_blanks(payload, "field", "filter", "pid", "jd", "exptime", *WORST, *KEPT, *FLUXES, end=b"# ---")
        rows = rows.filter(pc.is_valid(rows["forcediffimflux"]))
        counts, counts_err, zero, apart, mag, mag_err = (numpy(number(rows[name])) for name in FLUXES)
        ujy, near = flux_from_mag(zero, AB_ZEROPOINT_JY), np.where(apart < SAME_SOURCE, mag, np.nan)
        flux, flux_err, total = total_or_difference(counts * ujy, counts_err * ujy, near, mag_err, zeropoint_jy=AB_ZEROPOINT_JY)
        failed = pc.invert(pc.match_substring_regex(pc.fill_null(rows["procstatus"], ""), WARNED))
        bad = reduce(pc.or_, (pc.greater(number(rows[name]), most) for name, most in WORST.items()), failed)
        warned = pc.if_else(pc.equal(rows["procstatus"], "0"), 0, 1)
        ra, dec = (float(word) for word in (*PLACE.findall(payload.body), (b"inf", b"inf"))[0])
        table = {"passband": mapped(rows["filter"], FILTERS), "time": number(rows["jd"]), "exptime": number(rows["exptime"])}
        table |= {"flux": flux, "flux_err": flux_err, "upper_limit": ~(flux > DETECTED * flux_err), "quality": pc.if_else(bad, 2, warned)}
        table |= {"limiting_mag": limit_from_flux_err(LIMIT_SIGMA, flux_err, AB_ZEROPOINT_JY)}
        table |= {"flags": words(pc.if_else(total, "total", "difference"), *(pc.binary_join_element_wise(n, rows[n], "=") for n in KEPT))}
        place = {"object_id": f"{ra:.6f} {dec:.6f}", "ra": ra, "dec": dec, "limit_sigma": LIMIT_SIGMA}
        table |= {name: constant(value, rows.num_rows) for name, value in place.items()}
        return pa.table(table | {"observation_id": text(rows["pid"])})


def known_as(query: Query, tag: str) -> str:
    """Place and start of a request; `tag` is left with the service as the part of a day by which the interval begins too early."""
    ra, dec = query.target.at(MIDDLE)
    since = max(query.since or 0.0, FIRST_MJD) + JD_OF_MJD - crc32(tag.encode()) % MARKS * MARK_DAYS
    return f"{ra:.6f} {dec:.6f} {since:.4f}"


def requests(http: Http) -> list[dict[str, str]]:
    return listed(http.get(STATUS, option="All recent jobs", action="Query Database"), *ANSWERED, names={"startjd": "jdstart"})


def find(job: str, rows: list[dict[str, str]]) -> Mapping[str, str]:
    same = alike(rows, dict(zip(ASKED, map(float, job.split()), strict=True)), SAME)
    return {**same[0], "job": job} if same else dict.fromkeys((*ANSWERED, "job"), "")


def submit(job: str, query: Query, http: Http) -> str:
    if (waiting := sum(not row["ended"] for row in requests(http))) >= MOST_WAITING:
        raise Throttled(f"ztf_forced: {waiting} of your requests wait already, and ZFPS takes no more.", retry_after=LOOK_AGAIN_S)
    until = min(query.until or np.inf, datetime.now(UTC).timestamp() / DAY_S + MJD_OF_1970) + JD_OF_MJD
    answer = http.get(SUBMIT, **dict(zip(ASKED, job.split(), strict=True)), jdend=f"{until:.4f}", idempotent=False)
    if SIMILAR in answer.body:  # perhaps this one: then the next run finds it in the list
        http.pending("a request like this one waits there already.", LOOK_AGAIN_S)
    if not find(job, listed(answer, *ASKED))["job"]:
        raise Malformed("ztf_forced: the service did not confirm the request.", payload=answer)
    return job
