"""The sources against numbers that others found: golden values of real recordings, and of the dossiers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import needs_recordings

from harvester.delivery import deliver, with_bjd_tdb
from harvester.errors import Malformed, Unreachable
from harvester.payload import Payload, SkyObject
from harvester.source import Query, load
from harvester.target import Target

ANYWHERE = Target("anywhere", 210.0, 30.0)
CONTROL_HEADER = b"oid,expid,hjd,mjd,mag,magerr,catflags,filtercode,ra,dec,exptime\n"
TAP_HEADER = b"source_id,ra,dec,ref_epoch,pmra,pmdec,has_epoch_photometry\n"


def light_curve(name, body, target=ANYWHERE):
    source = load(name)
    return with_bjd_tdb(deliver(source, [Payload(body, source=name)]).rows, target, source.systems())


def of(rows, filter_, quality=None):
    rows = rows.filter(pc.equal(rows["filter"], filter_))
    return rows if quality is None else rows.filter(pc.equal(rows["quality"], quality))


class Scripted:
    """A service that gives prepared answers in order, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def get(self, path, **params):
        return self._answer("GET", path, params)

    once = get

    def post(self, path, *, data=None, **params):
        return self._answer("POST", path, dict(data or {}) | params)

    def wait(self, seconds):
        raise AssertionError("nothing here waits")

    def _answer(self, method, path, params):
        self.asked.append((method, path, params))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Payload(answer, source="scripted")


@needs_recordings
def test_gaia_dr3_real_recording_has_its_golden_values(recorded):
    rows = light_curve("gaia_dr3", recorded("gaia_dr3/dr3_epoch_photometry_individual_1457486023639239296.vot"))
    assert pc.count_distinct(rows["observation_id"]).as_py() == 65 + 64 + 64
    golden = {"G": (65, 60, 11.9088), "BP": (64, 62, 12.7227), "RP": (64, 59, 11.0260)}
    for band, (served, good, middle) in golden.items():
        assert of(rows, f"{band}(GAIA_DR3)").num_rows == served
        kept = of(rows, f"{band}(GAIA_DR3)", quality=0)
        assert kept.num_rows == good
        assert np.median(kept["mag"].to_numpy()) == pytest.approx(middle, abs=5e-5)
    first = of(rows, "G(GAIA_DR3)").slice(0, 1).to_pylist()[0]
    assert first["bjd_tdb"] == pytest.approx(2456890.75729306, abs=5e-9)
    assert first["mag_err"] == pytest.approx(0.00085192, abs=5e-9)
    assert first["object_id"] == "1457486023639239296"


@needs_recordings
def test_gaia_flags_in_the_bits_alone_reject_a_band(recorded):
    rows = light_curve("gaia_dr3", recorded("gaia_dr3/dr3_epoch_photometry_individual_1457486023639239296.vot"))
    outlier = of(rows, "RP(GAIA_DR3)").filter(pc.less(pc.abs(pc.subtract(of(rows, "RP(GAIA_DR3)")["mag"], 11.0525)), 5e-5))
    assert outlier["quality"].to_pylist() == [2]


@needs_recordings
def test_gaia_one_row_per_band_is_told_by_its_header(recorded):
    rows = light_curve("gaia_dr3", recorded("gaia_dr3/dr2_epoch_photometry_5813181197970338560.vot.xml"))
    assert [of(rows, f"{band}(GAIA_DR3)").num_rows for band in ("G", "BP", "RP")] == [85, 83, 83]
    assert set(rows["object_id"].to_pylist()) == {"5813181197970338560"}


@needs_recordings
def test_gaia_real_csv_has_three_times_per_transit_and_no_invented_bands(recorded):
    rows = light_curve("gaia_dr3", recorded("gaia_dr3/dr3_epoch_individual_csv_2rows_excerpt.csv"))
    assert [of(rows, f"{band}(GAIA_DR3)").num_rows for band in ("G", "BP", "RP")] == [2, 1, 1]
    assert len(set(rows["bjd_tdb"].to_pylist())) == 4


@needs_recordings
def test_ztf_real_votable_of_two_objects_has_its_golden_values(recorded):
    rows = light_curve("ztf_dr", recorded("ztf_dr/nph_light_curves_two_objects.vot.xml"))
    assert rows.num_rows == 297
    assert of(rows, "g(ZTF_DR)", quality=2).num_rows == 17
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(rows["object_id"]).to_pylist()}
    assert counts == {"686103400034440": 147, "686103400106565": 150}


@needs_recordings
def test_ztf_real_csv_with_hexadecimal_words_is_read(recorded):
    rows = light_curve("ztf_dr", recorded("ztf_dr/irsa_csv_dr24_2237987199365376_excerpt.csv"), Target("x", 44.859053, 4.493684))
    assert {name: of(rows, f"{name}(ZTF_DR)").num_rows for name in "gri"} == {"g": 13, "r": 13, "i": 7}
    assert of(rows, "g(ZTF_DR)", quality=2).num_rows == 4
    assert rows["mag"][0].as_py() == 19.522747


