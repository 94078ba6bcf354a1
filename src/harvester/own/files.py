"""Files of the user's own photometry, and what each format calls its columns.

What was said of a file goes with it as the payload's `params`: its format, what its filters mean, whose it is, in what unit its fluxes are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from harvester.derive import FLUX_UNITS
from harvester.errors import Malformed
from harvester.payload import BOM, NULL_WORDS, Payload, number, text

Columns = dict[str, pa.ChunkedArray]
AAVSO_NULLS = [*NULL_WORDS, "na", "NA"]
AAVSO_FIELDS = "name date mag merr filt trans mtype cname cmag kname kmag amass group chart notes".split()
DOWNLOADED = ("jd", "magnitude", "uncertainty", "band")
"""Columns of what the AAVSO sends to those who ask for data."""
SPELLINGS = {
    "mag": ("mag", "magnitude"),
    "mag_err": ("mag_err", "error", "magerr", "mag_error", "err_mag", "merr", "e_mag", "magnitude_error", "uncertainty"),
    "filter": ("filter", "band", "passband", "filt"),
    "limiting_mag": ("limiting_mag", "limit", "limitmag", "diffmaglim"),
    "flux_err": ("flux_err", "fluxerr", "flux_error"),
    "facility": ("facility", "telescope"),
}
AS_IT_IS = ("flux", "upper_limit", "limit_sigma", "quality", "flags", "observation_id", "ra", "dec", "exptime", "observer")
TIMES = {"mjd_utc": "mjd_utc", "bjd_tdb": "bjd_tdb"}
OWN = "own"
"""What our exports call the source of points that the user brought in."""
PLAIN_TIMES = ("time", "mjd", "jd", "hjd", "bjd", "date", "bmjd", "epoch")


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how its columns are read, and what it holds."""

    columns: Callable[[Payload], Columns]
    holds: str


def read(payload: Payload) -> pa.Table:
    """Return a file's rows in the columns of the schema. Raises Malformed."""
    if not payload.body.strip() or "format" not in payload.params:
        raise _malformed(payload, "there is nothing in it")
    columns = FORMATS[str(payload.params["format"])].columns(payload)
    rows, params = len(columns["time"]), payload.params
    meaning = params.get("filters", {})
    names = text(columns.pop("filter")) if "filter" in columns else pa.chunked_array([pa.repeat(pa.scalar(""), rows)])
    columns["passband"] = pa.chunked_array([pa.array([meaning.get(name or "", name) for name in names.to_pylist()], pa.string())])
    columns.pop("name", None)
    columns["object_id"] = pa.chunked_array([pa.repeat(pa.scalar(str(params["object"])), rows)])
    scale = 1 / FLUX_UNITS[str(params.get("flux_unit", "uJy"))].of_ujy
    for name in ("flux", "flux_err"):
        if name in columns:
            columns[name] = pc.multiply(number(columns[name]), scale)
    return pa.table(columns)


def filters(payload: Payload) -> list[str]:
    """Return the filters that a file names, in its own words; one empty word where it has no column of them. Raises Malformed."""
    columns = FORMATS[str(payload.params["format"])].columns(payload)
    found: list[str | None] = pc.unique(text(columns["filter"])).to_pylist() if "filter" in columns else [""]
    return [name or "" for name in found]


def objects(payload: Payload) -> list[str]:
    """Return the things that a file names. Raises Malformed."""
    columns = FORMATS[str(payload.params["format"])].columns(payload)
    return pc.unique(text(columns["name"])).drop_null().to_pylist() if "name" in columns else []


def kind(payload: Payload) -> str:
    """Return what a file of ours says that its data are ("real" or "simulated"), empty where it says nothing."""
    head = payload.body[:4096].decode("utf-8", "replace")
    told = re.search(r"^#\s*data\s*[=:]\s*(\w+)", head, re.MULTILINE)
    if told:
        return told[1]
    form = str(payload.params["format"])
    column = {"csv": "data", "bhtom": "observer", "tom": "source"}.get(form, "")
    columns = _table(payload, ";" if form == "bhtom" else _delimiter(head)) if column else {}
    said = [word.split()[0] for word in pc.unique(columns[column]).drop_null().to_pylist() if word.strip()] if column in columns else []
    return "simulated" if "simulated" in said else "real" if form == "csv" and "real" in said else ""


def aavso_time(payload: Payload) -> str:
    """Return the time system that an AAVSO file declares. Raises Malformed."""
    said = _aavso_head(payload).get("date", "jd").lower()
    if said not in {"jd", "hjd"}:
        raise _malformed(payload, f"its dates are {said.upper()}, not JD or HJD")
    return f"{said}_utc"


