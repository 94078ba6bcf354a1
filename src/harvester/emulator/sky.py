"""The simulated sky: which stars there are, and how bright each is at any time.

Four sorts of star, all of them fixed by the seed and by nothing else (no call changes what another returns):

    famous      those of stars.toml at their true places, each with a constant companion at 2 to 4 arcsec
    field       anonymous, mostly constant and faint, on average one per two pixels of HEALPix level 12 (2,400 per square degree)
    host        the promise that there is a star at any position asked: a cone meets, besides the others, the star that stands in the middle
                of the 0.8 arcsec pixel (HEALPix level 18) that holds the cone's centre, if it is inside the radius. What kind of star
                it is follows from the pixel. A host is seen by cones centred on its pixel alone, so that the sky stays thin elsewhere.

    transient   a new supernova every third night (see `transients`)

There are no hosts within QUIET_DEG of a famous star, so that a search that misses one finds nothing in its place, nor any field or
host in the VOID, where a cone comes back empty.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harvester.emulator import chance, names
from harvester.emulator.stars import LEVEL, Star, famous, magnitudes, position, separation
from harvester.emulator.transients import CLEAR_DEG, near, transients
from harvester.emulator.variability import offset
from harvester.healpix import centre_of, pixel_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

__all__ = ["VOID", "Sky", "Star", "position", "separation"]

MJD_OF_UNIX = 40587.0
VOID = (180.0, 45.0, 0.5)  # right ascension, declination, radius: deg
QUIET_DEG = 0.1  # more than any famous star moves in 30 years
CELL = 12  # HEALPix level of the field's cells
CELL_STEP_DEG = 0.25 / 60.0  # a net finer than any cell
HOST, FIELD = 1, 2  # the number in the low bits of a Gaia id: famous 0, host 1, field 2, transient 3
BITS = 2 * (LEVEL - CELL)
VARIABLE = ("rrlyr", "cepheid", "mira", "eclipsing", "contact", "supernova", "microlensing", "outburst")
HOSTED = ("constant", *VARIABLE)
FIELD_VARIABLE = 0.1  # the part of the field that varies
FIELD_MOTION = 4.0  # mas/yr at most, along each axis
FIRST_EPOCH, TRANSIENT_DAYS = 2457000.0, 3500.0  # when transients happen: from the end of 2014, in Gaia's years and in ZTF's
DRAWN = ("kind", "bright", "colour", "period", "epoch", "pmra", "pmdec")
OTYPE = {
    "constant": "*",
    "rrlyr": "RR*",
    "cepheid": "Ce*",
    "mira": "Mi*",
    "eclipsing": "EB*",
    "contact": "EB*",
    "supernova": "SN*",
    "microlensing": "Lev",
}
PERIODS = {
    "rrlyr": (0.35, 0.75),
    "cepheid": (3.0, 30.0),
    "mira": (150.0, 450.0),
    "eclipsing": (0.5, 6.0),
    "contact": (0.25, 0.6),
    "outburst": (20.0, 100.0),
}
AMPLITUDES = {"rrlyr": 0.8, "cepheid": 0.7, "mira": 3.5, "eclipsing": 0.8, "contact": 0.5, "outburst": 3.0, "microlensing": 2.5}


class Clock(Protocol):
    """What the sky knows of time; the module `time` will do."""

    def time(self) -> float:
        """Return seconds since 1970."""


class Sky:
    """The stars of one seed. The famous ones are the same in every sky; field, hosts, transients and noise follow from the seed.

    With a `clock`, surveys of alerts know of a transient only what was observed by then; without one, all of it.
    """

    def __init__(self, seed: int = 20261121, clock: Clock | None = None) -> None:
        self.seed, self.clock = seed, clock

    @property
    def now(self) -> float:
        """The MJD (UTC) by the clock; infinity without one."""
        return self.clock.time() / 86400.0 + MJD_OF_UNIX if self.clock else np.inf

    def famous(self) -> tuple[Star, ...]:
        """Return the stars of stars.toml and their companions (whose name is empty)."""
        return famous()

    def named(self, name: str) -> list[Star]:
        """Return every star of that name, written in any of the ways that SIMBAD accepts; several where the name is ambiguous."""
        folded = names.fold(name)
        number = folded.removeprefix("gaiadr3")
        if number != folded and number.isdecimal():
            return [star for star in [self.by_gaia_id(int(number))] if star]
        return list(self._by_name.get(folded, ()))

    def stars_near(self, ra: float, dec: float, radius_deg: float, *, epoch: float = 2000.0) -> list[Star]:
        """Return the stars of a cone (all in deg) at `epoch` (Julian year, proper motion applied), nearest to its centre first."""
        hits = [
            (distance, star)
            for star in self._candidates(ra, dec, radius_deg)
            if (distance := _distance(star, epoch, ra, dec)) <= radius_deg
        ]
        return [star for _, star in sorted(hits, key=lambda hit: (hit[0], hit[1].gaia_id))]

    def by_gaia_id(self, gaia_id: int) -> Star | None:
        """Return the star of a Gaia DR3 source_id, or None."""
        if star := self._by_id.get(gaia_id):
            return star
        number, pixel = gaia_id & ((1 << 23) - 1), gaia_id >> 23
        if not 0 <= pixel < 12 << 2 * LEVEL or number < HOST:
            return None
        found = self._hosts(pixel) if number == HOST else self._field(np.array([pixel >> BITS]))
        return next((star for star in found if star.gaia_id == gaia_id), None)

    def magnitude(self, star: Star, passband: str, bjd_tdb: ArrayLike) -> NDArray[np.float64]:
        """Return the noiseless magnitude in a passband of `star.mean` at BJD_TDB (full JD); inf where there is no light (before a supernova)."""
        return star.mean[passband] + offset(star, passband, np.asarray(bjd_tdb, np.float64))

    def noise(self, star: Star, passband: str, key: ArrayLike) -> NDArray[np.float64]:
        """Return standard normal deviates, one per integer in `key` (the number of an epoch), for ever the same."""
        return chance.normal(self.seed, "noise", star.gaia_id, passband, key)

    def chance(self, star: Star, word: str, key: ArrayLike) -> NDArray[np.float64]:
        """Return uniform deviates in [0, 1), one per integer in `key`, for ever the same; `word` names what is drawn."""
        return chance.uniform(self.seed, star.gaia_id, word, key)

    @cached_property
    def _by_id(self) -> dict[int, Star]:
        return {star.gaia_id: star for star in (*famous(), *transients(self.seed))}

    @cached_property
    def _by_name(self) -> dict[str, list[Star]]:
        index: dict[str, list[Star]] = {}
        for star in famous():
            for folded in {names.fold(name) for name in (star.name, *star.aliases) if name}:
                index.setdefault(folded, []).append(star)
        return index

    def _candidates(self, ra: float, dec: float, radius_deg: float) -> Iterator[Star]:
        yield from (famous()[number] for number in np.flatnonzero(_from_famous(ra, dec) <= radius_deg + QUIET_DEG))
        yield from near(self.seed, ra, dec, radius_deg)
        yield from self._field(_cells(ra, dec, radius_deg))
        yield from self._hosts(int(pixel_at(LEVEL, ra, dec)))

    def _field(self, cells: NDArray[np.int64]) -> list[Star]:
        """Return the field stars of HEALPix pixels of level 12."""
        population = chance.uniform(self.seed, "population", cells)
        pixels = np.unique([cell << BITS | sub for cell, sub in self._places(cells, population)]).astype(np.int64)
        seen = separation(*centre_of(LEVEL, pixels), *VOID[:2]) > VOID[2]
        return [self._anonymous(pixel, FIELD) for pixel in pixels[seen].tolist()]

    def _places(self, cells: NDArray[np.int64], population: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
        for number, rarer_than in enumerate((0.4, 0.1)):
            lucky = cells[population < rarer_than]
            subs = (chance.uniform(self.seed, "place", number, lucky) * (1 << BITS)).astype(np.int64)
            yield from zip(lucky.tolist(), subs.tolist(), strict=True)

    def _hosts(self, pixel: int) -> list[Star]:
        """Return the host of a pixel of level 18, unless a famous star is near."""
        ra, dec = (float(angle) for angle in centre_of(LEVEL, pixel))
        crowded = _from_famous(ra, dec).min() < QUIET_DEG or bool(near(self.seed, ra, dec, CLEAR_DEG))
        empty = separation(ra, dec, *VOID[:2]) < VOID[2]
        return [] if crowded or empty else [self._anonymous(pixel, HOST)]

    def _anonymous(self, pixel: int, number: int) -> Star:
        """Make the star of a pixel of level 18: what it is follows from the pixel."""
        draw = {word: float(chance.uniform(self.seed, word, number, pixel)) for word in DRAWN}
        kind = _kind(number, draw["kind"])
        low, high = PERIODS.get(kind, (0.0, 0.0))
        period = low + (high - low) * draw["period"] if kind in PERIODS else None
        ra, dec = (float(angle) for angle in centre_of(LEVEL, pixel))
        return Star(
            name="",
            aliases=(),
            ra=ra,
            dec=dec,
            pmra=0.0 if number == HOST else FIELD_MOTION * (2.0 * draw["pmra"] - 1.0),
            pmdec=0.0 if number == HOST else FIELD_MOTION * (2.0 * draw["pmdec"] - 1.0),
            parallax=round(0.2 + draw["bright"], 4),
            gaia_id=pixel << 23 | number,
            otype=OTYPE.get(kind, "V*"),
            kind=kind,
            period=period,
            epoch=FIRST_EPOCH + (period or TRANSIENT_DAYS) * draw["epoch"],
            amplitude=AMPLITUDES.get(kind, 0.0),
            mean=magnitudes(_brightness(number, draw["bright"]), 0.5 + 1.5 * draw["colour"]),
        )


def _kind(number: int, deviate: float) -> str:
    """Return any kind for a host; for a field star mostly "constant"."""
    if number == HOST:
        return HOSTED[int(deviate * len(HOSTED))]
    return VARIABLE[int(deviate / FIELD_VARIABLE * len(VARIABLE))] if deviate < FIELD_VARIABLE else "constant"


def _brightness(number: int, deviate: float) -> float:
    """Return a mean G magnitude: hosts 12.5 to 17.5, the field ever more numerous down to 20.5."""
    return 12.5 + 5.0 * deviate if number == HOST else max(20.5 + 4.0 * float(np.log10(1.0 - deviate)), 10.0)


@cache
def _famous_places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([star.ra for star in famous()]), np.array([star.dec for star in famous()])


def _from_famous(ra: float, dec: float) -> NDArray[np.float64]:
    """Return the distances (deg) of a position from the famous stars where they stood in J2000.0."""
    return separation(*_famous_places(), ra, dec)


def _distance(star: Star, epoch: float, ra: float, dec: float) -> float:
    return float(separation(*position(star, epoch), ra, dec))


def _cells(ra: float, dec: float, radius_deg: float) -> NDArray[np.int64]:
    """Return the level 12 pixels that a cone may touch: those of a net of points over it."""
    reach = radius_deg + 2.0 * CELL_STEP_DEG
    rows = np.clip(dec + np.linspace(-reach, reach, _steps(reach)), -90.0, 90.0)
    return np.unique(np.concatenate([pixel_at(CELL, ra + _span(row, reach), row) for row in rows.tolist()]))


def _span(dec: float, reach: float) -> NDArray[np.float64]:
    """Return the offsets in right ascension of the net's points at one declination."""
    shrink = np.cos(np.radians(dec))
    half = 180.0 if abs(dec) + reach >= 90.0 else float(np.degrees(np.arcsin(np.sin(np.radians(reach)) / shrink)))
    return np.linspace(-half, half, _steps(half * shrink))


def _steps(half: float) -> int:
    return 2 * int(np.ceil(half / CELL_STEP_DEG)) + 3
