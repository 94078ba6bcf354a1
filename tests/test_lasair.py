"""Lasair's two instances: what is asked, what is believed of the answers, who is refused, and the way from the simulated alerts into the store."""

import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from test_alerce import RR_LYR, SKY, SUPERNOVA, W_VIR, compare, rows_of
from test_sources import Scripted

from harvester.alert_photometry import records, with_references
from harvester.delivery import deliver
from harvester.emulator import lasair as service
from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.faults import Faults
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

pytest_plugins = ["shown"]

PLACE = Target("x", 10.0, 20.0)
SHOWN = {"headers": {"Authorization": "Token emulated"}}
SEEN = {
    "candid": 2503144950315015007,
    "jd": 2460256.6449537,
    "ra": 10.0,
    "dec": 20.0,
    "fid": 1,
    "isdiffpos": "t",
    "magpsf": 17.0,
    "sigmapsf": 0.05,
}
SEEN |= {"magnr": 16.25, "sigmagnr": 0.01, "magzpsci": 26.2, "drb": 0.99}
LIMIT = {"jd": 2460251.6449537, "fid": 2, "diffmaglim": 20.1, "magpsf": 20.1}
FORCED = {"objectid": "ZTF18aaaaaaa", "jd": SEEN["jd"], "ranr": 10.0, "decnr": 20.0001, "fid": 1, "magzpsci": 26.2}
FORCED |= {"forcediffimflux": 4786.3, "forcediffimfluxunc": 220.0}
VISIT = {"midpointMjdTai": 61176.35, "band": "g", "psfFlux": 4000.0, "psfFluxErr": 140.0, "scienceFlux": 36000.0, "scienceFluxErr": 133.0}
THING = {"diaObjectId": 170587116732416143, "ra": 10.0, "decl": 20.0, "firstDiaSourceMjdTai": 61100.0, "lastDiaSourceMjdTai": 61120.0}


def answer(candidates=(), forced=(), name="ZTF18aaaaaaa"):
    return {"objectId": name, "candidates": list(candidates), "forcedphot": list(forced)}


def lsst_answer(sources=(), forced=(), thing=THING):
    said = {"diaObjectId": "170587116732416143", "diaObject": thing}
    return said | {"diaSourcesList": list(sources), "diaForcedSourcesList": list(forced)}


def fetched(name, *answers, target=PLACE):
    http = Scripted(*(json.dumps(one).encode() for one in answers))
    return list(load(name).fetch(Query((target,), 1.5), http)), http.asked


def delivered(said, source="lasair"):
    return deliver(load(source), [Payload(json.dumps(said).encode(), source=source)])


def listed(*names):
    return [{"object": name, "separation": 0.5 - 0.1 * number} for number, name in enumerate(names)]


def ask(server, host, path, token="emulated", **form):
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(f"{server.url}/{host}/api/{path}", data, {"Authorization": f"Token {token}"} if token else {})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        return error.code, json.loads(body) if body.startswith(b"{") else body


def test_the_cone_is_asked_then_each_object_the_nearest_first():
    payloads, asked = fetched("lasair", listed("ZTF18bbbbbbb", "ZTF18aaaaaaa"), answer([SEEN]), answer([SEEN], name="ZTF18bbbbbbb"))
    assert [path for _, path, _ in asked] == ["cone/", "object/", "object/"]
    assert asked[0][2] == {"ra": 10.0, "dec": 20.0, "radius": 1.5, "requestType": "all"}
    assert [params["objectId"] for _, _, params in asked[1:]] == ["ZTF18aaaaaaa", "ZTF18bbbbbbb"]
    assert {params["lasair_added"] for _, _, params in asked[1:]} == {"false"}, "an unknown object would be an error of the server"
    assert [payload.role for payload in payloads] == ["objects", "photometry", "photometry"]


def test_an_object_lies_where_its_middle_detection_lies_also_across_the_first_meridian():
    east, west, far = ({**SEEN, "ra": ra, "jd": 2459000.5 + day, "candid": day} for ra, day in ((0.0001, 1), (359.9999, 2), (0.0003, 300)))
    payloads, _ = fetched("lasair", listed("ZTF18aaaaaaa"), answer([far, LIMIT, west, east]))
    thing, forced = payloads[1].objects
    assert (thing.ra, thing.dec, thing.survey) == (pytest.approx(0.0001), 20.0, "ZTF")
    assert thing.epoch == pytest.approx(2000 + (59002 - 51544.5) / 365.25), "of the middle one, not of the middle of the time"
    assert (forced.object_id, forced.survey, forced.has_photometry) == ("ZTF18aaaaaaa", "ZTF_FP", None)


