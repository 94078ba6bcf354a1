"""Cross-matching: the targets of a store, or the rows of a table, against a catalogue at CDS or in a file; the targets' matches are kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from harvester import __version__
from harvester.errors import UsageError
from harvester.session import Client, DryRun, Service
from harvester.store.matches import Matches, Sought
from harvester.xmatch import cds
from harvester.xmatch.columns import distinct, guessed
from harvester.xmatch.files import READERS, TableFile
from harvester.xmatch.local import OWN, SEPARATION, WIDEST, check_radius, local_matches
from harvester.xmatch.service import NAME, PACE, RETRIES, TIMEOUT, URL, remote

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harvester.config import Settings
    from harvester.payload import Payload
    from harvester.session import Session
    from harvester.store import Store
    from harvester.target import Target

    Floats = NDArray[np.float64]
    Progress = Callable[[int, int], None]
    Part = tuple[NDArray[np.int64], pa.Table, Payload | None]

DIGITS = 6
"""Of a separation in arcseconds, as CDS tells it."""


@dataclass(frozen=True)
class Wanted:
    """What is sought: a catalogue (a name that CDS takes, or a file), within `radius` arcseconds, the nearest or all, and which of its columns."""

    catalogue: str | TableFile
    radius: float
    best: bool = True
    columns: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """How the catalogue is called in the store and in files."""
        return str(self.catalogue.path.name) if isinstance(self.catalogue, TableFile) else self.catalogue


def catalogue_of(word: str, ra: str = "", dec: str = "") -> str | TableFile:
    """Return what a word means: a file that is there, else a catalogue at CDS. Raises UsageError. `ra`, `dec` name the file's columns."""
    path = Path(word).expanduser()
    if path.is_file() or (path.suffix.lower() in READERS and remote(word) is None):
        return TableFile(path, ra, dec)
    found = remote(word)
    if found is None:
        raise UsageError(
            f"'{word}' is neither a catalogue nor a file.",
            "Catalogues are called as VizieR does: vizier:II/246/out, simbad, vizier:I/355/gaiadr3 (or gaia).",
            "Find one: harvest xmatch --list WORD",
        )
    if ra or dec:
        raise UsageError("--catalog-ra and --catalog-dec go with a catalogue that is a file.")
    return found


def session(client: Client, settings: Settings) -> Session:
    """Return CDS XMatch's view of the client: one request at a time, whatever the settings say."""
    own = settings.service(NAME)
    pace = type(PACE)(own.per_second or PACE.per_second, PACE.at_once)
    return client.session(Service(NAME, own.base_url or URL, pace, URL, timeout_s=own.timeout or TIMEOUT, retries=RETRIES))


