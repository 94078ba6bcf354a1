"""ZTF forced photometry, from the request to the stored rows, through the emulated service; and what real files became."""

import io
from base64 import b64encode
from pathlib import Path

import httpx
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import needs_recordings

from harvester.access import session_for
from harvester.brightness import baseline
from harvester.config import ServiceSettings, Settings
from harvester.delivery import deliver, with_bjd_tdb
from harvester.emulator import zfps, zfps_images
from harvester.emulator.app import Emulator
from harvester.emulator.faults import Faults
from harvester.emulator.recordings import Recording
from harvester.emulator.server import serve
from harvester.errors import Malformed, Pending
from harvester.jobs import ShortMemory
from harvester.payload import Payload, number
from harvester.session import Client
from harvester.source import Query, load
from harvester.tables import read_blanks
from harvester.target import Target

MS = 1e-3 / 86400
HOST = "ztfweb.ipac.caltech.edu"
SUBMIT, STATUS = "/cgi-bin/requestForcedPhotometry.cgi", "/cgi-bin/getForcedPhotometryRequests.cgi"
LOGIN = {"Authorization": f"Basic {b64encode(b'user:password').decode()}"}
ACCOUNT = {"email": "me@example.org", "userpass": "mine"}
ASKED = {"ra": "150.25", "dec": "2.25", "jdstart": "2458194.5", "jdend": "2460084.5"}
FETCH = "fetch --source ztf_forced --target 'SN SIM 2021a' --json"
PLACE = Target("PKS 1502+106", 226.10408242258, 10.49422183753)
REAL = {"00048975": (767, 754, 13), "00048976": (672, 672, 0), "00100242": (1968, 1923, 45)}


def submissions(emulator):
    return sum(SUBMIT in path for _, path, _ in emulator.requests)


def stored(harvest, tmp_path, options=""):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} -q {options}") == 0
    return pq.read_table(tmp_path / "out.parquet")


def light_curve(body, target=PLACE):
    source = load("ztf_forced")
    delivery = deliver(source, [Payload(body, source="ztf_forced")])
    return with_bjd_tdb(delivery.rows, target, source.systems()), delivery.rejected


def real(recorded, number):
    return light_curve(recorded(f"ztf_forced/forcedphotometry_req{number}_lc.txt"))


@pytest.fixture
def hurry(emulator, monkeypatch):
    """The service needs ten days, which `hurry()` makes pass; other tests' requests are forgotten."""
    emulator._memory["zfps"].clear()
    monkeypatch.setattr(zfps, "TURNAROUND_S", 864000.0)
    return lambda: monkeypatch.setattr(zfps, "TURNAROUND_S", 0.0)


def test_what_is_stored_of_a_star_is_the_simulated_truth(harvest, emulator, tmp_path):
    assert harvest("fetch --source ztf_forced --target 'RR Lyr' --json") == 0
    (outcome,) = harvest.objects
    assert outcome["outcome"] == "new"
    assert outcome["quarantined"] == 0
    (star,) = emulator.sky.named("RR Lyr")
    job = [job for job in emulator._memory["zfps"]["jobs"] if abs(job.ra - star.ra) < 0.01][-1]
    truth = {pid: (m, i) for m in zfps_images.forced(emulator.sky, job.ra, job.dec) for i, pid in enumerate(m.pid) if m.status[i] != 61}
    rows = stored(harvest, tmp_path).to_pylist()
    assert {row["observation_id"] for row in rows} == set(truth)
    for row in rows:
        measured, i = truth[row["observation_id"]]
        assert abs(row["bjd_tdb"] - measured.bjd_tdb[i]) < MS
        assert row["filter"] == f"{measured.image.filter}(ZTF_FP)"
        assert row["flags"].startswith("total ")
        assert row["quality"] == (2 if measured.infobits[i] >= 1 << 25 or measured.seeing[i] > 4 else 1 if measured.status[i] else 0)
    good = [row for row in rows if row["quality"] < 2]
    pulls = [(row["mag"] - truth[row["observation_id"]][0].true_mag[truth[row["observation_id"]][1]]) / row["mag_err"] for row in good]
    assert abs(np.median(pulls)) < 0.1
    assert np.abs(pulls).max() < 5


