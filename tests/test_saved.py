"""Files saved of services: a retired one included, they become photometry of the target that is named, with the file as their payload."""

import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import FIXTURES, needs_recordings

from harvester.delivery import deliver
from harvester.errors import Malformed, Unreachable
from harvester.payload import Payload
from harvester.source import Query, load
from harvester.target import Target

RECORDINGS = Path(__file__).parent / "recordings"
PAGE = RECORDINGS / "mars" / "page.txt"
HERE = "150.25 2.25"
MARS = load("mars")


@pytest.fixture
def bring(harvest):
    """Import a file into a store of measured data."""
    return lambda words: harvest(f"import {words}", emulate=False)


def exported(harvest, tmp_path, quality="all"):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --quality {quality} -q", emulate=False) == 0
    return pq.read_table(tmp_path / "out.parquet")


def test_saved_alerts_become_photometry_of_the_thing_at_the_place(harvest, bring, tmp_path):
    assert bring(f"{PAGE} --format mars --target {HERE!r} --json") == 0
    (told,) = harvest.objects
    assert (told["source"], told["outcome"], told["new"], told["quarantined"], told["neighbours"]) == ("mars", "new", 3, 1, 0)
    rows = exported(harvest, tmp_path)
    assert set(rows["object_id"].to_pylist()) == {"ZTF18simaaaa"}
    candids = [name for name in rows["observation_id"].to_pylist() if ":" not in name]
    assert sorted(candids) == ["9007199254740993", "9007199254740995"]


@pytest.mark.parametrize(("source", "packet"), [("ztf_alerts", "with_forced_photometry"), ("lsst_alerts", "wire_1100")])
def test_an_alert_packet_in_a_file_becomes_the_photometry_that_it_holds(harvest, bring, source, packet):
    file = RECORDINGS / source / f"{packet}.avro"
    rows = deliver(load(source), [Payload(file.read_bytes(), source=source)]).rows
    place = next(f"{row['ra']} {row['dec']}" for row in rows.to_pylist() if row["ra"] is not None)
    assert bring(f"{file} --format {source} --target {place!r} --json") == 0
    (told,) = harvest.objects
    assert (told["outcome"], told["new"]) == ("new", rows.num_rows)
    assert bring(f"{file} --format {source} --target {place!r} --json") == 0
    assert harvest.objects[0]["outcome"] == "unchanged"


def test_the_total_magnitude_and_its_sign_are_those_of_every_broker():
    rows = deliver(MARS, [Payload(PAGE.read_bytes(), source="mars")]).rows
    (row,) = rows.filter(pc.equal(rows["observation_id"], "9007199254740993")).to_pylist()
    flux = 10 ** (-0.4 * 15.4463) - 10 ** (-0.4 * 18.770634)
    import math

    assert row["mag"] == pytest.approx(-2.5 * math.log10(flux), abs=1e-6)
    assert row["quality"] == 0
    assert row["time"] == pytest.approx(58371.1224421, abs=1e-7)
    assert row["exptime"] == 30


def test_what_came_before_an_alert_is_a_limit_or_that_alert_s_own_and_never_a_second_measurement():
    found = deliver(MARS, [Payload(PAGE.read_bytes(), source="mars")])
    assert len(set(found.rows["observation_id"].to_pylist())) == found.rows.num_rows == 4
    assert sum(found.rows["upper_limit"].to_pylist()) == 1
    assert found.rejected.num_rows == 1


def test_one_alert_alone_and_a_list_are_read_as_well():
    one = (RECORDINGS / "mars" / "one_alert.txt").read_bytes()
    assert deliver(MARS, [Payload(one, source="mars")]).rows.num_rows == 2
    assert deliver(MARS, [Payload(b"[" + one + b"]", source="mars")]).rows.num_rows == 2
    assert deliver(MARS, [Payload(b'{"results": [], "pages": 0}', source="mars")]).rows.num_rows == 0


@pytest.mark.parametrize("body", [b'{"results": [{}]}', b'{"detail": "not found"}', b'{"results": [{"objectId": "x", "candid": 1}]}', b"3"])
def test_another_layout_is_malformed(body):
    with pytest.raises(Malformed):
        deliver(MARS, [Payload(body, source="mars")])


def test_nobody_is_asked_of_a_retired_service(harvest):
    with pytest.raises(Unreachable, match="switched off"):
        list(MARS.fetch(Query((Target("x", 1.0, 2.0),), 1.5), None))
    assert harvest(f"fetch --source mars --target {HERE!r}") == 2
    assert "alerce" in harvest.err
    assert harvest(f"fetch --target {HERE!r} --dry-run") == 0
    assert "mars.lco.global" not in harvest.out


