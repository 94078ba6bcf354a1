"""The releases of Gaia that the simulated archive has beside DR3: DR2, and DR4 from the day on which it is announced.

Their ids are not DR3's. DR2 has a part of DR3's transits, of variables alone, with a row per band and fluxes on its own zero points. DR4 has
66 months of nearly every source, in the columns of the draft data model of June 2026: nobody outside has seen the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator.adql import Column, Table
from harvester.emulator.gaia_source import SMALLEST_ID, bounded
from harvester.emulator.gaia_transits import END, END_DR2, END_DR4, FAINTEST, ZEROPOINT, Transits, transits
from harvester.emulator.stars import position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harvester.emulator.sky import Sky, Star
    from harvester.emulator.tokens import Constants

DR4_DAY = 1_796_169_600.0  # 2 December 2026, in seconds since 1970
VEGA_DR2 = {"G": 25.688366, "BP": 25.351388, "RP": 24.761920}  # magnitude of 1 e-/s
SOLUTIONS = {"Gaia DR2": 369295549951641967, "Gaia DR4": 5066549580791808}
IN_DR4 = {"g_transit_time": "g_obs_time", "g_transit_flux": "g_flux", "g_transit_mag": "g_mag"}
COMMON = (
    Column("solution_id", "long", "", "meta.version", "Solution Identifier"),
    Column("designation", "char", "", "meta.id;meta.main", "Source designation, unique over all releases"),
    Column("source_id", "long", "", "meta.id", "Source identifier, unique within a release"),
    Column("ref_epoch", "double", "yr", "meta.ref;time.epoch", "Reference epoch"),
    Column("ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension at the reference epoch"),
    Column("dec", "double", "deg", "pos.eq.dec;meta.main", "Declination at the reference epoch"),
    Column("parallax", "double", "mas", "pos.parallax.trig", "Parallax"),
    Column("pmra", "double", "mas.yr**-1", "pos.pm;pos.eq.ra", "Proper motion in right ascension"),
    Column("pmdec", "double", "mas.yr**-1", "pos.pm;pos.eq.dec", "Proper motion in declination"),
)
MEAN_MAG = Column("phot_g_mean_mag", "float", "mag", "phot.mag;em.opt", "Mean magnitude (Vega), G band")
FLAG = Column("phot_variable_flag", "char", "", "meta.code;src.var", "Photometric variability")
NEIGHBOUR = (
    Column("dr2_source_id", "long", "", "meta.id", "Source identifier in DR2"),
    Column("dr3_source_id", "long", "", "meta.id", "Source identifier in DR3"),
    Column("angular_distance", "float", "mas", "pos.angDistance", "Angular distance between the two"),
    Column("magnitude_difference", "float", "mag", "phot.mag;arith.diff", "Difference of the G magnitudes"),
    Column("proper_motion_propagation", "boolean", "", "meta.code", "Whether proper motion was applied"),
)


@dataclass(frozen=True)
class Release:
    """A release: the archive's word for it, the bits in which its ids differ from DR3's, its epoch (Julian year), and its words for a layout."""

    name: str
    mask: int
    epoch: float
    structures: tuple[str, ...]
    since: float = 0.0

    def id_of(self, star: Star) -> int:
        """Return the id under which the release has a star."""
        return star.gaia_id ^ self.mask

    def star(self, sky: Sky, number: int) -> Star | None:
        """Return the star of an id of the release, or None."""
        return sky.by_gaia_id(number ^ self.mask)


DR2 = Release("Gaia DR2", 0x2A5A50, 2015.5, ("RAW", "INDIVIDUAL"))
DR3 = Release("Gaia DR3", 0, 2016.0, ("RAW", "INDIVIDUAL"))
DR4 = Release("Gaia DR4", 0x1C3A60, 2017.5, ("DATAMODEL_STANDARD", "DATAMODEL_GAIA"), since=DR4_DAY)
RELEASES = {release.name: release for release in (DR2, DR3, DR4)}


def tables_before(sky: Sky, asked: Constants) -> list[Table]:
    """Return the tables of DR2, and of its match with DR3, for the stars that a query bounds under any id."""
    stars = _bounded(sky, asked, DR2)
    return [
        Table("gaiadr2.gaia_source", (*COMMON, MEAN_MAG, FLAG), _rows(sky, stars, _in_dr2), "Main catalogue of Gaia DR2, simulated"),
        Table("gaiadr3.dr2_neighbourhood", NEIGHBOUR, _rows(sky, stars, _neighbour), "Sources of DR2 near those of DR3, simulated"),
    ]


def tables_of_dr4(sky: Sky, asked: Constants) -> list[Table]:
    """Return the tables of DR4."""
    rows = _rows(sky, _bounded(sky, asked, DR4), _in_dr4)
    return [Table("gaiadr4.gaia_source", (*COMMON, MEAN_MAG), rows, "Main catalogue of Gaia DR4, simulated")]


def epochs_of_dr2(sky: Sky, star: Star, number: int) -> dict[str, Any] | None:
    """Return DR2's columns of a star, a row per band and transit, as arrays with NaN for null; None where it has none."""
    found = transits(sky, star)
    kept = found.bands["G"].bjd_tdb < END_DR2
    if star.kind == "constant" or not kept.any():
        return None
    parts = [_band_of_dr2(found, name, kept) for name in found.bands]
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    constant = {"source_id": np.full(len(table["time"]), number)}
    return constant | table | {"solution_id": np.full(len(table["time"]), SOLUTIONS["Gaia DR2"])}


