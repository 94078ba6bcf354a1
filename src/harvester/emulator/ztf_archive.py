"""ZTF's public archive of alert packets: an index page as Apache makes it, the list of checksums, and nights as gzipped tars of Avro packets.

A few nights of some famous stars' alerts, in the schemas of their time: without a version in June 2018, 3.2, 3.3, and 4.02 with forced photometry.
History is rounded to four decimals, as in the real ones. One night is a stub without packets; every other date is missing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator import ztf_stream
from harvester.emulator.app import Request, Response
from harvester.emulator.sky import Sky
from harvester.emulator.stars import famous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harvester.emulator.ztf_stream import Stream

NAME = "ztf_archive"
HOSTS = ("ztf.uw.edu",)
FOLDER = "/alerts/public"
STUB = "20240413"
NIGHTS = ("20180604", "20190403", "20201008", "20240329", "20240412", STUB)
STARS = ("V* RR Lyr", "V* SS Cyg", "V* XZ Cyg", "V* AM Her", "V* SU Dra", "V* W Vir", "NAME SN SIM 2018a")
JD_OF_MJD, MJD_OF_ORDINAL = 2_400_000.5, 678_576
HISTORY_DAYS, SIDE, DIGITS = 30.0, 63, 4
NO_VALUE = -999.0
COMMON = "jd:d fid:i pid:l diffmaglim:f? programid:i candid:l isdiffpos:s ra:d dec:d magpsf:f sigmapsf:f rb:f? nbad:i? fwhm:f? elong:f? magdiff:f?"
OF_CANDIDATE = f"{COMMON} magnr:f? sigmagnr:f? distnr:f? ranr:d decnr:d ssdistnr:f? ssnamenr:s?"
BEFORE = """jd:d fid:i pid:l diffmaglim:f? programid:i candid:l? isdiffpos:s? ra:d? dec:d? magpsf:f? sigmapsf:f? rb:f? nbad:i? fwhm:f? elong:f?
    magnr:f? distnr:f?"""
FORCED = """jd:d fid:i pid:l programid:i diffmaglim:f? forcediffimflux:f? forcediffimfluxunc:f? magzpsci:f? procstatus:s? magnr:f? distnr:f?
    ranr:d decnr:d exptime:f?"""
TYPES = {"d": "double", "f": "float", "i": "int", "l": "long", "s": "string"}
NOT_FOUND = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def answer(request: Request) -> Response:
    """Give the index, the checksums, or a night, also from a byte on."""
    name = request.tail
    if not name:
        return Response(_index(request.sky.seed).encode(), "text/html;charset=UTF-8")
    if name == "MD5SUMS":
        return Response(_sums(request.sky.seed).encode())
    night = name.removeprefix("ztf_public_").removesuffix(".tar.gz")
    if night not in NIGHTS or name != f"ztf_public_{night}.tar.gz":
        return Response(NOT_FOUND, "text/html; charset=iso-8859-1", 404)
    return _ranged(request, tarball(request.sky.seed, night))


@lru_cache(maxsize=16)
def tarball(seed: int, night: str) -> bytes:
    """Return the file of a night."""
    packed = io.BytesIO()
    squeezed = gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=1)
    with squeezed as out, tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for candid, body in packets(seed, night) if night != STUB else ():
            member = tarfile.TarInfo(f"{candid}.avro")
            member.size, member.mtime = len(body), 0
            tar.addfile(member, io.BytesIO(body))
    return packed.getvalue()


def packets(seed: int, night: str) -> list[tuple[int, bytes]]:
    """Return the alerts of a night of UT: candid and packet, in order of time."""
    sky, first = Sky(seed), datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC).toordinal() - MJD_OF_ORDINAL + JD_OF_MJD
    streams = (ztf_stream.stream(sky, star) for star in famous() if star.name in STARS)
    alerts = [(one, row) for one in streams if one for row in one.detections if first <= row["jd"] < first + 1]
    found = [(float(row["jd"]), int(row["candid"]), _packet(one, row)) for one, row in alerts]
    return [(candid, body) for _, candid, body in sorted(found, key=lambda each: each[:2])]


def schema_of(jd: float) -> tuple[str, dict[str, Any]]:
    """Return version ("" before there was one) and schema of the packets of a time."""
    version = "" if jd < 2458340 else "3.2" if jd < 2458730 else "3.3" if jd < 2460230 else "4.02"
    more = "" if not version else " exptime:f? magzpsci:f?" + (" drb:f?" if version >= "3.3" else "")
    flipped = version == "4.02"
    top: list[dict[str, Any]] = [{"name": name, "type": "string"} for name in ("schemavsn", "publisher") if version]
    top += [{"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"}]
    top.append({"name": "candidate", "type": _record("candidate", OF_CANDIDATE + more, flipped=flipped)})
    lists = {"prv_candidates": ("prv_candidate", BEFORE)} | ({"fp_hists": ("fp_hist", FORCED)} if flipped else {})
    for name, (kind, fields) in lists.items():
        items = {"type": "array", "items": _record(kind, fields, flipped=flipped)}
        top.append({"name": name, "type": _or_null(items, flipped=flipped), "default": None})
    cutout: Any = _record("cutout", "fileName:s", flipped=flipped)
    cutout["fields"].append({"name": "stampData", "type": "bytes"})
    for name in CUTOUTS:
        top.append({"name": name, "type": _or_null(cutout, flipped=flipped), "default": None})
        cutout = "ztf.alert.cutout"
    return version, {"type": "record", "namespace": "ztf", "name": "alert", "version": version, "fields": top}


def _record(name: str, fields: str, *, flipped: bool) -> dict[str, Any]:
    made = []
    for word in fields.split():
        field, _, kind = word.partition(":")
        made.append({"name": field, "type": _or_null(TYPES[kind[0]], flipped=flipped) if kind.endswith("?") else TYPES[kind]})
    return {"type": "record", "namespace": "ztf.alert", "name": name, "fields": made}


def _or_null(kind: Any, *, flipped: bool) -> list[Any]:
    return ["null", kind] if flipped else [kind, "null"]


def _packet(one: Stream, row: Any) -> bytes:
    import fastavro

    jd = float(row["jd"])
    version, schema = schema_of(jd)
    candidate = _candidate(row)
    said: dict[str, Any] = {"schemavsn": version, "publisher": "ZTF (www.ztf.caltech.edu)"} if version else {}
    said |= {"objectId": one.oid, "candid": int(row["candid"]), "candidate": candidate}
    said["prv_candidates"] = [*(_before(each) for each in _recent(one.detections, jd)), *(_limit(each) for each in _recent(one.limits, jd))]
    said["prv_candidates"].sort(key=lambda each: each["jd"])
    if version == "4.02":
        said["fp_hists"] = [_forced(each) for each in _recent(one.forced, jd)]
    said |= {name: {"fileName": f"candid{row['candid']}_{name}.fits.gz", "stampData": _stamp(row, name)} for name in CUTOUTS}
    out = io.BytesIO()
    mark = hashlib.md5(str(row["candid"]).encode()).digest()  # noqa: S324 - no secret
    fastavro.writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), [said], sync_marker=mark)
    return out.getvalue()


def _recent(rows: Any, jd: float) -> Any:
    return rows[(rows["jd"] < jd) & (rows["jd"] > jd - HISTORY_DAYS)]


def _candidate(row: Any) -> dict[str, Any]:
    told = {name: row[name].item() for name in row.dtype.names}
    return told | {"programid": 1, "isdiffpos": "t" if row["positive"] else "f", "ssdistnr": NO_VALUE, "ssnamenr": "null"}


def _before(row: Any) -> dict[str, Any]:
    """Return a detection as later packets tell it: rounded, its sign now and then in another spelling."""
    exact = {"jd", "ra", "dec"}
    told = {
        name: round(value, DIGITS) if isinstance(value, float) and name not in exact else value for name, value in _candidate(row).items()
    }
    return told | {"isdiffpos": {"t": "1", "f": "0"}[str(told["isdiffpos"])]} if row["candid"] % 3 == 0 else told


def _limit(row: Any) -> dict[str, Any]:
    told = {"jd": float(row["jd"]), "fid": int(row["fid"]), "pid": int(row["pid"]), "programid": 1}
    return told | {"diffmaglim": round(float(row["diffmaglim"]), DIGITS)}


def _forced(row: Any) -> dict[str, Any]:
    """Return forced photometry of one exposure; its distance from the reference's source is in arcsec."""
    told = {name: row[name].item() for name in row.dtype.names}
    return told | {"programid": 1, "procstatus": "0", "distnr": told["distnr"] * 1.012}


