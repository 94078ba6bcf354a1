"""`harvest alerts stamps`: the three stamps of an alert as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harvester.cli import render
from harvester.cli.alerts.night_choice import folder_of, night_here, packet_in
from harvester.cli.options import App, define
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.store import Store

SOURCES = ("ztf_alerts", "lsst_alerts")


@define("stamps")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--candid", type=int, metavar="N", help="The alert of this candid, in a night or in the store.")
@click.option("--night", metavar="NIGHT", help="The night in which it is: a UT date, or a file.")
@click.option("--object", "object_id", metavar="ID|NAME", help="The newest alert that the store keeps of an object or target.")
@click.option("--folder", metavar="PATH", help="Where nights lie on this machine.  [default: in your data folder]")
@click.option("-o", "--output", required=True, metavar="FILE", help="The picture: .png, .pdf or .svg.")
def command(app: App, /, file: str | None, *, output: str, **said: object) -> None:
    """Draw science, template and difference of an alert of ZTF or LSST, north up and east left.

    \b
    harvest alerts stamps 2468167500815015010.avro -o stamps.png
    harvest alerts stamps --candid 2468167500815015010 --night 2023-10-05 -o stamps.png
    harvest alerts stamps --object ZTF18abudxnw -o stamps.pdf
    """  # noqa: D301 - \b is click's
    from harvester.alerts.stamps import draw, save
    from harvester.packets.container import PacketError
    from harvester.packets.whole import read_packet

    body, name = _body(app, file, **said)  # type: ignore[arg-type]
    try:
        packet = read_packet(body)
    except PacketError as error:
        raise UsageError(f"'{name}' is no alert packet that can be read.", f"{error}.") from error
    save(draw(packet), Path(output).expanduser())
    if not app.quiet:
        render.say(f"Stamps of {packet.object_id} ({packet.alert_id}) written to {output}.")


def _body(
    app: App, file: str | None, *, candid: int | None, night: str | None, object_id: str | None, folder: str | None
) -> tuple[bytes, str]:
    """Return the packet that is meant, and its name. Raises UsageError."""
    if sum(one is not None for one in (file, candid, object_id)) != 1:
        raise UsageError("name one alert: a FILE, --candid or --object.", hint="Help: harvest alerts stamps --help")
    if file is not None:
        try:
            return Path(file).expanduser().read_bytes(), Path(file).name
        except OSError as error:
            raise UsageError(f"'{file}' cannot be read.", str(error.strerror)) from error
    if candid is not None and night is not None:
        body = packet_in(night_here(app, night, folder and str(folder_of(app, folder))), candid)
        if body is None:
            raise UsageError(f"no alert {candid} in {night}.")
        return body, str(candid)
    found = _stored(app.store(), candid=None if candid is None else str(candid), object_id=object_id)
    if found is None:
        what = f"no packet of {object_id or candid} is in the store."
        raise UsageError(what, "It keeps those of --followed and --cone.", "Name the night: --candid N --night DATE, or give a FILE.")
    return found, str(object_id or candid)


def _stored(store: Store, *, candid: str | None, object_id: str | None) -> bytes | None:
    """Return the newest packet that the store keeps of an object, or that of a candid; None if it keeps none."""
    from harvester.packets import PacketError
    from harvester.packets.whole import read_packet
    from harvester.store import Chosen

    target = store.target(object_id) if object_id else None
    names = [target.name] if target else None
    rows = [row for source in SOURCES for row in store.archive.listed(Chosen(names, [source]))]
    for row in sorted(rows, key=lambda row: str(row["time"]), reverse=True):
        if candid is not None and not str(row["url"]).endswith(f"/{candid}.avro"):
            continue
        body = store.archive.body(row["sha256"])[2]
        try:
            packet = read_packet(body) if body else None
        except PacketError:
            continue
        if packet and (target or candid == packet.alert_id or object_id == packet.object_id):
            return body
    return None
