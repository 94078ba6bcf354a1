"""A million times at one position against astropy's full path.

astropy takes minutes for a million, so it is timed on SAMPLE of them and scaled linearly, which favours it: its fixed costs are scaled too,
but stay under 1 % of the sample's time. The two are timed in turn, so that a busy machine slows both; the medians are compared.
Run it: `make bench`.
"""

from statistics import median
from time import perf_counter

import numpy as np
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from harvester.ephemeris import site_position
from harvester.times import TimeSystem, to_bjd_tdb

POINTS, SAMPLE, ROUNDS = 1_000_000, 2_000, 5
LIGHT_SECOND_M = 299_792_458.0
RA, DEC = 83.63, 22.01


def ratios():
    """Return (name, our seconds, astropy's seconds) for POINTS times, both medians of ROUNDS."""
    iers.conf.auto_download, iers.conf.auto_max_age = False, None
    mjd = np.sort(np.random.default_rng(0).uniform(55_000, 61_000, POINTS))
    palomar = TimeSystem("mjd", "utc", "observatory", site="Palomar")
    return [
        compared("10^6 times to BJD_TDB, geocentre", mjd, TimeSystem("mjd", "utc", "geocentre"), (0.0, 0.0, 0.0)),
        compared("10^6 times to BJD_TDB, observatory", mjd, palomar, site_position("Palomar") * LIGHT_SECOND_M),
    ]


def compared(name, mjd, system, site_m):
    sample = mjd[:: POINTS // SAMPLE]
    pairs = [(seconds(to_bjd_tdb, mjd, system, RA, DEC), seconds(by_astropy, sample, site_m) * POINTS / SAMPLE) for _ in range(ROUNDS + 1)]
    ours, theirs = zip(*pairs[1:], strict=True)  # the first round warms both up
    return name, median(ours), median(theirs)


def by_astropy(mjd, site_m):
    time = Time(mjd, format="mjd", scale="utc", location=EarthLocation.from_geocentric(*site_m, unit=u.m))
    return time.tdb + time.light_travel_time(SkyCoord(RA, DEC, unit="deg"), ephemeris="builtin")


def seconds(work, *arguments):
    start = perf_counter()
    work(*arguments)
    return perf_counter() - start
