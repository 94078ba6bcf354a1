"""AAVSO: observers' reports become rows, and a service that turns programs away is not a star without data."""

from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from harvester.delivery import deliver
from harvester.emulator import aavso_observers
from harvester.errors import Malformed, Unreachable
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target
from harvester.times import to_bjd_tdb

AAVSO = load("aavso")
HEAD = "JD~mag~uncert~band~by~val~starName~mtype~obsID~fainterThan~obsType~transformed"
RR_LYR = Target("RR Lyr", 291.366304, 42.784359)
ONE = b'{"VSXObjects":{"VSXObject":{"Name":"RR Lyr","AUID":"000-BCN-208","RA2000":"291.36630","Declination2000":"42.78436"}}}'


def rows(*lines, head=HEAD):
    return deliver(AAVSO, [Payload("\n".join([head, *lines, ""]).encode(), source="aavso")])


def report(**said):
    usual = {"JD": "2459233.5", "mag": "12.1", "band": "V", "by": "ABC", "val": "V", "starName": "X", "mtype": "STD", "obsID": "1"}
    return "~".join({**usual, "fainterThan": "0", "obsType": "CCD", **said}.get(name, "") for name in HEAD.split("~"))


class Scripted:
    """Answers in turn; remembers what was asked and how long it was waited."""

    def __init__(self, *answers):
        self.answers, self.asked, self.waited = list(answers), [], []

    def get(self, path, *, accept=(), **params):
        self.asked.append(params)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body, doubt = answer if isinstance(answer, tuple) else (answer, "")
        return Payload(body, params=params, source="aavso", doubt=doubt)

    def wait(self, seconds):
        self.waited.append(seconds)


def fetched(http, **asked):
    return list(AAVSO.fetch(Query((RR_LYR,), 5.0, **asked), http))


@pytest.mark.parametrize(
    ("val", "quality"),
    [("V", 0), ("Z", 0), ("G", 0), ("P", 0), ("U", 1), ("N", 1), ("T", 2), ("D", 2), ("Y", 2), ("Q", 2), ("?", 1), ("", 1)],
)
def test_the_validation_of_a_report_is_its_quality(val, quality):
    assert rows(report(val=val)).rows["quality"].to_pylist() == [quality]


@pytest.mark.parametrize("said", [{"fainterThan": "1", "mag": "14.2"}, {"mag": "<14.2"}])
def test_fainter_than_is_a_limit_without_a_magnitude(said):
    (row,) = rows(report(uncert="0.1", **said)).rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["mag"], row["mag_err"], row["flux"]) == (True, 14.2, None, None, None)


@pytest.mark.parametrize("method", ["DIFF", "STEP"])
def test_a_differential_magnitude_is_not_stored_as_one(method):
    found = rows(report(mtype=method, mag="-0.752"))
    assert found.rows.num_rows == 0
    assert found.rejected["passband"].to_pylist() == [f"V {method}"]


def test_a_line_of_a_wrong_number_of_fields_is_kept_apart_and_spoils_no_other():
    found = rows(report(obsID="1"), report(obsID="2") + "~more", "12.1~V", report(obsID="3"))
    assert found.rows["observation_id"].to_pylist() == ["1", "3"]
    assert found.rejected["reason"].to_pylist() == ["unknown passband"] * 2


def test_estimates_by_eye_are_a_filter_of_their_own_and_need_no_error():
    (row,) = rows(report(band="Vis.", obsType="Visual", uncert="")).rows.to_pylist()
    assert (row["filter"], row["mag"], row["mag_err"], row["flux"]) == ("Vis(AAVSO)", 12.1, None, None)
    assert "type Visual" in row["flags"]


def test_cameras_and_eyes_in_one_filter_are_told_apart_by_their_flags():
    flags = rows(report(), report(obsType="PEP", obsID="2")).rows["flags"].to_pylist()
    assert ["type CCD" in flags[0], "type PEP" in flags[1]] == [True, True]


