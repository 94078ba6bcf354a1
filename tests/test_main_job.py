"""The main job, end to end: what is stored is what the simulated sky is."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from harvester.emulator import gaia_transits, ztf
from harvester.emulator.stars import famous

MS = 1e-3 / 86400
BOTH = "fetch --source gaia_dr3 --source ztf_dr"


def stored(harvest, tmp_path, target):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} --target {target!r} -q") == 0
    return pq.read_table(tmp_path / "out.parquet")


def columns(rows, filter_, *names):
    rows = rows.filter(pc.equal(rows["filter"], filter_)).sort_by("observation_id")
    return [np.array(rows[name].to_pylist()) for name in names]


def assert_is_the_truth(sky, star, rows):
    truth = gaia_transits.transits(sky, star)
    for name, band in truth.bands.items():
        ids, bjd, mag = columns(rows, f"{name}(GAIA_DR3)", "observation_id", "bjd_tdb", "mag")
        served = np.isfinite(band.time)
        expected = {
            f"{tid}-{name}": (b, m) for tid, b, m in zip(truth.transit_id[served], band.bjd_tdb[served], band.mag[served], strict=True)
        }
        assert set(ids) == set(expected)
        assert np.abs(bjd - [expected[key][0] for key in ids]).max() < MS
        assert np.abs(mag - [expected[key][1] for key in ids]).max() < 1e-9
    epochs = ztf.epochs(sky, star)
    for code, name in (("zg", "g"), ("zr", "r"), ("zi", "i")):
        part = epochs[epochs["filtercode"].astype(str) == code]
        ids, bjd, mag = columns(rows, f"{name}(ZTF_DR)", "observation_id", "bjd_tdb", "mag")
        expected = {f"{row['oid']}-{row['expid']}": (row["bjd_tdb"], row["mag"]) for row in part}
        assert set(ids) == set(expected)
        assert np.abs(bjd - [expected[key][0] for key in ids]).max() < MS
        assert np.abs(mag - [expected[key][1] for key in ids]).max() < 1e-6


def folded_scatter(rows, filter_, period):
    good = rows.filter(pc.equal(rows["quality"], 0))
    time, mag = columns(good, filter_, "bjd_tdb", "mag")
    order = np.argsort(time / period % 1)
    return np.abs(np.diff(mag[order])).mean() / mag.std()


def test_the_stored_light_curve_is_the_simulated_truth_and_folds_on_its_period(harvest, emulator, tmp_path):
    assert harvest(f"{BOTH} --target 'RR Lyr'") == 0
    (star,) = emulator.sky.named("RR Lyr")
    rows = stored(harvest, tmp_path, "RR Lyr")
    assert_is_the_truth(emulator.sky, star, rows)
    assert folded_scatter(rows, "r(ZTF_DR)", star.period) < 0.1
    assert folded_scatter(rows, "r(ZTF_DR)", star.period * 1.0373) > 0.5


def test_it_prints_per_source_and_filter_what_was_new_and_then_that_nothing_is(harvest):
    harvest(f"{BOTH} --target 'del Cep'")
    first = {(row["source"], row["filter"]): row for row in harvest.rows}
    assert set(first) == {("gaia_dr3", f"{b}(GAIA_DR3)") for b in ("G", "BP", "RP")} | {("ztf_dr", f"{b}(ZTF_DR)") for b in "gri"}
    assert all(row["outcome"] == "new" and row["new"] == row["total"] != "0" for row in first.values())
    assert harvest(f"{BOTH} --target 'del Cep'") == 0
    assert all(row["outcome"] == "unchanged" and row["new"] == "0" for row in harvest.rows)
    assert "Nothing new" in harvest.err


def test_barnards_star_is_found_by_name_in_both_surveys(harvest, emulator, tmp_path):
    assert harvest(f"""{BOTH} --target "Barnard's star" """) == 0
    (star,) = emulator.sky.named("Barnard's star")
    assert_is_the_truth(emulator.sky, star, stored(harvest, tmp_path, "Barnard's star"))


def test_the_same_cone_at_j2000_without_proper_motion_misses_barnards_star(harvest, emulator):
    (star,) = emulator.sky.named("Barnard's star")
    harvest(f"{BOTH} --target '{star.ra} {star.dec}' --json")
    assert {found["outcome"] for found in harvest.objects} == {"empty"}


def test_a_neighbour_inside_the_radius_is_not_blended_in(harvest, emulator, tmp_path):
    (star,) = emulator.sky.named("RR Lyr")
    near = [other for other in emulator.sky.stars_near(star.ra, star.dec, 6 / 3600) if other.gaia_id != star.gaia_id]
    assert near, "the test needs a neighbour"
    assert harvest(f"{BOTH} --radius 6 --target 'RR Lyr' --json") == 0
    assert all(found["neighbours"] >= 1 for found in harvest.objects)
    rows = stored(harvest, tmp_path, "RR Lyr")
    assert_is_the_truth(emulator.sky, star, rows)
    assert str(near[0].gaia_id) not in rows["object_id"].to_pylist()


def test_a_star_that_the_survey_cannot_see_is_an_honest_empty(harvest):
    assert harvest("fetch --source ztf_dr --target 'Proxima Centauri' --json") == 0
    assert [found["outcome"] for found in harvest.objects] == ["empty"]


def test_a_position_needs_no_name_service(harvest, emulator):
    (star,) = emulator.sky.named("RR Lyr")
    assert harvest(f"fetch --source gaia_dr3 --target '{star.ra} {star.dec}'") == 0
    assert not [path for _, path, _ in emulator.requests if "sesame" in path or "simbad" in path]


def test_a_name_is_looked_up_once(harvest, emulator):
    harvest("fetch --source gaia_dr3 --target 'SS Cyg'")
    asked = [path for _, path, _ in emulator.requests if "sesame" in path]
    harvest("fetch --source gaia_dr3 --target 'ss cyg'")
    assert len(asked) == 1
    assert [path for _, path, _ in emulator.requests if "sesame" in path] == asked


def test_many_targets_go_to_the_archive_in_batches(harvest, emulator, tmp_path):
    names = [star.aliases[0] if star.aliases else star.name for star in famous() if star.name and star.period][:12]
    (tmp_path / "list.txt").write_text("\n".join(names), "utf-8")
    assert harvest(f"fetch --source gaia_dr3 --target @{tmp_path / 'list.txt'} --json") == 0
    assert len(harvest.objects) == len(set(names))
    assert all(found["outcome"] == "new" for found in harvest.objects)
    assert len([path for _, path, _ in emulator.requests if path.endswith("/data")]) == 1


@pytest.mark.parametrize("quality", ["good", "all"])
def test_bad_points_are_kept_and_the_reader_chooses(harvest, tmp_path, quality):
    harvest("fetch --source ztf_dr --target 'RR Lyr'")
    harvest(f"export -o {tmp_path / 'out.parquet'} --quality {quality} -q")
    worst = max(pq.read_table(tmp_path / "out.parquet")["quality"].to_pylist())
    assert worst == (0 if quality == "good" else 2)
