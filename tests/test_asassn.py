"""ASAS-SN: Sky Patrol's Parquet, its older files, and a catalogue that may be silent although it holds the star."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import needs_recordings

from harvester.delivery import deliver, with_bjd_tdb
from harvester.emulator import asassn_cameras
from harvester.emulator.faults import Faults
from harvester.errors import Malformed, Resting, Unreachable
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.sources import asassn
from harvester.target import Target

ASASSN = load("asassn")
HERE = Target("here", 123.84754, -38.98983)
V1 = "HJD,UT Date,Camera,FWHM,Limit,mag,mag_err,flux(mJy),flux_err,Filter\n"
LISTED = pa.table({"asas_sn_id": [661425129485], "ra_deg": [123.8475], "dec_deg": [-38.9898], "catalog_sources": [["stellar_main"]]})
EPOCH = {"asas_sn_id": 661425129485, "jd": 2459700.512345, "flux": 10.0, "flux_err": 0.1, "mag": 13.9, "mag_err": 0.01}
EPOCH |= {"limit": 17.5, "fwhm": 1.5, "image_id": "coadd_bi0001", "camera": "bi", "quality": "G"}


def parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def v2(**changes):
    return delivered(parquet(pa.Table.from_pylist([EPOCH | changes])))


def v1(*lines):
    return delivered((V1 + "".join(f"{line}\n" for line in lines)).encode())


def delivered(body):
    return deliver(ASASSN, [Payload(body, source="asassn")])


def bjd(found, target=HERE):
    return with_bjd_tdb(found.rows, target, ASASSN.systems())["bjd_tdb"].to_pylist()


class Scripted:
    """The catalogue and the light curve servers, each with an answer (or an error) of its own."""

    def __init__(self, listed=LISTED, servers=b'["one.example", "two.example"]', control=LISTED, **blocks):
        self.listed, self.servers, self.control, self.blocks, self.asked = listed, servers, control, blocks, []

    def post(self, path, *, json):
        self.asked.append((path, json))
        return Payload(parquet(self.listed if path.startswith("lookup_cone") else self.control), source="asassn")

    def get(self, path):
        self.asked.append((path, None))
        if path == "get_block_servers":
            return Payload(self.servers, source="asassn")
        answer = self.blocks[path.split("/")[2].split(".")[0]]
        if isinstance(answer, Exception):
            raise answer
        return Payload(answer, source="asassn")


def fetched(http):
    return list(ASASSN.fetch(Query((HERE,), 5.0), http))


@pytest.mark.parametrize("cameras", [asassn.CAMERAS])
def test_every_camera_has_the_filter_that_the_survey_put_before_it(cameras):
    assert {c for c, band in cameras.items() if band == "V"} == {"ba", "bb", "bc", "bd", "be", "bf", "bg", "bh"}
    assert len([c for c, band in cameras.items() if band == "g"]) == 20


@pytest.mark.parametrize(("camera", "filter_"), [("be", "V(ASASSN)"), ("bE", "g(ASASSN)"), ("bi", "g(ASASSN)")])
def test_small_and_capital_letters_of_a_camera_differ(camera, filter_):
    assert v2(camera=camera).rows["filter"].to_pylist() == [filter_]


def test_a_camera_that_nobody_knows_is_kept_apart_and_not_dropped():
    found = v2(camera="zz")
    assert found.rejected["passband"].to_pylist() == ["zz"]


@pytest.mark.parametrize(("grade", "quality"), [("G", 0), ("U", 1), ("B", 2), ("X", 1), (None, 1)])
def test_the_grade_of_an_image_is_its_quality(grade, quality):
    assert v2(quality=grade).rows["quality"].to_pylist() == [quality]


def test_an_error_of_99_means_a_limit_whose_flux_is_kept():
    (row,) = v2(mag=99.99, mag_err=99.99, flux=-0.05, flux_err=0.07).rows.to_pylist()
    assert (row["upper_limit"], row["mag"], row["mag_err"], row["limiting_mag"], row["limit_sigma"]) == (True, None, None, 17.5, 5.0)
    assert (row["flux"], row["flux_err"]) == pytest.approx((-49.997, 69.996), rel=1e-4)


def test_a_noisy_detection_is_a_detection():
    (row,) = v2(mag_err=0.9).rows.to_pylist()
    assert (row["upper_limit"], row["mag_err"]) == (False, 0.9)


def test_a_number_that_is_not_there_is_null():
    (row,) = v2(mag=float("nan"), mag_err=float("nan"), fwhm=None).rows.to_pylist()
    assert row["mag"] == pytest.approx(asassn_mag(10.0), abs=1e-4)
    assert row["mag_err"] == pytest.approx(0.01086, abs=1e-5)


def asassn_mag(mjy):
    return 16.4 - 2.5 * np.log10(mjy)


def test_the_flux_of_v_is_scaled_to_its_magnitude_and_that_of_g_is_as_served():
    assert v2(camera="be", mag=14.0, flux=9.6364).rows["flux"].to_pylist() == pytest.approx([9133.2], abs=0.1)
    assert v2(camera="bi", flux=10.0).rows["flux"].to_pylist() == pytest.approx([9999.4])


def test_ids_keep_every_digit_and_name_the_image():
    (row,) = v2(asas_sn_id=9_007_199_254_740_993).rows.to_pylist()
    assert (row["object_id"], row["observation_id"]) == ("9007199254740993", "9007199254740993-coadd_bi0001")


def test_jd_of_v2_becomes_the_golden_bjd():
    assert abs(bjd(v2(), Target("x", 83.8, -71.5))[0] - 2459700.513320116334) < 1e-3 / 86400


def test_v1_takes_the_clock_of_the_telescope_not_the_heliocentric_one():
    found = v1("2457420.65312,2016-02-02.1500246,be,1.46,17.458,13.450,0.005,15.995,0.080,V")
    assert found.rows["time"].to_pylist() == [pytest.approx(2457420.6500246, abs=1e-9)]
    assert abs(bjd(found)[0] - 2457420.653908184690) < 0.022 / 86400


def test_v1_limits_begin_with_an_angle_bracket():
    (row,) = v1("2457420.65312,2016-02-02.1500246,be,1.46,13.610,>13.610,99.990,1.0,2.5,V").rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["mag"], row["filter"]) == (True, 13.61, None, "V(ASASSN)")


@pytest.mark.parametrize("date", ["2016-13-02.15", "02.02.2016", "", "2016-02-02 03:36"])
def test_a_date_that_cannot_be_read_is_no_time(date):
    found = v1(f"2457420.65312,{date},be,1.46,17.458,13.450,0.005,15.995,0.080,V")
    assert found.rejected.num_rows == 1


def test_the_pages_of_the_web_have_the_same_columns_under_other_names():
    head = "# made by a web page\nJD,Flux,Flux Error,Mag,Mag Error,Limit,FWHM,Filter,Quality,Camera\n"
    found = delivered(f"{head}2459700.5,1.0,0.1,16.4,0.1,17.5,1.5,V,B,be\n".encode())
    (row,) = found.rows.to_pylist()
    assert (row["filter"], row["mag"], row["quality"], row["time"]) == ("V(ASASSN)", 16.4, 2, 2459700.5)


@pytest.mark.parametrize("head", ["HJD,camera,mag,mag_err,flux,flux_err", "jd,flux,flux_err,mag,mag_err,limit,fwhm"])
def test_a_layout_without_a_clock_or_a_camera_is_refused(head):
    with pytest.raises(Malformed, match="columns missing"):
        delivered(f"{head}\n{','.join('1' * len(head.split(',')))}\n".encode())


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_cut_parquet_file_is_malformed(part):
    whole = parquet(pa.Table.from_pylist([EPOCH] * 50))
    with pytest.raises(Malformed):
        delivered(whole[: int(len(whole) * part)])


def test_the_place_is_asked_for_as_it_was_in_2015_and_the_block_by_the_same_words():
    http = Scripted(one=parquet(pa.Table.from_pylist([EPOCH])))
    objects, light = fetched(http)
    (cone, body), _, (block, _) = http.asked
    assert cone == "lookup_cone/radius0.001388889_ra123.84754_dec-38.98983"
    assert body["download"] is True
    from base64 import b64decode
    from urllib.parse import unquote

    words = b64decode(unquote(block).partition("query_hash-")[2].partition("-block_idx")[0]).decode()
    assert words.startswith("conectr-0.001388889_conera-123.84754_conedec--38.98983|catalog-master_list|cols-asas_sn_id/ra_deg/")
    assert [thing.object_id for thing in objects.objects] == ["661425129485"]
    assert deliver(ASASSN, [objects, light]).rows.num_rows == 1


@pytest.mark.parametrize("first", [Unreachable("down"), b'{"error":"lightcurve servers temporarily unavailable"}'])
def test_the_next_server_is_asked_where_one_fails(first):
    assert fetched(Scripted(one=first, two=parquet(pa.Table.from_pylist([EPOCH]))))[1].body.startswith(b"PAR1")


@pytest.mark.parametrize("servers", [b"[]", b'{"error":"x"}', b'["one.example","two.example"]', b'["../../x", "a b"]'])
def test_no_server_that_answers_is_a_failure(servers):
    with pytest.raises(Unreachable):
        fetched(Scripted(servers=servers, one=Unreachable("down"), two=b'{"error":"down"}'))


@pytest.mark.parametrize("other", [Unreachable("down"), b'{"error":"down"}', Resting("left alone")])
def test_a_light_curve_server_that_is_left_alone_postpones_the_visit(other):
    with pytest.raises(Resting):
        fetched(Scripted(one=Resting("one is left alone."), two=other))


def test_a_catalogue_that_is_left_alone_postpones_the_visit(harvest, emulator, monkeypatch):
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)
    emulator.faults = Faults({"asassn": ["503"]})
    places = " ".join(f"--target '{ra}.5 -40.0'" for ra in range(10, 60))
    assert harvest(f"fetch --source asassn {places} --json") == 1
    found = [(outcome["outcome"], outcome["new"]) for outcome in harvest.objects]
    assert {"failed", "postponed"} == {kind for kind, _ in found}
    assert {new for _, new in found} == {0}


@pytest.mark.parametrize(("control", "doubted"), [(LISTED, False), (LISTED.slice(0, 0), True)])
def test_no_star_is_believed_only_while_the_catalogue_holds_the_one_it_certainly_has(control, doubted):
    (answer,) = fetched(Scripted(listed=LISTED.slice(0, 0), control=control))
    assert bool(answer.doubt) is doubted


def test_plain_http_is_declared_and_never_carries_credentials():
    from harvester.errors import BadSettings
    from harvester.session import Credentials, Service
    from harvester.source import Pace

    assert Service("asassn", ASASSN.base_url, Pace(), plain_http=True).paced_host == "asassn-lb01.ifa.hawaii.edu:9006"
    for refused in ({}, {"plain_http": True, "credentials": Credentials({"Authorization": "Token secret"})}):
        with pytest.raises(BadSettings, match="needs https"):
            Service("asassn", ASASSN.base_url, Pace(), **refused)


def test_the_emulator_stands_for_every_host_beside_the_official_one_and_a_mirror_only_for_its_own():
    from harvester.session import Service
    from harvester.source import Pace

    block = "http://asassn-data01.ifa.hawaii.edu:9006/get_block/x"
    emulated = Service("asassn", "http://127.0.0.1:8000/asassn-lb01.ifa.hawaii.edu:9006/", Pace(), ASASSN.base_url, plain_http=True)
    assert emulated.address(block) == "http://127.0.0.1:8000/asassn-data01.ifa.hawaii.edu:9006/get_block/x"
    for mirror in ("http://127.0.0.1:8000/mirror/", "https://mirror.example/asassn-lb01.ifa.hawaii.edu:9006/"):
        assert Service("asassn", mirror, Pace(), ASASSN.base_url, plain_http=True).address(block) == block


@pytest.mark.parametrize("target", ["RR Lyr", "180.5 -20.25"])
def test_the_stored_light_curve_is_the_simulated_truth(harvest, emulator, tmp_path, target):
    assert harvest(f"fetch --source asassn --target {target!r}") == 0
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality all -q") == 0
    found = pq.read_table(tmp_path / "out.parquet").sort_by("observation_id")
    ids = set(found["object_id"].to_pylist())
    stars = emulator.sky.named(target) or emulator.sky.stars_near(180.5, -20.25, 7 / 3600, epoch=2015.5)
    (star,) = [star for star in stars if {str(asassn_cameras.star_id(star))} == ids]
    truth = asassn_cameras.epochs(emulator.sky.seed, star)
    truth = truth[np.argsort([f"{asassn_cameras.star_id(star)}-{name}" for name in truth["image_id"]])]
    assert found.num_rows == len(truth) > 500
    assert np.abs(found["bjd_tdb"].to_numpy() - truth["bjd_tdb"]).max() < 1e-3 / 86400
    seen = truth["mag_err"] < 99
    assert found["upper_limit"].to_pylist() == (~seen).tolist()
    assert np.abs(found["mag"].to_numpy()[seen] - truth["mag"][seen]).max() < 1e-9
    assert found["filter"].to_pylist() == [f"{band}(ASASSN)" for band in truth["filter"]]
    pulls = ((found["mag"].to_numpy() - truth["true_mag"]) / found["mag_err"].to_numpy())[seen & (truth["quality"] != "B")]
    assert abs(pulls.mean()) < 5 / np.sqrt(len(pulls))
    assert pulls.std() == pytest.approx(1.0, abs=0.1)


def test_asking_again_brings_nothing_new(harvest):
    harvest("fetch --source asassn --target 'RR Lyr'")
    assert harvest("fetch --source asassn --target 'RR Lyr'") == 0
    assert "Nothing new" in harvest.err


def test_an_empty_place_is_an_honest_empty(harvest):
    assert harvest("fetch --source asassn --target '180.0 45.0' --json") == 0
    assert harvest.objects[0]["outcome"] == "empty"


def test_a_page_in_place_of_parquet_is_malformed(harvest, emulator):
    emulator.faults = Faults({"asassn": ["html"]})
    assert harvest("fetch --source asassn --target '291.366304 42.784359' --json") == 1
    assert harvest.objects[0]["error"] == "malformed"


def test_a_light_curve_server_knows_only_what_the_catalogue_was_asked(running):
    import httpx

    place = f"{running[1].url}/asassn-data01.ifa.hawaii.edu:9006/get_block/query_hash-bm90aGluZw==-block_idx-0-catalog-master_list"
    assert httpx.get(place).status_code == 500
    lookup = f"{running[1].url}/asassn-lb01.ifa.hawaii.edu:9006/lookup_cone/radius0.1_ra10.0_dec20.0"
    assert httpx.post(lookup).status_code == 400
    asked = {"catalog": "master_list", "cols": ["asas_sn_id"], "format": "arrow", "download": False}
    assert httpx.post(lookup, content=json.dumps(asked)).content.startswith(b"PAR1")


@needs_recordings
def test_real_files_of_both_patrols_have_their_golden_values(recorded):
    old = delivered(recorded("asassn/skypatrol_v1_light_curve_5740d76a.csv"))
    assert old.rejected.num_rows == 0
    assert sorted(pc.value_counts(old.rows["filter"]).field("counts").to_pylist()) == [239, 743]
    new = delivered(recorded("asassn/skypatrol_v2_client_save_vxmen.csv"))
    assert (new.rows.num_rows, new.rejected.num_rows) == (1065, 0)
    assert set(new.rows["object_id"].to_pylist()) == {"12702"}
    for rows in (old.rows, new.rows):
        for band, zero_jy in (("V", 3636.0), ("g", 3630.7805)):
            part = rows.filter(pc.equal(rows["filter"], f"{band}(ASASSN)"))
            of_mag = zero_jy * 1e6 * 10 ** (-0.4 * part["mag"].to_numpy())
            assert part.num_rows == 0 or np.abs(part["flux"].to_numpy() / of_mag - 1).max() < 7e-4


@needs_recordings
def test_the_filter_of_a_camera_agrees_with_the_filter_that_v1_prints(recorded):
    lines = [line.split(",") for line in recorded("asassn/skypatrol_v1_light_curve_5740d76a.csv").decode().splitlines()[1:]]
    assert {asassn.CAMERAS[line[2]] == line[9] for line in lines} == {True}
