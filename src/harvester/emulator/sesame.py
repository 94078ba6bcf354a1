"""Sesame, the name resolver of CDS: flat text, one block per database asked, in the form of the real one.

The request's databases are letters before the name (S SIMBAD, N NED, V VizieR, A all; ~ asks past the cache), its options
words like -oI (all names of the object). NED knows no star, and so nothing here.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from harvester.emulator.app import Response

if TYPE_CHECKING:
    from harvester.emulator.app import Request
    from harvester.emulator.sky import Star

NAME = "sesame"
HOSTS = ("cds.unistra.fr", "cdsweb.u-strasbg.fr", "vizier.cfa.harvard.edu", "cdsweb.unistra.fr", "vizier.unistra.fr")
PATH = "/cgi-bin/nph-sesame"
ALL_NAMES = re.compile(r"-o\w*I\w*")
DATABASES = re.compile(r"~?[SNVA]+")
TITLES = {"S": "Simbad", "Si": "Simbad, all IDs", "V": "VizieR", "Vi": "VizieR"}
MAIN, ALSO = "%I.0", "%I"


def resolve(request: Request) -> Response:
    """Answer /nph-sesame/[-options/][databases]?name, and the form in which the name is the end of the path."""
    asked = "&".join(f"{key}={value}" if value else key for key, value in request.params)
    *words, last = [word for word in request.tail.split("/") if word] or [""]
    words, name = ([*words, last], asked) if asked else (words, last)
    databases = next((word for word in words if DATABASES.fullmatch(word)), "A").lstrip("~")
    everything = any(ALL_NAMES.fullmatch(word) for word in words)
    return Response(_reply(name, request, databases, everything=everything).encode(), "text/plain")


def _reply(name: str, request: Request, databases: str, *, everything: bool) -> str:
    stars = request.sky.named(name)
    first = next((letter for letter in databases.replace("A", "SNV") if letter in "SV"), "")
    head = f"# {name}\t#Q{int(request.now) % 10**8}\n"
    body = _block(stars, first, everything=everything) if stars and first else "#! *** Nothing found *** \n"
    return f"{head}{body}{time.strftime('#====Done (%Y-%b-%d,%H:%M:%Sz)====', time.gmtime(request.now))}\n"


def _block(stars: list[Star], database: str, *, everything: bool) -> str:
    code = f"{database}i" if everything else database
    via = "local" if database == "V" else "via url"
    title = f"#={code}={TITLES[code]} ({via}):{len(stars):5}     0ms\n"
    write = _catalogued if database == "V" else _star
    return title + "".join(write(star, everything=everything) for star in stars) + "\n\n"


def _star(star: Star, *, everything: bool) -> str:
    names = [f"{ALSO} {alias}" for alias in (*star.aliases, f"Gaia DR3 {star.gaia_id}")] if everything else []
    lines = [
        f"%@ {star.gaia_id % 10**8}",
        f"{MAIN} {star.name or f'Gaia DR3 {star.gaia_id}'}",
        f"%C.0 {star.otype}",
        f"%J {star.ra:.9f} {star.dec:+.9f} = {_sexagesimal(star.ra / 15.0, 2)} {_sexagesimal(star.dec, 1, signed=True)}",
        "%J.E [0.50 0.50 90] A 2020yCat.1350....0G",
        f"%P {star.pmra:.3f} {star.pmdec:.3f} [0.02 0.02 90] A 2020yCat.1350....0G",
        *([f"%X {star.parallax:.4f} [0.0300] A 2020yCat.1350....0G"] if star.parallax > 0 else []),
        *names,
        f"%#B {len(star.aliases)}",
    ]
    return "\n".join([*lines, ""])


def _catalogued(star: Star, *, everything: bool) -> str:
    del everything  # VizieR has one name per object
    sexagesimal = f"{_sexagesimal(star.ra / 15.0, 1)} {_sexagesimal(star.dec, 0, signed=True)}"
    return f"%J {star.ra:.5f} {star.dec:+.5f} = {sexagesimal}\n{MAIN} {star.name}\n"


def _sexagesimal(value: float, digits: int, *, signed: bool = False) -> str:
    units = round(abs(value) * 3600 * 10**digits)
    seconds, part = divmod(units, 10**digits)
    sign = ("-" if value < 0 else "+") if signed else ""
    tail = f".{part:0{digits}}" if digits else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{tail}"


ROUTES = {f"{PATH}/*": resolve}
