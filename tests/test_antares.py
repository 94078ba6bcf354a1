"""ANTARES: what is asked, what is believed of the answers, and the way from the simulated alerts into the store."""

import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from test_alerce import MS, RR_LYR, SKY, SUPERNOVA, W_VIR, rows_of
from test_sources import Scripted

from harvester.delivery import deliver
from harvester.emulator import lsst_stream, ztf_stream
from harvester.emulator.antares import LEAST_RB, by_name
from harvester.emulator.faults import Faults
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

PLACE = Target("x", 10.0, 20.0)
HELD = {"ztf_object_id": "ZTF18aaaaaaa", "oldest_alert_observation_time": 58300.0, "newest_alert_observation_time": 60300.0}
HELD |= {"survey": {"ztf": {"id": ["ZTF18aaaaaaa", "ZTF18bbbbbbb"]}, "lsst": {"dia_object_id": ["170587116732416143"]}}}
LOCUS = {"locus_id": "ANT2020j7wo4", "ra": 10.0, "dec": 20.0, "properties": HELD}
SEEN = {"ztf_jd": 2461224.990463, "ztf_fid": 2, "ztf_candid": 3470490460915015042, "ztf_isdiffpos": "t", "ztf_magpsf": 15.428149223327637}
SEEN |= {"ztf_sigmapsf": 0.020089004188776016, "ztf_magnr": 18.871, "ztf_distnr": 6.337, "ztf_rb": 0.9, "ztf_ra": 59.7, "ztf_dec": 23.7}
SEEN |= {"ztf_object_id": "ZTF26abeuijw", "ant_survey": 1, "ant_passband": "R", "ant_mag": 15.428149223327637}
LIMIT = {
    "ztf_jd": 2461224.9836343,
    "ztf_fid": 2,
    "ztf_pid": 3470483630915,
    "ztf_diffmaglim": 18.7,
    "ztf_object_id": "ZTF26abeuijw",
    "ant_survey": 2,
}
VISIT = {
    "diaObjectId": 170595943059554358,
    "diaSourceId": 170595943059554399,
    "midpointMjdTai": 61219.412591,
    "band": "i",
    "psfFlux": 76925.4375,
}
VISIT = {f"lsst_diaSource_{name}": value for name, value in (VISIT | {"psfFluxErr": 568.33, "ra": 358.9, "dec": 2.1}).items()} | {
    "ant_survey": 4
}


def listing(*loci, link=None):
    return json.dumps(
        {"data": [{"locus": locus} for locus in loci], "meta": {"count": len(loci)}, "links": {"self": "x", "next": link}}
    ).encode()


def alerts(*held, wrapped=False):
    made = [{"id": f"alert:{number}", "mjd": 1.0, "properties": one, "survey": "ztf"} for number, one in enumerate(held)]
    made = [{"id": one.pop("id"), "type": "alert", "attributes": one} for one in made] if wrapped else made
    return json.dumps({"data": made, "meta": None, "links": None}).encode()


def fetched(*answers, target=PLACE):
    http = Scripted(*answers)
    return list(load("antares").fetch(Query((target,), 1.5), http)), http.asked


def delivered(*held, wrapped=False):
    return deliver(load("antares"), [Payload(alerts(*held, wrapped=wrapped), source="antares")])


def get(server, path, **asked):
    query = f"?{urllib.parse.urlencode(asked)}" if asked else ""
    try:
        with urllib.request.urlopen(f"{server.url}/api.antares.noirlab.edu/v2/{path}{query}") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def search(server, *filters, **asked):
    return get(server, "loci", elasticsearch_query=json.dumps({"query": {"bool": {"filter": list(filters)}}}), **asked)


def test_a_cone_is_asked_as_the_service_s_own_client_asks_it_then_the_alerts_of_each_locus():
    _, asked = fetched(listing(LOCUS, LOCUS), alerts())
    assert [path for _, path, _ in asked] == ["loci", "loci/ANT2020j7wo4/alerts"]
    cone = json.loads(asked[0][2]["elasticsearch_query"])["query"]["bool"]["filter"]["sky_distance"]
    assert cone == {"radius": "0.0004167 degree", "location": "00h40m00.00000s +20d00m00.00000s"}
    assert asked[0][2]["sort"] == "-properties.newest_alert_observation_time"