def _bhtom(payload: Payload) -> Columns:
    found = _table(payload, ";", "mjd", "magnitude", "error", "facility", "filter", "observer")
    error, magnitude = number(found["error"]), number(found["magnitude"])
    columns = {"time": number(found["mjd"]), "filter": found["filter"], "facility": found["facility"], "observer": found["observer"]}
    limit = pc.fill_null(pc.less(error, 0.0), False)
    return columns | _limited(magnitude, error, limit) | _named(found, limit, "filter", "mjd", "facility", "observer")


def _tom(payload: Payload) -> Columns:
    head = payload.body[:4096].decode("utf-8", "replace")
    found = _table(payload, _delimiter(head), "time", "filter", "magnitude", "error")
    magnitude, error = number(found["magnitude"]), number(found["error"])
    found.setdefault("source", pa.chunked_array([pa.nulls(len(magnitude), pa.string())]))
    columns = {"time": number(found["time"]), "filter": found["filter"], "facility": found["source"]}
    if "limit" not in found:
        return columns | {"mag": magnitude, "mag_err": error}
    limit = pc.and_(pc.is_null(magnitude), pc.is_valid(found["limit"]))
    named = _named(found, limit, "filter", "time", "source")
    return columns | _limited(pc.if_else(limit, number(found["limit"]), magnitude), error, limit) | named


def _aavso(payload: Payload) -> Columns:
    if payload.body.lstrip()[:3].lower() == b"jd,":
        found = _table(payload, ",", *DOWNLOADED)
        found |= {"date": found["jd"], "mag": found["magnitude"], "merr": found["uncertainty"], "filt": found["band"]}
        found |= {"observer": found["observer code"]} if "observer code" in found else {}
        found |= {"name": found["star name"]} if "star name" in found else {}
    else:
        lines = [line for line in payload.body.removeprefix(BOM).splitlines() if line.strip() and not line.startswith(b"#")]
        body = b"\n".join([_aavso_delimiter(payload).encode().join(name.encode() for name in AAVSO_FIELDS), *lines])
        found = _table(payload.about(body=body), _aavso_delimiter(payload), nulls=AAVSO_NULLS)
        found |= {name: _noted(found["notes"], key) for name, key in (("facility", "FACILITY"), ("observer", "OBSERVER"))}
        found["filt"] = pc.coalesce(_noted(found["notes"], "FILTER"), found["filt"])
        found["observation_id"] = pc.coalesce(_noted(found["notes"], "ID"), _joined(found, "filt", "date", "notes"))
    limit = pc.fill_null(pc.starts_with(text(found["mag"]), "<"), False)
    magnitude = number(pc.replace_substring(found["mag"], "<", ""))
    kept = {name: found[name] for name in ("name", "facility", "observer", "observation_id") if name in found}
    band = pc.replace_substring_regex(text(found["filt"]), r"\.$", "")
    known = pc.if_else(pc.match_substring_regex(band, r"^[\w-]+$|^N/A$"), pc.binary_join_element_wise(band, "(AAVSO)", ""), band)
    return kept | {"time": number(found["date"]), "filter": known} | _limited(magnitude, number(found["merr"]), limit)


def _csv(payload: Payload) -> Columns:
    found = _table(payload, _delimiter(payload.body[:4096].decode("utf-8", "replace")))
    time = str(payload.params.get("time", ""))
    place = next((name for name in (TIMES.get(time, time), *PLAIN_TIMES) if name in found), None)
    columns = {name: found[spelling] for name, known in SPELLINGS.items() for spelling in known[::-1] if spelling in found}
    columns |= {name: found[name] for name in AS_IT_IS if name in found}
    if place is None or not {"mag", "flux"} & set(columns):
        raise _malformed(payload, f"a column of times ({time or 'time'}) or of magnitudes (mag) is missing: {', '.join(found)[:80]}")
    if place == "time" and {"bjd_tdb", "source"} <= set(found) and set(pc.unique(found["source"]).to_pylist()) - {OWN}:
        raise _malformed(payload, "its column time is as each survey counts: say --time bjd_tdb, or export it with --time mjd")
    words = ("filter", "flags", "observation_id", "observer", "facility", "upper_limit", "mag")
    read = {name: text(column) if name in words else number(column) for name, column in columns.items()}
    if "quality" in read:
        read["quality"] = pc.cast(read["quality"], pa.int8(), safe=False)
    if "target" in found:
        read["name"] = found["target"]
    made = {"time": number(found[place])} | _csv_limits(read)
    if "observation_id" not in read:
        known = [name for name in ("filter", "facility", "observer") if name in columns]
        made |= _named(columns | {"when": found[place]}, made.get("upper_limit"), "when", *known)
    return read | made


