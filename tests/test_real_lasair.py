"""Real answers of Lasair and ANTARES become rows, none of the good ones refused, with the numbers that their surveys give."""

import json
import re

import numpy as np
import pytest
import yaml
from conftest import FIXTURES, needs_recordings

from harvester.alert_photometry import lsst, records
from harvester.delivery import deliver
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import load

pytestmark = needs_recordings
SERVED = "candid jd ra dec fid nid magpsf sigmapsf magnr sigmagnr magzpsci isdiffpos ssdistnr ssnamenr drb".split()
PACKETS = ("1g1r", "2r", "cand_and_noncand", "no_prv_cand", "only_cand_no_prv", "only_noncand", "solar_system")


def delivered(source, said):
    delivery = deliver(load(source), [Payload(json.dumps(said).encode(), source=source)])
    assert delivery.rejected.num_rows == 0
    return delivery.rows.to_pylist()


def cassette(name):
    return yaml.safe_load((FIXTURES / name).read_text("utf-8"))["interactions"]


def documented():
    """Return the sample of Lasair's manual up to its candidates; what follows is no JSON that a parser takes."""
    text = (FIXTURES / "lasair/ZTF23aabplmy_api_objects_sample.md").read_text("utf-8")
    rows = re.search(r'"candidates": (\[.*?\n    \]),', text, re.DOTALL)[1]
    return {"objectId": "ZTF23aabplmy", "candidates": json.loads(rows), "forcedphot": []}


def test_the_sample_of_lasair_s_manual_has_its_own_numbers_and_its_limit_is_none():
    said = documented()
    seen, limit = delivered("lasair", said)[:2]
    assert (seen["filter"], seen["mag"], seen["mag_err"]) == ("g(ZTF)", 16.821149826049805, 0.03046555258333683)
    assert (seen["observation_id"], seen["time"]) == ("2240410792515015000", pytest.approx(59994.41079859994, abs=1e-9))
    assert (limit["filter"], limit["upper_limit"], limit["limiting_mag"], limit["mag"]) == ("r(ZTF)", True, 20.46820068359375, None)


@pytest.mark.parametrize("name", PACKETS)
def test_real_packets_of_ztf_are_rows_as_lasair_serves_them(recorded, name):
    packet = json.loads(recorded(f"lasair/ztf_alert_{name}.json"))
    seen = [packet["candidate"], *(row for row in packet["prv_candidates"] or [] if row["candid"])]
    unseen = [row for row in packet["prv_candidates"] or [] if not row["candid"]]
    served = [{key: row.get(key) for key in SERVED} for row in seen] + [
        {key: row[key] for key in ("jd", "fid", "diffmaglim")} for row in unseen
    ]
    rows = delivered("lasair", {"objectId": packet["objectId"], "candidates": served, "forcedphot": []})
    assert len(rows) == len(served)
    by_id = {row["observation_id"]: row for row in rows}
    for own in seen:
        row, size = by_id[str(own["candid"])], 10 ** (-0.4 * (own["magpsf"] - 23.9))
        assert row["flux"] == pytest.approx(size if own["isdiffpos"] in {"t", "1"} else -size, rel=1e-6)
    assert sorted(row["limiting_mag"] for row in rows if row["upper_limit"]) == sorted(row["diffmaglim"] for row in unseen)


def test_a_real_answer_that_its_authors_shortened_is_malformed(recorded):
    body = recorded("lasair/tom_base_object_ZTF18aaaduje.json")
    with pytest.raises(Malformed) as caught:
        load("lasair").normalise(Payload(body, source="lasair"))
    assert caught.value.payload.body == body


def test_a_real_cone_of_lasair_is_read_nearest_first():
    from harvester.sources.lasair import names

    (interaction,) = cassette("lasair/skyportal_cassette_lasair_ztf_cone.yaml")
    body = interaction["response"]["body"]["string"].encode()
    found = names(Payload(body, source="lasair"))
    apart = {item["object"]: item["separation"] for item in json.loads(body)}
    assert len(found) == 734
    assert apart["ZTF19aaypuas"] == pytest.approx(19.69, abs=0.01)
    assert [apart[name] for name in found] == sorted(apart.values())


