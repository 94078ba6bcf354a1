"""Gaia DR2 and DR4: what is asked, what is believed of the answers, and the way from the simulated archive into the store."""

import io
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from test_sources import Scripted, light_curve, of

from harvester.cli.options import App
from harvester.delivery import deliver
from harvester.emulator import gaia_releases, gaia_transits
from harvester.emulator.app import Emulator
from harvester.emulator.gaia_releases import DR2, DR4, DR4_DAY
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky
from harvester.errors import Malformed, NotYetPublic
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

MS = 1e-3 / 86400
SKY = Sky()
RR_LYR, BARNARD = SKY.named("RR Lyr")[0], SKY.named("Barnard's star")[0]
DR2_HEADER = b"source_id,ra,dec,ref_epoch,pmra,pmdec,phot_variable_flag\n"
DR4_HEADER = b"source_id,ra,dec,ref_epoch,pmra,pmdec\n"
COUNTERPARTS = b"dr2_source_id,dr3_source_id\n"
PLACE = Target("x", 10.0, 20.0)
KNOWN = Target("known in DR3", 10.0, 20.0, ids={"GAIA_DR3": ("300",)})
REFUSED = Malformed("gaia_dr4 did not accept the request (HTTP 400).", "no such table: gaiadr4.gaia_source")
FIELDS = "transit_id g_obs_time g_flux g_flux_error g_mag bp_obs_time bp_flux bp_flux_error bp_mag rp_obs_time rp_flux rp_flux_error rp_mag"
VALUES = (1, 1904.25, 1e4, 20.0, 16.5, 1904.2503, 5e3, 50.0, 16.9, 1904.2504, 4e3, 40.0, 15.9)
CLOCK = '<TIMESYS ID="time_frame" refposition="BARYCENTER" timeorigin="2455197.5" timescale="TCB"/>'


class Day:
    """A clock that stands still."""

    def __init__(self, seconds):
        self.seconds = seconds

    def time(self):
        return self.seconds

    def sleep(self, seconds, /):
        raise AssertionError("nothing here waits")


def votable(*, clock=CLOCK, fields=FIELDS, values=VALUES):
    """Return an answer of DR4 with one transit."""
    kind = {"transit_id": "long"}
    columns = "".join(f'<FIELD name="{name}" datatype="{kind.get(name, "double")}"/>' for name in fields.split())
    cells = "".join(f"<TD>{value}</TD>" for value in values)
    table = f'<PARAM name="source_id" datatype="long" value="77"/>{columns}<DATA><TABLEDATA><TR>{cells}</TR></TABLEDATA></DATA>'
    head = '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    return f'{head}<RESOURCE type="results">{clock}<TABLE>{table}</TABLE></RESOURCE></VOTABLE>'.encode()


def test_dr2_is_asked_for_its_own_epoch_release_and_ids():
    star = Target("Barnard's star", 269.452077, 4.693365, pmra=-801.551, pmdec=10362.394)
    http = Scripted(DR2_HEADER + b"4472832130942575872,269.4486,4.738,2015.5,-802.8,10362.5,VARIABLE\n", b"")
    list(load("gaia_dr2").fetch(Query((star,), 1.5), http))
    (_, _, tap), (_, path, form) = http.asked
    assert f"CIRCLE('ICRS',{star.at(2015.5)[0]:.8f},{star.at(2015.5)[1]:.8f}" in tap["QUERY"]
    assert "gaiadr2.gaia_source" in tap["QUERY"]
    assert path == "data-server/data"
    assert (form["RELEASE"], form["DATA_STRUCTURE"], form["ID"]) == ("Gaia DR2", "INDIVIDUAL", "4472832130942575872")


def test_dr2_asks_the_archive_which_of_its_sources_a_dr3_source_is():
    http = Scripted(COUNTERPARTS + b"200,300\n201,300\n", DR2_HEADER + b"200,10.0,20.0,2015.5,,,VARIABLE\n", b"")
    list(load("gaia_dr2").fetch(Query((KNOWN, PLACE), 1.5), http))
    matched, places = http.asked[0][2]["QUERY"], http.asked[1][2]["QUERY"]
    assert "FROM gaiadr3.dr2_neighbourhood WHERE dr3_source_id IN (300)" in matched
    assert "source_id IN (200, 201)" in places
    assert places.count("CIRCLE") == 1, "by place only the target that DR3 does not know"


def test_a_dr3_source_without_a_counterpart_is_looked_for_by_place():
    http = Scripted(COUNTERPARTS, DR2_HEADER)
    assert [payload.role for payload in load("gaia_dr2").fetch(Query((KNOWN,), 1.5), http)] == ["objects", "objects"]
    assert "CIRCLE" in http.asked[1][2]["QUERY"]


