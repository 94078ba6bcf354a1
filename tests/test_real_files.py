"""Every real file of the services that we harvest: read to the last good row, or left for a reason that is written here."""

from contextlib import suppress
from fnmatch import fnmatch

import pytest
from conftest import FIXTURES, needs_recordings

from harvester.delivery import deliver
from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject
from harvester.source import load

pytestmark = needs_recordings

ALERCE = "https://api.alerce.online"
LIGHT_CURVE, DETECTIONS = (f"{ALERCE}/ztf/v1/objects/ZTF18abcgqmz/{kind}?survey_id=ztf" for kind in ("lightcurve", "detections"))
FORCED = f"{ALERCE}/v2/lightcurve/forced-photometry/ZTF18aaueixg?survey_id=ztf"
TAKEN = {
    # file: source, where it came from, rows, rows in quarantine
    "aavso/api_delim_at3_SS_CYG_1row_excerpt.txt": ("aavso", "", 1, 0),
    "aavso/bhtom2_api_delim_2rows.txt": ("aavso", "", 2, 0),
    "aavso/bhtom2_api_delim_4rows_VI.txt": ("aavso", "", 4, 0),
    "alerce/bhtom2_lightcurve_2det_1nondet.json": ("alerce", LIGHT_CURVE, 3, 0),
    "alerce/bhtom2_lightcurve_nones.json": ("alerce", LIGHT_CURVE, 2, 0),
    "alerce/tom_base_lightcurve_1det_1nondet.json": ("alerce", LIGHT_CURVE, 2, 0),
    "alerce/ztf_v1_detections_ZTF18abcgqmz.json": ("alerce", DETECTIONS, 2, 0),
    "alerce/ztf_v1_detections_ZTF26abxsxww_uncorrected.json": ("alerce", DETECTIONS, 1, 0),
    "alerce/v2_forced_photometry_ZTF18aaueixg.json": ("alerce", FORCED, 15, 0),
    "alerce/v2_forced_photometry_mongo.json": ("alerce", FORCED, 8, 0),
    "alerce/lsst_detections_170587116732416143.json": ("alerce", "", 3, 0),
    "asassn/skypatrol_v1_light_curve_5740d76a.csv": ("asassn", "", 982, 0),
    "asassn/skypatrol_v2_client_save_vxmen.csv": ("asassn", "", 1065, 0),
    "atlas/job01088.txt": ("atlas", "", 147, 0),
    "atlas/tom_base_test_atlas_fp.csv": ("atlas", "", 32, 0),
    "cpcs/bhtom2_get_alert_lc_data.json": ("cpcs", "", 3, 0),
    "fink/lsst_tags_extragalactic_new_candidate.json": ("fink", "", 4, 0),
    "fink/ztf_latests_SN_candidate.json": ("fink", "", 4, 0),
    "gaia_alerts/bhtom2_lightcurve_untrusted_nan.csv": ("gaia_alerts", "", 1, 2),  # one line comes twice
    "gaia_alerts/mop_Gaia23dau_lightcurve.csv": ("gaia_alerts", "", 109, 19),
    "gaia_alerts/mop_Gaia23dka_lightcurve.csv": ("gaia_alerts", "", 11, 0),
    "gaia_dr3/dr2_epoch_photometry_5813181197970338560.vot.xml": ("gaia_dr2", "", 251, 0),
    "gaia_dr3/dr3_epoch_individual_csv_2rows_excerpt.csv": ("gaia_dr3", "", 4, 0),
    "gaia_dr3/dr3_epoch_photometry_individual_1457486023639239296.vot": ("gaia_dr3", "", 193, 0),
    "tns/object_1999gy_old_reply_layer.json": ("tns", "", 1, 0),
    "ztf_dr/irsa_csv_dr24_2237987199365376_excerpt.csv": ("ztf_dr", "", 33, 0),
    "ztf_dr/nph_light_curves_two_objects.vot.xml": ("ztf_dr", "", 297, 0),
    "ztf_forced/forcedphotometry_req00048975_lc.txt": ("ztf_forced", "", 767, 0),
    "ztf_forced/forcedphotometry_req00048976_lc.txt": ("ztf_forced", "", 672, 0),
    "ztf_forced/forcedphotometry_req00100242_lc.txt": ("ztf_forced", "", 1968, 0),
}
EMPTY = {"mop_Gaia23dau_lightcurve.csv": "neither magnitude nor flux", "bhtom2_lightcurve_untrusted_nan.csv": "neither magnitude nor flux"}
"""Why rows are in quarantine: lines that say null, NaN or untrusted are no good rows."""
LEFT = {
    "a list of objects, or what is known of one: it holds no photometry": [
        "aavso/vstar_api_object*", "alerce/*objects*", "alerce/*_object_*", "alerce/tom_base_classifiers.json", "asassn/variables_db*",
        "gaia_alerts/bhtom2_alerts*", "gaia_alerts/*.html", "fink/ztf_conesearch*", "fink/lsst_s*", "lasair/lsst_*sherlock*",
        "lasair/lsst_object_*", "antares/v1_loci*", "antares/skyportal_antares_lsst_locus.json", "gaia_dr3/aq_*", "gaia_dr3/astropy_*",
    ],
    "a table of words, or a schema": ["fink/*types.csv", "fink/colnames*", "fink/*schema*", "ztf_forced/zp_thresholds*"],
    "what a service says when it takes a job or refuses a question": [
        "atlas/queue_post*", "ztf_forced/request*", "fink/lsst_tags_invalid*", "fink/lsst_tags_livestream*",
    ],
    "several answers in one file, or lines printed from them; test_real_brokers and test_real_lasair read their parts": [
        "*/skyportal_cassette_*", "lasair/*printed*", "lasair/*.md", "lasair/skyportal_lasair_lsst*",
    ],
    "alerts as they are sent, for the alerts' sources": [
        "fink/*.avro*", "fink/*.parquet", "lasair/*alert*", "lasair/lsst_dp02*", "lasair/lsst_schema*", "alerce/pipeline_prv*",
    ],
    "a product that another program made: columns taken out of an answer, or joined to it": [
        "aavso/vstar_*", "aavso/webobs*", "alerce/*detections.csv", "atlas/*stacked*", "lasair/tom_base_object*", "tns/*ampel*", "tns/*.parquet",
        "ztf_dr/*.fits", "gaia_dr3/gavo*",
    ],
}  # fmt: skip
FOLDERS = sorted({name.partition("/")[0] for name in TAKEN} | {"antares", "lasair"})
FILES = sorted(f"{folder}/{path.name}" for folder in FOLDERS for path in (FIXTURES / folder).glob("*") if path.name != "PROVENANCE.md")
OWNERS = {"gaia_dr3": ("gaia_dr2", "gaia_dr3", "gaia_dr4"), "lasair": ("lasair", "lasair_lsst")}


