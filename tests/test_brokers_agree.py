"""One measurement is one point with one number, whichever broker it came through."""

import csv
from pathlib import Path

import pytest
from test_alerce import SKY, SUPERNOVA, W_VIR

from harvester.emulator import lsst_stream, ztf_stream

pytest_plugins = ["shown"]

BROKERS = ("alerce", "fink", "lasair", "lasair_lsst", "antares")
OF_ZTF = {"alerce", "fink", "lasair", "antares"}
NAMES = {"W Vir": W_VIR, "SN SIM 2026a": SUPERNOVA}
MS = 1e-3 / 86400
LOST = "badquality"


def points(harvest, target):
    """Return every stored row by filter and id; none is there twice."""
    assert harvest(f"export --target '{target}' --format csv --quality all -o light.csv -q") == 0
    with Path("light.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["filter"], row["observation_id"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def near(one, other, name, **tolerance):
    left, right = (float(row[name]) if row[name] else None for row in (one, other))
    return left == right if None in {left, right} else left == pytest.approx(right, **tolerance)


def apart(one, other):
    """Return in which of their numbers two rows of one measurement differ."""
    names = [name for name in ("mag", "mag_err") if not near(one, other, name, abs=1e-3)]
    names += [name for name in ("flux", "flux_err") if not near(one, other, name, rel=1e-3)]
    names += [] if near(one, other, "bjd_tdb", rel=0, abs=MS) else ["bjd_tdb"]
    return names + [name for name in ("upper_limit", "object_id") if one[name] != other[name]]


@pytest.mark.parametrize("target", NAMES)
def test_each_broker_alone_gives_the_same_number_for_the_same_measurement(harvest, emulator, shows, target):
    shows(headers={"Authorization": "Token emulated"})
    served, folder = {}, harvest.store.parent
    for broker in BROKERS:
        harvest.store = folder / f"{broker}.db"
        assert harvest(f"fetch --source {broker} --target '{target}' -q") == 0
        served[broker] = points(harvest, target)
    shared = dict.fromkeys(BROKERS[1:], 0)
    for broker in shared:
        common = served["alerce"].keys() & served[broker].keys()
        wrong = {key: apart(served["alerce"][key], served[broker][key]) for key in common}
        assert not {key: names for key, names in wrong.items() if names}
        shared[broker] = len(common)
    assert min(shared.values()) > 20
    candids = {str(row["candid"]) for row in ztf_stream.stream(SKY, NAMES[target]).detections}
    seen = {broker: candids & {name for _, name in served[broker]} for broker in OF_ZTF}
    assert seen["alerce"] == seen["lasair"] == candids
    assert all(len(seen[broker]) > 0.8 * len(candids) for broker in OF_ZTF), "Fink and ANTARES have cuts of their own at the door"


@pytest.mark.parametrize("target", NAMES)
def test_a_measurement_is_stored_once_and_the_report_says_who_delivered_what(harvest, emulator, shows, target):
    shows(headers={"Authorization": "Token emulated"})
    outcomes = []
    for broker in ("antares", "lasair", "fink", "lasair_lsst", "alerce"):
        assert harvest(f"fetch --source {broker} --target '{target}' --json") == 0
        outcomes += harvest.objects
    assert {outcome["revised"] + outcome["quarantined"] for outcome in outcomes} == {0}
    everything = points(harvest, target)
    found = {key: row for key, row in everything.items() if LOST not in row["flags"]}
    ztf, lsst = ztf_stream.stream(SKY, NAMES[target]), lsst_stream.stream(SKY, NAMES[target])
    assert len(found) == len(ztf.detections) + len(ztf.limits) + len(ztf.forced) + len(lsst.detections) + len(lsst.forced)
    assert sum(outcome["new"] for outcome in outcomes) == len(everything)
    elsewhere = {outcome["source"]: outcome["known_elsewhere"] for outcome in outcomes}
    assert elsewhere["antares"] == 0, "the first"
    assert elsewhere["alerce"] == len(found), "the last, which has all of them"
    assert harvest(f"status --target '{target}' --json") == 0
    assert sum(outcome["points"] for outcome in harvest.objects) == len(everything)
    moments = {(key[0], row["time"]) for key, row in found.items()}
    lost = [row for row in everything.values() if LOST in row["flags"]]
    assert all((row["filter"], row["time"]) in moments and row["quality"] != "0" for row in lost), (
        "Fink took the candid of what failed its cuts"
    )


def test_a_person_is_told_how_much_another_source_had_delivered(harvest, emulator, shows):
    shows(headers={"Authorization": "Token emulated"})
    assert harvest("fetch --source alerce --target 'W Vir'") == 0
    assert "another source" not in harvest.err
    assert harvest("fetch --source antares --target 'W Vir' --json") == 0
    (outcome,) = harvest.objects
    assert outcome["known_elsewhere"] > 20
    assert f"{outcome['known_elsewhere']} that another source had delivered (antares {outcome['known_elsewhere']})" in harvest.err


def test_the_brokers_know_one_star_by_one_name(harvest, emulator, shows):
    shows(headers={"Authorization": "Token emulated"})
    assert harvest("fetch --source antares --source lasair --source lasair_lsst --source alerce --source fink --target 'W Vir' -q") == 0
    assert harvest("targets show --target 'W Vir' --json") == 0
    (told,) = harvest.objects
    assert told["id_ZTF"] == [ztf_stream.stream(SKY, W_VIR).oid]
    assert told["id_LSST"] == [str(lsst_stream.stream(SKY, W_VIR).dia_object_id)]
