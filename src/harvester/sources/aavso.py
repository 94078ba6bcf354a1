"""AAVSO International Database: variable stars as observers all over the world see them, in any filter, since the 19th century.

release: continuous; observations come late and back-dated, are corrected and taken back: an update looks 60 days back
manual: https://www.aavso.org/aavso-international-database
time: JD in UTC at the Earth's centre, middle of the exposure; visual estimates often to 0.001 or 0.1 d only
magnitude: Vega; AB for Sloan and Pan-STARRS filters; by eye: Vis; fainter-than: limits of unknown sigma; differential: quarantine
quality: validation V, Z, G, P good; U (not yet looked at), N or another word suspect; T, D, B, Y, Q bad
missing: empty fields; a header alone where there is nothing, or where the star is unknown
cite: 2006SASS...25...47W
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from harvester.errors import Malformed, Unreachable
from harvester.payload import BOM, NULL_WORDS, Payload, SkyObject, constant, integer, mapped, number, read_json, require, truth, words
from harvester.source import Http, Pace, Query, Source, TimeSystem

PATH, DELIMITER = "index.php", "@@@"
FIRST_JD, JD_OF_MJD, JD_OF_UNIX = 2_396_758.5, 2_400_000.5, 2_440_587.5
SPAN, FEW_LINES = 365.0, 2000  # days that are asked for at once, twice as many after an answer with few lines
TURNED_AWAY, PAUSES_S = (403, 405), (2.0, 5.0, 15.0, 0.0)  # by the guard before the service: no word about the star
NEEDED = ("JD", "mag", "uncert", "band", "by", "val", "starName", "mtype", "obsID", "fainterThan", "obsType", "transformed")
BANDS = {"Visual": "Vis"} | {f"{eye}.": eye for eye in ("Vis", "Blue-Vis", "Green-Vis", "Red-Vis", "Yellow-Vis")}
GRADES = dict.fromkeys("VZGP", "0") | dict.fromkeys("UN", "1") | dict.fromkeys("TDBYQ", "2")  # validation; U: not yet looked at
TORN, CONTROL = "(torn line)", dict.fromkeys([*range(9), 11, 12, *range(14, 32)])


class Aavso(Source):
    survey, base_url, limits = "AAVSO", "https://vsx.aavso.org/", "fainter-than, of unknown sigma"
    time_system = TimeSystem("jd", "utc", "geocentre", sigma_s=4.3)
    radius, cadence, incremental, lookback, timeout, pace = 5.0, 1.0, True, 60.0, 120.0, Pace(per_second=0.7, at_once=1)
    cite, example = ("2006SASS...25...47W",), Query.at(325.67835, 43.58607, 5.0, since=59989.5, until=59999.5)  # SS Cyg
    acknowledgement = "Variable star observations: AAVSO International Database, contributed by observers worldwide, with thanks."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        ra, dec = query.target.at(2000.0)
        answer = ask(http, view="api.list", ra=f"{ra:.6f}", dec=f"{dec:.6f}", radius=f"{query.radius / 3600:.6f}", format="json")
        stars = listed(answer)
        yield answer.about(role="objects", objects=stars)
        first = FIRST_JD if query.since is None else max(FIRST_JD, query.since + JD_OF_MJD)
        end = datetime.now(UTC).timestamp() / 86400 + JD_OF_UNIX + 1 if query.until is None else query.until + JD_OF_MJD
        for star in (star for star in stars if star.has_photometry is not False):
            last, span = end, SPAN
            while last > first:
                start = max(first, last - span)
                answer = ask(http, view="api.delim", ident=star.object_id, fromjd=f"{start:.5f}", tojd=f"{last:.5f}", delimiter=DELIMITER)
                yield answer.about(objects=stars)
                last, span = start, 2 * span if answer.body.count(b"\n") < FEW_LINES else SPAN

    def normalise(self, payload: Payload) -> pa.Table:
        rows = observations(payload)
        mag, method, band = pc.fill_null(rows["mag"], ""), pc.fill_null(rows["mtype"], "STD"), mapped(rows["band"], BANDS)
        limit = pc.or_(truth(rows["fainterThan"]), pc.starts_with(mag, "<"))
        value = number(pc.if_else(pc.equal(mag, ""), None, pc.utf8_ltrim(mag, "<")))
        table = {
            "passband": pc.if_else(pc.equal(pc.utf8_upper(method), "STD"), band, words(band, method)),
            "time": number(rows["JD"]),
            "mag": pc.if_else(limit, None, value),
            "mag_err": pc.if_else(limit, None, number(rows["uncert"])),
            "upper_limit": limit,
            "limiting_mag": pc.if_else(limit, value, None),
            "quality": integer(mapped(rows["val"], GRADES)),
            "flags": words("val", rows["val"], "type", rows["obsType"], "method", rows["mtype"], "transformed", rows["transformed"]),
            "object_id": constant(payload.params["ident"], rows.num_rows) if "ident" in payload.params else rows["starName"],
            "observation_id": rows["obsID"],
            "observer": rows["by"],
        }
        return pa.table(table)


def ask(http: Http, **params: str) -> Payload:
    """Ask, and ask again where the guard turns us away; what stays so says nothing about the star."""
    for pause in PAUSES_S:
        answer = http.get(PATH, accept=TURNED_AWAY, **params)
        if not answer.doubt:
            return answer
        http.wait(pause)
    why = "Its guard turns programs away at times; that says nothing about the star."
    raise Unreachable(f"aavso: the service is not available to us now ({answer.doubt}).", why, "Try again in some hours.")


def listed(payload: Payload) -> tuple[SkyObject, ...]:
    """The variable stars of a cone: a list, a single one, or an empty list in place of the object that holds them."""
    try:
        found = (read_json(payload)["VSXObjects"] or {"VSXObject": []})["VSXObject"]
        stars = found if isinstance(found, list) else [found]
        places = [(star.get("AUID"), star["Name"], float(star["RA2000"]), float(star["Declination2000"])) for star in stars]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed("aavso: expected a list of variable stars.", repr(error)[:150], "Try again later.", payload=payload) from error
    return tuple(SkyObject(auid or name, ra, dec, has_photometry=None if auid else False) for auid, name, ra, dec in places)


def observations(payload: Payload) -> pa.Table:
    """One row per line; a line with too few or too many fields becomes a row that nobody can trust."""
    lines = payload.body.removeprefix(BOM).decode("utf-8", "replace").translate(CONTROL).replace("\r", "\n").split("\n")
    head, *lines = [line for line in lines if line.strip()] or [DELIMITER.join(NEEDED)]
    opened = re.match(r"JD(\W{1,8}?)mag\1", head)
    if opened is None:
        raise Malformed(f"aavso: expected observations, received {head[:60]!r}.", hint="The service may be down.", payload=payload)
    names, cells = head.split(opened[1]), [line.split(opened[1]) for line in lines]
    require(pa.table({name: [] for name in names}), *NEEDED, payload=payload)
    whole = [cell if len(cell) == len(names) else [TORN * (name == "band") for name in names] for cell in cells]
    wanted = {name: [cell[place] for cell in whole] for place, name in enumerate(names) if name in NEEDED}
    columns = {name: pc.utf8_trim_whitespace(pa.array(column, pa.string())) for name, column in wanted.items()}
    return pa.table({name: pc.if_else(pc.is_in(word, value_set=pa.array(NULL_WORDS)), None, word) for name, word in columns.items()})