def test_a_locus_stands_for_every_object_of_either_survey_that_it_joins():
    payloads, _ = fetched(listing(LOCUS), alerts())
    assert [(thing.object_id, thing.survey) for thing in payloads[0].objects] == [
        ("ZTF18aaaaaaa", "ZTF"), ("ZTF18bbbbbbb", "ZTF"), ("170587116732416143", "LSST"),
    ]  # fmt: skip
    assert {(thing.ra, thing.dec, thing.has_photometry) for thing in payloads[0].objects} == {(10.0, 20.0, True)}
    assert payloads[0].objects[0].epoch == pytest.approx(2000 + (59300 - 51544.5) / 365.25)


def test_a_locus_of_the_first_years_has_no_ids_by_survey():
    held = {key: value for key, value in HELD.items() if key != "survey"}
    payloads, _ = fetched(listing(LOCUS | {"properties": held}), alerts())
    assert [thing.object_id for thing in payloads[0].objects] == ["ZTF18aaaaaaa"]


def test_a_star_that_moves_is_looked_for_where_either_survey_saw_it():
    _, asked = fetched(listing(), listing(), target=Target("fast", 10.0, 20.0, pmra=1000.0, pmdec=0.0))
    cones = [json.loads(params["elasticsearch_query"])["query"]["bool"]["filter"]["sky_distance"] for _, _, params in asked]
    assert [cone["radius"] for cone in cones] == ["0.0016667 degree", "0.0008333 degree"]
    assert cones[0]["location"] != cones[1]["location"]


def test_a_locus_is_asked_for_by_its_id_where_the_target_has_it():
    payloads, asked = fetched(alerts(SEEN), target=Target("it", 59.7, 23.7, aliases=("ANT2026b78o35eau2gs",)))
    assert [path for _, path, _ in asked] == ["loci/ANT2026b78o35eau2gs/alerts"]
    share = deliver(load("antares"), payloads).share(Target("it", 59.7, 23.7), 1.5, windowed=False)
    assert share.matches["ZTF"].object_ids == ("ZTF26abeuijw",), "where its own alerts lie"


def test_the_next_page_is_asked_of_the_same_service_wherever_the_link_points():
    http = Scripted(
        listing(LOCUS, link="http://elsewhere.example/v2/loci?limit=100&page=2"),
        listing(LOCUS | {"locus_id": "ANT2020other"}),
        alerts(),
        alerts(),
    )
    list(load("antares").fetch(Query((PLACE,), 1.5), http))
    assert [path for _, path, _ in http.asked] == ["loci", "loci?limit=100&page=2", "loci/ANT2020j7wo4/alerts", "loci/ANT2020other/alerts"]
    assert http.asked[1][2] == {}


def test_an_empty_page_is_the_last_whatever_its_link_says():
    _, asked = fetched(listing(link="https://api.antares.noirlab.edu/v2/loci?page=2"))
    assert len(asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"errors": []}',
        b"<html>busy</html>",
        b'{"data": [3]}',
        b'{"data": [{"locus": {"ra": 1}}]}',
        b'{"data": [{"locus": {"locus_id": "A", "properties": null}}]}',
    ],
)
def test_a_list_that_is_none_is_malformed_and_kept(body):
    with pytest.raises(Malformed) as caught:
        fetched(body)
    assert caught.value.payload.body == body


def test_a_locus_without_its_times_is_malformed():
    with pytest.raises(Malformed, match="lacks its place"):
        fetched(listing(LOCUS | {"properties": {"ztf_object_id": "Z"}}))


def test_a_supernova_beside_its_host_stays_a_difference():
    (row,) = delivered(SEEN).rows.to_pylist()
    assert (row["filter"], row["mag"], row["mag_err"]) == ("r(ZTF)", 15.428149223327637, 0.020089004188776016)
    assert (row["flags"].split()[0], row["observation_id"], row["object_id"]) == ("difference", "3470490460915015042", "ZTF26abeuijw")


