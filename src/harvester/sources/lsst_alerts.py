"""Alert packets of the Rubin Observatory's LSST, from files and from streams of brokers that pass them on as they are.

release: since February 2026; schemas 7 to 11
manual: https://dmtn-093.lsst.io https://github.com/lsst/alert_packet
time: MJD in TAI, middle of the visit
magnitude: AB from fluxes in nJy; the total on the science image where it is given, else the difference
quality: bad what was withdrawn; suspect a difference among totals, and what a flag of its pixels or its shape doubts
missing: null or NaN; an id of 0 is none
cite: 2019ApJ...873..111I

A measurement that was withdrawn is bad (quality 2), not gone. Forced photometry measures the visits of the detections once more: it is apart, as
survey LSST_FP.
"""

from collections.abc import Iterator

import pyarrow as pa

from harvester.alert_photometry import ALSO, LSST_TIME
from harvester.errors import Malformed, Unreachable
from harvester.packets import lsst_rows
from harvester.payload import Payload
from harvester.source import Http, Query, Source

HOW = "Its packets come by file (harvest import) or by stream (harvest alerts listen)."


class LsstAlerts(Source):
    survey = "LSST"
    base_url = "https://rubin-alert-schemas.slac.stanford.edu/"
    time_system, also_serves = LSST_TIME, {"LSST_FP": ALSO["LSST_FP"]}
    radius, cadence = 1.0, None
    takes = frozenset()
    serves_alerts = True
    cite = ("2019ApJ...873..111I",)
    acknowledgement = "Based on alerts of the NSF-DOE Vera C. Rubin Observatory."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        raise Unreachable("lsst_alerts: alert packets cannot be asked for by target.", hint=HOW)

    def normalise(self, payload: Payload) -> pa.Table:
        bodies = [payload.body] if payload.body.strip() else []
        rows, refused = lsst_rows(bodies)
        if refused and not rows.num_rows:
            raise Malformed(f"{payload.source or 'lsst_alerts'}: expected an alert packet, but {refused[0][1]}.", payload=payload)
        return rows.drop_columns(["payload"])