def test_ztf_time_is_the_middle_of_the_exposure():
    body = CONTROL_HEADER + b"1,2,2458204.9255046411,58204.4210532,17.0,0.02,0x0,zr,226.1041029,10.494273,30\n"
    rows = light_curve("ztf_dr", body, Target("golden T001", 226.1041029, 10.494273))
    assert (rows["bjd_tdb"][0].as_py() - 2458204.926278304056) * 86400 == pytest.approx(0, abs=1e-4)


def test_gaia_negative_flux_is_data_without_a_magnitude():
    body = (TAP_HEADER.replace(b"source_id", b"transit_id") and b"source_id,transit_id,band,time,mag,flux,flux_error,rejected_by_photometry,"
            b"rejected_by_variability,other_flags\n5,6,G,1700.5,,-100.0,10.0,false,false,0\n")  # fmt: skip
    row = light_curve("gaia_dr3", body).to_pylist()[0]
    assert row["mag"] is None
    assert row["mag_err"] is None
    assert row["flux"] == pytest.approx(-100.0 * 3269.858e6 * 10 ** (-0.4 * 25.6873668671))


def test_gaia_asks_for_the_place_in_2016_and_for_one_release_by_name():
    star = Target("Barnard's star", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
    http = Scripted(TAP_HEADER + b"4472832130942575872,269.44850252543836,4.739420051112412,2016.0,-801.551,10362.394,true\n", b"")
    list(load("gaia_dr3").fetch(Query((star,), 1.5), http))
    (_, _, tap), (_, path, form) = http.asked
    assert "CIRCLE('ICRS',269.44850" in tap["QUERY"]
    assert ",4.7394" in tap["QUERY"]
    assert "gaiadr3.gaia_source" in tap["QUERY"]
    assert path == "data-server/data"
    assert form["RELEASE"] == "Gaia DR3"
    assert form["DATA_STRUCTURE"] == "INDIVIDUAL"
    assert form["ID"] == "4472832130942575872"


def test_gaia_does_not_ask_for_what_the_archive_says_it_lacks():
    http = Scripted(TAP_HEADER + b"77,10.0,20.0,2016.0,,,false\n")
    (payload,) = load("gaia_dr3").fetch(Query((Target("x", 10.0, 20.0),), 1.5), http)
    assert payload.role == "objects"
    assert [thing.object_id for thing in payload.objects] == ["77"]


NO_MEMBERS = b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize("nothing", [b"", NO_MEMBERS, b"source_id,transit_id,g_transit_time\n"])
def test_an_answer_without_the_photometry_that_the_archive_lists_is_suspicious(nothing):
    target, source = Target("x", 10.0, 20.0), load("gaia_dr3")
    query = Query((target,), 1.5)
    listed = list(source.fetch(query, Scripted(TAP_HEADER + b"77,10.0,20.0,2016.0,,,true\n", nothing)))
    header = nothing.startswith(b"source") and nothing.replace(
        b"g_transit_time", b"band,time,flux,flux_error,mag,rejected_by_photometry,rejected_by_variability,other_flags"
    )
    listed[1] = listed[1].about(body=header or nothing)
    assert "lists photometry" in deliver(source, listed).share(target, 1.5, windowed=False).lost
    other = Target("nothing is there", 200.0, 20.0)
    assert not deliver(source, listed).share(other, 1.5, windowed=False).lost


def test_gaia_sending_nothing_at_all_for_a_query_is_malformed():
    with pytest.raises(Malformed, match="nothing at all"):
        list(load("gaia_dr3").fetch(Query((ANYWHERE,), 1.5), Scripted(b"")))


def test_gaia_tries_the_new_word_when_the_archive_refuses_the_old_one():
    refusal = Unreachable("HTTP 500", "Invalid Data Structure parameter: 'INDIVIDUAL', valid ones are: RAW, DATAMODEL_STANDARD")
    http = Scripted(TAP_HEADER + b"77,10.0,20.0,2016.0,,,true\n", refusal, b"PK")
    list(load("gaia_dr3").fetch(Query((Target("x", 10.0, 20.0),), 1.5), http))
    assert [form.get("DATA_STRUCTURE") for _, _, form in http.asked[1:]] == ["INDIVIDUAL", "DATAMODEL_STANDARD"]


def test_gaia_asks_for_ids_in_batches_of_5000():
    rows = b"".join(b"%d,10.0,20.0,2016.0,,,true\n" % (10**18 + number) for number in range(1999))
    http = Scripted(TAP_HEADER + rows, b"")
    source = load("gaia_dr3")
    source_module = __import__("harvester.gaia_archive", fromlist=["MOST_IDS"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "MOST_IDS", 1000)
        http.answers.append(b"")
        list(source.fetch(Query((Target("x", 10.0, 20.0),), 1.5), http))
    assert [len(form["ID"].split(",")) for _, _, form in http.asked[1:]] == [1000, 999]


def test_gaia_refuses_a_cut_list_of_sources_and_an_unknown_layout():
    rows = b"".join(b"%d,10.0,20.0,2016.0,,,true\n" % number for number in range(2000))
    with pytest.raises(Malformed, match="2000"):
        list(load("gaia_dr3").fetch(Query((Target("x", 10.0, 20.0),), 900), Scripted(TAP_HEADER + rows)))
    with pytest.raises(Malformed, match="layout"):
        light_curve("gaia_dr3", b"source_id,transit_id,g_obs_time,g_flux\n1,2,3,4\n")


def test_ztf_centres_on_the_middle_of_the_survey_and_widens_by_proper_motion():
    star = Target("Barnard's star", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
    http = Scripted(CONTROL_HEADER + b"1,2,2458204.9,58204.4,17.0,0.02,0,zr,269.4,4.7,30\n")
    list(load("ztf_dr").fetch(Query((star,), 1.5), http))
    words = http.asked[0][2]["POS"].split()
    assert words[0] == "CIRCLE"
    assert float(words[2]) == pytest.approx(4.693365 + 21.85 * 10.362394 / 3600, abs=1e-5)
    assert float(words[3]) * 3600 == pytest.approx(1.5 + 3.75 * 10.393, abs=0.02)
    assert http.asked[0][2]["COLLECTION"].startswith("ztf_dr")


@pytest.mark.parametrize("nothing", [CONTROL_HEADER, b"", b"No rows returned.\n"])
def test_ztf_empty_answer_is_believed_only_if_the_control_object_answers(nothing):
    query = Query((Target("x", 10.0, 20.0),), 1.5)
    (believed,) = load("ztf_dr").fetch(query, Scripted(nothing, CONTROL_HEADER + b"1,2,2458204.9,58204.4,17.0,0.02,0,zr,44.8,4.5,30\n"))
    assert not believed.doubt
    for control in (nothing, b"<html>Down</html>", CONTROL_HEADER[:40]):
        (doubted,) = load("ztf_dr").fetch(query, Scripted(nothing, control))
        assert "failing" in doubted.doubt


def test_ztf_header_that_was_cut_is_malformed_and_not_empty():
    with pytest.raises(Malformed, match=r"not a clean CSV|columns missing"):
        list(load("ztf_dr").fetch(Query((ANYWHERE,), 1.5), Scripted(CONTROL_HEADER[:40])))


@pytest.mark.parametrize("flag", [b"", b"null", b"junk"])
def test_flags_that_nobody_can_read_make_a_point_suspect(flag):
    ztf = CONTROL_HEADER + b"1,2,2458204.9,58204.4,17.0,0.02," + flag + b",zr,10.0,20.0,30\n"
    assert light_curve("ztf_dr", ztf)["quality"].to_pylist() == [1]
    head = b"source_id,transit_id,band,time,mag,flux,flux_error,rejected_by_photometry,rejected_by_variability,other_flags\n"
    assert light_curve("gaia_dr3", head + b"5,6,G,1700.5,15,10.0,1.0,false,false," + flag + b"\n")["quality"].to_pylist() == [1]
    assert light_curve("gaia_dr3", head + b"5,6,G,1700.5,15,10.0,1.0,false,true," + flag + b"\n")["quality"].to_pylist() == [2]


def test_rows_of_a_thing_that_was_not_asked_for_are_kept_apart():
    source = load("gaia_dr3")
    head = b"source_id,transit_id,band,time,mag,flux,flux_error,rejected_by_photometry,rejected_by_variability,other_flags\n"
    body = head + b" 70 ,6,G,1700.5,15,10.0,1.0,false,false,0\n71,7,G,1700.5,15,10.0,1.0,false,false,0\n,8,,1700.5,15,1,1,false,false,0\n"
    delivery = deliver(source, [Payload(body, objects=(SkyObject("70", 10.0, 20.0),))])
    assert delivery.rows["object_id"].to_pylist() == ["70"]
    assert set(delivery.rejected["reason"].to_pylist()) == {"of a thing that was not asked for", "unknown passband"}


def test_ztf_does_not_probe_where_it_cannot_see():
    http = Scripted(CONTROL_HEADER)
    (payload,) = load("ztf_dr").fetch(Query((Target("south", 10.0, -60.0),), 1.5), http)
    assert not payload.doubt
    assert len(http.asked) == 1


def test_ztf_asks_only_for_the_window_wanted():
    http = Scripted(CONTROL_HEADER + b"1,2,2458204.9,58204.4,17.0,0.02,0,zr,10.0,20.0,30\n")
    list(load("ztf_dr").fetch(Query((Target("x", 10.0, 20.0),), 1.5, since=59000.5), http))
    assert http.asked[0][2]["TIME"] == "59000.5 Inf"


def test_ids_of_64_bits_keep_every_digit():
    body = CONTROL_HEADER + b"9223372036854775807,9223372036854775806,2458204.9,58204.4,17.0,0.02,0,zr,10.0,20.0,30\n"
    assert light_curve("ztf_dr", body)["object_id"].to_pylist() == ["9223372036854775807"]
    assert pa.types.is_string(light_curve("ztf_dr", body)["object_id"].type)