def test_a_star_that_moves_is_looked_for_where_it_left_its_alerts_but_never_beyond_what_the_service_allows():
    _, asked = fetched("lasair", [], target=Target("fast", 10.0, 20.0, pmra=1000.0, pmdec=0.0))
    assert asked[0][2]["radius"] == pytest.approx(6.0, abs=1e-3)
    assert (asked[0][2]["ra"] - 10.0) * 3600 * np.cos(np.radians(20)) == pytest.approx(22.0, abs=0.01)
    http = Scripted(b"[]")
    list(load("lasair").fetch(Query((PLACE,), 3000.0), http))
    assert http.asked[0][2]["radius"] == 1000.0


def test_a_candidate_without_candid_is_a_limit_whatever_its_magpsf():
    rows = delivered(answer([LIMIT, SEEN])).rows.to_pylist()
    assert [(row["upper_limit"], row["limiting_mag"], row["mag"]) for row in rows] == [(False, None, 17.0), (True, 20.1, None)]
    assert rows[0]["observation_id"] == "2503144950315015007", "every digit of 64 bits"


def test_forced_flux_is_in_microjansky_by_its_own_zero_point():
    """The formula of Lasair's manual: flux / 10^(0.4 (magzpsci - 23.9))."""
    rows = delivered(answer(forced=[{**FORCED, "forcediffimflux": -4786.3}])).rows.to_pylist()
    assert rows[0]["flux"] == pytest.approx(-4786.3 / 10 ** (0.4 * (26.2 - 23.9)), rel=1e-9)
    assert (rows[0]["filter"], rows[0]["mag"]) == ("g(ZTF_FP)", None)
    assert rows[0]["limiting_mag"] == pytest.approx(26.2 - 2.5 * np.log10(5 * 220.0), rel=1e-9)


def test_a_bright_star_that_faded_by_more_than_99999_counts_is_a_measurement():
    faded, missing = (
        {**FORCED, "forcediffimflux": -679401.5},
        {**FORCED, "jd": 2460250.6, "forcediffimflux": -99999.0, "forcediffimfluxunc": -99999.0},
    )
    rows = delivered(answer(forced=[faded, missing]))
    assert (rows.rows.num_rows, rows.rejected.num_rows) == (1, 0)
    assert rows.rows["flux"][0].as_py() == pytest.approx(-679401.5 / 10 ** (0.4 * 2.3))


def test_the_total_is_made_once_forced_photometry_shows_which_source_the_reference_is():
    without, with_it = (delivered(answer([SEEN], forced)).rows.to_pylist() for forced in ((), [FORCED]))
    assert (without[0]["mag"], without[0]["flags"].split()[0]) == (17.0, "difference")
    golden = -2.5 * np.log10(10 ** (-0.4 * 17.0) + 10 ** (-0.4 * 16.25))
    assert with_it[0]["mag"] == pytest.approx(golden, abs=1e-9)
    assert with_it[1]["mag"] == pytest.approx(golden, abs=1e-5), "the forced measurement of the same exposure"
    assert {row["flags"].split()[0] for row in with_it} == {"total"}


@pytest.mark.parametrize(
    ("seen", "forced", "sort"),
    [
        ({}, {}, "total"),
        ({"jd": 2458300.6}, {}, "difference"),
        ({"fid": 2}, {}, "difference"),
        ({}, {"ranr": -99999.0, "decnr": -99999.0}, "difference"),
        ({}, {"decnr": 20.001}, "difference"),
        ({"magnr": -999.0}, {}, "difference"),
        ({"magnr": None}, {}, "difference"),
    ],
    ids=["one exposure", "never forced", "another filter", "no reference", "3.6 arcsec away", "no magnitude", "null"],
)
def test_no_total_is_made_of_a_reference_that_is_not_known_to_be_the_object(seen, forced, sort):
    rows = delivered(answer([{**SEEN, **seen}], [{**FORCED, **forced}])).rows.to_pylist()
    assert {row["flags"].split()[0] for row in rows} == {sort}