def test_a_supernova_is_limits_before_it_and_difference_flux_after_the_zero_level_is_taken_off(harvest, emulator, tmp_path):
    assert harvest(FETCH) == 0
    (star,) = emulator.sky.named("SN SIM 2021a")
    rows = stored(harvest, tmp_path)
    truth = {pid: (m, i) for m in zfps_images.forced(emulator.sky, 150.25, 2.25) for i, pid in enumerate(m.pid)}
    quiet = np.array(rows["bjd_tdb"].to_pylist()) < star.epoch - 100
    groups = [" ".join([row["filter"], *(w for w in row["flags"].split() if w.startswith("rfid="))]) for row in rows.to_pylist()]
    flux = np.array(rows["flux"].to_pylist())
    level = baseline(flux, groups, quiet & (np.array(rows["quality"].to_pylist()) == 0))
    assert {flags.split()[0] for flags in rows["flags"].to_pylist()} == {"difference"}
    pulls = []
    for row, zero in zip(rows.to_pylist(), level, strict=True):
        measured, i = truth[row["observation_id"]]
        assert row["upper_limit"] == (row["flux"] <= 3 * row["flux_err"])
        assert (row["mag"] is None) == row["upper_limit"]
        if row["quality"] < 2 and np.isfinite(zero):
            assert abs(zero - measured.level_ujy) < row["flux_err"]
            pulls.append((row["flux"] - zero - 10 ** (0.4 * (23.9 - measured.true_mag[i]))) / row["flux_err"])
    assert len(pulls) > 1000
    assert abs(np.median(pulls)) < 0.1
    assert np.abs(pulls).max() < 5


def test_it_is_submitted_once_however_many_runs_ask(harvest, emulator, hurry):
    for _ in range(3):
        harvest(FETCH)
        assert harvest.objects[0]["outcome"] == "pending"
    assert submissions(emulator) == 1
    hurry()
    assert harvest(FETCH) == 0
    assert harvest.objects[0]["outcome"] == "new"
    assert submissions(emulator) == 1


@pytest.mark.parametrize("fault", ["truncated", "empty"])
def test_a_request_whose_confirmation_was_lost_is_never_sent_twice(harvest, emulator, hurry, monkeypatch, fault):
    """The service has taken it when the fault strikes; the next run finds it in the list."""
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)
    emulator.faults = Faults.parse([f"zfps:{fault}:@2"])  # after a look at the list
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] == "failed"
    assert submissions(emulator) == len(emulator._memory["zfps"]["jobs"]) == 1
    emulator.faults = Faults()
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] == "pending"
    hurry()
    assert harvest(FETCH) == 0
    assert harvest.objects[0]["outcome"] == "new"
    assert submissions(emulator) == 1


def test_the_interval_is_always_sent_and_begins_at_most_half_a_day_early(harvest, emulator, hurry):
    harvest(f"{FETCH} --since 2021-01-01")
    (asked,) = (dict(params) for _, path, params in emulator.requests if SUBMIT in path)
    assert 2459215.5 - 0.4 <= float(asked["jdstart"]) <= 2459215.5
    assert float(asked["jdend"]) > 2461000


def test_a_request_that_ended_without_a_light_curve_is_a_failure_and_is_asked_for_again(harvest, emulator, hurry):
    hurry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zfps.zfps_text, "SOUTHERNMOST", 90.0)
        assert harvest(FETCH) == 1
    assert harvest.objects[0]["error"] == "malformed"
    assert "code 61" in harvest.objects[0]["message"]
    emulator._memory["zfps"].clear()
    harvest(FETCH)
    assert submissions(emulator) == 2


def test_a_light_curve_that_is_no_longer_kept_is_asked_for_again(harvest, emulator, hurry, tmp_path):
    harvest(FETCH)
    hurry()
    (tmp_path / "gone.html").write_text("<html><body><h1>Not Found</h1></body></html>", "utf-8")
    emulator.recordings = [Recording(HOST, emulator._memory["zfps"]["jobs"][0].path, tmp_path / "gone.html", status=404)]
    assert harvest(FETCH) == 1
    assert "no longer kept" in harvest.objects[0]["message"]
    emulator.recordings = []
    assert harvest(FETCH) == 0
    assert submissions(emulator) == 2


def test_an_account_that_is_not_accepted_is_refused_though_the_page_came_with_200(harvest, emulator, hurry, tmp_path):
    (tmp_path / "page.html").write_text("<html><body><p>Invalid email and/or userpass.</p></body></html>", "utf-8")
    emulator.recordings = [Recording(HOST, STATUS, tmp_path / "page.html", content_type="text/html")]
    assert harvest(FETCH) == 4
    assert harvest.objects[0]["error"] == "refused"
    assert "Invalid email" in harvest.objects[0]["message"]
    assert submissions(emulator) == 0


