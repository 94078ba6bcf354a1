"""ESA's Gaia archive: TAP on the simulated catalogue, and DataLink with the epoch photometry of DR3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harvester.emulator import gaia_datalink
from harvester.emulator.app import Handler, Request, Response
from harvester.emulator.gaia_source import tables
from harvester.emulator.gaia_transits import Band, Transits, transits
from harvester.emulator.tap import Archive

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ARCHIVE", "HOSTS", "METHODS", "NAME", "ROUTES", "Band", "Transits", "transits"]

NAME = "gaia"
HOSTS = ("gea.esac.esa.int",)
MOST_ROWS, USUAL_ROWS = 3_000_000, 2000
ARCHIVE = Archive("/tap-server/tap", "Gaia archive (simulated)", tables, most_rows=MOST_ROWS, usual_rows=MOST_ROWS)


def notification(_: Request) -> Response:
    """Answer what astroquery asks at its import: a line of news."""
    return Response(b"message=This is a simulated Gaia archive: no star here is real data.\n")


ROUTES: Mapping[str, Handler] = {
    **ARCHIVE.routes(),
    "/tap-server/tap/notification": notification,
    "/data-server/data": gaia_datalink.serve,
}
METHODS = ARCHIVE.methods()