def test_a_reference_once_known_serves_every_exposure_of_that_filter_on_it():
    older = {**SEEN, "jd": 2458257.6104514, "candid": 504110450315010012, "magnr": 16.250001907}
    other = {**SEEN, "jd": 2458258.6104514, "candid": 505110450315010012, "magnr": 16.31}
    later = {**FORCED, "jd": 2460260.6449537, "forcediffimflux": -690.2}
    rows = {
        row["observation_id"]: row["flags"].split()[0] for row in delivered(answer([SEEN, other, older], [later, FORCED])).rows.to_pylist()
    }
    assert rows["504110450315010012"] == "total", "the same source, by its magnitude"
    assert rows["505110450315010012"] == "difference", "a reference image that no forced measurement shows"
    assert [rows[key] for key in rows if ":" in key] == ["total", "total"]


def test_a_later_detection_changes_nothing_of_what_was_said_of_earlier_forced_photometry():
    """Else every visit would revise every row."""
    later = {**SEEN, "jd": 2460257.6449537, "candid": 2504144950315015007, "ra": 10.00002}
    forced = [FORCED, {**FORCED, "jd": later["jd"]}, {**FORCED, "jd": 2460255.6449537}]
    tables = []
    for seen in ([SEEN], [later, SEEN]):
        rows = [records(Payload(b""), part, names={"jd": "mjd", "objectid": "object_id"}) for part in (seen, forced)]
        rows[0] = rows[0].append_column("object_id", rows[1]["object_id"].slice(0, len(seen)))
        tables.append(with_references(*rows)[1])
    assert tables[0] == tables[1]
    assert tables[0]["distnr"].to_pylist() == [str(round(0.0001 * 3600 / 1.012, 6))] * 3


@pytest.mark.parametrize(
    "said",
    [
        {"error": "boom"}, [], {"objectId": "Z", "candidates": None, "forcedphot": []}, {"objectId": "Z", "candidates": []},
        answer([{key: value for key, value in SEEN.items() if key != "jd"}]), answer([{**SEEN, "candid": None}]), answer([3]),
        answer(forced=[{key: value for key, value in FORCED.items() if key != "magzpsci"}]),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_as_documented_is_malformed_and_kept(said):
    body = json.dumps(said).encode()
    with pytest.raises(Malformed) as caught:
        load("lasair").normalise(Payload(body, source="lasair"))
    assert caught.value.payload.body == body


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lasair", {"error": "x"}),
        ("lasair", [{"object": "Z"}]),
        ("lasair_lsst", []),
        ("lasair_lsst", {}),
    ],
)
def test_a_list_that_is_none_is_malformed(name, said):
    with pytest.raises(Malformed):
        fetched(name, said)


def test_an_unknown_filter_is_quarantined():
    delivery = delivered(answer([{**SEEN, "fid": 4}]))
    assert (delivery.rows.num_rows, delivery.rejected["reason"].to_pylist()) == (0, ["unknown passband"])


def test_an_object_that_is_listed_but_not_delivered_is_suspicious():
    payloads, _ = fetched("lasair", listed("ZTF18aaaaaaa"), answer())
    assert "lists ZTF18aaaaaaa" in payloads[1].doubt
    payloads, _ = fetched("lasair_lsst", {"objects": listed(170587116732416143)}, lsst_answer(thing=None))
    assert "lists 170587116732416143" in payloads[1].doubt


def test_lsst_is_asked_for_all_that_it_has_and_its_number_stays_whole():
    payloads, asked = fetched("lasair_lsst", {"objects": listed(170587116732416143)}, lsst_answer())
    assert asked[1][2] == {"objectId": "170587116732416143", "lite": "false", "lasair_added": "false"}, "lite has no totals, flags or ids"
    assert [(thing.object_id, thing.dec, thing.survey) for thing in payloads[1].objects] == [
        ("170587116732416143", 20.0, "LSST"), ("170587116732416143", 20.0, "LSST_FP"),
    ]  # fmt: skip


def test_lsst_rows_have_totals_and_bare_nan_is_nothing():
    source = VISIT | {"diaSourceId": 170602345678901234, "decl": 20.0, "dipoleAngle": float("nan"), "isDipole": True}
    forced = VISIT | {
        "diaForcedSourceId": 180602345678900001,
        "psfFlux": -100.0,
        "scienceFlux": float("nan"),
        "scienceFluxErr": float("nan"),
    }
    rows = delivered(lsst_answer([source], [forced]), "lasair_lsst").rows.to_pylist()
    assert rows[0]["mag"] == pytest.approx(31.4 - 2.5 * np.log10(36000.0), abs=1e-4)
    assert (rows[0]["quality"], rows[0]["dec"], rows[0]["observation_id"]) == (1, 20.0, "170602345678901234")
    assert (rows[1]["filter"], rows[1]["flux"], rows[1]["mag"]) == ("g(LSST_FP)", pytest.approx(-0.1), None)