def rehearsed(ra: Floats, dec: Floats, wanted: Wanted, settings: Settings, *, simulated: bool) -> tuple[str, int]:
    """Return the first request that a match of positions would send, and of how many at least; "" and 0 for a catalogue that is a file.

    Raises UsageError for a radius that cannot be asked.
    """
    if isinstance(wanted.catalogue, TableFile):
        check_radius(wanted.radius, WIDEST)
        return "", 0
    requests: list[str] = []

    def note(method: str, url: str, params: Mapping[str, Any]) -> None:
        requests.append(f"{method} {url} {urlencode(params)}")

    asked = cds.Asked(wanted.catalogue, wanted.radius, wanted.best)
    client = Client(contact=settings.contact, version=__version__, loopback_only=simulated, dry_run=True, on_request=note)
    with closing(client), suppress(DryRun):
        next(asked.answers(session(client, settings), ra, dec), None)
    usable = int(np.count_nonzero(np.isfinite(ra) & np.isfinite(dec)))
    return next(iter(requests), ""), -(-usable // cds.BLOCK)


def placed(targets: Sequence[Target], epoch: float) -> tuple[Floats, Floats]:
    """Return where targets stood at an epoch (degrees)."""
    places = [target.at(epoch) for target in targets]
    ra, dec = (np.array([place[axis] for place in places], np.float64) for axis in (0, 1))
    return ra, dec


def positions(table: TableFile) -> tuple[Floats, Floats]:
    """Return the positions of a table's rows (degrees). Raises UsageError."""
    pieces = list(table.pieces([]))
    ra, dec = (np.concatenate([piece[name].to_numpy() for piece in pieces] or [np.array([])]) for name in (table.ra, table.dec))
    _check_places(table, ra, dec)
    return ra, dec


def targets_matched(
    targets: Sequence[Target], wanted: Wanted, store: Store, http: Session, *, epoch: float = cds.EPOCH, command: str = "", step: Progress
) -> None:
    """Seek targets of the store in a catalogue, where they stood at `epoch`, and keep what is found, answer by answer.

    What was kept before an error stays. Raises SourceError, UsageError, StoreError.
    """
    ra, dec = placed(targets, epoch)
    sought, matches, done = Sought(wanted.name, wanted.radius, epoch, wanted.best), Matches(store), 0
    with store.run(command, __version__) as run, closing(_parts(wanted, ra, dec, http)) as parts:
        for asked, found, payload in parts:
            rows: dict[int, list[tuple[float, dict[str, Any]]]] = {number: [] for number in asked.tolist()}
            for row in found.to_pylist():
                rows[row.pop(OWN)].append((row.pop(SEPARATION), row))
            matches.keep(run.id, sought, [(targets[number], told) for number, told in rows.items()], payload)
            done += len(asked)
            step(done, len(targets))


def table_matched(table: TableFile, wanted: Wanted, http: Session, *, step: Progress) -> tuple[pa.Table, int]:
    """Return the rows of a table that have matches, each with `separation` (arcsec) and the catalogue's columns, in order, and how many were sought.

    Raises SourceError, UsageError.
    """
    pieces = list(table.pieces())
    rows = pa.concat_tables(pieces) if pieces else pa.table({})
    if not rows.num_rows:
        raise UsageError(f"'{table.path}' has no rows.")
    ra, dec = (rows[name].to_numpy().astype(np.float64) for name in (table.ra, table.dec))
    _check_places(table, ra, dec)
    found, done = list[pa.Table](), 0
    with closing(_parts(wanted, ra, dec, http)) as parts:
        for asked, matched, _ in parts:
            found.append(matched)
            done += len(asked)
            step(done, len(ra))
    every = pa.concat_tables(found, promote_options="permissive") if found else pa.table({OWN: pa.array([], pa.int64())})
    every = every.take(np.argsort(every[OWN].to_numpy(), kind="stable"))
    own = guessed(rows).take(every[OWN])
    names = distinct(every.column_names[1:], taken=own.column_names)
    return pa.table([*own.columns, *every.columns[1:]], names=[*own.column_names, *names]), len(ra)


def _parts(wanted: Wanted, ra: Floats, dec: Floats, http: Session) -> Generator[Part]:
    """Yield what was asked about, what was found, and the payload that said so; positions that are none are in no part."""
    if isinstance(wanted.catalogue, TableFile):
        found = local_matches(ra, dec, wanted.catalogue, wanted.radius, best=wanted.best, columns=wanted.columns)
        yield np.flatnonzero(np.isfinite(ra) & np.isfinite(dec)), _rounded(found), None
        return
    asked = cds.Asked(wanted.catalogue, wanted.radius, wanted.best)
    for answer in asked.answers(http, ra, dec):
        yield answer.asked, _rounded(cds.columns_kept(answer.found, wanted.columns)), answer.payload


def _rounded(found: pa.Table) -> pa.Table:
    if SEPARATION not in found.column_names:
        return found
    apart = pa.array(np.round(found[SEPARATION].to_numpy(), DIGITS))
    return found.set_column(found.column_names.index(SEPARATION), SEPARATION, apart)


def _check_places(table: TableFile, ra: Floats, dec: Floats) -> None:
    """Raise UsageError for positions that are none: hours for degrees, columns exchanged. Rows without one are left alone."""
    with np.errstate(invalid="ignore"):
        wrong = (ra < -180.0) | (ra > 360.0) | (np.abs(dec) > 90.0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"'{table.path}', row {row + 1}: {table.ra} {ra[row]:g} and {table.dec} {dec[row]:g} are no position in degrees.",
            hint="Name the columns: --ra COLUMN --dec COLUMN",
        )
