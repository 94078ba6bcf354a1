"""ESA's DataLink server: the epoch photometry of Gaia DR3, one row per transit, in its layouts of 2025 and after; that of DR2 and DR4 beside it.

DATA_STRUCTURE INDIVIDUAL has one file per source and one row per transit; RAW one file, one row per source, with arrays (of DR3 alone); DR4's
words are others. A source without epoch photometry is absent: from the zip, or as an empty answer with status 200. Only EPOCH_PHOTOMETRY is
simulated; what the real server refuses is refused with its status (500) and, where known, its words.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import votable
from harvester.emulator.adql import Column
from harvester.emulator.app import Request, Response
from harvester.emulator.gaia_releases import DR2, DR3, RELEASES, Release, epochs_of_dr2, epochs_of_dr4, renamed_for_dr4
from harvester.emulator.gaia_source import FLUX, has_epoch_photometry
from harvester.emulator.gaia_transits import Transits, transits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harvester.emulator.sky import Sky

    Writer = Callable[[dict[str, Any], Release], bytes]

SOLUTION = 375316653866487564
MOST_IDS = 5000
PER_SOURCE = ("INDIVIDUAL", "DATAMODEL_STANDARD")
MIME = {"csv": "text/csv", "ecsv": "text/x-ecsv", "votable": votable.XML, "votable_plain": votable.XML, "fits": "application/fits"}
SUFFIX = {"csv": "csv", "ecsv": "ecsv", "votable": "xml", "votable_plain": "xml", "fits": "fits"}
IDENTIFIER = re.compile(r"(?:Gaia\s+(E?DR\d)\s+)?(\d+)", re.IGNORECASE)
NAMES = {"G": ("g_transit", "time"), "BP": ("bp", "obs_time"), "RP": ("rp", "obs_time")}
UCD = {"G": "em.opt", "BP": "em.opt.B", "RP": "em.opt.R"}
MEANING = {"G": "Transit averaged G band", "BP": "BP band", "RP": "RP band"}
PACKED = {"long": ">i8", "double": ">f8", "float": ">f4", "boolean": "S1"}
PARAMS = (
    ("publisher", "meta.id;meta.curation", "ESA/Gaia/DPAC"),
    ("creator", "meta.ref", "Gaia Collaboration"),
)
G_CCDS = ("sm", *(f"af{number}" for number in range(1, 10)))


class RefusedError(Exception):
    """The server will not answer; the message is its text."""


def serve(request: Request) -> Response:
    """Answer data-server/data."""
    try:
        return _data(request)
    except RefusedError as refusal:
        return Response(str(refusal).encode(), status=500)


def _data(request: Request) -> Response:
    form = request.first("FORMAT", "votable").lower()
    release = _release(request)
    structure = request.first("DATA_STRUCTURE", next(word for word in PER_SOURCE if word in release.structures)).upper()
    _check(request, release, form, structure)
    ids = _ids(",".join(request.every("ID")), release)
    valid = request.first("VALID_DATA").lower() == "true"
    every = {number: rows for number in ids if (rows := _epochs(request.sky, release, number))}
    found = {number: rows for number, rows in ((n, _valid(r) if valid else r) for n, r in every.items()) if len(rows["transit_id"])}
    members = dict(_individual(found, release, form)) if structure in PER_SOURCE else _raw(found, form)
    if request.first("USE_ZIP_ALWAYS").lower() == "true" or len(ids) > 1:
        return Response(_zip(members), "application/zip")
    return Response(next(iter(members.values()), b""), MIME[form])


def _release(request: Request) -> Release:
    """Return the release that is asked for. Raises RefusedError for one that is not public, or not simulated."""
    name = request.first("RELEASE", DR3.name)
    if name not in RELEASES:
        raise RefusedError(f"Release '{name}' is not simulated.")
    if request.now < RELEASES[name].since:
        raise RefusedError(f"Release '{name}' is not public.")
    return RELEASES[name]


def _check(request: Request, release: Release, form: str, structure: str) -> None:
    """Refuse what the archive refuses, or what is not simulated."""
    if structure not in release.structures:
        raise RefusedError(f"Invalid Data Structure parameter: '{structure}', valid ones are: {', '.join(release.structures)}")
    if (structure not in PER_SOURCE and release != DR3) or (release == DR2 and form.startswith("votable")):
        raise RefusedError(f"{structure} of {release.name} as {form} is not simulated.")
    if request.first("RETRIEVAL_TYPE") not in {"EPOCH_PHOTOMETRY", "ALL"}:
        raise RefusedError(f"Retrieval type '{request.first('RETRIEVAL_TYPE')}' is not simulated.")
    if form not in MIME or (structure == "RAW" and form not in {"csv", "ecsv"}):
        raise RefusedError(f"Invalid Format parameter: '{form}'")


def _ids(text: str, release: Release) -> list[int]:
    """Read ids: numbers and designations, by comma. Raises RefusedError for anything else, and for too many. Ids of other releases name nothing."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise RefusedError("Mandatory parameter ID is missing.")
    if len(words) > MOST_IDS:
        raise RefusedError(f"Too many identifiers: {len(words)}, at most {MOST_IDS} are served.")
    found = [IDENTIFIER.fullmatch(word) for word in words]
    if bad := next((word for word, match in zip(words, found, strict=True) if not match), None):
        raise RefusedError(f"Invalid identifier: '{bad}'")
    own = release.name.removeprefix("Gaia ")
    return list(dict.fromkeys(int(match[2]) for match in found if match and (match[1] or own).upper() == own))


