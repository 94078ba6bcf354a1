"""Light curves with everything that makes files go wrong, and what is known of their targets: for the tests of exports."""

import pyarrow as pa

from harvester.derive import Derivation, Known
from harvester.export import export
from harvester.store import LIGHT_CURVE
from harvester.target import Target
from harvester.times import TimeSystem

ABOUT = {"data": "real", "software": "harvester x", "store": "night.db", "run": "7", "as_of": "2026-01-02T03:04:05.678Z"}
RR, PHI = Target("RR Lyr", 291.366304, 42.7843594), Target('φ Per, "b" <&; /', 25.9151525, -50.6887366)
SYSTEMS = {
    "ZTF_DR": TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start"),
    "GAIA_DR3": TimeSystem("jd-2455197.5", "tcb", "barycentre"),
}
KNOWN = Known(
    {one.name: one for one in (RR, PHI)}, time_system=lambda _source, survey: SYSTEMS.get(survey), filters=("G(GAIA_DR3)", "g(ZTF_DR)")
)
COMMON = dict.fromkeys(LIGHT_CURVE.names) | {"upper_limit": False, "quality": 0}


def gaia(target, number, mag, **more):
    time = 1671.508618 + number / 7
    own = {"time": time, "bjd_tdb": time + 2455197.4997685185, "mag": mag, "mag_err": 0.0012345678901234, "object_id": "9007199254740993"}
    flux = 3269.858 * 10 ** (-0.4 * (mag - 15))
    values = {"flux": flux, "flux_err": flux * 0.001, "observation_id": f"1518770140850933{number}-G", "flags": "rejected false"}
    return COMMON | {"target": target.name, "filter": "G(GAIA_DR3)", "source": "gaia_dr3"} | own | values | more


def ztf(target, number, **more):
    time = 58204.4210532 + number * 1.0321
    own = {"time": time, "bjd_tdb": time + 2400000.5034567, "exptime": 30.0, "object_id": "686103400067717", "observation_id": f"{number}"}
    where = {"ra": target.ra, "dec": target.dec, "flags": 'a "b", <c>; d\ne & é', "observer": "Zoë, O'Neil; <x>"}
    return COMMON | {"target": target.name, "filter": "g(ZTF_DR)", "source": "ztf_dr"} | own | where | more


LIMIT = {"upper_limit": True, "limiting_mag": 20.512345678901234, "limit_sigma": 5.0}
ROWS = [
    gaia(RR, 1, 7.423644718513945),
    gaia(RR, 2, 7.5738594625750295, quality=2),
    ztf(RR, 1, mag=7.9012345678901, mag_err=0.0123456789, flux=2507418.9, flux_err=28511.3),
    ztf(RR, 2, flux=-12.3456789012345, flux_err=3.2109876543211),
    ztf(RR, 3, **LIMIT),
    gaia(PHI, 3, 15.0, quality=1),
    ztf(PHI, 4, mag=18.1, flux=208.93, quality=None or 0, facility="Oschin 48-inch"),
    ztf(PHI, 5, **LIMIT),
]
TABLE = pa.Table.from_pylist(ROWS, schema=LIGHT_CURVE)


def table_of(*rows):
    return pa.Table.from_pylist(list(rows), schema=LIGHT_CURVE)


def written(place, table=TABLE, *, form=None, time=None, derivation=None, batch=3, about=ABOUT, **options):
    """Export a table in small batches; return how many points are said to be in the file."""
    derivation = derivation or Derivation("mjd" if (time or "") == "mjd" or form in {"aavso", "bhtom", "tom", "snana"} else "bjd_tdb")
    batches = derivation.applied(table.to_batches(batch), KNOWN)
    about = about | derivation.words()
    return export(derivation.schema(table.schema), batches, str(place), form=form, about=about, known=KNOWN, time=time, options=options)


def derived(table=TABLE, **asked):
    """Return a table with what is derived of it, as rows."""
    derivation = Derivation(**asked)
    return pa.Table.from_batches(derivation.applied(table.to_batches(2), KNOWN), derivation.schema(table.schema)).to_pylist()
