"""ATLAS: its emulated queue, and the source against it: what is stored is the simulated truth, and no job is submitted twice."""

import json

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from harvester.access import PLACEHOLDER, credentials
from harvester.delivery import deliver
from harvester.emulator import atlas, atlas_units
from harvester.emulator.app import Emulator
from harvester.emulator.atlas_units import Place, epochs
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky
from harvester.errors import Malformed, Pending, Refused, SourceError, Throttled
from harvester.jobs import ShortMemory
from harvester.payload import Payload
from harvester.session import Client, Credentials, Errand, Service
from harvester.source import Pace, Query, load
from harvester.target import Target

URL = "/fallingstar-data.com/forcedphot/"
SIGMA = 5.0
TIME_STEP_S = 0.0432 + 0.022  # half of the last digit of MJD, and the site that a source does not know


class Clock:
    """The emulator's time, which a test moves."""

    def __init__(self, now=1_795_000_000.0):
        self.now = now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def app():
    return Emulator(clock=Clock())


@pytest.fixture
def server(app):
    with serve(app) as running:
        yield running


@pytest.fixture
def api(server):
    with httpx.Client(base_url=f"{server.url}{URL}", headers={"Authorization": "Token emulated"}, timeout=60) as client:
        yield client


@pytest.fixture
def visit(server):
    """Ask the source one question as a run does; the book of jobs is that of all runs of the test."""
    book = ShortMemory()

    def asked(query, token="emulated", book=book):
        outcome = "killed"
        shown = Credentials({"Authorization": f"Token {token}"}, secrets=(token,))
        with Client(loopback_only=True) as client:
            service = Service("atlas", f"{server.url}{URL}", Pace(1000, 8), credentials=shown, max_wait_s=1.0)
            errand = Errand(book, "atlas", query)
            try:
                answers = list(load("atlas").fetch(query, client.session(service, errand)))
                outcome = "new"
            except SourceError as error:
                outcome = error.outcome
                raise
            finally:
                for key in errand.finished(outcome):
                    book.forget("atlas", key)
        return answers

    return asked


def tasks(app):
    return app._memory["atlas"].get("tasks", [])


def submit(api, **form):
    return api.post("queue/", data={"ra": 44, "dec": 22, "mjd_min": 59248.0} | form)


def star_at(name="V404 Cyg"):
    (star,) = Sky().named(name)
    return star, Target(name, star.ra, star.dec, pmra=star.pmra, pmdec=star.pmdec)


# the emulated service


def test_a_task_is_taken_shown_and_its_result_served_in_two_ways(api):
    task = submit(api, comment="mine")
    assert task.status_code == 201
    assert (task.json()["comment"], task.json()["finished"], task.json()["queuepos"]) == ("mine", True, None)
    shown = api.get(task.json()["url"]).json()
    assert shown == task.json()
    first, second = api.get(shown["result_url"]), api.get(f"queue/{shown['id']}/data.txt")
    assert first.text == second.text
    assert first.text.startswith("###MJD ")
    assert {len(line.split()) for line in first.text.splitlines()} == {19}


def test_the_json_of_a_task_has_the_words_of_the_recorded_reply(api):
    words = (
        "url id user_id username timestamp mpc_name ra dec mjd_min mjd_max radec_epoch_year propermotion_ra propermotion_dec use_reduced "
        "finished result_url comment send_email starttimestamp finishtimestamp error_msg previewimage_url parent_task_id parent_task_url "
        "request_type pdfplot_url queuepos imagerequest_task_id imagerequest_url imagerequest_finished result_imagezip_url"
    )
    assert set(words.split()) <= set(submit(api).json())


def test_without_mjd_min_the_last_30_days_alone_are_served(app, api):
    app.clock.now = (atlas_units.LAST_NIGHT - 40587.0) * 86400.0
    number = submit(api, mjd_min="").json()["id"]
    lines = api.get(f"queue/{number}/data.txt").text.splitlines()[1:]
    assert lines
    assert min(float(line.split()[0]) for line in lines) >= atlas_units.LAST_NIGHT - 30


