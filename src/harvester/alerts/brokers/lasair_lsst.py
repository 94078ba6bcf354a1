"""Lasair (LSST): objects of Rubin's alerts, each as of its latest alert, with Sherlock's class; needs the token of a free account, its own.

manual: https://lasair.lsst.ac.uk/api
class: Sherlock's, as of lasair
window: of an object's latest alert; one that has had an alert since --until is not listed
time: MJD in TAI, middle of the visit
magnitude: AB, of the size of the difference in the band seen last
cite: 2019RNAAS...3...26S 2019ApJ...873..111I
"""

from __future__ import annotations

from typing import Any

from harvester.alerts.broker import MODES, Alert, Credential
from harvester.alerts.brokers.lasair import Lasair
from harvester.alerts.reading import ab_mag, as_payload, number, said, tai_of_utc, utc_of_tai

BANDS = "ugrizy"


class LasairLsst(Lasair):
    """Objects of LSST, the one with the latest alert first."""

    name, base_url, page = "lasair_lsst", "https://api.lasair.lsst.ac.uk/api/", "https://lasair.lsst.ac.uk/objects/{}/"
    surveys, takes = ("lsst",), frozenset(MODES) - {"ssobject"}
    credentials = (Credential("Token {token}", "Make a free account at https://lasair.lsst.ac.uk: it shows the token.", "Authorization"),)
    ids, example = r"\d{1,19}", "313637921267122191"
    columns: tuple[str, ...] = (
        *("diaObjectId", "ra", "decl", "lastDiaSourceMjdTai", "nDiaSources", "tns_name"),
        *(f"{band}_{word}" for band in BANDS for word in ("psfFlux", "latestMJD")),
    )

    def literal(self, name: str) -> str:
        """Return an id as conditions have it: as text it would be compared as a float, which cannot hold it."""
        return str(int(name))

    def epoch(self, mjd: float) -> float:
        """Return an MJD (UTC) as the table has it."""
        return tai_of_utc(mjd)

    def alert(self, row: dict[str, Any]) -> Alert:
        """Return a row as an alert."""
        name, in_tns = str(row["diaObjectId"]), said(row.get("tns_name"))
        epochs = {band: number(row.get(f"{band}_latestMJD")) or 0.0 for band in BANDS}
        band = max(epochs, key=lambda one: epochs[one])
        mag = ab_mag(row.get(f"{band}_psfFlux")) if epochs[band] else None
        return Alert(
            self.name, name, None, utc_of_tai(float(row["lastDiaSourceMjdTai"])), number(row.get("ra")), number(row.get("decl")), mag,
            None if mag is None else f"{band}(LSST)", said(row.get("classification")), url=self.page.format(name), survey="LSST",
            names=(in_tns,) if in_tns else (), payload=as_payload(row),
        )  # fmt: skip
