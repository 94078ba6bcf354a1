"""CDS XMatch: uploaded positions against 2MASS, Gaia DR3 and SIMBAD, as the simulated sky has them.

As the real one: an answer is cut off at MAXREC without a word, a best match is the nearest, distances are compared at J2000, where the stars of
the catalogues have been moved, and an error is a VOTable whose QUERY_STATUS is ERROR. Only an uploaded CSV can be the first table, and only
the whole sky the area.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from harvester.emulator.adql import Column, Result
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import position, separation
from harvester.emulator.votable import HEAD, TAIL, XML, serialise

if TYPE_CHECKING:
    from harvester.emulator.sky import Sky, Star

NAME = "xmatch"
HOSTS = ("cdsxmatch.cds.unistra.fr", "cdsxmatch.u-strasbg.fr")
WIDEST, MOST_ROWS, MOST_BYTES = 180.0, 2_000_000, 100 << 20
FAINTEST_K, OBSERVED = 15.5, 2451000.0
FORMS = {"votable": "votable/td", "csv": "csv", "json": "json", "tsv": "tsv"}
TWO_MASS = (
    Column("2MASS", "char", "", "meta.id;meta.main", "2MASS designation"),
    Column("RAJ2000", "double", "deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
    Column("DEJ2000", "double", "deg", "pos.eq.dec;meta.main", "Declination (J2000)"),
    *(Column(name, "float", unit) for name, unit in (("errHalfMaj", "arcsec"), ("errHalfMin", "arcsec"), ("errPosAng", "deg"))),
    *(Column(name, "float", "mag") for name in ("Jmag", "Hmag", "Kmag", "e_Jmag", "e_Hmag", "e_Kmag")),
    Column("Qfl", "char"),
    Column("Rfl", "char"),
    Column("X", "int"),
    Column("MeasureJD", "double", "d"),
)
GAIA = (
    Column("DR3Name", "char", "", "meta.id;meta.main", "Unique source designation"),
    *(Column(name, "double", "deg") for name in ("RA_ICRS", "DE_ICRS")),
    Column("Source", "long", "", "meta.id", "Unique source identifier"),
    *(Column(name, "double", unit) for name, unit in (("Plx", "mas"), ("pmRA", "mas/yr"), ("pmDE", "mas/yr"))),
    *(Column(name, "float", "mag") for name in ("Gmag", "BPmag", "RPmag")),
    *(Column(name, "double", "deg") for name in ("RAJ2000", "DEJ2000")),
)
SIMBAD = (
    Column("main_id", "char", "", "meta.id;meta.main", "Main identifier"),
    *(Column(name, "double", "deg") for name in ("ra", "dec")),
    Column("main_type", "char", "", "src.class", "Main type"),
    *(Column(name, "double", unit) for name, unit in (("plx", "mas"), ("pmra", "mas/yr"), ("pmdec", "mas/yr"))),
    *(Column(name, "float", "mag") for name in ("V", "R", "g", "r", "i")),
)
Row = tuple[Any, ...]


class _Refusal(Exception):
    """What cannot be done; its text is what the service says."""


@dataclass(frozen=True)
class _Catalogue:
    columns: tuple[Column, ...]
    row: Callable[[Star], Row | None]
    """What it says of a star, None of one that it does not have."""


def _two_mass(star: Star) -> Row | None:
    """Return near-infrared magnitudes that continue the star's colour: plausible, and no more."""
    colour = star.mean["V"] - star.mean["I"]
    j = star.mean["I"] - 0.65 * colour
    h, k = j - 0.35 * colour, j - 0.42 * colour
    if k > FAINTEST_K:
        return None
    ra, dec = _place(star, 2000.0)
    error = round(0.02 + 0.01 * 10 ** (0.3 * (k - 14.0)), 3)
    magnitudes = (round(j, 3), round(h, 3), round(k, 3))
    return (_designation(ra, dec), round(ra, 6), round(dec, 6), 0.06, 0.06, 90.0, *magnitudes, *[error] * 3, "AAA", "222", 0, OBSERVED)


def _gaia(star: Star) -> Row:
    then, now = _place(star, 2016.0), _place(star, 2000.0)
    magnitudes = (round(star.mean[name], 4) for name in ("G", "BP", "RP"))
    return (f"Gaia DR3 {star.gaia_id}", *then, star.gaia_id, star.parallax, star.pmra, star.pmdec, *magnitudes, *now)


def _simbad(star: Star) -> Row | None:
    if not star.name:
        return None
    magnitudes = (round(star.mean[name], 3) for name in ("V", "R", "g", "r", "i"))
    return (star.name, *_place(star, 2000.0), star.otype, star.parallax, star.pmra, star.pmdec, *magnitudes)


CATALOGUES = {
    "simbad": _Catalogue(SIMBAD, _simbad),
    "II/246/out": _Catalogue(TWO_MASS, _two_mass),
    "I/355/gaiadr3": _Catalogue(GAIA, _gaia),
}


def tables(request: Request) -> Response:
    """List the catalogues, or the columns of one."""
    action = request.first("action")
    if action == "getVizieRTableNames":
        return Response("".join(f"{name}\n" for name in CATALOGUES).encode(), "text/plain")
    if action not in {"getColList", "getInfo"}:
        return _error(f"unknown action '{action}'")
    found = CATALOGUES.get(request.first("tabName").removeprefix("vizier:"))
    if found is None:
        return _error(f"unknown table '{request.first('tabName')}'")
    if action == "getInfo":
        return serialise(
            Result((Column("name", "char"), Column("nbcolumns", "int")), [(request.first("tabName"), len(found.columns))]), "json"
        )
    described = [(one.name, one.datatype, one.unit, one.ucd, one.description) for one in found.columns]
    return serialise(Result(tuple(Column(name, "char") for name in ("name", "type", "unit", "ucd", "description")), described), "json")


