"""The programs that keep timetables: `crontab` and `systemctl --user`. What they cannot do is a CronError in the user's words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harvester.cron import Entry, Job, crontab, units
from harvester.errors import CronError

PATIENCE_S = 60
NO_CRONTAB = ("no crontab", "No such file")
"""What crontab says of somebody who has none yet; anything else that goes wrong must not pass for an empty crontab."""


def has(program: str) -> bool:
    """Whether a program is here."""
    return shutil.which(program) is not None


def install(job: Job, way: str) -> None:
    """Write a job into the crontab or into units, in place of the store's old one. Raises CronError; what was there is then still there."""
    if way == units.WAY:
        _start_units(job)
        return
    before = read_crontab()
    after = crontab.with_job(before, job)
    if after != before:
        _write_crontab(after)


def remove(entry: Entry) -> None:
    """Remove a job, wherever it stands. Raises CronError."""
    if entry.way == crontab.WAY:
        _write_crontab(crontab.without(read_crontab(), entry.place))
        return
    timer = Path(entry.text)
    _systemctl("disable", "--now", timer.name)
    for path in (timer, timer.with_suffix(".service")):
        path.unlink(missing_ok=True)
    _systemctl("daemon-reload")


def entries() -> Iterator[Entry]:
    """Yield every job of this user's stores. Raises CronError."""
    yield from crontab.entries(read_crontab()) if has("crontab") else ()
    yield from units.entries(unit_folder())


def read_crontab() -> str:
    """Return this user's crontab, empty if there is none. Bytes that are no UTF-8 survive. Raises CronError."""
    done = _run("crontab", "-l")
    if done.returncode == 0:
        return _text(done.stdout)
    if any(words in _said(done) for words in NO_CRONTAB):
        return ""
    raise CronError("the crontab cannot be read.", _said(done), "Nothing was changed.")


def _write_crontab(text: str) -> None:
    """Replace this user's crontab, and prove that it is what was meant; an empty one is removed. Raises CronError."""
    done = _run("crontab", "-", text=text) if text else _run("crontab", "-r")
    if done.returncode:
        raise CronError("the crontab cannot be written.", _said(done), "Nothing was changed.")
    if read_crontab() != text:
        raise CronError(
            "the crontab is not what was written.", "Another program changed it, or cron refused a line.", "Look at: crontab -l"
        )


def unit_folder() -> Path:
    """Return where a user's own units lie."""
    own = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(own) / "systemd" / "user"


def _systemctl(*words: str) -> None:
    """Tell this user's systemd something. Raises CronError."""
    done = _run("systemctl", "--user", *words)
    if done.returncode:
        raise CronError(
            f"systemctl --user {' '.join(words)} failed.", _said(done), "Is this a login session?  Else: harvest cron install --crontab"
        )


def _start_units(job: Job) -> None:
    """Write the units and start the timer; what systemd does not take is not left behind."""
    folder, name = unit_folder(), units.name(job.place)
    new = {folder / f"{name}.service": units.service(job), folder / f"{name}.timer": units.timer(job)}
    old = {path: path.read_text("utf-8") if path.is_file() else None for path in new}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in new.items():
            path.write_text(text, "utf-8")
        _systemctl("daemon-reload")
        _systemctl("enable", f"{name}.timer")
        _systemctl("restart", f"{name}.timer")
    except (OSError, CronError) as error:
        for path, before in old.items():
            _put_back(path, before)
        raise error if isinstance(error, CronError) else CronError("the units cannot be written.", str(error)) from error


def _put_back(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text, "utf-8")


def _run(*words: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
    sent, plain = text.encode("utf-8", "surrogateescape"), {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(words, input=sent, capture_output=True, check=False, timeout=PATIENCE_S, env=plain)  # noqa: S603 - our words
    except FileNotFoundError as error:
        other = "--systemd" if words[0] == "crontab" else "--crontab"
        raise CronError(
            f"there is no program '{words[0]}' here.", "", f"Install it, or take the other:  harvest cron install {other}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CronError(f"'{words[0]}' cannot be run.", str(error)) from error


def _text(out: bytes) -> str:
    return out.decode("utf-8", "surrogateescape")


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    told = " ".join(_text(done.stderr or done.stdout).split())
    return told[:300] or f"It ended with status {done.returncode}."
