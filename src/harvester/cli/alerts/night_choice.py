"""Nights as they are named on the command line: of the archive, on this machine, in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harvester.cli import render
from harvester.cli.options import App
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from harvester.alerts.archive.nights import Night
    from harvester.nights import Tell, Wanted
    from harvester.session import Session

SOURCE, SUFFIX = "ztf_alerts", ".tar.gz"


def packet_in(path: Path, candid: int) -> bytes | None:
    """Return a packet of a night, which gets its index the first time."""
    from harvester.alerts.archive.index import build, is_indexed, look_up

    if not is_indexed(path):
        render.say(f"Making the index of {path.name} ...")
        build(path)
    return look_up(path, candid)


def kept_nights(app: App) -> list[dict[str, Any]]:
    """Return what became of nights in the store, nothing where there is no store yet."""
    from harvester.errors import StoreError
    from harvester.store.nights import Nights

    try:
        return Nights(app.store()).listed()
    except StoreError:
        return []  # no store yet: nothing was read


def remote_nights(app: App) -> list[Night]:
    """Return the nights of the archive. Raises SourceError."""
    from harvester.alerts.archive.nights import listed

    return listed(archive_session(app))


def archive_session(app: App) -> Session:
    """Return the archive as a session asks it."""
    from harvester.access import session_for
    from harvester.source import load

    return session_for(SOURCE, load(SOURCE), app.client(), app.settings)


def chosen_nights(app: App, said: Sequence[str]) -> Iterator[Night]:
    """Yield the nights of the archive by date or name, with what its list of checksums says."""
    from harvester.alerts.archive.nights import CHECKSUMS, Night, checksums, date_of, file_of

    names = [file_of(name) for name in said]
    sums = checksums(archive_session(app).get(CHECKSUMS))
    for name in dict.fromkeys(names):
        yield Night(name, date_of(name), md5=sums.get(name, ""))


def night_source(app: App, said: str, folder: Path, wanted: Wanted) -> Any:
    """Return a night to be read: a file, or as it comes; one that is missing is noted as due. Raises UsageError, SourceError."""
    from harvester.errors import SourceError
    from harvester.nights import in_file, missing, remote

    path = Path(said) if _is_path(said) else folder / file_named(said)
    if _is_path(said) or path.is_file():
        return in_file(_packets(app, path))
    try:
        (night,) = chosen_nights(app, [said])
        return remote(night, archive_session(app))
    except SourceError as error:
        missing(app.store(create=True), file_named(said), wanted, error.what)
        raise


def _packets(app: App, path: Path) -> Path:
    """Return a place with packets to be read. Raises UsageError; also where a simulation would be given what is none."""
    if path.is_dir() or (path.is_file() and not path.name.endswith(SUFFIX)):
        if app.emulated:
            raise UsageError(f"'{path.name}' is not simulated.", "Simulated and measured data never mix.", "Leave --emulate out.")
        return path
    return _existing(path)


def night_here(app: App, said: str, folder: str | None) -> Path:
    """Return the place of a night on this machine. Raises UsageError."""
    return _existing(Path(said) if _is_path(said) else folder_of(app, folder) / file_named(said))


def _existing(path: Path) -> Path:
    from harvester.alerts.archive.nights import FILE

    if path.is_dir():
        raise UsageError(
            f"'{path}' is a folder, and no night.", hint=f"Packets of a folder are read by: harvest alerts archive ingest {path}"
        )
    if not path.is_file():
        fetch = f"Fetch it: harvest alerts archive get {path.name}" if FILE.fullmatch(path.name) else ""
        raise UsageError(f"'{path.name}' is not on this machine.", hint=fetch)
    return path


def _is_path(said: str) -> bool:
    return "/" in said or Path(said).is_file() or Path(said).is_dir()


def file_named(said: str) -> str:
    """Return the name of a night's file. Raises UsageError."""
    from harvester.alerts.archive.nights import file_of

    return Path(said).resolve().name if _is_path(said) else file_of(said)


def folder_of(app: App, said: str | None) -> Path:
    """Return where nights lie."""
    if said:
        return Path(said).expanduser()
    from platformdirs import user_data_path

    return user_data_path("harvester") / ("simulated-nights" if app.emulated else "nights")


def wanted_alerts(said: dict[str, Any]) -> Wanted:
    """Return which alerts of a night are wanted. Raises UsageError."""
    from harvester.nights import ALL, FOLLOWED, Wanted

    if sum(map(bool, (said["followed"], said["cone"], said["everything"]))) > 1:
        raise UsageError("--followed, --cone and --all exclude one another.")
    cone, follow = read_cone(said["cone"]), said["follow"]
    if follow is not None and not (cone or said["everything"]):
        raise UsageError("--follow and --no-follow go with --all or --cone, which make targets.")
    if cone:
        return Wanted.in_cone(*cone, follow=follow is not False)
    return replace(ALL, follow=bool(follow)) if said["everything"] else FOLLOWED


def read_cone(said: str | None) -> tuple[float, float, float] | None:
    """Return a cone (deg, deg, arcsec). Raises UsageError."""
    if said is None:
        return None
    try:
        ra, dec, radius = (float(part) for part in said.split(","))
    except ValueError:
        raise UsageError(f"'{said}' is no cone.", hint="Write RA,DEC,RADIUS: degrees, degrees, arcseconds.") from None
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 36_000):
        raise UsageError(f"'{said}' is no cone on the sky.", hint="RA 0 to 360, DEC -90 to 90, radius up to 36000 arcseconds.")
    return ra, dec, radius


@contextmanager
def gauged(app: App, what: str) -> Iterator[Tell]:
    """Show how far a night is read."""
    with render.gauge(what, quiet=app.quiet) as show:
        yield lambda done, size: show("", done, size)


@contextmanager
def reported(name: str, statuses: list[int]) -> Iterator[None]:
    """Say what is wrong with one night, and let the others go on."""
    from harvester.alerts.archive.tar import NightError
    from harvester.errors import SourceError

    try:
        yield
        statuses.append(ExitStatus.DONE)
    except SourceError as error:
        render.problem("warning" if error.outcome == "pending" else "error", error.lines())
        statuses.append(ExitStatus.FAILED)
    except NightError as error:
        render.problem("error", [f"{name}: {error}.", "Fetch it anew, or read another night."])
        statuses.append(ExitStatus.FAILED)


def status_of(statuses: Sequence[int]) -> int:
    """Return the exit status of several nights."""
    if not any(statuses):
        return ExitStatus.DONE
    return ExitStatus.FAILED if all(statuses) else ExitStatus.PARTIAL


def mjd_of(date: str) -> float:
    """Return the MJD at which a UT date begins; 0 for none."""
    from datetime import date as day

    return float(day.fromisoformat(date).toordinal() - 678_576) if date else 0.0