def test_a_list_in_json_is_understood_as_well(harvest, emulator, hurry, tmp_path):
    harvest(FETCH)
    hurry()
    job = emulator._memory["zfps"]["jobs"][0]
    (tmp_path / "list.json").write_text(
        f'[{{"reqid": {job.number}, "ra": {job.ra}, "dec": {job.dec}, "jdstart": {job.start}, "jdend": {job.end}, "ended": "2026-11-21 10:00:00",'
        f' "created": null, "started": null, "exitcode": 0, "lightcurve": "{job.path}"}}]', "utf-8")  # fmt: skip
    emulator.recordings = [Recording(HOST, STATUS, tmp_path / "list.json", content_type="application/json")]
    assert harvest(FETCH) == 0
    assert harvest.objects[0]["outcome"] == "new"


def test_a_page_without_a_list_leaves_the_request_pending(harvest, emulator, hurry, tmp_path):
    harvest(FETCH)
    (tmp_path / "page.html").write_text("<html><body><h1>Forced-Photometry Service</h1></body></html>", "utf-8")
    emulator.recordings = [Recording(HOST, STATUS, tmp_path / "page.html", content_type="text/html")]
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] == "pending"
    assert submissions(emulator) == 1


def test_a_request_like_one_that_waits_there_is_pending_and_not_lost(harvest, emulator, hurry):
    emulator._memory["zfps"]["jobs"] = [zfps.Job(7, 150.25, 2.25, 2458194.4, 2460000.5, "nothing-to-a-simulation", 4e9, batch=False)]
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] == "pending"
    assert "like this one" in harvest.objects[0]["message"]
    emulator._memory["zfps"].clear()
    hurry()
    assert harvest(FETCH) == 0
    assert submissions(emulator) == 2


def test_no_request_is_sent_while_a_hundred_wait(harvest, emulator, hurry):
    many = [zfps.Job(n, n / 10, 2.25, 2458194.4, 2460000.5, "nothing-to-a-simulation", 4e9, batch=False) for n in range(100)]
    emulator._memory["zfps"]["jobs"] = many
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] == "postponed"
    assert submissions(emulator) == 0


def test_nothing_is_asked_of_the_far_south(harvest, emulator, hurry):
    harvest("fetch --source ztf_forced --target '10.0 -60.0' --json")
    assert harvest.objects[0]["outcome"] == "empty"
    assert not [path for _, path, _ in emulator.requests if HOST in path]


@pytest.mark.parametrize("fault", ["truncated", "html", "empty", "header-only"])
def test_a_light_curve_that_came_broken_is_never_taken_for_a_whole_one(harvest, emulator, hurry, fault):
    harvest(FETCH)
    hurry()
    emulator.faults = Faults.parse([f"zfps:{fault}"])
    harvest(FETCH)
    assert harvest.objects[0]["outcome"] != "new"
    emulator.faults = Faults()
    assert harvest(FETCH) == 0
    assert harvest.objects[0]["outcome"] in {"new", "pending"}


@pytest.fixture(scope="module")
def http():
    with serve(Emulator()) as running, httpx.Client(base_url=f"{running.url.rstrip('/')}/{HOST}", timeout=60) as client:
        yield client


def test_the_service_wants_the_login_on_every_url(http):
    for path in (SUBMIT, STATUS, "/cgi-bin/batchfp.py/submit", "/ztf/ops/forcedphot/lc/0/x_lc.txt"):
        assert http.get(path, params=ACCOUNT).status_code == 401


def test_the_service_takes_a_batch_and_lists_one_file_for_each_place(http):
    me = {"email": "batch@example.org", "userpass": "mine"}
    form = {"ra": "[150.25, 210.5]", "dec": "[2.25, 54.0]", "jdstart": "2459300.5", "jdend": "2459400.5"}
    assert http.post("/cgi-bin/batchfp.py/submit", data=form | me, headers=LOGIN).status_code == 200
    page = http.get("/cgi-bin/getBatchForcedPhotometryRequests.cgi", params=me, headers=LOGIN).text
    files = [word.removeprefix(f"https://{HOST}").removesuffix("<br") for word in page.split() if "_lc.txt" in word]
    assert len(files) == 2
    first = http.get(files[0], headers=LOGIN).text
    assert "Requested input R.A. = 150.25 degrees" in first
    assert "END" in first.splitlines()[-1]


