"""CPCS: follow-up by name of the alert, limits marked by an error of -1, and the key that it wants to see."""

import json

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import needs_recordings

from harvester.access import credentials
from harvester.delivery import deliver, with_bjd_tdb
from harvester.emulator import cpcs as service
from harvester.errors import Malformed, Refused
from harvester.payload import Payload
from harvester.session import Client, Service
from harvester.source import Pace, Query, load
from harvester.target import Target

CPCS = load("cpcs")
ONE = {"id": [1], "mjd": [58728.95], "mag": [18.65], "magerr": [0.03], "caliberr": [0.04], "filter": ["r"], "catalog": ["PS1"]}
ONE |= {"observatory": ["Sim 1 m"], "hashtag": ["SIM_key_of_somebody"], "alert_name": "ivo://Gaia19sim"}


def delivered(**changes):
    return deliver(CPCS, [Payload(json.dumps(ONE | changes).encode(), source="cpcs")])


class Scripted:
    def __init__(self):
        self.asked = []

    def get(self, path, **params):
        self.asked.append((path, params))
        return Payload(json.dumps(ONE).encode(), source="cpcs", params=params)


def asked(target):
    http = Scripted()
    payloads = list(CPCS.fetch(Query((target,), 5.0), http))
    return [params["alert_name"] for _, params in http.asked], payloads


def test_the_error_holds_that_of_the_calibration():
    (row,) = delivered().rows.to_pylist()
    assert (row["mag"], row["filter"], row["facility"]) == (18.65, "r(CPCS)", "Sim 1 m")
    assert row["mag_err"] == pytest.approx(0.05)


def test_an_error_of_minus_one_is_a_limit():
    (row,) = delivered(magerr=[-1.0]).rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["mag"], row["mag_err"], row["limit_sigma"]) == (True, 18.65, None, None, None)


@pytest.mark.parametrize("changes", [{"magerr": [-2.0]}, {"caliberr": [-0.1]}, {"mag": [78.0]}, {"filter": ["clear"]}, {"mjd": [None]}])
def test_what_nobody_can_trust_goes_to_quarantine(changes):
    found = delivered(**changes)
    assert (found.rows.num_rows, found.rejected.num_rows) == (0, 1)


def test_keys_of_uploaders_are_in_no_row():
    assert "SIM_key" not in str(delivered().rows.to_pylist())


def test_the_catalogue_of_the_calibration_is_a_flag():
    assert delivered().rows["flags"].to_pylist() == ["catalog PS1 magerr 0.03 caliberr 0.04"]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"error": "x"}',
        b"<html>",
        b"null",
        json.dumps(ONE | {"mag": [1, 2]}).encode(),
        json.dumps(ONE | {"mag": 5}).encode(),
    ],
)
def test_another_layout_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        deliver(CPCS, [Payload(body, source="cpcs")])
    assert caught.value.payload.body == body


@pytest.mark.parametrize("column", ["id", "mjd", "mag", "magerr", "caliberr", "filter", "catalog", "observatory", "alert_name"])
def test_a_column_that_is_missing_is_malformed(column):
    with pytest.raises(Malformed):
        deliver(CPCS, [Payload(json.dumps({k: v for k, v in ONE.items() if k != column}).encode(), source="cpcs")])


def test_alerts_are_asked_for_by_any_name_of_the_target_once():
    target = Target(
        "SN 2019abc", 10.0, 20.0, aliases=("Gaia19SIM", "Gaia DR3 123"), ids={"GAIA_ALERTS": ("Gaia19sim",), "CPCS": ("gaia20aaa",)}
    )
    names, payloads = asked(target)
    assert names == ["ivo://Gaia19sim", "ivo://Gaia20aaa"]
    assert deliver(CPCS, payloads[:1]).share(target, 5.0, windowed=False).rows.num_rows == 1


def test_a_target_without_the_name_of_an_alert_is_not_asked_for():
    assert asked(Target("RR Lyr", 10.0, 20.0, aliases=("Gaia DR3 123",))) == ([], [])


def test_the_stored_follow_up_is_the_simulated_truth(harvest, emulator, tmp_path):
    assert harvest("fetch --source cpcs --target Gaia21sim") == 0
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality all -q") == 0
    (star,) = emulator.sky.named("Gaia21sim")
    truth = service.points(emulator.sky.seed, star)
    truth = truth[np.argsort(truth["id"].astype(str))]
    found = pq.read_table(tmp_path / "out.parquet").sort_by("observation_id")
    assert found["observation_id"].to_pylist() == [str(number) for number in truth["id"]]
    assert np.abs(found["bjd_tdb"].to_numpy() - truth["bjd_tdb"]).max() < 1e-3 / 86400
    limit = truth["magerr"] < 0
    assert 0 < limit.sum() < len(limit)
    assert found["upper_limit"].to_pylist() == limit.tolist()
    assert np.abs(pc.coalesce(found["mag"], found["limiting_mag"]).to_numpy() - truth["mag"]).max() < 1e-9
    pulls = ((found["mag"].to_numpy() - truth["true_mag"]) / found["mag_err"].to_numpy())[~limit]
    assert abs(pulls.mean()) < 5 / np.sqrt(len(pulls))
    assert found["filter"].to_pylist() == [f"{service.TELESCOPES[number].filter}(CPCS)" for number in truth["telescope"]]


def test_without_a_key_it_is_refused_and_nothing_is_said_of_the_alert(running):
    with Client() as client:
        http = client.session(Service("cpcs", f"{running[1].url}/gsaweb.ast.cam.ac.uk/followup/", Pace(1000, 1), CPCS.base_url))
        with pytest.raises(Refused):
            list(CPCS.fetch(Query((Target("Gaia21sim", 1.0, 2.0),), 5.0), http))


def test_the_hashtag_is_shown_as_a_cookie():
    assert credentials("cpcs", CPCS.credentials, {"hashtag": "X_1"}, simulated=False).headers == {"Cookie": "hashtag=X_1"}


@needs_recordings
def test_the_real_answer_has_its_golden_values(recorded):
    found = deliver(CPCS, [Payload(recorded("cpcs/bhtom2_get_alert_lc_data.json"), source="cpcs")])
    assert found.rejected.num_rows == 0
    assert found.rows["upper_limit"].to_pylist() == [True, True, False]
    assert found.rows["limiting_mag"].to_pylist()[:2] == [20.23844337463379, 19.472387313842773]
    assert found.rows["mag_err"].to_pylist()[2] == pytest.approx(np.hypot(0.08244965970516205, 0.12389542907476425))
    assert found.rows["filter"].to_pylist() == ["B(CPCS)", "V(CPCS)", "r(CPCS)"]
    rows = with_bjd_tdb(found.rows, Target("Gaia19drz", 0.0, 0.0), CPCS.systems())
    assert np.isfinite(rows["bjd_tdb"].to_numpy()).all()