def payload_of(name, source, url=""):
    asked = (SkyObject("Gaia21een", 10.0, 20.0),) if source == "gaia_alerts" and "untrusted" in name else ()
    return Payload((FIXTURES / name).read_bytes(), url, source=source, objects=asked)


def test_every_file_is_taken_or_left_for_one_reason():
    why = {name: [reason for reason, globs in LEFT.items() if any(fnmatch(name, glob) for glob in globs)] for name in FILES}
    assert {name: reasons for name, reasons in why.items() if not (reasons or name in TAKEN)} == {}
    assert TAKEN.keys() <= set(FILES)


@pytest.mark.parametrize("name", TAKEN)
def test_every_good_row_of_a_real_answer_is_read(name):
    source, url, rows, refused = TAKEN[name]
    found = deliver(load(source), [payload_of(name, source, url)])
    assert (found.rows.num_rows, found.rejected.num_rows) == (rows, refused)
    assert set(found.rejected["reason"].to_pylist()) <= {EMPTY.get(name.partition("/")[2])}


@pytest.mark.parametrize("name", [name for name in FILES if name not in TAKEN])
def test_what_is_no_photometry_is_malformed_and_kept_and_never_an_accident(name):
    folder = name.partition("/")[0]
    for source in OWNERS.get(folder, (folder,)):
        payload = payload_of(name, source)
        with pytest.raises(Malformed):
            deliver(load(source), [payload])


@pytest.mark.parametrize("part", [0.37, 0.81, 0.99, 0.9995])
@pytest.mark.parametrize("name", TAKEN)
def test_a_real_answer_that_was_cut_has_no_row_that_the_whole_has_not(name, part):
    source, url, *_ = TAKEN[name]
    payload = payload_of(name, source, url)
    whole = {str(row) for row in deliver(load(source), [payload]).rows.drop_columns(["payload"]).to_pylist()}
    with suppress(Malformed):
        found = deliver(load(source), [payload.about(body=payload.body[: int(len(payload.body) * part)])])
        assert [row for row in found.rows.drop_columns(["payload"]).to_pylist() if str(row) not in whole] == []
