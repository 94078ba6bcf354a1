"""What a record says: the alert in it, the numbers by which people choose, and the source that reads its photometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harvester.alerts.alert import Alert
from harvester.alerts.reading import ab_mag, as_payload, mjd_of, number, said, utc_of_tai
from harvester.alerts.streams.decoding import Record, records
from harvester.alerts.streams.message import Message
from harvester.schema import label

JD_OF_MJD = 2_400_000.5
ZTF_BANDS = {1: "g", 2: "r", 3: "i"}
EXPOSURE_D = 15.0 / 86_400.0
"""Half of ZTF's exposure: its alerts bear the beginning."""
NO_CLASS = {"Unknown", "Fail", "Fail 503", "Fail 504"}
IDS = ("objectId", "oid", "diaObjectId", "aid", "locus_id", "id", "object_id", "ivorn")
PLACES = (("ra", "dec"), ("ra", "decl"), ("meanra", "meandec"), ("ramean", "decmean"))
CLASSES = ("finkclass", "classification", "class", "class_name", "predictions", "cdsxmatch", "tnsclass")
ALERT_IDS = ("candid", "diaSourceId", "alert_id", "newest_alert_id")
SCORES = ("rb", "drb", "reliability", "score", "probability", "snr")


@dataclass(frozen=True)
class Heard:
    """An alert out of a message, with all that the message says of it.

    `source` is the source that reads photometry out of `packet`, empty where there is none in it; `asks` the source to which the broker serves
    more of the object than it sends. `scores` are real-bogus scores and the like, by their names in the packet.
    """

    alert: Alert
    message: Message = field(repr=False)
    source: str = ""
    asks: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def packet(self) -> bytes:
        """The bytes that `source` reads."""
        return self.alert.payload

    @property
    def placed(self) -> bool:
        """Whether it says where the thing is."""
        return self.alert.ra is not None and self.alert.dec is not None

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """Every field of its record; read when first wanted."""
        found = [record.fields for record in records(self.message)]
        mine = [fields for fields in found if str(fields.get("objectId", self.alert.object_id)) == self.alert.object_id]
        first = (mine or found)[0]
        return {**first, **_inner(first)}


def hear(message: Message, broker: str) -> list[Heard]:
    """Return the alerts in a message; what is of no object (a circular, a test) is none. Raises Unreadable, UsageError."""
    if message.headers.get("_test") == "true":
        return []
    return [found for record in records(message) if (found := _heard(record, message, broker)) is not None]


def _heard(record: Record, message: Message, broker: str) -> Heard | None:
    fields = record.fields
    if isinstance(fields.get("candidate"), dict) and "objectId" in fields:
        return _ztf(record, message, broker)
    if isinstance(fields.get("diaSource"), dict):
        return _lsst(record, message, broker)
    return _any(record, message, broker)


def _ztf(record: Record, message: Message, broker: str) -> Heard:
    fields, own = record.fields, record.fields["candidate"]
    jd, filter_ = number(own.get("jd")), ZTF_BANDS.get(own.get("fid"))
    alert = Alert(
        broker,
        _id(fields["objectId"]),
        _id(fields.get("candid", own.get("candid"))),
        None if jd is None else jd - JD_OF_MJD + EXPOSURE_D,
        number(own.get("ra")),
        number(own.get("dec")),
        number(own.get("magpsf")),
        label(filter_, "ZTF") if filter_ else None,
        _class(fields),
        survey="ZTF",
        payload=record.packet,
    )
    return Heard(alert, message, "ztf_alerts" if record.form == "avro" else "", "", _scores(own, fields))


def _lsst(record: Record, message: Message, broker: str) -> Heard | None:
    fields, own = record.fields, record.fields["diaSource"]
    thing, moving = own.get("diaObjectId"), own.get("ssObjectId")
    if not thing and not moving:
        return None
    tai, band = number(own.get("midpointMjdTai")), said(own.get("band"))
    alert = Alert(
        broker,
        _id(thing or moving),
        _id(fields.get("diaSourceId") or own.get("diaSourceId")),
        None if tai is None else utc_of_tai(tai),
        number(own.get("ra")),
        number(own.get("dec")),
        ab_mag(_size(own.get("psfFlux"))),
        label(band, "LSST") if band else None,
        _class({**(fields.get("xm") or {}), **fields}),
        survey="LSST",
        moving=not thing,
        payload=record.packet,
    )
    return Heard(alert, message, "lsst_alerts" if record.form in {"avro", "wire"} else "", "", _scores(own, fields))


