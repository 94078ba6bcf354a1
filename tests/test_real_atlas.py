"""ATLAS on real results of its server: the golden numbers of its dossier."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import needs_recordings

from harvester.delivery import deliver, with_bjd_tdb
from harvester.errors import Malformed
from harvester.forced import forced_at, read_words
from harvester.payload import Payload
from harvester.source import load
from harvester.target import Target

AT2020WOL = Target("AT 2020wol", 29.86137, 30.72672)
SOUTHERN = Target("southern", 65.00165, -54.93795)
FILES = {"atlas/job01088.txt": AT2020WOL, "atlas/tom_base_test_atlas_fp.csv": SOUTHERN}
GEOCENTRE_S = 0.022  # a source has no site per row: light time to the Earth's centre


def rows_of(recorded, name, **about):
    source = load("atlas")
    delivery = deliver(source, [Payload(recorded(name), source="atlas").about(**about)])
    assert delivery.rejected.num_rows == 0
    return with_bjd_tdb(delivery.rows, FILES[name], source.systems())


def raw(recorded, name):
    head, *lines = [line.split() for line in recorded(name).decode().splitlines()]
    return [dict(zip((word.strip("#") for word in head), line, strict=True)) for line in lines]


def count(rows, column, value):
    return pc.sum(pc.equal(rows[column], value)).as_py()


@needs_recordings
@pytest.mark.parametrize(
    ("name", "total", "orange", "cyan", "good", "seen"),
    [("atlas/job01088.txt", 147, 120, 27, 135, 69), ("atlas/tom_base_test_atlas_fp.csv", 32, 24, 8, 32, 15)],
)
def test_a_real_result_has_its_golden_counts(recorded, name, total, orange, cyan, good, seen):
    rows = rows_of(recorded, name)
    assert rows.num_rows == total
    assert (count(rows, "filter", "o(ATLAS)"), count(rows, "filter", "c(ATLAS)")) == (orange, cyan)
    fair = rows.filter(pc.less(rows["quality"], 2))
    assert fair.num_rows == good
    assert count(fair, "upper_limit", False) == seen


@needs_recordings
@pytest.mark.parametrize("name", FILES)
def test_every_signed_flux_is_kept_as_served_limits_included(recorded, name):
    rows, served = rows_of(recorded, name), raw(recorded, name)
    assert rows["flux"].to_pylist() == [float(row["uJy"]) for row in served]
    assert rows["flux_err"].to_pylist() == [float(row["duJy"]) for row in served]
    assert min(rows["flux"].to_pylist()) < 0


@needs_recordings
@pytest.mark.parametrize("name", FILES)
def test_magnitudes_are_those_of_detections_and_limits_are_of_3_sigma(recorded, name):
    rows, served = rows_of(recorded, name), raw(recorded, name)
    for row, line in zip(rows.to_pylist(), served, strict=True):
        flux, err = float(line["uJy"]), float(line["duJy"])
        assert row["upper_limit"] == (flux / err < 3)
        assert row["limiting_mag"] == pytest.approx(23.9 - 2.5 * np.log10(3 * err), abs=1e-6)
        assert (row["mag"], row["mag_err"]) == ((None, None) if row["upper_limit"] else (float(line["m"]), float(line["dm"])))
        if row["mag"] is not None:
            assert abs(row["mag"] - (23.9 - 2.5 * np.log10(flux))) < 1.0857 * 0.5 / flux + 6e-4, "uJy is rounded to whole ones"


@needs_recordings
def test_dm_and_chi_stand_in_the_flags_as_served(recorded):
    first = rows_of(recorded, "atlas/job01088.txt").to_pylist()[0]
    assert first["flags"] == "err=0 chi/N=7.69 dm=1.398 mag5sig=19.59 Sky=20.43 apfit=-0.421 maj=2.04 min=2.02 x=9408.51 y=3841.80"
    assert (first["observation_id"], first["facility"], first["exptime"]) == ("01a59101o0618o", "ATLAS Mauna Loa", 30.0)
    assert first["object_id"] == "29.86137+30.72672"


@needs_recordings
@pytest.mark.parametrize(
    ("name", "observation", "bjd"),
    [
        ("atlas/job01088.txt", "01a59101o0618o", 2459102.023628592019),
        ("atlas/job01088.txt", "02a59103o0755o", 2459104.072313815395),
        ("atlas/tom_base_test_atlas_fp.csv", "03a60322o0201c", 2460322.369333770961),
        ("atlas/tom_base_test_atlas_fp.csv", "04a60316o0180o", 2460316.643956024038),
    ],
)
def test_the_middle_of_the_exposure_has_its_golden_bjd(recorded, name, observation, bjd):
    rows = rows_of(recorded, name)
    (found,) = rows.filter(pc.equal(rows["observation_id"], observation))["bjd_tdb"].to_pylist()
    assert abs(found - bjd) * 86400 < GEOCENTRE_S


@needs_recordings
def test_windows_line_ends_and_a_header_without_its_hashes_change_nothing(recorded):
    body = recorded("atlas/job01088.txt")
    edited = Payload(body.removeprefix(b"###").replace(b"\n", b"\r\n"), source="atlas")
    assert load("atlas").normalise(edited).equals(load("atlas").normalise(Payload(body, source="atlas")))


@needs_recordings
def test_a_result_of_another_place_is_refused_and_that_of_the_place_is_not(recorded):
    name = "atlas/job01088.txt"
    assert set(rows_of(recorded, name, objects=(forced_at(AT2020WOL),))["object_id"].to_pylist()) == {"29.86137+30.72672"}
    for other in (Target("a second off", 29.86137, 30.72700), Target("moving", 29.86137, 30.72672, pmra=100.0)):
        with pytest.raises(Malformed, match="from the place that was asked for") as caught:
            rows_of(recorded, name, objects=(forced_at(other),))
        assert caught.value.payload.body == recorded(name)


@needs_recordings
@pytest.mark.parametrize(
    "damage", [lambda b: b[:5000], lambda b: b.replace(b" duJy", b""), lambda b: b"<html>" + b, lambda b: b.replace(b" ", b"\0")]
)
def test_a_damaged_result_is_malformed_with_its_payload(recorded, damage):
    with pytest.raises(Malformed) as caught:
        load("atlas").normalise(Payload(damage(recorded("atlas/job01088.txt")), source="atlas"))
    assert caught.value.payload is not None


@needs_recordings
def test_the_recorded_reply_to_a_submission_has_the_words_that_we_read(recorded):
    answer = Payload(recorded("atlas/queue_post_201_response.json"), source="atlas")
    task = read_words(answer, "id", "starttimestamp", "finishtimestamp", "result_url", "error_msg", "queuepos", "comment")
    assert str(task["id"]) == "152047"
    assert json.loads(answer.body)["use_reduced"] is False