def test_a_negative_difference_gets_its_sign_from_the_packet_not_from_ant_mag():
    (star,) = delivered(SEEN | {"ztf_isdiffpos": "f", "ztf_magnr": 15.0, "ztf_distnr": 0.3}).rows.to_pylist()
    assert star["mag"] == pytest.approx(-2.5 * np.log10(10 ** (-0.4 * 15.0) - 10 ** (-0.4 * SEEN["ztf_magpsf"])), abs=1e-9)
    (faded,) = delivered(SEEN | {"ztf_isdiffpos": "f"}).rows.to_pylist()
    assert faded["mag"] is None
    assert faded["flux"] == pytest.approx(-(10 ** (-0.4 * (SEEN["ztf_magpsf"] - 23.9))), rel=1e-6)


def test_an_alert_without_candid_is_a_limit():
    (row,) = delivered(LIMIT).rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["limit_sigma"], row["mag"]) == (True, 18.7, 5.0, None)
    assert row["object_id"] == "ZTF26abeuijw"


def test_times_are_the_packet_s_own_jd_and_those_of_lsst_are_tai():
    rows = delivered(SEEN, VISIT).rows.to_pylist()
    assert rows[0]["time"] == 2461224.990463 - 2400000.5
    assert (rows[1]["time"], rows[1]["filter"], rows[1]["observation_id"]) == (61219.412591, "i(LSST)", "170595943059554399")


def test_version_1_and_version_2_of_an_alert_are_the_same_row():
    assert delivered(SEEN, LIMIT, wrapped=True).rows == delivered(SEEN, LIMIT).rows


def test_alerts_of_decam_are_left_out_and_those_of_a_survey_that_nobody_documents_refused():
    assert delivered({"ant_survey": 3, "decat_mag": 20.0}).rows.num_rows == 0
    for strange in ({"ant_survey": 5, "new_mag": 20.0}, {}, None):
        with pytest.raises(Malformed, match="nobody documents"):
            delivered(strange)


@pytest.mark.parametrize("lacking", ["ztf_isdiffpos", "ztf_distnr", "ztf_object_id", "lsst_diaSource_diaSourceId", "lsst_diaSource_band"])
def test_an_alert_without_what_a_row_needs_is_malformed(lacking):
    with pytest.raises(Malformed, match=lacking.rpartition("_")[2]):
        delivered(*({key: value for key, value in held.items() if key != lacking} for held in (SEEN, VISIT)))


def test_stars_and_supernovae_come_into_the_store_as_the_simulation_has_them(harvest, emulator):
    assert harvest("fetch --source antares --target 'W Vir' --target 'SN SIM 2026a' --target 'RR Lyr' --json") == 0
    assert {(outcome["outcome"], outcome["quarantined"]) for outcome in harvest.objects} == {("new", 0)}
    for star in (W_VIR, SUPERNOVA, RR_LYR):
        name = star.name.removeprefix("NAME ").removeprefix("V* ")
        assert harvest(f"export --target '{name}' --format csv --quality all -o light.csv") == 0
        compare(star, rows_of("light.csv"))


def compare(star, rows):
    """Every detection that passed ANTARES's door is there; times are right to a millisecond, totals to their errors."""
    ztf, lsst = ztf_stream.stream(SKY, star), lsst_stream.stream(SKY, star)
    truth = {str(row["candid"]): row for row in ztf.detections if row["rb"] >= LEAST_RB}
    truth |= {str(row["diaSourceId"]): row for row in (lsst.detections if lsst else ())}
    found = {row["observation_id"]: row for row in rows if row["upper_limit"] == "false"}
    assert found.keys() == truth.keys()
    assert max(abs(float(row["bjd_tdb"]) - truth[key]["bjd_tdb"]) for key, row in found.items()) < MS
    good = [(row, truth[key]) for key, row in found.items() if row["mag"] and row["quality"] == "0"]
    pulls = [(float(row["mag"]) - true["true_mag"]) / float(row["mag_err"]) for row, true in good]
    assert len(pulls) > 20
    assert abs(np.mean(pulls)) < 0.3
    assert 0.7 < np.std(pulls) < 1.3
    assert len([row for row in rows if row["upper_limit"] == "true"]) == len(ztf.limits)