def test_a_real_light_curve_of_lasair_lsst_has_its_fluxes(recorded):
    """A message of a topic, whose lists are those of an object, but without ids: the moment is theirs."""
    message = json.loads(recorded("lasair/skyportal_lasair_lsst_lite_lightcurve.json"))
    for key, forced, count in (("diaSourcesList", False, 16), ("diaForcedSourcesList", True, 15)):
        listed = [{"object_id": message["diaObjectId"]} | row for row in message["alert"][key]]
        rows = lsst(records(Payload(b""), listed), forced=forced).to_pylist()
        assert len(rows) == count == len({row["observation_id"] for row in rows})
        assert [row["flux"] for row in rows] == pytest.approx([row["psfFlux"] / 1000 for row in listed])
        assert {row["object_id"] for row in rows} == {"170587117745864799"}


def test_a_real_object_of_lasair_lsst_has_its_place_and_bare_nan_is_read(recorded):
    from harvester.alert_photometry import things
    from harvester.sources.lasair_lsst import NAMES, PLACE

    payload = Payload(recorded("lasair/lsst_alert_313637921267122191_object.json"), source="lasair_lsst")
    told = {NAMES.get(key, key): value for key, value in json.loads(payload.body).items()}
    thing, forced = things(payload, [told], "LSST", PLACE)
    assert (thing.object_id, thing.ra, thing.dec) == ("313637921267122191", 9.057050050707765, -44.117973609689805)
    assert (thing.survey, forced.survey) == ("LSST", "LSST_FP")


def test_an_object_of_lasair_lsst_without_the_ids_of_its_sources_is_malformed(recorded):
    lite = json.loads(recorded("lasair/lsst_alert_313637921267122191_lite.json"))
    with pytest.raises(Malformed, match="diaSourceId"):
        delivered("lasair_lsst", {"diaObjectId": "313637921267122191"} | lite)


def test_real_alerts_of_antares_have_their_golden_numbers():
    """An asteroid six pixels from a star of the reference: a difference, and two limits before it."""
    _, answer = cassette("antares/skyportal_cassette_antares_ztf.yaml")
    rows = delivered("antares", json.loads(answer["response"]["body"]["string"]))
    seen = {row["observation_id"]: row for row in rows}["3470490460915015042"]
    assert (seen["filter"], seen["mag"], seen["mag_err"]) == ("r(ZTF)", 15.428149223327637, 0.020089004188776016)
    assert (seen["time"], seen["object_id"]) == (pytest.approx(61224.49046299979, abs=1e-9), "ZTF26abeuijw")
    assert seen["flags"].startswith("difference")
    assert [(row["limiting_mag"], row["mag"]) for row in rows if row["upper_limit"]] == [
        (18.741300582885742, None),
        (18.525100708007812, None),
    ]


def test_a_real_list_of_version_1_is_not_taken_for_one_of_version_2(recorded):
    source = load("antares")
    with pytest.raises(Malformed, match="a locus without"):
        source.things(Payload(recorded("antares/v1_loci_search.json"), source="antares"))


def test_real_properties_of_lsst_at_antares_have_their_fluxes_once_they_have_their_ids(recorded):
    """SkyPortal kept the properties that it needs; without their ids they would be stored beside those of another broker."""
    held = json.loads(recorded("antares/skyportal_antares_lsst_locus.json"))["alerts"]
    with pytest.raises(Malformed, match="diaSourceId"):
        delivered("antares", {"data": [{"properties": one} for one in held]})
    rows = delivered("antares", {"data": [{"properties": one | {"lsst_diaSource_diaSourceId": 7 + n}} for n, one in enumerate(held)]})
    assert rows[0]["mag"] == pytest.approx(31.4 - 2.5 * np.log10(76925.4375), abs=1e-4)
    assert {(row["filter"], row["object_id"]) for row in rows} == {("i(LSST)", "170595943059554358")}


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_real_answer_that_was_cut_off_is_malformed(part):
    _, answer = cassette("antares/skyportal_cassette_antares_ztf.yaml")
    for source, whole in (("antares", answer["response"]["body"]["string"].encode()), ("lasair", json.dumps(documented()).encode())):
        body = whole[: int(len(whole) * part)]
        with pytest.raises(Malformed) as caught:
            load(source).normalise(Payload(body, source=source))
        assert caught.value.payload.body == body