def test_the_service_echoes_what_it_takes_and_says_so_when_it_has_it_already(http, monkeypatch):
    monkeypatch.setattr(zfps, "TURNAROUND_S", 864000.0)
    first, second = (http.get(SUBMIT, params=ASKED | ACCOUNT, headers=LOGIN).text for _ in range(2))
    assert "<td>     150.250000 </td>" in first
    assert "A request similar to yours is waiting" in second
    assert "Invalid" in http.get(SUBMIT, params=ASKED | ACCOUNT | {"userpass": "wrong"}, headers=LOGIN).text


@needs_recordings
@pytest.mark.parametrize("number", sorted(REAL))
def test_real_files_are_read_to_the_last_row_with_the_counts_of_the_dossier(recorded, number):
    rows, rejected = real(recorded, number)
    total, fine, warned = REAL[number]
    flags = [flags.split()[1] for flags in rows["flags"].to_pylist()]
    assert (rows.num_rows, rejected.num_rows) == (total, 0)
    assert (flags.count("procstatus=0"), flags.count("procstatus=56")) == (fine, warned)
    assert len(set(rows["observation_id"].to_pylist())) == total


@needs_recordings
def test_a_real_row_has_its_flux_by_its_own_zero_point_and_the_reference_added(recorded):
    row = real(recorded, "00048976")[0].sort_by("time").to_pylist()[0]
    ujy = 10 ** (0.4 * (23.9 - 26.2213))
    reference = 10 ** (0.4 * (23.9 - 17.3350004196167))
    assert row["flux"] == pytest.approx(5.36478628237089 * ujy + reference, rel=1e-9)
    assert row["flux_err"] == pytest.approx(np.hypot(25.1715031157327 * ujy, reference * 0.0179999992251396 / 1.0857362), rel=1e-6)
    assert row["observation_id"] == "444437073015"


def of_the_release(recorded, band):
    """Return the magnitudes of the data release of the blazar by MJD of the exposure."""
    from astropy.table import Table

    release = Table.read(io.BytesIO(recorded("ztf_dr/nuztf_lc.fits")), format="fits")
    near = release[np.hypot(np.array(release["ra"]) - PLACE.ra, np.array(release["dec"]) - PLACE.dec) < 1.0 / 3600]
    return {round(float(row["mjd"]), 6): float(row["mag"]) for row in near if str(row["filtercode"]) == f"z{band}"}


def straight_line(pairs):
    """Return by how much the second flux swings wider than the first, and its value where the first is nought."""
    return np.polyfit(*np.array(pairs).T, 1)


@needs_recordings
@pytest.mark.parametrize(("band", "wider"), [("g", 1.044), ("r", 1.077), ("i", 1.055)])
def test_total_flux_follows_the_data_release_of_the_same_exposures_on_the_scale_of_the_service_s_fit(recorded, band, wider):
    """The zero of the scale is right to 2 %: the reference is well chosen. The scale of the differences is that of the service's PSF fit."""
    by_mjd = of_the_release(recorded, band)
    rows = [row for row in real(recorded, "00048976")[0].to_pylist() if row["quality"] == 0 and row["filter"] == f"{band}(ZTF_FP)"]
    reference = 10 ** (0.4 * (23.9 - float(rows[0]["flags"].rpartition("nearestrefmag=")[2])))
    pairs = [(10 ** (0.4 * (23.9 - by_mjd[mjd])), row["flux"]) for row in rows if (mjd := round(row["time"] - 2400000.5, 6)) in by_mjd]
    assert len(pairs) > 70
    slope, offset = straight_line(np.array(pairs) - reference)
    assert slope == pytest.approx(wider, abs=0.01)
    assert abs(offset) < 0.02 * reference


@needs_recordings
@pytest.mark.parametrize("band", ["g", "r", "i"])
def test_the_service_s_aperture_fluxes_swing_as_the_release_s_do_so_the_wider_scale_is_its_fit_s(recorded, band):
    by_mjd = of_the_release(recorded, band)
    rows = read_blanks(Payload(recorded("ztf_forced/forcedphotometry_req00048976_lc.txt")), "forcediffimfluxap", end=b"# ---")
    names = ("jd", "zpdiff", "forcediffimfluxap")
    wanted = rows.filter(pc.and_(pc.equal(rows["filter"], f"ZTF_{band}"), pc.equal(rows["procstatus"], "0")))
    measured = zip(*(number(wanted[name]).to_pylist() for name in names), strict=True)
    pairs = [
        (10 ** (0.4 * (23.9 - by_mjd[mjd])), counts * 10 ** (0.4 * (23.9 - zero)))
        for jd, zero, counts in measured
        if (mjd := round(jd - 2400000.5, 6)) in by_mjd and counts is not None
    ]
    assert len(pairs) > 70
    assert straight_line(pairs)[0] == pytest.approx(1.01, abs=0.015)