def sync(request: Request) -> Response:
    """Match an upload."""
    try:
        return _matched(request.sky, _Form(request))
    except _Refusal as refusal:
        return _error(str(refusal))


class _Form:
    """What was posted: fields by name in lower case, files under theirs."""

    def __init__(self, request: Request) -> None:
        self.fields = {name.lower(): value for name, value in request.params}
        self.files: dict[str, bytes] = {}
        kind = request.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body)
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition")).lower()
            content = bytes(part.get_payload(decode=True) or b"")
            if part.get_filename():
                self.files[name] = content
            else:
                self.fields[name] = content.decode()

    def number(self, name: str, default: float | None = None) -> float:
        """Return a field's number."""
        try:
            return float(self.fields.get(name, default))  # type: ignore[arg-type] # None is told like a word
        except (TypeError, ValueError):
            raise _Refusal(f"parameter {name} is missing or is no number") from None

    def upload(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows of the first table."""
        if "cat1" not in self.files:
            raise _Refusal("cat1: the simulated service takes an uploaded CSV only")
        if len(self.files["cat1"]) > MOST_BYTES:
            raise _Refusal("cat1: the uploaded file is larger than 100 MB")
        header, *rows = [row for row in csv.reader(io.StringIO(self.files["cat1"].decode("utf-8-sig"))) if row] or [[]]
        return header, rows


def _matched(sky: Sky, form: _Form) -> Response:
    if form.fields.get("request", "xmatch") != "xmatch":
        raise _Refusal("parameter REQUEST must be xmatch")
    catalogue = CATALOGUES.get(form.fields.get("cat2", "").removeprefix("vizier:"))
    if catalogue is None:
        raise _Refusal(f"unknown table '{form.fields.get('cat2', '')}'")
    radius = form.number("distmaxarcsec")
    if not 0.0 <= radius <= WIDEST:
        raise _Refusal(f"distMaxArcsec must be between 0 and {WIDEST:g}")
    answer = FORMS.get(form.fields.get("responseformat", "votable").lower())
    if answer is None:
        raise _Refusal("parameter RESPONSEFORMAT is none of votable, csv, tsv, json")
    header, rows = form.upload()
    best, most = form.fields.get("selection", "all") == "best", int(form.number("maxrec", MOST_ROWS))
    found: list[Row] = []
    for row in _pairs(sky, catalogue, (header, rows, _places(form, header, rows)), (radius, best)):
        if len(found) == min(most, MOST_ROWS):
            break
        found.append(row)
    columns = (Column("angDist", "double", "arcsec"), *_typed(header, rows), *catalogue.columns)
    return _written(Result(columns, found), answer)


def _places(form: _Form, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    try:
        ra, dec = (header.index(form.fields.get(name, "")) for name in ("colra1", "coldec1"))
        return [(float(row[ra]), float(row[dec])) for row in rows]
    except (ValueError, IndexError):
        raise _Refusal("colRA1, colDec1: no such columns of numbers in the uploaded file") from None


def _pairs(sky: Sky, catalogue: _Catalogue, upload: tuple[Any, ...], how: tuple[float, bool]) -> Iterator[Row]:
    (header, rows, places), (radius, best) = upload, how
    kinds = [column.datatype for column in _typed(header, rows)]
    for row, (ra, dec) in zip(rows, places, strict=True):
        own = [_value(kind, word) for kind, word in zip(kinds, row, strict=True)]
        near = ((star, catalogue.row(star)) for star in sky.stars_near(ra, dec, radius / 3600.0))
        told = [(round(3600.0 * float(separation(*position(star, 2000.0), ra, dec)), 6), *own, *said) for star, said in near if said]
        yield from told[:1] if best else told


def _typed(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    return [Column(name, _kind([row[place] for row in rows])) for place, name in enumerate(header)]


def _kind(words: Sequence[str]) -> str:
    for kind, read in (("long", int), ("double", float)):
        try:
            for word in words:
                read(word)
        except ValueError:
            continue
        return kind
    return "char"


def _value(kind: str, word: str) -> Any:
    return int(word) if kind == "long" else float(word) if kind == "double" else word


def _written(result: Result, form: str) -> Response:
    if form != "tsv":
        return serialise(result, form)
    lines = [[column.name for column in result.columns], *([("" if value is None else str(value)) for value in row] for row in result.rows)]
    return Response("".join("\t".join(line) + "\n" for line in lines).encode(), "text/tab-separated-values")


def _place(star: Star, epoch: float) -> tuple[float, float]:
    ra, dec = position(star, epoch)
    return round(float(ra), 10), round(float(dec), 10)


def _designation(ra: float, dec: float) -> str:
    """Return a name as 2MASS makes it, cut off at hundredths of a second of time and tenths of an arcsecond."""
    centiseconds, tenths = int(ra * 24000.0), int(abs(dec) * 36000.0)
    hours, rest = divmod(centiseconds, 360_000)
    degrees, left = divmod(tenths, 36_000)
    return f"{hours:02d}{rest // 6000:02d}{rest % 6000:04d}{'-' if dec < 0 else '+'}{degrees:02d}{left // 600:02d}{left % 600:03d}"


def _error(message: str) -> Response:
    body = f'{HEAD}<INFO ID="QUERY_STATUS" name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>\n{TAIL}'
    return Response(body.encode(), XML, 400)


ROUTES = {"/xmatch/api/v1/sync": sync, "/xmatch/api/v1/sync/tables": tables}
METHODS = {"/xmatch/api/v1/sync": ("GET", "POST"), "/xmatch/api/v1/sync/tables": ("GET", "HEAD")}
