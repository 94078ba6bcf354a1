"""Alert photometry of ZTF and of LSST, as every broker hands it on: one measurement becomes the same row, whatever the road.

Brokers rename and drop fields of the alert packets. A source brings them back to the packets' own names, as text (`records`), and what is
here makes rows of them. A column that a road does not have is left out. Units are the packets': magnitudes in AB, fluxes of LSST in nJy,
`distnr` in pixels of 1.01 arcsec.

A packet of ZTF holds the magnitude of the difference from a reference image, and the reference's own magnitude. The total is made where the
reference's source is the object (nearer than MATCH_PX); elsewhere the row keeps the signed difference. LSST measures the total as well, at the
object's place, which for a supernova holds light of its host. The first of a row's flags says which it is: "total" or "difference".
"""

from harvester.alert_photometry.lsst import lsst
from harvester.alert_photometry.records import answered, records
from harvester.alert_photometry.references import with_references
from harvester.alert_photometry.things import around, each_survey, things
from harvester.alert_photometry.ztf import ztf_alerts, ztf_forced, ztf_total
from harvester.times import TimeSystem

__all__ = [
    "ALSO",
    "JD_OF_MJD",
    "LSST_TIME",
    "ZTF_TIME",
    "answered",
    "around",
    "each_survey",
    "lsst",
    "records",
    "things",
    "with_references",
    "ztf_alerts",
    "ztf_forced",
    "ztf_total",
]

ZTF_TIME = TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start", sigma_s=0.5)
LSST_TIME = TimeSystem("mjd", "tai", "observatory", site="Rubin", sigma_s=0.5)
ALSO = {"ZTF_FP": ZTF_TIME, "LSST": LSST_TIME, "LSST_FP": LSST_TIME}
"""What a broker serves besides ZTF: forced photometry is apart from alerts, for it measures the same exposures once more."""
JD_OF_MJD = 2_400_000.5
