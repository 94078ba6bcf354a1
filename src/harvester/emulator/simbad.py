"""CDS's SIMBAD: TAP on the famous stars of the simulated sky, in the tables and under the names that SIMBAD gives them.

A name is taken in any of its spellings, as SIMBAD does ("rr lyr" finds "V* RR Lyr"): texts of a query that name a star are written
as the tables have them. Anonymous stars are here only when a query names one by its Gaia DR3 id. No radial velocities, spectral types,
references and hierarchies are simulated: columns without a value are null.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from harvester.emulator import names
from harvester.emulator.adql import Column, Table
from harvester.emulator.tap import Archive, Key
from harvester.healpix import pixel_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harvester.emulator.app import Handler
    from harvester.emulator.sky import Sky, Star
    from harvester.emulator.tokens import Constants

NAME = "simbad"
HOSTS = ("simbad.cds.unistra.fr", "simbad.u-strasbg.fr")
REFERENCE = "2020yCat.1350....0G"
MOST_ROWS, MOST_UPLOADED = 2_000_000, 200_000
HPX_LEVEL = 10
OID = Column("oidref", "long", "", "meta.record;meta.id", "Object internal identifier")
FILTERS = {"G": "Magnitude Gaia G", "g": "Magnitude SDSS g", "r": "Magnitude SDSS r", "i": "Magnitude SDSS i"}
ALL_FILTERS = ("U", "B", "V", "R", "I", "J", "H", "K", "u", "g", "r", "i", "z", "G")
LABELS = {
    "*": "Star", "V*": "Variable Star", "RR*": "RR Lyrae Variable", "Ce*": "Cepheid Variable", "cC*": "Classical Cepheid Variable",
    "WV*": "Type II Cepheid Variable", "Mi*": "Mira Variable", "EB*": "Eclipsing Binary", "SN*": "SuperNova", "Lev": "(Micro)Lensing Event",
    "CV*": "Cataclysmic Binary", "PM*": "High Proper Motion Star", "RV*": "RV Tauri Variable", "RC*": "R CrB Variable",
}  # fmt: skip
KEYS = (
    *(Key(table, "oidref", "basic", "oid") for table in ("ident", "ids", "alltypes", "otypes", "flux", "allfluxes")),
    Key("otypedef", "otype", "otypes", "otype"),
    Key("filter", "filtername", "flux", "filter"),
)


@cache
def basic_columns() -> tuple[Column, ...]:
    """Return the columns of the table basic, as SIMBAD's TAP_SCHEMA lists them."""
    lines = files("harvester.emulator").joinpath("simbad_basic.csv").read_text(encoding="utf-8").splitlines()
    return tuple(Column(**row) for row in csv.DictReader(lines))


def identifiers(star: Star) -> tuple[str, ...]:
    """Return the names under which SIMBAD knows a star, the main one first."""
    return tuple(dict.fromkeys(name for name in (star.name, *star.aliases, f"Gaia DR3 {star.gaia_id}") if name))


def spell(sky: Sky, text: str) -> str:
    """Write a name as the table ident has it; any other text stays as it is."""
    known = [name for star in sky.named(text) for name in identifiers(star)]
    return next((name for name in known if names.fold(name) == names.fold(text)), text)


def tables(sky: Sky, asked: Constants) -> list[Table]:
    """Return SIMBAD's tables with all famous stars that have a name, and with the stars that a query or its upload names."""
    called = [star for text in (*asked.texts, *asked.uploaded) for star in sky.named(text)]
    stars = list({star.gaia_id: star for star in (*(each for each in sky.famous() if each.name), *called)}.values())
    spelt = [(star.gaia_id, text) for text in dict.fromkeys(asked.uploaded) for star in sky.named(text) if text not in identifiers(star)]
    labels = [(otype, LABELS.get(otype, otype)) for otype in sorted({otype for star in stars for otype in _types(star)})]
    return [
        Table("public.basic", basic_columns(), lambda: (basic_row(star) for star in stars), "General data about an astronomical object"),
        _table("ident", "id:char", [*((s.gaia_id, name) for s in stars for name in identifiers(s)), *spelt], "Identifiers of an object"),
        _table("ids", "ids:char", ((s.gaia_id, "|".join(identifiers(s))) for s in stars), "All identifiers of an object in one text"),
        _table("alltypes", "otypes:char", ((s.gaia_id, "|".join(_types(s))) for s in stars), "All types of an object in one text"),
        _table("otypes", "otype:char", ((s.gaia_id, each) for s in stars for each in _types(s)), "Types of an object"),
        _table(
            "flux",
            "filter:char flux:float flux_err:float bibcode:char",
            ((s.gaia_id, name, round(s.mean[name], 3), None, REFERENCE) for s in stars for name in FILTERS),
            "Magnitudes of an object",
        ),
        _table(
            "allfluxes",
            " ".join(f"{name}_:float" if name.islower() else f"{name}:float" for name in ALL_FILTERS),
            ((s.gaia_id, *(round(s.mean[name], 3) if name in FILTERS else None for name in ALL_FILTERS)) for s in stars),
            "Magnitudes of an object, one column each",
        ),
        Table("public.otypedef", _columns("otype:char label:char"), lambda: labels, "Types of objects"),
        Table("public.filter", _columns("filtername:char description:char"), FILTERS.items, "Filters of the table flux"),
    ]


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in (word.split(":") for word in text.split()))


def _table(name: str, columns: str, rows: Iterable[Sequence[Any]], description: str) -> Table:
    content = list(rows)
    return Table(f"public.{name}", (OID, *_columns(columns)), lambda: content, description)


def _types(star: Star) -> list[str]:
    return list(dict.fromkeys([star.otype, *(["V*"] if star.kind != "constant" else []), "*"]))


def basic_row(star: Star) -> list[Any]:
    """Return a star's row of the table basic: ICRS at epoch J2000.0, as SIMBAD has it."""
    values: dict[str, Any] = {
        "oid": star.gaia_id,
        "main_id": identifiers(star)[0],
        "otype": star.otype,
        "otype_txt": star.otype,
        "ra": star.ra,
        "dec": star.dec,
        "ra_prec": 14,
        "dec_prec": 14,
        "coo_bibcode": REFERENCE,
        "coo_err_maj": 0.02,
        "coo_err_min": 0.02,
        "coo_err_angle": 90,
        "coo_qual": "A",
        "coo_wavelength": "O",
        "hpx": int(pixel_at(HPX_LEVEL, star.ra, star.dec)),
        "pmra": star.pmra,
        "pmdec": star.pmdec,
        "pm_bibcode": REFERENCE,
        "pm_qual": "A",
        "plx_value": star.parallax,
        "plx_err": 0.02,
        "plx_bibcode": REFERENCE,
        "plx_qual": "A",
    }
    return [values.get(column.name) for column in basic_columns()]


ARCHIVE = Archive(
    "/simbad/sim-tap",
    "SIMBAD (simulated)",
    tables,
    most_rows=MOST_ROWS,
    usual_rows=MOST_ROWS,
    most_uploaded=MOST_UPLOADED,
    keys=KEYS,
    bare="public",
    spell=spell,
)
ROUTES: Mapping[str, Handler] = ARCHIVE.routes()
METHODS = ARCHIVE.methods()
