"""ZTF's own alert packets, from nightly archives and from streams of brokers that pass them on as they are.

release: every night since June 2018, schemas up to 4.02; forced photometry with them since October 2023
manual: https://github.com/ZwickyTransientFacility/ztf-avro-alert
time: JD in UTC, start of the exposure of 30 s, which starts at a whole second
magnitude: AB; difference from a reference image, total where the reference's source is the object
quality: suspect below rb 0.65 (drb 0.5), beyond cuts on nbad, fwhm, elong, magdiff, if negative, or a total amid differences
missing: null, -999, -99999; a previous candidate without a magnitude is a limit (5 sigma)
cite: 2019PASP..131a8003M 2019PASP..131a8001P

A packet tells its object's last 30 days again, rounded: these rows have the word history among their flags, and never replace what is stored.
"""

from collections.abc import Iterator

import pyarrow as pa

from harvester.alert_photometry import ALSO, ZTF_TIME
from harvester.errors import Malformed, Unreachable
from harvester.packets import ztf_rows
from harvester.payload import Payload
from harvester.source import Http, Query, Source

HOW = "Its packets come by night (harvest alerts archive ingest) or by stream (harvest alerts listen)."


class ZtfAlerts(Source):
    survey = "ZTF"
    base_url = "https://ztf.uw.edu/alerts/public/"
    time_system, also_serves = ZTF_TIME, {"ZTF_FP": ALSO["ZTF_FP"]}
    radius, cadence, scatter = 1.5, None, 1.5
    takes = frozenset()
    serves_alerts = True
    cite = ("2019PASP..131a8003M", "2019PASP..131a8001P")
    acknowledgement = "Based on alerts of the Zwicky Transient Facility, distributed by the University of Washington."

    def fetch(self, query: Query, http: Http) -> Iterator[Payload]:
        raise Unreachable("ztf_alerts: alert packets cannot be asked for by target.", hint=HOW)

    def normalise(self, payload: Payload) -> pa.Table:
        bodies = [payload.body] if payload.body.strip() else []
        rows, refused = ztf_rows(bodies)
        if refused and not rows.num_rows:
            raise Malformed(f"{payload.source or 'ztf_alerts'}: expected an alert packet, but {refused[0][1]}.", payload=payload)
        return rows.drop_columns(["payload"])