def test_an_id_goes_the_whole_way_and_one_that_is_unknown_is_empty(harvest, emulator):
    locus = f"ANT20{ztf_stream.stream(SKY, W_VIR).oid[3:]}"
    (harvest.store.parent / "two.csv").write_text(f"name,ra,dec\n{locus},{W_VIR.ra},{W_VIR.dec}\nANT2020nothing,10.0,20.0\n")
    assert harvest(f"fetch --source antares --target @{harvest.store.parent / 'two.csv'} --json") == 0
    assert {outcome["target"]: outcome["outcome"] for outcome in harvest.objects} == {locus: "new", "ANT2020nothing": "empty"}
    assert not any(path.endswith("/loci") for _, path, _ in emulator.requests)


def test_nothing_there_is_empty(harvest, emulator):
    assert harvest("fetch --source antares --target '180.0 45.0' --json") == 0
    assert [outcome["outcome"] for outcome in harvest.objects] == ["empty"]


@pytest.mark.parametrize(("fault", "error"), [("html", "malformed"), ("500", "unreachable"), ("truncated", "truncated")])
def test_a_service_that_fails_is_told_as_failing(harvest, emulator, fault, error):
    emulator.faults = Faults({"antares": [fault]})
    assert harvest("fetch --source antares --target 'W Vir' --json") != 0
    assert harvest.objects[0]["error"] == error


def test_the_service_finds_loci_by_cone_by_the_surveys_ids_and_by_what_is_new(running):
    _, server = running
    ztf, lsst = ztf_stream.stream(SKY, W_VIR), lsst_stream.stream(SKY, W_VIR)
    _, found = search(server, {"term": {"properties.ztf_object_id": ztf.oid}})
    locus = found["data"][0]["locus"]
    assert locus["properties"]["survey"]["lsst"]["dia_object_id"] == [str(lsst.dia_object_id)]
    _, by_lsst = search(server, {"term": {"properties.survey.lsst.dia_object_id": str(lsst.dia_object_id)}})
    assert by_lsst["data"] == found["data"]
    newest = locus["properties"]["newest_alert_observation_time"]
    for since, count in ((newest - 1, 1), (newest, 0)):
        fresh = {"range": {"properties.newest_alert_observation_time": {"gt": since}}}
        assert search(server, {"terms": {"properties.ztf_object_id": [ztf.oid]}}, fresh)[1]["meta"] == {"count": count}
    assert search(server, {"wildcard": {"tags": "*"}})[0] == 400
    assert get(server, "loci", elasticsearch_query="{")[0] == 400
    assert get(server, "loci/ANT2020nothing")[0] == get(server, "loci/ANT2020nothing/alerts")[0] == 404


def test_the_service_has_pages_whose_links_can_be_followed(running):
    _, server = running
    wide = {"sky_distance": {"radius": "0.05 degree", "location": f"{W_VIR.ra}d {W_VIR.dec}d"}}
    seen, page, asked = [], 1, {"limit": 1}
    while page:
        _, found = search(server, wide, **asked)
        seen += [item["locus"]["locus_id"] for item in found["data"]]
        link = found["links"]["next"]
        page, asked = (page + 1, {"limit": 1, "page": page + 1}) if link else (0, {})
        assert link is None or f"page={page}" in link
    assert len(seen) == len(set(seen)) == found["meta"]["count"] > 1


def test_the_light_curve_of_a_variable_star_has_corrected_magnitudes_and_that_of_a_supernova_none():
    for star, corrected in ((W_VIR, True), (SUPERNOVA, False)):
        locus = by_name(SKY, f"ANT20{ztf_stream.stream(SKY, star).oid[3:]}")
        assert locus.properties["is_corrected"] == ("true" if corrected else "false"), "a word, not a truth"