def test_a_task_waits_runs_and_finishes(app, api):
    app._memory["atlas"]["queue_seconds"] = 100.0
    number = submit(api).json()["id"]
    states = []
    for _ in range(3):
        task = api.get(f"queue/{number}/").json()
        states.append((task["queuepos"], bool(task["starttimestamp"]), bool(task["finishtimestamp"]), bool(task["result_url"])))
        assert (api.get(f"queue/{number}/data.txt").status_code == 200) == bool(task["finishtimestamp"])
        assert api.get("queuepositions.json").json() == ({str(number): 0} if task["queuepos"] == 0 else {})
        app.clock.now += 60.0
    assert states == [(0, False, False, False), (None, True, False, False), (None, True, True, True)]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token refused"}, {"Authorization": "Basic eDp5"}])
def test_a_request_without_a_good_token_is_refused(server, headers):
    answer = httpx.get(f"{server.url}{URL}queue/", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["detail"]


def test_a_token_is_given_for_user_and_password(api):
    assert api.post("api-token-auth/", data={"username": "me", "password": "secret"}).json() == {"token": "emulated"}
    assert api.post("api-token-auth/", data={"username": "me"}).status_code == 400


def test_the_61st_submission_of_a_minute_is_told_how_long_to_wait(app, api, monkeypatch):
    assert (atlas.MOST_WRITES, atlas.MOST_READS) == (60, 600)
    monkeypatch.setattr(atlas, "MOST_WRITES", 2)
    assert [submit(api).status_code for _ in range(3)] == [201, 201, 429]
    app.clock.now += 48.0
    assert submit(api).json() == {"detail": "Request was throttled. Expected available in 13 seconds."}
    app.clock.now += 13.0
    assert submit(api).status_code == 201


@pytest.mark.parametrize("wrong", [{"ra": "nan"}, {"dec": "north"}, {"mjd_min": "inf"}, {"ra": ""}])
def test_an_impossible_question_is_a_400_that_names_the_field(api, wrong):
    answer = submit(api, **wrong)
    assert answer.status_code == 400
    assert {*wrong, "non_field_errors"} & set(answer.json())


def test_many_places_make_as_many_tasks_and_the_list_comes_in_pages(api):
    made = api.post("queue/", data={"radeclist": "44,22\n45,23\n46,24", "mjd_min": 60000}).json()
    assert [(task["ra"], task["dec"]) for task in made] == [(44.0, 22.0), (45.0, 23.0), (46.0, 24.0)]
    page = api.get("queue/", params={"pagesize": 2}).json()
    rest = api.get(page["next"]).json()
    assert [task["id"] for task in page["results"] + rest["results"]] == [task["id"] for task in reversed(made)]
    assert (page["taskcount"], rest["next"]) == (3, None)


def test_a_deleted_task_is_gone(api):
    url = submit(api).json()["url"]
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_a_window_between_two_nights_has_no_data_and_one_after_the_last_a_header_alone(api):
    between = submit(api, mjd_min=59000.6, mjd_max=59000.7).json()
    assert (between["error_msg"], between["result_url"]) == ("No data returned", None)
    after = submit(api, mjd_min=61500).json()
    assert len(api.get(after["result_url"]).text.splitlines()) == 1


def test_noise_has_the_size_of_its_error_and_spoiled_lines_are_few():
    star, _ = star_at()
    rows = epochs(Sky().seed, Place(star.ra, star.dec, 2000.0, star.pmra, star.pmdec), reduced=True)
    sound = rows[rows["spoiled"] == 0]
    pulls = (sound["ujy"] - sound["true_ujy"]) / sound["dujy"]
    assert abs(pulls.mean()) < 0.06
    assert pulls.std() == pytest.approx(1.0, abs=0.05)
    assert 0.01 < 1 - len(sound) / len(rows) < 0.08
    assert set(rows["band"]) == {"c", "o"}


def test_a_place_without_its_motion_loses_light():
    star, _ = star_at("Barnard's star")
    still = epochs(Sky().seed, Place(*(float(a) for a in Place(star.ra, star.dec, 2000.0, star.pmra, star.pmdec).at(2021.0))), reduced=True)
    moving = epochs(Sky().seed, Place(star.ra, star.dec, 2000.0, star.pmra, star.pmdec), reduced=True)
    assert moving["true_ujy"].min() > 2 * still["true_ujy"].min() > 0


def test_difference_fluxes_are_total_ones_less_the_quiescent_one():
    star, _ = star_at("RR Lyr")
    place = Place(star.ra, star.dec, 2000.0, star.pmra, star.pmdec)
    total, difference = (epochs(Sky().seed, place, reduced=reduced) for reduced in (True, False))
    for band in "co":
        apart = (total["true_ujy"] - difference["true_ujy"])[total["band"] == band]
        assert np.ptp(apart) < 1e-6 * apart[0]
    assert difference["true_ujy"].min() < 0 < difference["true_ujy"].max()


# the source against it


def test_a_question_says_all_that_the_server_would_otherwise_guess(app, visit):
    _, target = star_at("RR Lyr")
    visit(Query((target,), 1.5))
    form = dict(next(params for method, path, params in app.requests if method == "POST"))
    assert form["mjd_min"] == "50000.0"
    assert form["use_reduced"] == "true"
    assert "mjd_max" not in form
    assert (form["ra"], form["dec"]) == ("291.3663040", "42.7843594")
    assert [float(form[name]) for name in ("radec_epoch_year", "propermotion_ra", "propermotion_dec")] == [2000.0, -109.68, -195.473]


@pytest.mark.parametrize(("since", "sent"), [(None, 50000.0), (0.0, 50000.0), (59000.0, 59000.0)])
def test_the_default_of_30_days_is_never_asked_for(app, visit, since, sent):
    visit(Query.at(44.0, 22.0, since=since, until=60000.0))
    form = dict(next(params for method, path, params in app.requests if method == "POST"))
    assert (float(form["mjd_min"]), float(form["mjd_max"])) == (sent, 60000.0)


def test_a_job_is_submitted_once_however_many_runs_ask(app, visit):
    app._memory["atlas"]["queue_seconds"] = 1000.0
    query = Query.at(44.0, 22.0)
    said = []
    for _ in range(3):
        with pytest.raises(Pending) as caught:
            visit(query)
        said.append((caught.value.what, caught.value.retry_after))
        app.clock.now += 400.0
    number = tasks(app)[0].number
    assert said == [
        (f"atlas: job {number} is in the queue, at place 0.", 600.0),
        (f"atlas: job {number} is in the queue, at place 0.", 600.0),
        (f"atlas: job {number} is running.", 600.0),
    ]
    (answer,) = visit(query)
    assert len(deliver(load("atlas"), [answer]).rows) > 1000
    assert len(tasks(app)) == 1
    app._memory["atlas"]["queue_seconds"] = 0.0
    visit(query)
    assert len(tasks(app)) == 2, "the next question is a new one"


def test_a_job_whose_number_was_never_learnt_is_found_by_its_comment_on_a_later_page(app, visit, monkeypatch):
    class Killed(BaseException):
        pass

    class Deaf(ShortMemory):
        def put(self, job):
            if job.remote and not tasks_seen:
                tasks_seen.append(job)
                raise Killed
            super().put(job)

    tasks_seen, book, query = [], Deaf(), Query.at(44.0, 22.0)
    app._memory["atlas"]["queue_seconds"] = 1000.0
    monkeypatch.setattr(atlas, "MOST_LISTED", 2)
    with pytest.raises(Killed):
        visit(query, book=book)
    for ra in range(5):
        with pytest.raises(Pending):
            visit(Query.at(float(ra), 0.0))
    with pytest.raises(Pending, match=str(tasks(app)[0].number)):
        visit(query, book=book)
    assert len(tasks(app)) == 6
    assert len([path for method, path, _ in app.requests if method == "GET" and path.endswith("/queue")]) == 3


def test_a_job_that_the_server_has_deleted_is_submitted_anew(app, visit):
    app._memory["atlas"]["queue_seconds"] = 1000.0
    query = Query.at(44.0, 22.0)
    with pytest.raises(Pending):
        visit(query)
    tasks(app)[0].deleted = True
    for _ in range(2):
        with pytest.raises(Pending, match=str(tasks(app)[0].number + 1)):
            visit(query)
    assert len(tasks(app)) == 2


def test_a_job_that_failed_is_malformed_with_its_words_and_the_next_run_asks_anew(app, visit):
    app._memory["atlas"]["queue_seconds"] = 1000.0
    query, book = Query.at(44.0, 22.0), ShortMemory()
    with pytest.raises(Pending):
        visit(query, book=book)
    tasks(app)[0].error = "Could not parse the result file"
    app.clock.now += 1000.0
    with pytest.raises(Malformed, match="Could not parse") as caught:
        visit(query, book=book)
    assert b"Could not parse" in caught.value.payload.body
    with pytest.raises(Pending):
        visit(query, book=book)
    assert len(tasks(app)) == 2


def test_no_data_is_empty_and_a_header_alone_is_doubted(visit):
    (nothing,) = visit(Query.at(44.0, 22.0, since=59000.6, until=59000.7))
    assert (nothing.role, nothing.doubt) == ("objects", "")
    (header,) = visit(Query.at(44.0, 22.0, since=61500.0))
    assert "header without rows" in header.doubt


def test_429_with_a_long_wait_postpones_and_leaves_no_job_behind(app, visit, monkeypatch):
    monkeypatch.setattr(atlas, "MOST_WRITES", 0)
    app._memory["atlas"]["writes of emulated"] = [app.clock.now]
    query, book = Query.at(44.0, 22.0), ShortMemory()
    with pytest.raises(Throttled) as caught:
        visit(query, book=book)
    assert caught.value.retry_after == 61.0
    assert not book._jobs


def test_a_full_queue_postpones_and_leaves_no_job_behind(visit, monkeypatch):
    monkeypatch.setattr(atlas, "MOST_QUEUED", 0)
    book = ShortMemory()
    with pytest.raises(Throttled, match="takes no more of your jobs") as caught:
        visit(Query.at(44.0, 22.0), book=book)
    assert caught.value.retry_after == 3600.0
    assert not book._jobs


def test_a_refused_token_is_refused_and_not_shown(visit):
    with pytest.raises(Refused) as caught:
        visit(Query.at(44.0, 22.0), token="refused")
    assert "Token refused" not in str(caught.value)


def test_the_token_is_sent_as_the_server_wants_it_and_its_absence_says_what_to_do():
    source = load("atlas")
    assert credentials("atlas", source.credentials, {}, simulated=True).headers == {"Authorization": f"Token {PLACEHOLDER}"}
    with pytest.raises(Refused, match="HARVESTER_ATLAS_TOKEN"):
        credentials("atlas", source.credentials, {}, simulated=False)


@pytest.mark.parametrize(
    ("line", "quality"),
    [
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 0),
        ("59101.519211 18.4 0.1 159 15 o 0 107.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 1),
        ("59101.519211 12.4 0.1 39900 4001 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 1),
        (
            "59101.519211 10.0 0.1 99999 10000 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o",
            2,
        ),
        ("59101.519211 18.4 0.1 159 15 o 128 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 99.51 3841.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 10460.80 2.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 5.04 2.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 1.02 26.5 -0.421 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.099 19.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 9.59 20.43 01a59101o0618o", 2),
        ("59101.519211 18.4 0.1 159 15 o 0 7.69 29.86137 30.72672 9408.51 3841.80 2.04 2.02 26.5 -0.421 19.59 16.43 01a59101o0618o", 2),
    ],
)
def test_each_cut_of_the_faq_makes_a_line_bad_and_those_of_the_plotting_script_suspect(line, quality):
    rows = deliver(load("atlas"), [Payload(f"{atlas.HEADER}\n{line}\n".encode(), source="atlas")]).rows
    assert rows["quality"].to_pylist() == [quality]


def test_golden_magnitudes_of_the_passbands():
    lines = [
        f"59101.5 {mag} {dm} {ujy} {err} {band} 0 1.0 29.86137 30.72672 900.0 900.0 2.0 2.0 1.0 -0.4 19.5 20.4 01a59101o000{n}{band}"
        for n, (band, mag, dm, ujy, err) in enumerate([("o", 17.0, 0.05, 575.44, 26.5), ("c", 18.5, 0.08, 144.544, 10.65)])
    ]
    rows = deliver(load("atlas"), [Payload("\n".join([atlas.HEADER, *lines, ""]).encode(), source="atlas")]).rows
    for row in rows.to_pylist():
        assert 23.9 - 2.5 * np.log10(row["flux"]) == pytest.approx(row["mag"], abs=1e-5)


@pytest.mark.parametrize("name", ["V404 Cyg", "RR Lyr", "SN SIM 2021a"])
def test_what_is_stored_is_the_simulated_truth(harvest, emulator, tmp_path, name):
    assert harvest(f"fetch --source atlas --target '{name}'") == 0, harvest.err
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality all -q") == 0
    rows = {row["observation_id"]: row for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    (star,) = emulator.sky.named(name)
    place = Place(star.ra, star.dec, 2000.0, star.pmra, star.pmdec)
    truth = epochs(emulator.sky.seed, place, reduced=True)
    lines = {line.split()[-1]: (row, line.split()) for row, line in zip(truth, atlas._lines(truth), strict=True)}
    assert set(rows) == set(lines)
    assert len(rows) > 1000
    for key, (true, line) in lines.items():
        row = rows[key]
        assert row["filter"] == f"{true['band']}(ATLAS)"
        assert abs(row["bjd_tdb"] - true["bjd_tdb"]) * 86400 < TIME_STEP_S
        assert (row["flux"], row["flux_err"]) == (float(line[3]), float(line[4]))
        assert row["upper_limit"] == (row["mag"] is None) == (row["flux"] < 3 * row["flux_err"])
        if true["spoiled"] == 0:
            assert abs(row["flux"] - true["true_ujy"]) < SIGMA * row["flux_err"]
        else:
            assert row["quality"] > 0
    sure = [key for key, row in rows.items() if row["quality"] == 0 and row["mag"] and row["mag_err"] < 0.05]
    pulls = [(rows[key]["mag"] - lines[key][0]["true_mag"]) / rows[key]["mag_err"] for key in sure]
    assert len(pulls) > 20
    assert abs(np.mean(pulls)) < 4 / np.sqrt(len(pulls)) + 0.1, "faint detections are chosen by their noise; these are not"


def test_a_later_window_adds_what_is_new_and_knows_the_rest(harvest, emulator):
    """RR Lyr moves: the place that is measured is another in each window, and still the same thing."""
    assert harvest("fetch --source atlas --target 'RR Lyr' --since 2017-01-01 --until 2018-01-01 --json") == 0
    before = sum(part["total"] for part in harvest.objects[0]["filters"].values())
    assert harvest("fetch --source atlas --target 'RR Lyr' --since 2017-12-01 --until 2019-01-01 --json") == 0
    (found,) = harvest.objects
    assert found["outcome"] == "new"
    parts = found["filters"].values()
    assert sum(part["total"] for part in parts) == before + sum(part["new"] for part in parts)
    assert not any(part["revised"] for part in parts)
    assert harvest("fetch --source atlas --target 'RR Lyr' --since 2017-01-01 --until 2018-01-01 --json") == 0
    assert harvest.objects[0]["outcome"] == "unchanged"


def test_the_queue_of_the_cli_is_pending_first_and_stored_then(harvest, emulator, monkeypatch):
    monkeypatch.setitem(emulator._memory["atlas"], "queue_seconds", 1e6)
    assert harvest("fetch --source atlas --target '44.0 22.0' --json") in {0, 3}
    assert harvest.objects[0]["outcome"] == "pending"
    mine = emulator._memory["atlas"]["tasks"][-1]
    mine.seconds = 0.0
    assert harvest("fetch --source atlas --target '44.0 22.0' --json") == 0
    assert harvest.objects[0]["outcome"] == "new"
    assert json.loads(json.dumps(harvest.objects))[0]["filters"]
    assert emulator._memory["atlas"]["tasks"][-1] is mine