def test_names_of_observers_are_not_stored_but_their_codes_are():
    found = deliver(AAVSO, [Payload(f"{HEAD}~obsName\n{report()}~Surname, Firstname\n".encode(), source="aavso")])
    assert found.rows["observer"].to_pylist() == ["ABC"]
    assert "Surname" not in str(found.rows.to_pylist())


def test_control_characters_and_foreign_letters_do_not_break_a_line():
    body = (
        f"{HEAD}\n{report(by='A' + chr(26) + chr(28) + 'B')}\n".encode() + report(obsID="2", by="x").encode().replace(b"x", b"\xff") + b"\n"
    )
    assert deliver(AAVSO, [Payload(body, source="aavso")]).rows["observer"].to_pylist() == ["AB", "\ufffd"]


@pytest.mark.parametrize("head", ["<html>", "jd,mag", "JD~mag~uncert", "HJD~mag"])
def test_what_does_not_begin_as_documented_is_malformed(head):
    with pytest.raises(Malformed):
        rows(report(), head=head)


def test_the_stored_time_is_that_of_the_barycentre():
    jd, star = np.array([2447892.5, 2449000.25, 2450630.49999]), (325.6791, 43.5861)
    golden = [2447892.499482271410, 2449000.248854393920, 2450630.501840973613]
    assert np.abs(to_bjd_tdb(jd, AAVSO.time_system, *star) + 2400000.5 - golden).max() < 1e-3 / 86400


def test_the_whole_history_is_asked_for_in_windows_that_touch_and_grow_where_little_is():
    http = Scripted(ONE, HEAD.encode())
    assert len(fetched(http)) == len(http.asked)
    windows = [(float(asked["fromjd"]), float(asked["tojd"])) for asked in http.asked[1:]]
    assert all(newer[0] == older[1] for newer, older in pairwise(windows))
    assert windows[-1][0] == 2396758.5
    assert len(windows) < 12
    assert windows[0][1] - windows[0][0] == pytest.approx(365)


def test_windows_stay_short_where_much_is():
    http = Scripted(ONE, (HEAD + "\n" * 3000).encode())
    fetched(http, since=60000.0)
    spans = {round(float(asked["tojd"]) - float(asked["fromjd"])) for asked in http.asked[1:-1]}
    assert spans == {365}


def test_an_update_asks_from_60_days_before_the_newest_point_because_observations_come_late():
    assert AAVSO.lookback == 60.0
    http = Scripted(ONE, HEAD.encode())
    fetched(http, since=60000.0, until=60010.0)
    assert [(asked["fromjd"], asked["tojd"]) for asked in http.asked[1:]] == [("2460000.50000", "2460010.50000")]


def test_stars_are_asked_for_by_the_number_of_the_catalogue_and_rows_are_theirs():
    objects, *answers = fetched(Scripted(ONE, f"{HEAD}\n{report()}\n".encode()), since=60000.0, until=60010.0)
    assert objects.role == "objects"
    assert [thing.object_id for thing in objects.objects] == ["000-BCN-208"]
    assert deliver(AAVSO, answers).rows["object_id"].to_pylist() == ["000-BCN-208"]


@pytest.mark.parametrize("body", [b'{"VSXObjects":[]}', b'{"VSXObjects":{"VSXObject":[]}}', b'{"VSXObjects":{}}'])
def test_no_star_in_the_cone_is_nothing_and_nothing_is_asked_further(body):
    if body.endswith(b"{}}"):
        body = b'{"VSXObjects":null}'
    http = Scripted(body)
    assert fetched(http)[0].objects == ()
    assert len(http.asked) == 1