def _any(record: Record, message: Message, broker: str) -> Heard | None:
    """Return what a record of a shape that only its keys tell says, None where it has no id of an object."""
    fields = {**record.fields, **_inner(record.fields)}
    name = next((fields[key] for key in IDS if fields.get(key) not in (None, "", 0)), None)
    if name is None or isinstance(name, (dict, list)):
        return None
    places = [(number(fields.get(ra)), number(fields.get(dec))) for ra, dec in PLACES]
    ra, dec = next((place for place in places if None not in place), (None, None))
    survey = _survey(fields, str(name))
    packet = record.packet if record.form == "json" else as_payload(_plain(fields))
    alert_id = next((_id(fields[key]) for key in ALERT_IDS if fields.get(key)), None)
    names = _surveys_ids(fields)
    scores = _scores(fields)
    alert = Alert(
        broker,
        _id(name),
        alert_id,
        _mjd(fields),
        ra,
        dec,
        _mag(fields),
        None,
        _class(fields),
        scores.get("probability", scores.get("score")),
        survey=survey,
        names=names,
        payload=packet,
    )
    return Heard(alert, message, "", _more(fields, broker), scores)


def _inner(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the objects in which brokers wrap what they say of an object: ANTARES, hop, AMPEL."""
    merged: dict[str, Any] = {}
    for key in ("content", "data", "attributes", "properties", "object"):
        if isinstance(fields.get(key), dict):
            merged |= {name: value for name, value in fields[key].items() if name not in fields}
            merged |= _inner(fields[key])
    return merged


def _survey(fields: Mapping[str, Any], name: str) -> str:
    if "diaObjectId" in fields:
        return "LSST"
    return "ZTF" if name.startswith("ZTF") else ""


def _surveys_ids(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the surveys' own ids of a locus of ANTARES."""
    surveys = fields.get("survey") if isinstance(fields.get("survey"), dict) else {}
    found = [fields.get("ztf_object_id")]
    for part in ("ztf", "lsst"):
        inner = (surveys or {}).get(part) or {}
        found += [*(inner.get("id") or ()), *(inner.get("dia_object_id") or ())]
    return tuple(dict.fromkeys(str(word) for word in found if word))


def _more(fields: Mapping[str, Any], broker: str) -> str:
    """Return the source that has more of the object than a JSON record says.

    Photometry in such records is left alone: Lasair's short light curves have no ids of their measurements, and would stand beside the same ones
    from elsewhere.
    """
    if broker == "lasair":
        return "lasair_lsst" if "diaObjectId" in fields else "lasair"
    return broker if broker in {"antares", "alerce", "fink"} else ""


def _class(fields: Mapping[str, Any]) -> str | None:
    for key in CLASSES:
        value = fields.get(key)
        if isinstance(value, dict) and value and all(number(part) is not None for part in value.values()):
            return str(max(value, key=lambda part: number(value[part]) or 0.0))
        if isinstance(value, str) and (word := said(value)) and word not in NO_CLASS:
            return word
    return said(fields.get("simbad_otype")) or said(fields.get("tns_type"))


def _scores(*parts: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name in SCORES:
        values = [value for part in parts if (value := number(part.get(name))) is not None and not isinstance(part.get(name), bool)]
        if values:
            found[name] = values[0]
    return found


def _mjd(fields: Mapping[str, Any]) -> float | None:
    for key, offset in (("jdmax", JD_OF_MJD), ("jd", JD_OF_MJD), ("lastmjd", 0.0), ("mjd", 0.0), ("newest_alert_observation_time", 0.0)):
        if (value := number(fields.get(key))) is not None:
            return value - offset
    tai = number(fields.get("lastDiaSourceMjdTai"))
    if tai is not None:
        return utc_of_tai(tai)
    return mjd_of(fields.get("UTC") or fields.get("time") or fields.get("timestamp"))


def _mag(fields: Mapping[str, Any]) -> float | None:
    return next((value for key in ("mag", "magpsf", "newest_alert_magnitude") if (value := number(fields.get(key))) is not None), None)


def _id(value: Any) -> str:
    return str(value)


def _size(flux: Any) -> float | None:
    value = number(flux)
    return None if value is None else abs(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON can say it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.hex() if isinstance(value, bytes) else value