def _band_of_dr2(found: Transits, name: str, kept: Any) -> dict[str, Any]:
    """Return one band's rows; a flux without a value has neither row nor flags."""
    band = found.bands[name]
    kept = kept & np.isfinite(band.flux)
    scale = 10.0 ** (0.4 * (VEGA_DR2[name] - ZEROPOINT[name]))
    rejected = (band.other_flags & {"G": 0, "BP": 1024, "RP": 2048}[name]) > 0
    columns = {
        "transit_id": found.transit_id,
        "band": np.full(len(kept), name),
        "time": band.time,
        "mag": band.mag,
        "flux": band.flux * scale,
        "flux_error": band.flux_error * scale,
        "flux_over_error": (band.flux / band.flux_error).astype(np.float32),
        "rejected_by_photometry": rejected,
        "rejected_by_variability": band.variability_reject,
        "other_flags": band.other_flags,
    }
    return {key: values[kept] for key, values in columns.items()}


def epochs_of_dr4(sky: Sky, star: Star) -> Transits | None:
    """Return the transits of a star in DR4; None where there is none."""
    found = transits(sky, star, END_DR4)
    return found if star.mean["G"] <= FAINTEST and len(found) else None


def renamed_for_dr4(table: dict[str, Any]) -> dict[str, Any]:
    """Return DR3's columns under the names of DR4's draft."""
    named = {key: next((new + key.removeprefix(old) for old, new in IN_DR4.items() if key.startswith(old)), key) for key in table}
    return {named[key]: values for key, values in table.items()} | {"solution_id": np.full(len(table["source_id"]), SOLUTIONS["Gaia DR4"])}


def _bounded(sky: Sky, asked: Constants, release: Release) -> Sequence[Star]:
    """Return the stars that a query bounds, by ids of DR3 or of the release."""
    own = [release.star(sky, number) for number in asked.numbers if number >= SMALLEST_ID]
    return list({star.gaia_id: star for star in (*own, *bounded(sky, asked, release.epoch)) if star}.values())


def _rows(sky: Sky, stars: Sequence[Star], row: Callable[[Sky, Star], tuple[Any, ...] | None]) -> Callable[[], Iterable[tuple[Any, ...]]]:
    return lambda: filter(None, (row(sky, star) for star in stars))


def _place(star: Star, release: Release) -> tuple[Any, ...]:
    ra, dec = (float(angle) for angle in position(star, release.epoch))
    number = release.id_of(star)
    return (SOLUTIONS[release.name], f"{release.name} {number}", number, release.epoch, ra, dec, star.parallax, star.pmra, star.pmdec)


def _mag(star: Star) -> float:
    return float(str(np.float32(star.mean["G"])))


def _seen(sky: Sky, star: Star, until: float) -> bool:
    """Tell whether a star was bright enough: one that is bright only at times must have been so in a transit."""
    if star.mean["G"] > FAINTEST or star.kind != "supernova":
        return star.mean["G"] <= FAINTEST
    return bool((transits(sky, star, max(until, END)).bands["G"].bjd_tdb < until).any())


def _in_dr2(sky: Sky, star: Star) -> tuple[Any, ...] | None:
    if not _seen(sky, star, END_DR2):
        return None
    return (*_place(star, DR2), _mag(star), "NOT_AVAILABLE" if epochs_of_dr2(sky, star, 0) is None else "VARIABLE")


def _in_dr4(sky: Sky, star: Star) -> tuple[Any, ...] | None:
    return (*_place(star, DR4), _mag(star)) if _seen(sky, star, END_DR4) else None


def _neighbour(sky: Sky, star: Star) -> tuple[Any, ...] | None:
    return (DR2.id_of(star), star.gaia_id, 0.25, 0.01, True) if _seen(sky, star, END_DR2) else None