def _epochs(sky: Sky, release: Release, number: int) -> dict[str, Any] | None:
    star = release.star(sky, number)
    if star is None or release == DR2:
        return epochs_of_dr2(sky, star, number) if star else None
    if release == DR3:
        return columns(transits(sky, star), number) if has_epoch_photometry(sky, star) else None
    found = epochs_of_dr4(sky, star)
    return renamed_for_dr4(columns(found, number)) if found else None


def columns(epochs: Transits, number: int) -> dict[str, Any]:
    """Return the 25 columns of the INDIVIDUAL layout in their order, as arrays with NaN for null."""
    size = len(epochs)
    table: dict[str, Any] = {"solution_id": np.full(size, SOLUTION), "source_id": np.full(size, number), "transit_id": epochs.transit_id}
    for name, band in epochs.bands.items():
        prefix, time = NAMES[name]
        ratio = (band.flux / band.flux_error).astype(np.float32)
        values = {time: band.time, "flux": band.flux, "flux_error": band.flux_error, "flux_over_error": ratio, "mag": band.mag}
        table |= {f"{prefix}_{key}": value for key, value in values.items()}
    table |= {f"variability_flag_{name.lower()}_reject": band.variability_reject for name, band in epochs.bands.items()}
    table |= {f"{name.lower()}_other_flags": band.other_flags for name, band in epochs.bands.items()}
    return table | {"rejected_by_photometry": epochs.rejected_by_photometry}


def _valid(table: dict[str, Any]) -> dict[str, Any]:
    """Keep the rows in which nothing is null and nothing rejected (VALID_DATA=true)."""
    floats = [values for values in table.values() if values.dtype.kind == "f"]
    flags = [values for values in table.values() if values.dtype.kind == "b"]
    good = ~np.any(flags, axis=0) & ~np.any([np.isnan(values) for values in floats], axis=0)
    return {name: values[good] for name, values in table.items()}


def _individual(found: dict[int, dict[str, Any]], release: Release, form: str) -> Iterator[tuple[str, bytes]]:
    for number, table in found.items():
        yield f"EPOCH_PHOTOMETRY-{release.name} {number}.{SUFFIX[form]}", WRITERS[form](table, release)


def _plain(table: dict[str, Any]) -> list[list[Any]]:
    """Return the columns as Python values, None for NaN, floats of four bytes by their shortest name."""
    return [_values(values) for values in table.values()]


def _values(values: Any) -> list[Any]:
    if values.dtype.kind != "f":
        return list(values.tolist())
    plain = values.tolist() if values.dtype.itemsize == 8 else [float(str(value)) for value in values]
    return [None if value != value else value for value in plain]  # noqa: PLR0124 (NaN is not itself)


def _csv(table: dict[str, Any], _: Release) -> bytes:
    return votable.csv_text(list(table), zip(*_plain(table), strict=True)).encode()


def _by_astropy(form: str) -> Writer:
    def written(table: dict[str, Any], _: Release) -> bytes:
        plain = zip(table.items(), _plain(table), strict=True)
        kinds = {name: "str" if array.dtype.kind == "U" else array.dtype.name for name, array in table.items()}
        return votable.astropy_bytes({name: (values, kinds[name], "") for (name, _), values in plain}, form)

    return written


def _described(name: str, values: Any) -> Column:
    """Return the FIELD of a column: datatype from its array, unit, UCD and text from its name."""
    band = next((key for key in ("RP", "BP", "G") if re.search(rf"(^|_){key.lower()}_", name)), "G")
    kind = {"f8": "double", "f4": "float", "i8": "long", "b1": "boolean"}[values.dtype.str[1:]]
    if name.endswith("time"):
        return Column(name, kind, "d", "time.epoch", f"{MEANING[band]} observing time")
    if name.endswith("flux"):
        return Column(name, kind, FLUX, f"phot.flux;{UCD[band]}", f"{MEANING[band]} flux")
    if name.endswith("flux_error"):
        return Column(name, kind, FLUX, f"stat.error;phot.flux;{UCD[band]}", f"{MEANING[band]} flux error")
    if name.endswith("over_error"):
        return Column(name, kind, "", f"stat.snr;phot.flux;{UCD[band]}", f"{MEANING[band]} flux divided by its error")
    if name.endswith("mag"):
        return Column(name, kind, "mag", f"phot.mag;{UCD[band]}", f"{MEANING[band]} Vega magnitude")
    return Column(name, kind, "", "meta.id" if name == "transit_id" else "meta.code.status", name.replace("_", " "))


