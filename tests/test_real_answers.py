"""The main job on real recorded answers, replayed over loopback: what the surveys sent is what is stored."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import FIXTURES, needs_recordings

from harvester.emulator.recordings import Recording, read_recordings
from harvester.errors import BadSettings

GAIA, IRSA = "gea.esac.esa.int", "irsa.ipac.caltech.edu"
PLACE = "source_id,ra,dec,ref_epoch,pmra,pmdec,has_epoch_photometry\n1457486023639239296,210.0,30.0,2016.0,,,true\n"


def exported(harvest, tmp_path):
    assert harvest(f"export -o {tmp_path / 'out.parquet'} -q") == 0
    return pq.read_table(tmp_path / "out.parquet")


@needs_recordings
def test_a_real_gaia_answer_is_stored_with_its_golden_values(harvest, emulator, tmp_path):
    (tmp_path / "place.csv").write_text(PLACE, "utf-8")
    epochs = FIXTURES / "gaia_dr3" / "dr3_epoch_photometry_individual_1457486023639239296.vot"
    emulator.recordings = [
        Recording(GAIA, "/tap-server/tap/sync", tmp_path / "place.csv", content_type="text/csv"),
        Recording(GAIA, "/data-server/data", epochs, {"RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY"}, "application/x-votable+xml"),
    ]
    assert harvest("fetch --source gaia_dr3 --target '210.0 30.0' --json") == 0
    assert {name: part["total"] for name, part in harvest.objects[0]["filters"].items()} == {
        "BP(GAIA_DR3)": 64,
        "G(GAIA_DR3)": 65,
        "RP(GAIA_DR3)": 64,
    }
    rows = exported(harvest, tmp_path)
    good = rows.filter(pc.equal(rows["quality"], 0))
    assert sorted(pc.value_counts(good["filter"]).field("counts").to_pylist()) == [59, 60, 62]
    assert min(rows["bjd_tdb"].to_pylist()) == pytest.approx(2456890.75729306, abs=1e-8)


@needs_recordings
def test_a_real_ztf_answer_of_two_stars_gives_the_one_that_was_asked_for(harvest, emulator, tmp_path):
    table = FIXTURES / "ztf_dr" / "nph_light_curves_two_objects.vot.xml"
    emulator.recordings = [Recording(IRSA, "/cgi-bin/ZTF/nph_light_curves", table, content_type="text/xml")]
    assert harvest("fetch --source ztf_dr --target '298.0025212 29.8714918' --json") == 0
    assert harvest.objects[0]["filters"] == {"g(ZTF_DR)": {"new": 147, "revised": 0, "total": 147}}
    assert set(exported(harvest, tmp_path)["object_id"].to_pylist()) == {"686103400034440"}


def test_a_recording_answers_by_host_path_and_parameters(tmp_path):
    (tmp_path / "body.csv").write_text("x\n", "utf-8")
    (tmp_path / "index.toml").write_text(
        '[[recording]]\nhost = "h.example"\npath = "/p"\nbody = "body.csv"\n'
        '[[recording]]\nhost = "h.example"\npath = "/p"\nparams = { A = "1" }\nbody = "body.csv"\nstatus = 503\n',
        "utf-8",
    )
    special, common = read_recordings(tmp_path)
    assert special.status == 503
    assert special.answers("/p", [("a", "1"), ("b", "2")])
    assert special.answers("/h.example/p", [("A", "1")])
    assert not special.answers("/p", [("a", "2")])
    assert common.answers("/p", [])
    assert not common.answers("/q", [])


@pytest.mark.parametrize(
    "index", ["", "[[recording]]\nhost = 'h'\n", "[[recording]]\nhost = 'h'\npath = '/p'\nbody = 'nowhere'\n", "recording ="]
)
def test_an_index_that_cannot_be_used_is_named(tmp_path, index):
    (tmp_path / "index.toml").write_text(index, "utf-8")
    with pytest.raises(BadSettings, match=r"index\.toml"):
        read_recordings(tmp_path)
