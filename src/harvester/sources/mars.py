"""MARS: ZTF's alerts as Las Cumbres Observatory passed them on until 2023; what was saved of it can be imported.

release: switched off in March 2023; a saved answer holds a page of alerts, or one
manual: https://tom-toolkit.readthedocs.io/en/stable/
time: JD in UTC, start of the exposure of 30 s, which starts at a whole second
magnitude: AB; difference from a reference image, total where the reference's source is the object; error of a total: the difference's alone
quality: suspect below rb 0.65 (drb 0.5), beyond cuts on nbad, fwhm, elong, magdiff, if negative, or a total amid differences
missing: null; a previous candidate without a magnitude is a limit (5 sigma)
cite: 2019PASP..131a8003M 2019PASP..131a8001P
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from harvester.alert_photometry import JD_OF_MJD, ZTF_TIME, answered, records, ztf_alerts
from harvester.errors import Malformed, Unreachable
from harvester.payload import Payload
from harvester.source import Http, Query, Source

DETECTED = ("object_id", "mjd", "fid", "candid", "isdiffpos", "magpsf", "sigmapsf")
LIMITED = ("object_id", "mjd", "fid", "diffmaglim")


class Mars(Source):
    survey, limits = "ZTF", "5 sigma"
    base_url = "https://mars.lco.global/"
    time_system = ZTF_TIME
    cadence = None
    retired = "alerce, fink, lasair or antares, which serve the same alerts; saved files: harvest import --format mars"
    cite = ("2019PASP..131a8003M", "2019PASP..131a8001P")
    acknowledgement = "This work has made use of MARS, the ZTF alerts broker of Las Cumbres Observatory."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        raise Unreachable("mars: the service was switched off in March 2023.", hint=f"Use {self.retired}.")

    def normalise(self, payload: Payload) -> pa.Table:
        try:
            alerts = [packet(alert, alert["candidate"]) | {"candid": alert["candid"]} for alert in listed(payload)]
            before = [packet(alert, one.get("candidate", one)) for alert in listed(payload) for one in alert.get("prv_candidate") or []]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed("mars: an alert that is not as it was documented.", repr(error)[:150], payload=payload) from error
        own = {moment(alert) for alert in alerts}
        others = {moment(one): one for one in before if moment(one) not in own}.values()  # alerts repeat what came before them
        seen = [dict.fromkeys(DETECTED) | one for one in others if one.get("magpsf") is not None]
        limits = [one for one in others if one.get("magpsf") is None]
        unique = list({str(alert["candid"]): alert for alert in alerts}.values())
        found = ztf_alerts(records(payload, unique, *DETECTED), records(payload, limits, *LIMITED))
        nameless = ztf_alerts(records(payload, seen, *DETECTED))  # without candid and sign: for quarantine
        return pa.concat_tables([found, nameless], promote_options="default")


def listed(payload: Payload) -> list[dict[str, Any]]:
    """The alerts of a page, or the one that was asked for; none of an empty body."""
    said = answered(payload)
    page = said.get("results", [said]) if isinstance(said, dict) else said
    return page or []


def packet(alert: dict[str, Any], candidate: dict[str, Any]) -> dict[str, Any]:
    """A candidate in the words of ZTF's packets; days since JD 0 and those of MJD differ by a number that floats hold exactly."""
    return candidate | {"object_id": alert["objectId"], "mjd": float(candidate["jd"]) - JD_OF_MJD}


def moment(one: dict[str, Any]) -> tuple[str, int, str]:
    return one["object_id"], round(one["mjd"] * 86400), str(one["fid"])