@needs_recordings
def test_a_real_file_that_was_cut_is_malformed_and_is_kept(recorded):
    whole = recorded("ztf_forced/forcedphotometry_req00048976_lc.txt")
    for part in (whole[: len(whole) // 2], whole[:-70], whole[:900], recorded("ztf_forced/requestForcedPhotometry_response.html")):
        with pytest.raises(Malformed) as caught:
            light_curve(part)
        assert caught.value.payload.body


@needs_recordings
def test_a_real_confirmation_is_read_as_the_echo_that_it_is(recorded):
    from harvester.tables import listed

    (echo,) = listed(Payload(recorded("ztf_forced/requestForcedPhotometry_response.html")), "ra", "dec", "jdstart", "jdend")
    assert [echo[name] for name in ("ra", "dec", "jdstart", "jdend")] == ["123.450000", "67.890000", "2460024.378186", "2460084.378186"]


def test_time_is_the_middle_of_the_exposure():
    body = open_recording("total_and_difference").read_bytes()
    rows, _ = light_curve(body, Target("golden T001", 226.1041029, 10.494273))
    first = min(rows["bjd_tdb"].to_pylist())
    assert (first - 2458204.926278304056) * 86400 == pytest.approx(0, abs=1e-4)


def open_recording(name):
    return Path(__file__).parent / "recordings" / "ztf_forced" / f"{name}.txt"


def test_magnitude_error_and_limit_are_those_of_the_dossier():
    rows, _ = light_curve(open_recording("total_and_difference").read_bytes())
    detected, limit = (row for row in rows.sort_by("time").to_pylist() if row["time"] in (2458206.8, 2458207.8))
    assert detected["mag"] == pytest.approx(26.2 - 2.5 * np.log10(500.0), abs=1e-6)
    assert detected["mag_err"] == pytest.approx(1.0857362 * 20 / 500, rel=1e-6)
    assert limit["upper_limit"]
    assert limit["limiting_mag"] == pytest.approx(26.2 - 2.5 * np.log10(5 * 20.0), abs=1e-6)
    assert limit["flux"] == pytest.approx(59.9 * 10 ** (0.4 * (23.9 - 26.2)), rel=1e-9)


def test_the_zero_level_is_the_median_of_quiet_rows_of_the_same_reference_and_none_where_those_are_few():
    flux = np.array([1.0, 2.0, 9.0, 50.0, 7.0, np.nan])
    level = baseline(flux, ["a", "a", "a", "a", "b", "a"], [True, True, True, False, True, True], least=3)
    assert level[[0, 1, 2, 3, 5]].tolist() == [2.0] * 5
    assert np.isnan(level[4])


class Killed(BaseException):
    """As if the process had gone."""


class Book(ShortMemory):
    """Where jobs are written down; the process dies when it first writes down an id."""

    alive = False

    def put(self, job):
        if job.remote and not self.alive:
            self.alive = True
            raise Killed
        super().put(job)


def test_a_run_that_was_killed_before_it_learnt_of_its_request_finds_it_in_the_list(monkeypatch):
    emulator, book, source = Emulator(), Book(), load("ztf_forced")
    monkeypatch.setattr(zfps, "TURNAROUND_S", 864000.0)
    query = Query((Target("SN", 150.25, 2.25),), 1.5)
    with serve(emulator) as running, Client(loopback_only=True) as client:
        settings = Settings("", services={"ztf_forced": ServiceSettings(base_url=f"{running.url.rstrip('/')}/{HOST}/")})
        with pytest.raises(Killed):
            list(source.fetch(query, session_for("ztf_forced", source, client, settings, query=query, jobs=book)))
        with pytest.raises(Pending):
            list(source.fetch(query, session_for("ztf_forced", source, client, settings, query=query, jobs=book)))
    (kept,) = book._jobs.values()
    assert kept.remote.startswith("150.250000 2.250000 24581")
    assert submissions(emulator) == 1
