import math

import numpy as np
import pyarrow as pa
import pytest

from harvester.errors import Malformed
from harvester.passbands import Passband
from harvester.schema import SCHEMA, conform, label
from harvester.times import TimeSystem

MJD_UTC = TimeSystem("mjd", "utc", "geocentre")
GOOD = {"passband": "g", "time": 58000.5, "object_id": "1", "mag": 18.0, "mag_err": 0.05}


def conformed(*rows, survey="ZTF", system=MJD_UTC, **more):
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    return conform(table, survey=survey, time_system=system, **more)


def reason(**changes):
    found = conformed(GOOD, GOOD | changes)
    assert found.rows.num_rows == 1, "the good row must stay"
    return found.rejected["reason"].to_pylist()[0]


def test_a_filter_is_spelled_passband_of_survey():
    assert label("g", "ZTF") == "g(ZTF)"
    assert conformed(GOOD).rows["filter"].to_pylist() == ["g(ZTF)"]


def test_what_conform_gives_has_the_schema_and_no_bjd_yet():
    rows = conformed(GOOD).rows
    assert rows.schema.equals(SCHEMA)
    assert rows["bjd_tdb"].null_count == 1
    assert rows["quality"].to_pylist() == [0]
    assert rows["upper_limit"].to_pylist() == [False]


def test_flux_comes_from_magnitude_by_the_zero_point_and_back():
    row = conformed(GOOD, {"passband": "r", "time": 1.0, "object_id": "1", "flux": 229.0868, "flux_err": 10.55}).rows.to_pylist()
    assert row[0]["flux"] == pytest.approx(229.0868, rel=1e-6)
    assert row[0]["flux_err"] == pytest.approx(10.55, rel=1e-3)
    assert row[1]["mag"] == pytest.approx(18.0, abs=1e-6)
    assert row[1]["mag_err"] == pytest.approx(0.05, rel=1e-3)


def test_negative_flux_is_data_without_a_magnitude():
    (row,) = conformed({"passband": "g", "time": 58000.0, "object_id": "1", "flux": -3.5, "flux_err": 2.0}).rows.to_pylist()
    assert (row["flux"], row["mag"], row["mag_err"]) == (-3.5, None, None)


def test_a_limit_is_a_row_of_its_own_without_magnitude_or_flux():
    (row,) = conformed({"passband": "g", "time": 58000.0, "object_id": "1", "upper_limit": True, "limiting_mag": 20.5}).rows.to_pylist()
    assert (row["upper_limit"], row["limiting_mag"], row["mag"], row["flux"]) == (True, 20.5, None, None)


def test_a_magnitude_served_beside_a_flux_that_is_not_positive_is_none():
    (row,) = conformed(GOOD | {"flux": -2.0, "flux_err": 1.0}).rows.to_pylist()
    assert (row["flux"], row["mag"], row["mag_err"]) == (-2.0, None, None)


def test_a_quality_that_the_source_could_not_tell_is_suspect():
    assert conformed(GOOD | {"quality": 0}, GOOD | {"quality": None}).rows["quality"].to_pylist() == [0, 1]


def test_nan_is_missing():
    (row,) = conformed(GOOD | {"mag_err": math.nan}).rows.to_pylist()
    assert row["mag_err"] is None
    assert row["flux_err"] is None


def test_nothing_is_converted_without_a_zero_point():
    (row,) = conformed(GOOD | {"passband": "G"}, survey="GAIA_DR4").rows.to_pylist()
    assert row["flux"] is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"passband": "zz"}, "unknown passband"),
        ({"passband": None}, "unknown passband"),
        ({"object_id": None}, "no object id"),
        ({"time": None}, "no time"),
        ({"time": 2458000.5}, "impossible time"),
        ({"time": math.inf}, "a number that cannot be read"),
        ({"mag": math.inf}, "a number that cannot be read"),
        ({"mag_err": math.inf}, "a number that cannot be read"),
        ({"mag": 99.99}, "impossible magnitude"),
        ({"mag": -999.0}, "impossible magnitude"),
        ({"mag_err": -1.0}, "negative error or exposure"),
        ({"mag": None}, "neither magnitude nor flux"),
        ({"upper_limit": True}, "upper limit without its magnitude"),
        ({"upper_limit": True, "limiting_mag": 20.0}, "upper limit with a magnitude"),
        ({"quality": 7}, "impossible quality"),
    ],
)
def test_a_row_that_cannot_be_trusted_is_put_apart_with_its_reason(changes, why):
    assert reason(**changes) == why


def test_a_start_without_the_length_of_the_exposure_is_put_apart():
    system = TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start")
    assert conformed(GOOD, system=system).rejected["reason"].to_pylist() == ["start of an exposure of unknown length"]
    assert conformed(GOOD | {"exptime": 30.0}, system=system).rejected.num_rows == 0


def test_an_offset_jd_is_judged_with_its_offset():
    system = TimeSystem("jd-2455197.5", "tcb", "barycentre")
    assert conformed(GOOD | {"time": 1693.25}, system=system).rows.num_rows == 1
    assert conformed(GOOD | {"time": 2456890.75}, system=system).rejected["reason"].to_pylist() == ["impossible time"]


def test_rows_without_an_id_of_their_own_get_one_from_what_they_are():
    ids = conformed(GOOD, GOOD | {"observer": "ABC"}, GOOD | {"observation_id": "7"}).rows["observation_id"].to_pylist()
    assert ids == ["1:g:58000.5", "1:g:58000.5:ABC", "7"]


@pytest.mark.parametrize(
    "table",
    [
        {"passband": ["g"], "time": [1.0]},
        {**{k: [v] for k, v in GOOD.items()}, "colour": ["red"]},
        {**{k: [v] for k, v in GOOD.items()}, "mag": ["x"]},
    ],
)
def test_a_table_that_is_no_photometry_is_refused(table):
    with pytest.raises(Malformed):
        conform(pa.table(table), survey="ZTF", time_system=MJD_UTC)


def test_a_plug_in_may_bring_passbands_of_its_own():
    band = Passband(survey="MINE", name="w", system="AB", colour="#000000", marker="o", zeropoint_jy=3630.7805)
    rows = conformed(GOOD | {"passband": "w"}, survey="MINE", bands={"w": band}).rows
    assert rows["filter"].to_pylist() == ["w(MINE)"]
    assert np.isfinite(rows["flux"][0].as_py())