def _stamp(row: Any, name: str) -> bytes:
    """Return a stamp: a star in the middle over noise, rows to the south; the difference of a fading one with the other sign."""
    from astropy.io import fits

    rng = np.random.default_rng(int(row["candid"]) % 2**32 + CUTOUTS.index(name))
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    flux = {"cutoutScience": 900.0, "cutoutTemplate": 500.0, "cutoutDifference": 400.0}[name]
    image = rng.normal(0 if name == CUTOUTS[2] else 150, 8, (SIDE, SIDE)) + flux * np.exp(-(x**2 + y**2) / 4.5)
    out = io.BytesIO()
    fits.PrimaryHDU(image.astype(np.float32)).writeto(out)
    return gzip.compress(out.getvalue(), compresslevel=1, mtime=0)


def _index(seed: int) -> str:
    head = '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html>\n <head>\n  <title>Index of /alerts/public</title>\n </head>\n <body>\n'
    head += '<h1>Index of /alerts/public</h1>\n  <table id="indexlist">\n'
    head += '   <tr class="indexhead"><th>Name</th><th>Last modified</th><th>Size</th></tr>\n'
    head += '   <tr><td><a href="/alerts/">Parent Directory</a></td><td>&nbsp;</td><td align="right">  - </td></tr>\n'
    names = [("MD5SUMS", len(_sums(seed)), "2024-04-13 10:15")]
    names += [(f"ztf_public_{night}.tar.gz", len(tarball(seed, night)), _posted(night)) for night in NIGHTS]
    lines = [
        f'   <tr class="odd"><td class="indexcolname"><a href="{name}">{name}</a></td><td class="indexcollastmod">{when}  </td>'
        f'<td class="indexcolsize" align="right">{_size(size)}</td></tr>'
        for name, size, when in names
    ]
    return head + "\n".join(lines) + "\n</table>\n</body></html>\n"


