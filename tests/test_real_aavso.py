"""AAVSO's real answers: what observers sent is what is stored, and what is damaged is said."""

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import needs_recordings

from harvester.delivery import deliver, with_bjd_tdb
from harvester.errors import Malformed
from harvester.payload import Payload
from harvester.source import load
from harvester.target import Target

pytestmark = needs_recordings
AAVSO = load("aavso")
SS_CYG = Target("SS Cyg", 325.6791, 43.5861)
ANSWERS = ["api_delim_at3_SS_CYG_1row_excerpt.txt", "bhtom2_api_delim_2rows.txt", "bhtom2_api_delim_4rows_VI.txt"]


@pytest.mark.parametrize(("name", "rows", "filters"), list(zip(ANSWERS, (1, 2, 4), ({"V"}, {"V"}, {"V", "I"}), strict=True)))
def test_every_row_is_kept_whatever_the_delimiter(recorded, name, rows, filters):
    found = deliver(AAVSO, [Payload(recorded(f"aavso/{name}"), source="aavso")])
    assert (found.rows.num_rows, found.rejected.num_rows) == (rows, 0)
    assert set(pc.unique(found.rows["filter"]).to_pylist()) == {f"{band}(AAVSO)" for band in filters}
    assert set(found.rows["quality"].to_pylist()) == {0}


def test_the_row_of_ss_cyg_has_its_golden_values(recorded):
    found = deliver(AAVSO, [Payload(recorded(f"aavso/{ANSWERS[0]}"), source="aavso", params={"ident": "000-BCP-220"})])
    (row,) = with_bjd_tdb(found.rows, SS_CYG, AAVSO.systems()).to_pylist()
    assert (row["mag"], row["mag_err"], row["observer"]) == (11.708, 0.014, "DUBF")
    assert (row["observation_id"], row["object_id"]) == ("1298154746", "000-BCP-220")
    assert abs(row["bjd_tdb"] - row["time"]) < 0.006
    assert "Dubois" not in str(row)


def test_the_same_report_of_two_facilities_is_one_measurement(recorded):
    found = deliver(AAVSO, [Payload(recorded(f"aavso/{ANSWERS[2]}"), source="aavso")]).rows
    pairs = list(zip(found["filter"].to_pylist(), found["observation_id"].to_pylist(), strict=True))
    assert pairs.count(("V(AAVSO)", "1285239870")) == 2
    assert np.ptp(found.filter(pc.equal(found["observation_id"], "1285239870"))["mag"].to_numpy()) == 0


@pytest.mark.parametrize("name", ANSWERS)
def test_a_cut_answer_gives_no_wrong_row(recorded, name):
    body = recorded(f"aavso/{name}")
    whole = deliver(AAVSO, [Payload(body, source="aavso")]).rows
    for part in (0.2, 0.5, 0.7, 0.9):
        try:
            rows = deliver(AAVSO, [Payload(body[: int(len(body) * part)], source="aavso")]).rows
        except Malformed:
            continue
        assert rows.num_rows < whole.num_rows
        assert rows.equals(whole.slice(0, rows.num_rows))


@pytest.mark.parametrize(
    "name", ["vstar_api_object_att_xcrb.xml", "vstar_EpsAur.csv", "webobs_download_demo_ASASSN-V_J060000.76-310027.83.csv"]
)
def test_another_of_its_formats_is_not_taken_for_this_one(recorded, name):
    with pytest.raises(Malformed):
        deliver(AAVSO, [Payload(recorded(f"aavso/{name}"), source="aavso")])
