"""ESA's Gaia archive: TAP on the simulated catalogues, and DataLink with the epoch photometry of DR2 and DR3, and of DR4 once it is public."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harvester.emulator import gaia_datalink, gaia_source
from harvester.emulator.app import Handler, Request, Response
from harvester.emulator.gaia_releases import DR4_DAY, tables_before, tables_of_dr4
from harvester.emulator.gaia_transits import Band, Transits, transits
from harvester.emulator.tap import Archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harvester.emulator.adql import Table
    from harvester.emulator.sky import Sky
    from harvester.emulator.tokens import Constants

__all__ = ["ARCHIVE", "HOSTS", "METHODS", "NAME", "ROUTES", "Band", "Transits", "transits"]

NAME = "gaia"
HOSTS = ("gea.esac.esa.int",)
MOST_ROWS, USUAL_ROWS = 3_000_000, 2000


def tables(sky: Sky, asked: Constants) -> list[Table]:
    """Return the tables of the archive before DR4."""
    return [*gaia_source.tables(sky, asked), *tables_before(sky, asked)]


ARCHIVE = Archive("/tap-server/tap", "Gaia archive (simulated)", tables, most_rows=MOST_ROWS, usual_rows=MOST_ROWS)
WITH_DR4 = replace(ARCHIVE, tables=lambda sky, asked: [*tables(sky, asked), *tables_of_dr4(sky, asked)])


def by_date(path: str) -> Handler:
    """Return the handler of a path: that of the archive as it is on the day of the request."""
    before, after = ARCHIVE.routes()[path], WITH_DR4.routes()[path]
    return lambda request: (before if request.now < DR4_DAY else after)(request)


def notification(_: Request) -> Response:
    """Answer what astroquery asks at its import: a line of news."""
    return Response(b"message=This is a simulated Gaia archive: no star here is real data.\n")


ROUTES: Mapping[str, Handler] = {
    **{path: by_date(path) for path in ARCHIVE.routes()},
    "/tap-server/tap/notification": notification,
    "/data-server/data": gaia_datalink.serve,
}
METHODS = ARCHIVE.methods()