def test_dr2_has_photometry_of_variables_alone_and_a_word_that_nobody_documents_is_refused():
    source, query = load("gaia_dr2"), Query((PLACE,), 1.5)
    (listed,) = source.fetch(query, Scripted(DR2_HEADER + b"7,10.0,20.0,2015.5,,,NOT_AVAILABLE\n8,10.0,20.0,2015.5,,,CONSTANT\n"))
    assert [thing.has_photometry for thing in listed.objects] == [False, False]
    with pytest.raises(Malformed, match="phot_variable_flag") as caught:
        list(source.fetch(query, Scripted(DR2_HEADER + b"7,10.0,20.0,2015.5,,,PERHAPS\n")))
    assert isinstance(caught.value.payload, Payload)


def test_dr2_that_lists_a_variable_and_sends_nothing_is_suspicious():
    source = load("gaia_dr2")
    came = list(source.fetch(Query((PLACE,), 1.5), Scripted(DR2_HEADER + b"7,10.0,20.0,2015.5,,,VARIABLE\n", b"")))
    assert "lists photometry" in deliver(source, came).share(PLACE, 1.5, windowed=False).lost


@pytest.mark.parametrize(
    ("band", "of_one", "zeropoint"), [("G", 25.688366, 3296.002), ("BP", 25.351388, 3534.528), ("RP", 24.761920, 2620.149)]
)
def test_dr2_flux_and_magnitude_tell_the_same_by_its_own_zero_points(band, of_one, zeropoint):
    counts = 10 ** (0.4 * (of_one - 15.0))
    head = b"source_id,transit_id,band,time,mag,flux,flux_error,rejected_by_photometry,rejected_by_variability,other_flags\n"
    row = light_curve("gaia_dr2", head + f"5,6,{band},1700.5,15,{counts!r},{counts / 50!r},false,false,0\n".encode()).to_pylist()[0]
    assert row["flux"] == pytest.approx(zeropoint, rel=1e-6)
    assert row["mag_err"] == pytest.approx(1.0857362 / 50, rel=1e-6)


def test_dr2_with_the_columns_of_another_layout_is_malformed():
    with pytest.raises(Malformed, match="columns missing"):
        light_curve("gaia_dr2", b"source_id,transit_id,g_transit_time,g_transit_flux\n1,2,3,4\n")


def test_dr4_before_its_day_is_pending_and_says_so():
    http = Scripted(REFUSED, b"schema_name\ngaiadr2\ngaiadr3\n")
    with pytest.raises(NotYetPublic, match="not yet public") as caught:
        list(load("gaia_dr4").fetch(Query((PLACE,), 1.5), http))
    assert (caught.value.outcome, caught.value.retry_after) == ("pending", 18 * 3600), "asked again in the next night, and nobody's trouble"
    assert len(caught.value.lines()) == 3


def test_before_its_day_the_releases_are_looked_up_once_in_a_run(harvest, monkeypatch):
    emulator = Emulator(clock=Day(DR4_DAY - 1))
    with serve(emulator) as server:
        monkeypatch.setattr(App, "emulator", server)
        places = " ".join(f"--target '{ra}.5 20.0'" for ra in range(10, 60))
        assert harvest(f"fetch --source gaia_dr4 {places} --json") == 0
    assert {outcome["outcome"] for outcome in harvest.objects} == {"pending"}
    asked = [dict(params)["QUERY"] for _, path, params in emulator.requests if path.endswith("/tap/sync")]
    assert len(asked) == 4, "three batches of 20 targets, and the list of releases"
    assert sum("tap_schema" in query for query in asked) == 1


def test_dr4_that_is_public_and_refuses_a_query_is_malformed():
    with pytest.raises(Malformed, match="did not accept"):
        list(load("gaia_dr4").fetch(Query((PLACE,), 1.5), Scripted(REFUSED, b"schema_name\ngaiadr3\ngaiadr4\n")))


def test_dr4_is_asked_in_its_own_words_and_then_in_the_old_ones():
    listing = DR4_HEADER + b"77,10.0,20.0,2017.5,,\n"
    refusal = Malformed("HTTP 500", "Invalid Data Structure parameter: 'DATAMODEL_STANDARD', valid ones are: RAW, INDIVIDUAL")
    http = Scripted(listing, refusal, votable())
    came = list(load("gaia_dr4").fetch(Query((PLACE,), 1.5), http))
    asked = [form for _, path, form in http.asked if path == "data-server/data"]
    assert [form["DATA_STRUCTURE"] for form in asked] == ["DATAMODEL_STANDARD", "INDIVIDUAL"]
    assert {form["RELEASE"] for form in asked} == {"Gaia DR4"}
    assert deliver(load("gaia_dr4"), came).share(PLACE, 1.5, windowed=False).rows.num_rows == 3


