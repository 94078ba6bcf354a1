"""CDS XMatch: what lies around positions in any table of VizieR that has positions, and in SIMBAD.

manual:  https://cdsxmatch.cds.unistra.fr/xmatch/doc/      limits:  180 arcsec; 2,000,000 rows of answer, cut off in silence beyond
places:  ICRS at epoch J2000; CDS moves the stars of tables with proper motions there before it compares      cite:  2012ASPC..461..291B

Nothing is sent but a number and a position for each row, in blocks of neighbours on the sky, one after the other: CDS bans who asks for many
at once. An answer as long as was allowed may be cut off: its block is asked again in halves.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from harvester.errors import Malformed, Refused, SourceError, Throttled, UsageError
from harvester.xmatch.columns import NULL_WORDS, distinct, guessed, read_votable
from harvester.xmatch.healpix import nested
from harvester.xmatch.local import OWN, SEPARATION, check_radius, in_order
from harvester.xmatch.service import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harvester.payload import Payload

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SYNC, TABLES = "sync", "sync/tables"
WIDEST, EPOCH = 180.0, 2000.0
BLOCK, MOST_ROWS = 50_000, 500_000
"""Positions in a request, and rows of an answer: a quarter of what CDS allows, so that an answer stays small enough to be read at once."""
ID, RA, DEC, DISTANCE = "harvester_id", "harvester_ra", "harvester_dec", "angDist"
SLACK = 1e-3
"""Arcseconds: CDS rounds its distances to a millionth, and its positions."""


class Http(Protocol):
    """What is needed of a session."""

    def get(self, path: str, **params: Any) -> Payload:
        """GET a path below the base URL."""

    def post(self, path: str, *, data: Mapping[str, Any], files: Mapping[str, Any]) -> Payload:
        """POST a form with a file."""


@dataclass(frozen=True)
class Answer:
    """What came for a block: the numbers of the positions that were `asked`, the matches (OWN, SEPARATION, the catalogue's columns), the payload."""

    asked: Integers
    found: pa.Table
    payload: Payload


@dataclass(frozen=True)
class Asked:
    """Which catalogue is asked, within which radius (arcsec), for the nearest (`best`) or all. Raises UsageError."""

    catalogue: str
    radius: float
    best: bool = True
    most_rows: int = MOST_ROWS

    def __post_init__(self) -> None:
        check_radius(self.radius, WIDEST)

    def answers(self, http: Http, ra: Floats, dec: Floats, block: int = BLOCK) -> Iterator[Answer]:
        """Ask about positions (ICRS degrees at J2000), block by block; every position is in exactly one answer.

        Raises UsageError for a catalogue that CDS does not have, Throttled when it keeps us out, Malformed for an answer that is no table.
        """
        usable = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        order = usable[np.argsort(nested(ra[usable], dec[usable]), kind="stable")]
        for start in range(0, len(order), block):
            yield from self._block(http, ra, dec, order[start : start + block])

    def _block(self, http: Http, ra: Floats, dec: Floats, numbers: Integers) -> Iterator[Answer]:
        payload = self._sent(http, _upload(numbers, ra[numbers], dec[numbers]))
        rows, cut = _read(payload)
        if not cut and rows.num_rows < self.most_rows:
            yield Answer(numbers, self._checked(rows, numbers, payload), payload)
            return
        if len(numbers) == 1:
            raise UsageError(
                f"one position has {self.most_rows} matches or more in {self.catalogue}.",
                "The answer was cut off there.",
                "Take a smaller --radius, or --best.",
            )
        half = len(numbers) // 2
        yield from self._block(http, ra, dec, numbers[:half])
        yield from self._block(http, ra, dec, numbers[half:])

    def _sent(self, http: Http, upload: bytes) -> Payload:
        form = {
            "request": "xmatch",
            "distMaxArcsec": f"{self.radius:.10g}",
            "RESPONSEFORMAT": "votable",
            "cat2": self.catalogue,
            "colRA1": RA,
            "colDec1": DEC,
            "selection": "best" if self.best else "all",
            "area": "allsky",
            "MAXREC": self.most_rows,
        }
        try:
            return http.post(SYNC, data=form, files={"cat1": ("cat1.csv", upload, "text/csv")})
        except Refused as error:
            raise Throttled(
                f"{error.what[:-1]}: CDS shuts out who sends it too many jobs.",
                error.why,
                "Wait an hour, ask from one program only; if it stays, write to cds-question@unistra.fr.",
            ) from error
        except Malformed as error:
            self._refuse_unknown(http, error)
            raise

    def _refuse_unknown(self, http: Http, cause: Malformed) -> None:
        """Raise UsageError if the catalogue is none of those that CDS lists."""
        try:
            known = tables(http)
        except SourceError:
            return
        name = self.catalogue.removeprefix("vizier:")
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "Those with positions: harvest xmatch --list WORD"
            raise UsageError(f"CDS XMatch has no catalogue '{name}'.", cause.why, hint) from cause

    def _checked(self, rows: pa.Table, numbers: Integers, payload: Payload) -> pa.Table:
        """Return the matches under our names for their columns. Raises Malformed if they are not about what was asked."""
        names = {name.lower(): name for name in reversed(rows.column_names)}
        if missing := [name for name in (DISTANCE, ID) if name.lower() not in names and rows.num_columns]:
            raise _malformed(payload, f"its columns are {', '.join(rows.column_names)[:100]}, without {', '.join(missing)}")
        if not rows.num_columns:
            return pa.table({OWN: pa.array([], pa.int64()), SEPARATION: pa.array([], pa.float64())})
        own, apart = (rows[names[name.lower()]].cast(kind) for name, kind in ((ID, pa.int64()), (DISTANCE, pa.float64())))
        strange = ~np.isin(own.to_numpy(), numbers) | ~(apart.to_numpy() <= self.radius + SLACK)
        if strange.any():
            raise _malformed(payload, f"{int(strange.sum())} of its rows were not asked for")
        rest = [name for name in rows.column_names if name.lower() not in {word.lower() for word in (ID, RA, DEC, DISTANCE)}]
        columns = [own, apart, *(rows[name] for name in rest)]
        return in_order(pa.table(columns, names=[OWN, SEPARATION, *distinct(rest, taken=(OWN, SEPARATION))]), best=self.best)


def tables(http: Http) -> list[str]:
    """Return the names of all tables that can be asked: `simbad`, and VizieR's without their prefix. Raises SourceError."""
    listed = http.get(TABLES, action="getVizieRTableNames", RESPONSEFORMAT="txt").body.decode("utf-8", "replace").split()
    return list(dict.fromkeys(["simbad", *(name for name in listed if name.lower() != "tables")]))


def _upload(numbers: Integers, ra: Floats, dec: Floats) -> bytes:
    out = io.BytesIO()
    pa_csv.write_csv(pa.table({ID: numbers, RA: ra, DEC: dec}), out, pa_csv.WriteOptions(quoting_style="none"))
    return out.getvalue()


def _read(payload: Payload) -> tuple[pa.Table, bool]:
    """Return the rows of an answer, and whether it says itself that some are missing. Raises Malformed."""
    body = payload.body.lstrip()
    if not body:
        raise _malformed(payload, "it is empty")
    try:
        if not body.startswith(b"<"):
            return _of_csv(body), False
        if b"VOTABLE" not in body[:2048].upper():
            raise _malformed(payload, "a page came in place of a table")
        rows, status = read_votable(io.BytesIO(body))
    except (ValueError, OSError, pa.ArrowException) as error:
        raise _malformed(payload, f"it is broken or cut off ({str(error)[:100]})") from error
    if wrong := [words for value, words in status if value.upper() == "ERROR"]:
        raise _malformed(payload, f"CDS says: {wrong[0] or 'ERROR'}"[:200])
    return rows, any(value.upper() == "OVERFLOW" for value, _ in status)


def _of_csv(body: bytes) -> pa.Table:
    with pa_csv.open_csv(io.BytesIO(body)) as head:
        names = head.schema.names
    options = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=NULL_WORDS, quoted_strings_can_be_null=True
    )
    return guessed(pa_csv.read_csv(io.BytesIO(body), convert_options=options))


def _malformed(payload: Payload, why: str) -> Malformed:
    return Malformed(f"{NAME}: expected a table of matches, but {why}.", hint="The service may be down; try again later.", payload=payload)


def columns_kept(found: pa.Table, wanted: Sequence[str] | None) -> pa.Table:
    """Return matches with the `wanted` columns of the catalogue alone (all if None); case does not count. Raises UsageError."""
    if wanted is None or not found.num_columns:
        return found
    known = {name.lower(): name for name in reversed(found.column_names[2:])}
    if missing := [name for name in wanted if name.lower() not in known]:
        near = get_close_matches(missing[0], known.values(), n=1)
        has = f"It has: {', '.join(known.values())}"[:200]
        raise UsageError(f"the catalogue has no column '{missing[0]}'.", f"Did you mean '{near[0]}'?" if near else "", has)
    return found.select([OWN, SEPARATION, *dict.fromkeys(known[name.lower()] for name in wanted)])
