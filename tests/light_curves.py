"""Small light curves as the store gives them, for tests of what is drawn."""

import pyarrow as pa

from harvester.schema import GOOD, SCHEMA

START = 2_458_000.0


def light_curve(**columns):
    """Return rows of the schema; a column that is one value holds in every row, one that is not named is null."""
    columns = {"upper_limit": False, "quality": GOOD} | columns
    size = max(len(value) for value in columns.values() if isinstance(value, list))
    arrays = {
        name: pa.array(value if isinstance(value, list) else [value] * size, SCHEMA.field(name).type) for name, value in columns.items()
    }
    return pa.table({name: arrays.get(name, pa.nulls(size, SCHEMA.field(name).type)) for name in SCHEMA.names}, schema=SCHEMA)


def series(name, mags, *, start=START, step=10.0, **columns):
    times = [start + step * index for index in range(len(mags))]
    return light_curve(filter=name, bjd_tdb=times, mag=mags, mag_err=0.01, **columns)


def limits(name, mags, **columns):
    times = [START + 3 + 10.0 * index for index in range(len(mags))]
    return light_curve(filter=name, bjd_tdb=times, limiting_mag=mags, upper_limit=True, **columns)


def two_surveys():
    names = ["G(GAIA_DR3)", "BP(GAIA_DR3)", "RP(GAIA_DR3)", "g(ZTF_DR)", "r(ZTF_DR)", "i(ZTF_DR)"]
    return pa.concat_tables([series(name, [15.0 + number, 15.2 + number, 15.1 + number]) for number, name in enumerate(names)])