@pytest.mark.parametrize("lacking", ["diaSourceId", "band", "psfFluxErr"])
def test_a_source_of_lsst_without_what_the_rows_need_is_malformed(lacking):
    source = {key: value for key, value in (VISIT | {"diaSourceId": 1}).items() if key != lacking}
    with pytest.raises(Malformed, match=lacking):
        delivered(lsst_answer([source]), "lasair_lsst")


def test_stars_and_supernovae_come_into_the_store_as_the_simulation_has_them(harvest, emulator, shows):
    shows(**SHOWN)
    assert harvest("fetch --source lasair --source lasair_lsst --target 'W Vir' --target 'SN SIM 2026a' --target 'RR Lyr' --json") == 0
    assert {outcome["outcome"] for outcome in harvest.objects} == {"new", "empty"}, "RR Lyr is too far north for LSST"
    assert sum(outcome["quarantined"] for outcome in harvest.objects) == 0
    for star in (W_VIR, SUPERNOVA, RR_LYR):
        name = star.name.removeprefix("NAME ").removeprefix("V* ")
        assert harvest(f"export --target '{name}' --format csv --quality all -o light.csv") == 0
        compare(star, rows_of("light.csv"))


def test_the_second_visit_changes_nothing(harvest, emulator, shows):
    shows(**SHOWN)
    for outcome in ("new", "unchanged"):
        assert harvest("fetch --source lasair --source lasair_lsst --target 'W Vir' --json") == 0
        assert {one["outcome"] for one in harvest.objects} == {outcome}


def test_nothing_there_is_empty(harvest, emulator, shows):
    shows(**SHOWN)
    assert harvest("fetch --source lasair --source lasair_lsst --target '180.0 45.0' --json") == 0
    assert {outcome["outcome"] for outcome in harvest.objects} == {"empty"}


@pytest.mark.parametrize("shown", [{}, {"headers": {"Authorization": "Token wrong"}}], ids=["none", "wrong"])
def test_without_its_token_nobody_is_answered(harvest, emulator, shows, shown):
    shows(**shown)
    assert harvest("fetch --source lasair --source lasair_lsst --target 'W Vir' --json") == 4
    assert {(outcome["outcome"], outcome["error"]) for outcome in harvest.objects} == {("failed", "refused")}


def test_a_token_stays_out_of_the_store(harvest, emulator, shows):
    shows(headers={"Authorization": "Token 9f8e7d6c5b4a"})
    assert harvest("fetch --source lasair --target 'SN SIM 2026a' -q") == 0
    assert b"9f8e7d6c5b4a" not in harvest.store.read_bytes()


def test_whoever_asked_too_often_is_put_off_for_as_long_as_the_service_says(harvest, emulator, shows):
    shows(headers={"Authorization": "Token dummy-of-this-test"})
    targets = " ".join(f"--target '180.0 {45 + step / 10:.1f}'" for step in range(-2, 3))
    assert harvest(f"fetch --source lasair {targets} --json") == 0
    assert harvest(f"fetch --source lasair {targets} --json") == 0
    assert harvest(f"fetch --source lasair {targets} --json") == 3
    assert {outcome["outcome"] for outcome in harvest.objects} == {"postponed"}
    assert "Request limit exceeded" in harvest.objects[0]["message"]


@pytest.mark.parametrize("fault", ["html", "500", pytest.param("truncated", marks=pytest.mark.slow)])
def test_a_service_that_fails_is_told_as_failing(harvest, emulator, shows, fault):
    shows(**SHOWN)
    emulator.faults = Faults({"lasair": [fault]})
    assert harvest("fetch --source lasair --target 'W Vir' --json") != 0
    assert harvest.objects[0]["error"] == {"html": "malformed", "500": "unreachable"}.get(fault, fault)