def _csv_limits(columns: Columns) -> Columns:
    """Return magnitude and limit of a CSV: told by a column, by '<' before the magnitude, or by a limit where there is no magnitude."""
    mag = columns.get("mag")
    if mag is None:
        return {}
    fainter = pc.fill_null(pc.starts_with(mag, "<"), False)
    value, limiting = (
        number(pc.replace_substring(mag, "<", "")),
        columns.get("limiting_mag", pa.chunked_array([pa.nulls(len(mag), pa.float64())])),
    )
    flux = columns.get("flux", pa.chunked_array([pa.nulls(len(mag), pa.float64())]))
    lone = pc.and_(pc.and_(pc.is_null(mag), pc.is_null(flux)), pc.is_valid(limiting))
    said = pc.is_in(pc.utf8_lower(columns["upper_limit"]), value_set=pa.array(["true", "t", "1"])) if "upper_limit" in columns else lone
    limit = pc.or_(fainter, said)
    return {"mag": pc.if_else(limit, None, value), "upper_limit": limit, "limiting_mag": pc.if_else(fainter, value, limiting)}


def _limited(value: Any, error: Any, limit: Any) -> Columns:
    """Return magnitudes with errors, or limits where the row is one."""
    nothing = pa.scalar(None, pa.float64())
    return {
        "mag": pc.if_else(limit, nothing, value),
        "mag_err": pc.if_else(limit, nothing, error),
        "upper_limit": limit,
        "limiting_mag": pc.if_else(limit, value, nothing),
    }


def _joined(found: Columns, *names: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(pc.fill_null(found[name], "") for name in names), ":")


def _named(found: Columns, limit: Any, *names: str) -> Columns:
    """Return an id for each row from what tells rows apart; a limit beside a detection of the same moment is another measurement."""
    row = _joined(found, *names)
    return {"observation_id": row if limit is None else pc.if_else(limit, pc.binary_join_element_wise(row, "limit", ":"), row)}


def _noted(notes: pa.ChunkedArray, key: str) -> pa.ChunkedArray:
    """Return what notes such as |KEY=value| say of a key."""
    told = pc.struct_field(pc.extract_regex(notes, rf"\|{key}=(?P<value>[^|]*)\|"), "value")
    return pa.chunked_array([told] if isinstance(told, pa.Array) else told.chunks, pa.string())


def _aavso_head(payload: Payload) -> Mapping[str, str]:
    lines = payload.body.removeprefix(BOM).decode("utf-8", "replace").splitlines()
    pairs = (line.lstrip("# ").partition("=") for line in lines if line.startswith("#"))
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _aavso_delimiter(payload: Payload) -> str:
    said = _aavso_head(payload).get("delim", ",")
    return {"comma": ",", "tab": "\t"}.get(said.lower(), chr(int(said)) if re.fullmatch(r"\d{2,3}", said) else said[:1] or ",")


def _delimiter(head: str) -> str:
    first = next((line for line in head.splitlines() if line.strip() and not line.startswith("#")), "")
    return max(",;\t", key=first.count)


def _table(payload: Payload, delimiter: str, *required: str, nulls: list[str] = NULL_WORDS) -> Columns:
    """Return the columns of a file as text, named in lower case; lines that begin with # are comments. Raises Malformed."""
    lines = [line for line in payload.body.removeprefix(BOM).splitlines() if line.strip() and not line.startswith(b"#")]
    names = [name.strip().strip('"').lower() for name in (lines[0] if lines else b"").decode("utf-8", "replace").split(delimiter)]
    missing = [name for name in required if name not in names]
    if missing or len(set(names)) != len(names):
        raise _malformed(
            payload, f"columns are missing ({', '.join(missing) or 'or named twice'}): it begins with {(lines or [b''])[0][:60]!r}"
        )
    if len(lines) < 2:
        return {name: pa.chunked_array([], pa.string()) for name in names}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(b"\n".join(lines[1:]) + b"\n"),
            read_options=pa_csv.ReadOptions(column_names=names),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=True, null_values=nulls
            ),
        )
    except pa.ArrowInvalid as error:
        raise _malformed(payload, f"it is no clean table ({str(error).splitlines()[0][:100]})") from error
    return {name: table[name] for name in names}


def _malformed(payload: Payload, why: str) -> Malformed:
    form = payload.params.get("format", "table")
    return Malformed(
        f"the file cannot be read as {form}.", f"{why[:1].upper()}{why[1:]}.", "What each format holds: harvest import --formats"
    )


FORMATS: Mapping[str, Format] = {
    "csv": Format(_csv, "your own photometry: CSV with a header, also harvest export's"),
    "bhtom": Format(_bhtom, "your own photometry: MJD;Magnitude;Error;Facility;Filter;Observer"),
    "aavso": Format(_aavso, "your own photometry: AAVSO Extended, or what the AAVSO sends"),
    "tom": Format(_tom, "your own photometry: time,filter,magnitude,error[,limit,source]"),
}