def test_a_source_of_dr4_without_any_photometry_is_told():
    source = load("gaia_dr4")
    came = list(source.fetch(Query((PLACE,), 1.5), Scripted(DR4_HEADER + b"77,10.0,20.0,2017.5,,\n", b"")))
    assert "lists photometry" in deliver(source, came).share(PLACE, 1.5, windowed=False).lost


@pytest.mark.parametrize(
    "spelling",
    [FIELDS, FIELDS.replace("g_obs_time g_flux g_flux_error g_mag", "g_transit_time g_transit_flux g_transit_flux_error g_transit_mag")],
)
def test_columns_of_dr4_are_found_by_their_role(spelling):
    rows = light_curve("gaia_dr4", votable(fields=spelling))
    (row,) = of(rows, "G(GAIA_DR4)").to_pylist()
    assert (row["time"], row["mag"], row["object_id"], row["observation_id"]) == (1904.25, 16.5, "77", "1-G")
    assert row["mag_err"] == pytest.approx(1.0857362 * 20 / 1e4, rel=1e-6)
    assert row["flux"] is None, "no zero point is published"


def test_dr4_without_known_flags_is_suspect_and_keeps_whatever_flags_there_are():
    assert light_curve("gaia_dr4", votable())["quality"].to_pylist() == [1, 1, 1]
    rows = light_curve("gaia_dr4", votable(fields=f"{FIELDS} bp_new_flag", values=(*VALUES, 3.0)))
    assert of(rows, "BP(GAIA_DR4)")["flags"].to_pylist() == ["bp_new_flag 3"]
    assert of(rows, "RP(GAIA_DR4)")["flags"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (votable(fields=FIELDS.replace("g_flux ", "g_brightness ")), "no known column for the flux of G"),
        (votable(fields=FIELDS.replace("rp_mag", "rp_magnitude")), "no known column for the mag of RP"),
        (votable(clock=CLOCK.replace("TCB", "TDB")), "other than barycentric TCB"),
        (votable(clock=CLOCK.replace("BARYCENTER", "UNKNOWN")), "other than barycentric TCB"),
        (votable(clock=CLOCK.replace("2455197.5", "0")), "other than barycentric TCB"),
        (votable(clock=""), "other than barycentric TCB"),
        (votable(values=(1, 164527200000000000, *VALUES[2:])), "no days of Gaia's"),
        (votable(values=(1, 57101.25, *VALUES[2:])), "no days of Gaia's"),
    ],
)
def test_an_answer_of_dr4_that_is_not_what_its_draft_says_is_refused_and_kept(answer, words):
    payload = Payload(answer, source="gaia_dr4")
    with pytest.raises(Malformed, match=words) as caught:
        load("gaia_dr4").normalise(payload)
    assert caught.value.payload == payload
    assert len(caught.value.lines()) <= 3


# the simulated archive


def data(url, **form):
    body = urllib.parse.urlencode({"RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY", "FORMAT": "csv", "USE_ZIP_ALWAYS": "true", **form}).encode()
    try:
        with urllib.request.urlopen(f"{url}/gea.esac.esa.int/data-server/data", body) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_dr2_has_own_ids_a_row_per_band_and_the_transits_until_may_2016():
    with serve(Emulator(SKY)) as running:
        status, body = data(running.url, RELEASE="Gaia DR2", ID=str(DR2.id_of(RR_LYR)))
        assert data(running.url, RELEASE="Gaia DR2", ID=str(RR_LYR.gaia_id))[1] == zipped_nothing()
        assert data(running.url, RELEASE="Gaia DR2", ID=str(DR2.id_of(BARNARD)))[1] == zipped_nothing(), "a constant star"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        (name,) = archive.namelist()
        lines = archive.read(name).decode().splitlines()
    assert (status, name) == (200, f"EPOCH_PHOTOMETRY-Gaia DR2 {DR2.id_of(RR_LYR)}.csv")
    assert lines[0].split(",")[:6] == ["source_id", "transit_id", "band", "time", "mag", "flux"]
    truth = gaia_transits.transits(SKY, RR_LYR)
    early = truth.bands["G"].bjd_tdb < gaia_transits.END_DR2
    assert 0 < sum(line.split(",")[2].strip('"') == "G" for line in lines) == np.sum(early) < len(truth)


def zipped_nothing():
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    return out.getvalue()


@pytest.mark.parametrize(
    ("now", "form", "words"),
    [
        (DR4_DAY - 1, {"RELEASE": "Gaia DR4"}, b"not public"),
        (DR4_DAY, {"RELEASE": "Gaia DR4", "DATA_STRUCTURE": "INDIVIDUAL"}, b"valid ones are: DATAMODEL_STANDARD, DATAMODEL_GAIA"),
        (DR4_DAY, {"RELEASE": "Gaia DR3", "DATA_STRUCTURE": "DATAMODEL_STANDARD"}, b"valid ones are: RAW, INDIVIDUAL"),
        (DR4_DAY, {"RELEASE": "Gaia DR2", "FORMAT": "votable"}, b"not simulated"),
    ],
)
def test_the_archive_refuses_by_the_day_and_the_release(now, form, words):
    with serve(Emulator(SKY, clock=Day(now))) as running:
        status, body = data(running.url, ID="77", **form)
    assert status == 500
    assert words in body