def test_the_instance_of_ztf_answers_as_the_dossier_says(running):
    _, server = running
    stream = ztf_stream.stream(SKY, W_VIR)
    cone = {"ra": stream.ra, "dec": stream.dec, "radius": 2.0}
    assert ask(server, service.ZTF_HOST, "cone/", **cone, requestType="count") == (200, {"count": 1})
    status, nearest = ask(server, service.ZTF_HOST, "cone/", **cone, requestType="nearest")
    assert (status, nearest["object"], nearest["separation"]) == (200, stream.oid, pytest.approx(0.0, abs=1e-6))
    assert ask(server, service.ZTF_HOST, "cone/", ra=180.0, dec=45.0, radius=5.0, requestType="nearest") == (200, {})
    assert ask(server, service.ZTF_HOST, "cone/", ra=180.0, dec=45.0, radius=5.0, requestType="all") == (200, [])
    assert ask(server, service.ZTF_HOST, "cone/", **cone | {"radius": 1001}, requestType="all") == (
        400,
        {"error": "Max radius is 1000 arcsec."},
    )
    status, said = ask(server, service.ZTF_HOST, "cone/", dec=45.0, radius="wide", requestType="some")
    assert (status, said["ra"], said["radius"]) == (400, ["This field is required."], ["A valid number is required."])
    assert said["requestType"] == ['"some" is not a valid choice.']
    assert ask(server, service.ZTF_HOST, "object/", objectId="ZTF00x", lasair_added="false") == (200, answer(name="ZTF00x"))
    status, page = ask(server, service.ZTF_HOST, "object/", objectId="ZTF00x", lasair_added="true")
    assert (status, page[:15].lower()) == (500, b"<!doctype html>")
    assert ask(server, service.ZTF_HOST, "object/", lite="true")[0] == 500, "its view forgets to answer a bad POST"
    assert ask(server, service.ZTF_HOST, "object/?lite=true") == (400, {"objectId": ["This field is required."]})


def test_added_values_give_a_limit_a_magnitude_in_the_emulator_as_in_the_service(running):
    _, server = running
    _, said = ask(server, service.ZTF_HOST, "object/", objectId=ztf_stream.stream(SKY, W_VIR).oid, lasair_added="true")
    limits = [row for row in said["candidates"] if "candid" not in row]
    assert limits
    assert all(row["magpsf"] == row["diffmaglim"] for row in limits)
    plain, added = (delivered(answer(said["candidates"], forced)) for forced in (said["forcedphot"], said["forcedphot"]))
    assert sum(plain.rows["upper_limit"].to_pylist()) == len(limits) == sum(added.rows["upper_limit"].to_pylist())


def test_the_instance_of_lsst_answers_as_the_dossier_says(running):
    _, server = running
    stream = lsst_stream.stream(SKY, W_VIR)
    cone = {"ra": stream.ra, "dec": stream.dec, "radius": 2.0}
    _, found = ask(server, service.LSST_HOST, "cone/", **cone, requestType="all")
    assert (found["count"], found["nearest"]["object"]) == (1, stream.dia_object_id)
    assert ask(server, service.LSST_HOST, "cone/", ra=180.0, dec=45.0, radius=5.0, requestType="nearest") == (200, {})
    _, lite = ask(server, service.LSST_HOST, "object/", objectId=stream.dia_object_id, lite="true", lasair_added="false")
    assert set(lite["diaSourcesList"][0]) == {"diaSourceId", "midpointMjdTai", "band", "psfFlux", "psfFluxErr", "reliability"}
    assert set(lite["diaForcedSourcesList"][0]) == {"midpointMjdTai", "band", "psfFlux", "psfFluxErr"}
    assert "diaObject" not in lite
    _, full = ask(server, service.LSST_HOST, "object/", objectId=stream.dia_object_id, lasair_added="false")
    assert (full["diaObjectId"], full["diaSourcesList"][0]["diaObjectId"]) == (str(stream.dia_object_id), stream.dia_object_id)
    assert np.isnan(full["diaSourcesList"][0]["dipoleAngle"])
    assert ask(server, service.LSST_HOST, "object/", objectId="1") == (404, {"detail": "Not found."})
    assert ask(server, service.LSST_HOST, "object/", objectId="1", lasair_added="false") == (
        200,
        lsst_answer(thing=None) | {"diaObjectId": "1"},
    )


@pytest.mark.parametrize("host", service.HOSTS)
def test_each_instance_counts_the_calls_of_a_token_and_refuses_who_shows_none(running, host):
    _, server = running
    cone = {"ra": 180.0, "dec": 45.0, "radius": 5.0, "requestType": "count"}
    assert ask(server, host, "cone/", token="", **cone) == (401, {"detail": "Authentication credentials were not provided."})
    assert ask(server, host, "cone/", token="wrong", **cone) == (401, {"detail": "Invalid token."})
    token = f"dummy-{host}"
    assert [ask(server, host, "cone/", token=token, **cone)[0] for _ in range(11)] == [200] * 10 + [429]
    assert ask(server, host, f"cone/?token={token}", token="", **cone)[1] == {"message": service.TOO_MANY}
