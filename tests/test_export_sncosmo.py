"""Tables for supernova programs, read back by sncosmo itself. It has no wheels for every Python: there these are left out, visibly."""

import math

import pytest
from exported import ROWS, RR, table_of, written

from harvester.export import LeftOut

sncosmo = pytest.importorskip("sncosmo", reason="sncosmo cannot be installed for this Python")
ONE_TARGET = table_of(*ROWS[:5])


def test_sncosmo_reads_fluxes_with_bands_that_it_knows(tmp_path):
    with pytest.warns(LeftOut, match="1 limits without a flux"):
        assert written(tmp_path / "x.txt", ONE_TARGET, form="sncosmo") == 4
    found = sncosmo.read_lc(str(tmp_path / "x.txt"), format="ascii")
    assert list(found["flux"]) == [row["flux"] for row in ROWS[:4]]
    assert list(found["time"]) == [row["bjd_tdb"] for row in ROWS[:4]]
    assert list(found["band"]) == ["gaia::g", "gaia::g", "ztfg", "ztfg"]
    mag = -2.5 * math.log10(found["flux"][0]) + found["zp"][0]
    assert mag == pytest.approx(ROWS[0]["mag"] + 0.113678, abs=1e-6)  # AB - Vega of Gaia G
    assert found.meta["run"] == 7


def test_every_band_that_we_name_to_sncosmo_is_one_of_its_own():
    from sncosmo.bandpasses import _BANDPASSES

    from harvester.export.sncosmo import band_of
    from harvester.passbands import passbands, surveys
    from harvester.schema import label

    known = {key[0] for key in _BANDPASSES._loaders}
    labels = [label(name, survey) for survey in surveys() for name in passbands(survey)]
    spelled = {name: band_of(name) for name in labels if band_of(name) != name.replace(" ", "_")}
    assert len(spelled) > 20
    assert set(spelled.values()) <= known


def test_snana_text_reads_back_with_its_zero_point_and_a_letter_per_filter(tmp_path):
    rows = [*ROWS[:5], *(row | {"filter": name} for row, name in ((ROWS[0], "BP(GAIA_DR3)"), (ROWS[1], "RP(GAIA_DR3)")))]
    with pytest.warns(LeftOut):
        assert written(tmp_path / "x.dat", table_of(*rows), form="snana") == 6
    meta, tables = sncosmo.read_snana_ascii(str(tmp_path / "x.dat"), default_tablename="OBS")
    assert (meta["SNID"], meta["RA"], meta["NOBS"]) == ("RR_Lyr", RR.ra, 6)
    found = tables["OBS"]
    assert 27.5 - 2.5 * math.log10(found["FLUXCAL"][2]) == pytest.approx(23.9 - 2.5 * math.log10(ROWS[2]["flux"]), abs=1e-9)
    assert len({name[-1] for name in found["FLT"]}) == len(set(found["FLT"])) == len(meta["FILTERS"]) == 4