def _posted(night: str) -> str:
    return f"{night[:4]}-{night[4:6]}-{night[6:]} 07:15"


def _size(size: int) -> str:
    """Write a size as Apache does."""
    if size < 1000:
        return f"{size:3d} "
    scaled, unit = (size / 1024, "K") if size < 1 << 20 else (size / (1 << 20), "M")
    return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"


def _sums(seed: int) -> str:
    lines = [f"{hashlib.md5(tarball(seed, night)).hexdigest()}  ztf_public_{night}.tar.gz" for night in NIGHTS]  # noqa: S324 - what the archive lists
    return "\n".join(["# checksums of the public archive", *lines, ""])


def _ranged(request: Request, body: bytes) -> Response:
    """Return a file, or its bytes from a place on."""
    tag = f'"{hashlib.md5(body).hexdigest()[:16]}"'  # noqa: S324 - a tag
    headers: tuple[tuple[str, str], ...] = (("Accept-Ranges", "bytes"), ("ETag", tag))
    said: Mapping[str, str] = request.headers
    asked = said.get("Range", "")
    if not asked.startswith("bytes="):
        return Response(body, "application/x-gzip", headers=headers)
    first = int(asked.removeprefix("bytes=").partition("-")[0] or 0)
    if first >= len(body):
        return Response(b"", "text/plain", 416, (("Content-Range", f"bytes */{len(body)}"),))
    span = ("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
    return Response(body[first:], "application/x-gzip", 206, (*headers, span))


ROUTES = {f"{FOLDER}/*": answer}