def test_a_star_without_a_number_has_no_observations_and_is_not_asked_for():
    http = Scripted(b'{"VSXObjects":{"VSXObject":[{"Name":"X 1","RA2000":"1.0","Declination2000":"2.0"}]}}')
    assert fetched(http)[0].objects[0].has_photometry is False
    assert len(http.asked) == 1


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"VSXObjects":{"VSXObject":[{"Name":"X"}]}}', b'{"VSXObjects":{"VSXObject":[{"AUID":']
)
def test_a_list_that_cannot_be_read_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        fetched(Scripted(body))
    assert caught.value.payload.body == body


def test_being_turned_away_for_a_while_is_waited_for():
    http = Scripted((b"Just a moment...", "HTTP 403"), (b"", "HTTP 405"), ONE, HEAD.encode())
    assert len(fetched(http, since=60000.0, until=60010.0)) == 2
    assert http.waited == [2.0, 5.0]


def test_being_turned_away_for_good_is_unreachable_and_never_no_data():
    with pytest.raises(Unreachable, match="HTTP 403"):
        fetched(Scripted((b"Just a moment...", "HTTP 403")))


def stored(harvest, tmp_path, target):
    assert harvest(f"fetch --source aavso --target {target!r}") == 0
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality all -q") == 0
    return pq.read_table(tmp_path / "out.parquet")


@pytest.mark.parametrize("target", ["RR Lyr", "SS Cyg", "SN SIM 2021a"])
def test_the_stored_reports_are_the_simulated_ones(harvest, emulator, tmp_path, target):
    found = stored(harvest, tmp_path, target)
    (star,) = emulator.sky.named(target)
    names = {"Vis.": "Vis"}
    for observer in aavso_observers.OBSERVERS:
        truth = aavso_observers.reports(emulator.sky.seed, star, observer)
        mine = found.filter(pc.equal(found["filter"], f"{names.get(observer.band, observer.band)}(AAVSO)")).sort_by("observation_id")
        assert mine["observation_id"].to_pylist() == [str(number) for number in truth["number"]]
        assert np.abs(mine["bjd_tdb"].to_numpy() - truth["bjd_tdb"]).max() < 1e-3 / 86400
        said = pc.coalesce(mine["mag"], mine["limiting_mag"]).to_numpy()
        assert np.abs(said - truth["mag"]).max() < 1e-9
        assert mine["upper_limit"].to_pylist() == truth["fainter"].tolist()
        good = ~truth["fainter"] & (truth["val"] != "T")
        pulls = (said - truth["true_mag"])[good] / observer.error
        assert abs(pulls.sum()) < 5 * np.sqrt(max(len(pulls), 1))


def test_asking_again_brings_nothing_new(harvest):
    harvest("fetch --source aavso --target 'RR Lyr'")
    assert harvest("fetch --source aavso --target 'RR Lyr'") == 0
    assert "Nothing new" in harvest.err


def test_a_browser_that_is_none_is_turned_away_and_old_links_are_sent_on(running):
    import httpx

    place = f"{running[1].url}/vsx.aavso.org/index.php?view=api.delim&ident=RR+Lyr"
    assert httpx.get(place, headers={"User-Agent": "Mozilla/5.0"}).status_code == 403
    assert httpx.get(place).text.startswith("JD,mag,uncert,band,by,")
    old = httpx.get(place.replace("/index", "/vsx/index"))
    assert (old.status_code, old.headers["location"]) == (301, "https://vsx.aavso.org/index.php?view=api.delim&ident=RR+Lyr")


def test_an_unknown_star_has_a_header_alone_and_an_unknown_view_a_page(running):
    import httpx

    place = f"{running[1].url}/vsx.aavso.org/index.php"
    assert len(httpx.get(place, params={"view": "api.delim", "ident": "no such star", "delimiter": "~"}).text.splitlines()) == 1
    assert "<!DOCTYPE html>" in httpx.get(place, params={"view": "api.csv"}).text


def test_a_page_in_place_of_observations_is_a_failure_not_an_empty_answer(harvest, emulator):
    from harvester.emulator.faults import Faults

    emulator.faults = Faults({"aavso": ["html"]})
    assert harvest("fetch --source aavso --target '291.366304 42.784359' --json") == 1
    assert (harvest.objects[0]["outcome"], harvest.objects[0]["error"]) == ("failed", "malformed")