def test_importing_again_brings_nothing_new(harvest, bring):
    bring(f"{PAGE} --format mars --target {HERE!r}")
    assert bring(f"{PAGE} --format mars --target {HERE!r} --json") == 0
    assert harvest.objects[0]["outcome"] == "unchanged"


def test_the_file_is_kept_as_it_is_under_its_name_without_its_folder(harvest, bring):
    bring(f"{PAGE} --format mars --target {HERE!r}")
    harvest("payloads list --json", emulate=False)
    (listed,) = harvest.objects
    assert (listed["url"], listed["size"]) == ("file:page.txt", PAGE.stat().st_size)
    assert harvest(f"payloads show --payload {listed['sha256']}", emulate=False) == 0
    assert harvest.out == PAGE.read_text("utf-8")
    assert harvest("payloads replay --json", emulate=False) == 0
    assert harvest.objects[0]["outcome"] == "unchanged"


def test_a_thing_without_a_position_is_the_target_that_is_named(harvest, bring, tmp_path):
    assert bring(f"{RECORDINGS / 'cpcs' / 'follow_up.txt'} --format cpcs --target '272.0 -20.0' --json") == 0
    assert (harvest.objects[0]["new"], harvest.objects[0]["quarantined"]) == (3, 3)
    assert set(exported(harvest, tmp_path)["object_id"].to_pylist()) == {"Gaia19sim"}


@pytest.mark.parametrize("name", ["v1.csv", "v2.parquet", "v2_saved.csv"])
def test_light_curves_of_both_sky_patrols_can_be_imported(harvest, bring, name):
    assert bring(f"{RECORDINGS / 'asassn' / name} --format asassn --target '83.8 -71.5' --json") == 0
    assert harvest.objects[0]["new"] > 0


def test_a_file_of_several_things_without_positions_is_refused(harvest, bring, tmp_path):
    whole = (RECORDINGS / "asassn" / "v2_saved.csv").read_text("utf-8")
    (tmp_path / "two.csv").write_text(whole + "2458517.6,1.0,0.1,16.4,0.1,17.5,1.4,bi,100\n", "utf-8")
    assert bring(f"{tmp_path / 'two.csv'} --format asassn --target '83.8 -71.5'") == 2
    assert "several things" in harvest.err


def test_a_file_that_holds_nothing_of_the_target_is_refused_and_leaves_no_trace(harvest, bring):
    assert bring(f"{PAGE} --format mars --target '10.0 20.0'") == 2
    assert "nothing within" in harvest.err
    assert "ZTF18simaaaa" in harvest.err
    harvest("payloads list --json", emulate=False)
    assert harvest.objects == []


@pytest.mark.parametrize("words", [f"{PAGE} --format asassn", f"{RECORDINGS / 'asassn' / 'v2.parquet'} --format mars"])
def test_a_file_of_another_format_is_malformed(harvest, bring, words):
    assert bring(f"{words} --target {HERE!r}") == 1
    assert harvest.err.startswith("error:")


def test_an_unknown_format_names_those_that_are_known(harvest, bring):
    assert bring(f"{PAGE} --format marz --target {HERE!r}") == 2
    assert "mars" in harvest.err
    assert bring("--formats") == 0
    assert "ZTF alerts from MARS" in harvest.out


def test_a_file_that_is_not_there_is_an_error_in_words(harvest, bring):
    assert bring(f"nowhere.json --format mars --target {HERE!r}") == 2
    assert "nowhere.json" in harvest.err


def test_simulated_stores_take_no_files(harvest):
    assert harvest(f"import {PAGE} --format mars --target {HERE!r}") == 2
    assert "never mix" in harvest.err


def test_an_import_does_not_count_as_all_that_a_survey_has(harvest, bring):
    bring(f"{RECORDINGS / 'asassn' / 'v2.parquet'} --format asassn --target '83.8 -71.5'")
    half = RECORDINGS / "asassn" / "v2_saved.csv"
    shutil.copy(half, Path.cwd() / "half.csv")
    assert bring("half.csv --format asassn --target '83.8 -71.5' --json") == 0
    assert harvest.objects[0]["outcome"] == "new"


@needs_recordings
def test_a_real_file_of_sky_patrol_is_imported_whole(harvest, bring):
    file = FIXTURES / "asassn" / "skypatrol_v1_light_curve_5740d76a.csv"
    assert bring(f"{file} --format asassn --target '123.84754 -38.98983' --json") == 0
    assert {name: part["new"] for name, part in harvest.objects[0]["filters"].items()} == {"V(ASASSN)": 239, "g(ASASSN)": 743}


@needs_recordings
def test_the_real_answer_of_cpcs_is_imported(harvest, bring):
    file = FIXTURES / "cpcs" / "bhtom2_get_alert_lc_data.json"
    assert bring(f"{file} --format cpcs --target '200.0 10.0' --json") == 0
    assert json.loads(harvest.out)["new"] == 3
