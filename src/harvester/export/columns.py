"""What the columns of a light curve mean, for the files that can say so: units (VOUnits), UCDs, descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa


class Column(NamedTuple):
    """A column's unit, UCD and description."""

    unit: str
    ucd: str
    description: str


COLUMNS = {
    "target": Column("", "meta.id;meta.main", "What is followed"),
    "filter": Column("", "instr.bandpass", "Passband and survey"),
    "time": Column("d", "time.epoch", "Time as the survey gives it, in its own system"),
    "bjd_tdb": Column("d", "time.epoch", "Barycentric Julian date, TDB, middle of the exposure"),
    "mjd_utc": Column(
        "d", "time.epoch", "Modified Julian date, UTC, middle of the exposure, at the observatory where known, else at the geocentre"
    ),
    "mag": Column("mag", "phot.mag", "Magnitude"),
    "mag_err": Column("mag", "stat.error;phot.mag", "Error of the magnitude"),
    "flux": Column("uJy", "phot.flux.density", "Flux density, signed"),
    "flux_err": Column("uJy", "stat.error;phot.flux.density", "Error of the flux density"),
    "upper_limit": Column("", "meta.code", "Whether the row is an upper limit"),
    "limiting_mag": Column("mag", "phot.mag;stat.max", "Magnitude of an upper limit, or depth of a detection"),
    "limit_sigma": Column("", "stat.snr", "Significance of the limit, in sigma"),
    "quality": Column("", "meta.code.qual", "0 good, 1 suspect, 2 bad, by the survey's own recommendation"),
    "flags": Column("", "meta.code", "The survey's flags, verbatim"),
    "object_id": Column("", "meta.id", "The survey's id of the thing measured"),
    "observation_id": Column("", "meta.id;obs", "The survey's id of the measurement"),
    "ra": Column("deg", "pos.eq.ra", "Right ascension of the measurement, ICRS"),
    "dec": Column("deg", "pos.eq.dec", "Declination of the measurement, ICRS"),
    "exptime": Column("s", "time.duration;obs.exposure", "Exposure time"),
    "facility": Column("", "meta.id;instr.tel", "Telescope or instrument"),
    "observer": Column("", "obs.observer", "Observer"),
    "source": Column("", "meta.curation", "The service that it came from"),
    "clipped": Column("", "meta.code", "Whether it lies off by more than the sigma asked for"),
    "points": Column("", "meta.number", "How many measurements were binned"),
}
FLUXES = ("flux", "flux_err")
SCALES = {
    "time_scale:bjd_tdb": "BJD, TDB at the solar system barycentre",
    "time_scale:time": "the survey's own; see harvest sources show",
    "time_scale:mjd_utc": "MJD, UTC at the observatory or the geocentre",
}


def with_metadata(schema: pa.Schema, about: Mapping[str, str]) -> pa.Schema:
    """Return the schema with what a file says of itself: unit, UCD and description of each column, time scales, and `about`."""
    fields = [field.with_metadata(_said(field.name, about.get("flux_unit", ""))) for field in schema]
    scales = {key: value for key, value in SCALES.items() if key.partition(":")[2] in schema.names}
    said = {**scales, **about}
    return pa.schema(fields, {key: value for key, value in said.items() if value})


def said_of(field: pa.Field) -> Column:
    """Return what a field of a described schema says of itself."""
    found = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Column(*(found.get(name, "") for name in Column._fields))


def _said(name: str, flux_unit: str) -> dict[str, str]:
    column = COLUMNS.get(name, Column("", "", ""))
    if name in FLUXES and flux_unit:
        column = column._replace(unit=flux_unit)
    return {key: value for key, value in column._asdict().items() if value}