def _votable(data: Callable[[dict[str, Any]], str]) -> Writer:
    """Return a writer of VOTables in which the two constant columns are PARAMs, as the archive writes them."""

    def written(table: dict[str, Any], release: Release) -> bytes:
        rows = {name: values for name, values in table.items() if name not in {"solution_id", "source_id"}}
        said = (("release", "meta.version", release.name), *PARAMS)
        texts = [votable.field(Column(name, "char", ucd=ucd), "PARAM", value=value) for name, ucd, value in said]
        solution = votable.field(Column("solution_id", "long", ucd="meta.version"), "PARAM", value=str(table["solution_id"][0]))
        number = str(table["source_id"][0])
        source = votable.field(Column("source_id", "long", ucd="meta.id;meta.main"), "PARAM", value=number)
        fields = [_field(_described(name, values)) for name, values in rows.items()]
        frame = '<TIMESYS ID="time_frame" refposition="BARYCENTER" timeorigin="2455197.5" timescale="TCB"/><TABLE>\n'
        parts = [votable.HEAD, frame, *texts, solution, source, *fields, "<DATA>\n", data(rows), "</DATA>\n</TABLE>\n", votable.TAIL]
        return "".join(parts).encode()

    return written


def _field(column: Column) -> str:
    return votable.field(column, ref="time_frame") if column.unit == "d" else votable.field(column)


def _binary2(rows: dict[str, Any]) -> str:
    """Pack the rows at once; the archive sets no null bit in this table: NaN stands for null."""
    kinds = [(name, PACKED[_described(name, values).datatype]) for name, values in rows.items()]
    packed = np.zeros(len(rows["transit_id"]), dtype=[("nulls", f"V{-(-len(rows) // 8)}"), *kinds])
    for name, values in rows.items():
        packed[name] = np.where(values, b"T", b"F") if values.dtype.kind == "b" else values
    return votable.stream(packed.tobytes())


def _tabledata(rows: dict[str, Any]) -> str:
    return votable.tabledata(zip(*_plain(rows), strict=True))


def _raw(found: dict[int, dict[str, Any]], form: str) -> dict[str, bytes]:
    """Write the RAW layout: one row per source; arrays are JSON in ECSV, and text in brackets in CSV."""
    if not found:
        return {}
    rows = [_raw_row(number, table) for number, table in found.items()]
    text = votable.csv_text(list(rows[0]), ([_array_text(value) for value in row.values()] for row in rows))
    return {f"EPOCH_PHOTOMETRY_RAW.{form}": (_ecsv_head(rows[0]) + text if form == "ecsv" else text).encode()}


def _raw_row(number: int, table: dict[str, Any]) -> dict[str, Any]:
    size = len(table["transit_id"])
    apart = ("solution_id", "source_id", "variability", "rejected")
    bands = {name: values for name, values in table.items() if not name.startswith(apart) and not name.endswith("other_flags")}
    counts = {"g_transit_n_obs": np.full(size, 9, np.int8), "photometry_flag_noisy_data": _bit(table, "g", 13)}
    unavailable = {f"photometry_flag_{ccd}_unavailable": _bit(table, "g", 14 + n) for n, ccd in enumerate(G_CCDS)}
    unavailable |= {f"photometry_flag_{band}_unavailable": np.isnan(table[f"{band}_flux"]) for band in ("bp", "rp")}
    rejected = {f"photometry_flag_{ccd}_reject": _bit(table, "g", 1 + n) for n, ccd in enumerate(G_CCDS)}
    rejected |= {f"photometry_flag_{band}_reject": _bit(table, band, bit) for band, bit in (("bp", 11), ("rp", 12))}
    flags = {name: values for name, values in table.items() if name.startswith("variability")}
    return {"solution_id": SOLUTION, "source_id": number, "n_transits": size} | bands | counts | unavailable | rejected | flags


def _bit(table: dict[str, Any], band: str, number: int) -> Any:
    """Return a bit of other_flags, counted from 1 as the data model counts."""
    return (table[f"{band}_other_flags"] >> (number - 1) & 1).astype(np.bool_)


def _array_text(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    words = ("null" if item is None else str(item).lower() if isinstance(item, bool) else repr(item) for item in _values(value))
    return f"[{','.join(words)}]"


def _ecsv_head(row: dict[str, Any]) -> str:
    lines = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:"]
    for name, value in row.items():
        kind = "int64" if not isinstance(value, np.ndarray) else "string"
        array = f", subtype: '{value.dtype.name}[null]'" if isinstance(value, np.ndarray) else ""
        lines.append(f"- {{name: {name}, datatype: {kind}{array}}}")
    return "".join(f"# {line}\n" for line in lines)


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


WRITERS: dict[str, Writer] = {
    "csv": _csv,
    "ecsv": _by_astropy("ecsv"),
    "fits": _by_astropy("fits"),
    "votable": _votable(_binary2),
    "votable_plain": _votable(_tabledata),
}