def test_dr4_has_the_transits_of_dr3_and_later_ones():
    short, long = gaia_transits.transits(SKY, RR_LYR), gaia_transits.transits(SKY, RR_LYR, gaia_transits.END_DR4)
    assert set(short.transit_id.tolist()) < set(long.transit_id.tolist())
    assert long.bands["G"].bjd_tdb.max() > 2458500
    assert long.bands["G"].mag[: len(short)][0] == short.bands["G"].mag[0]


# into the store


def stored(harvest, tmp_path):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} -q") == 0
    return pq.read_table(tmp_path / "out.parquet")


def assert_is_the_truth(rows, survey, expected):
    """Compare stored rows with {filter: {observation_id: (bjd_tdb, magnitude)}}."""
    assert set(rows["filter"].to_pylist()) == {f"{band}({survey})" for band in expected}
    for band, truth in expected.items():
        part = rows.filter(pc.equal(rows["filter"], f"{band}({survey})")).to_pylist()
        assert {row["observation_id"] for row in part} == set(truth)
        assert max(abs(row["bjd_tdb"] - truth[row["observation_id"]][0]) for row in part) < MS
        assert max(abs(row["mag"] - truth[row["observation_id"]][1]) for row in part) < 1e-9


def truth_of(found):
    """Return {band: {observation_id: (bjd_tdb, magnitude)}} of transits, without the bands that a transit lacks."""
    return {
        name: {
            f"{number}-{name}": (bjd, mag)
            for number, bjd, mag in zip(found.transit_id, band.bjd_tdb, band.mag, strict=True)
            if np.isfinite(mag)
        }
        for name, band in found.bands.items()
    }


def early(found, until):
    """Return the transits before a JD."""
    kept = found.bands["G"].bjd_tdb < until
    bands = {name: type(band)(**{key: values[kept] for key, values in vars(band).items()}) for name, band in found.bands.items()}
    return gaia_transits.Transits(found.transit_id[kept], bands, found.rejected_by_photometry[kept])


def test_dr2_by_place_and_by_the_id_in_dr3_stores_the_simulated_truth(harvest, emulator, tmp_path):
    assert harvest("fetch --source gaia_dr2 --target 'RR Lyr'") == 0
    expected = truth_of(early(gaia_transits.transits(emulator.sky, RR_LYR), gaia_transits.END_DR2))
    assert_is_the_truth(stored(harvest, tmp_path), "GAIA_DR2", expected)
    assert not [form for _, _, form in emulator.requests if "dr2_neighbourhood" in str(form)]
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr'") == 0
    assert harvest("fetch --source gaia_dr2 --target 'RR Lyr' --json") == 0
    assert [found["outcome"] for found in harvest.objects] == ["unchanged"]
    assert [form for _, _, form in emulator.requests if "dr2_neighbourhood" in str(form)]


def test_a_star_without_dr2_photometry_is_an_honest_empty(harvest):
    assert harvest("""fetch --source gaia_dr2 --target "Barnard's star" --json""") == 0
    (found,) = harvest.objects
    assert found["outcome"] == "empty"
    assert f"GAIA_DR2 knows {DR2.id_of(BARNARD)}, but has no photometry" in found["message"]


def test_dr4_is_pending_until_its_day_and_then_stores_the_simulated_truth(harvest, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(emulator, "clock", Day(DR4_DAY - 1))
    assert harvest("fetch --source gaia_dr4 --target 'RR Lyr' --target 'SS Cyg' --json") == 0
    assert {(found["outcome"], found["error"]) for found in harvest.objects} == {("pending", "not yet public")}
    assert harvest.err.count("gaia_dr4: not yet public.\n") == 1, "said once, whatever the number of targets"
    assert harvest("runs list --json") == 0
    assert harvest.objects[0]["status"] == "done"
    assert harvest("fetch --failed-of last") == 0
    assert "Nothing failed" in harvest.err
    monkeypatch.setattr(emulator, "clock", Day(DR4_DAY))
    assert harvest("fetch --source gaia_dr4 --target 'RR Lyr'") == 0
    rows = stored(harvest, tmp_path)
    assert_is_the_truth(rows, "GAIA_DR4", truth_of(gaia_releases.epochs_of_dr4(emulator.sky, RR_LYR)))
    assert set(rows["object_id"].to_pylist()) == {str(DR4.id_of(RR_LYR))}
