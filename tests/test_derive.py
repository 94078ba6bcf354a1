"""Derived columns against numbers that were worked out by hand; nothing changes that was not asked for."""

import math

import numpy as np
import pyarrow as pa
import pytest
from exported import KNOWN, PHI, ROWS, RR, TABLE, derived, gaia, table_of, ztf

from harvester import derive
from harvester.derive import Derivation, read_floors, whole_targets
from harvester.errors import UsageError
from harvester.passbands import passbands, surveys

CURVE = {"mag": 18.0, "mag_err": 0.05, "flux": 229.087, "flux_err": 10.55}


def night(*rows, **more):
    return derived(table_of(*rows), night=True, **more)


def test_nothing_is_derived_unasked():
    assert derived() == ROWS
    assert Derivation().schema(TABLE.schema) == TABLE.schema


def test_mjd_is_the_middle_of_the_exposure_at_the_telescope():
    row = derived(table_of(ztf(RR, 1)), time="mjd")[0]
    assert row["mjd_utc"] == pytest.approx(58204.4210532 + 1.0321 + 15 / 86400, abs=1e-10)
    assert list(row)[3:5] == ["bjd_tdb", "mjd_utc"]


def test_mjd_of_gaia_is_its_light_at_the_earth_as_astropy_has_it():
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time

    row = derived(table_of(gaia(RR, 1, 7.4)), time="mjd")[0]
    here = EarthLocation.from_geocentric(0, 0, 0, unit="m")
    utc = Time(row["mjd_utc"], format="mjd", scale="utc", location=here)
    delay = utc.light_travel_time(SkyCoord(RR.ra, RR.dec, unit="deg"))
    expected = Time(2455197.5, row["time"], format="jd", scale="tcb")
    assert abs(((utc.tdb + delay) - expected.tdb).to_value("s")) < 0.001


def test_mjd_of_a_source_that_is_gone_comes_from_bjd_tdb():
    known = derive.Known(KNOWN.targets)
    (with_it,) = derived(table_of(ztf(RR, 1, bjd_tdb=2458205.95)), time="mjd")
    batches = Derivation("mjd").applied(table_of(ztf(RR, 1, bjd_tdb=2458205.95)).to_batches(), known)
    without = pa.Table.from_batches(batches).to_pylist()[0]["mjd_utc"]
    assert abs(without - 58205.45) < 0.006
    assert without != with_it["mjd_utc"]


def test_mjd_of_a_target_without_a_position_is_refused():
    with pytest.raises(UsageError, match="no position"):
        list(Derivation("mjd").applied(TABLE.to_batches(), derive.Known()))


def test_an_error_floor_is_added_in_quadrature_to_magnitude_and_flux():
    row = derived(table_of(gaia(RR, 1, 15.0, mag_err=0.003, flux=3269.858, flux_err=9.0349)), documented_floors=True)[0]
    assert row["mag_err"] == pytest.approx(0.005408326913196, abs=1e-14)  # sqrt(0.003^2 + 0.0045^2)
    assert row["flux_err"] == pytest.approx(math.sqrt(9.0349**2 + (3269.858 * 0.0045 * math.log(10) / 2.5) ** 2))
    assert (row["mag"], row["flux"]) == (15.0, 3269.858)


def test_a_floor_that_is_said_counts_before_the_documented_one_and_an_error_that_is_missing_stays_so():
    floors = {"g(ZTF_DR)": 0.04, "*": 0.1}
    rows = derived(table_of(gaia(RR, 1, 15.0, mag_err=0.0), ztf(RR, 1, **CURVE | {"mag_err": 0.03}), ztf(RR, 2, mag=18.0)), floors=floors)
    assert [row["mag_err"] for row in rows] == [0.1, pytest.approx(0.05), None]


def test_floors_are_read_as_people_write_them():
    assert read_floors(["0.02", "G(GAIA_DR3)=0.0045"]) == ({"*": 0.02, "G(GAIA_DR3)": 0.0045}, False)
    for word in ("x", "g=", "-0.1", "nan", "g(ZTF)=99"):
        with pytest.raises(UsageError, match="no error floor"):
            read_floors([word])


@pytest.mark.parametrize(("system", "gaia_mag", "ztf_mag"), [("ab", 15.1136777, 18.0), ("vega", 15.0, 18.1091268)])
def test_magnitudes_and_limits_are_given_in_a_system(system, gaia_mag, ztf_mag):
    """2.5 log10(3630.7805 / 3269.858) = 0.1136777; 2.5 log10(4014.678 / 3630.7805) = 0.1091268."""
    limit = ztf(RR, 3, upper_limit=True, limiting_mag=18.0)
    rows = derived(table_of(gaia(RR, 1, 15.0), ztf(RR, 1, **CURVE), limit), system=system)
    assert [row["mag"] for row in rows] == [pytest.approx(gaia_mag, abs=1e-6), pytest.approx(ztf_mag, abs=1e-6), None]
    assert rows[2]["limiting_mag"] == pytest.approx(ztf_mag, abs=1e-6)
    assert rows[1]["flux"] == CURVE["flux"]


def test_a_magnitude_that_nobody_can_convert_is_refused():
    with pytest.raises(UsageError, match="zero point is not known"):
        derived(table_of(ztf(RR, 1, filter="G(GAIA_DR4)", mag=15.0)), system="ab")


def test_every_ab_passband_with_a_curve_has_a_vega_zero_point_that_is_sane():
    found = {(survey, name): band for survey in surveys() for name, band in passbands(survey).items() if band.vega_zeropoint_jy}
    assert len(found) > 100
    assert all(band.system == "AB" and 100 < band.vega_zeropoint_jy < 5000 for band in found.values())


@pytest.mark.parametrize(
    ("unit", "flux"), [("uJy", 229.087), ("nJy", 229087.0), ("mJy", 0.229087), ("Jy", 2.29087e-4), ("cgs", 2.29087e-27)]
)
def test_fluxes_are_given_in_a_unit(unit, flux):
    row = derived(table_of(ztf(RR, 1, **CURVE)), flux_unit=unit)[0]
    assert (row["flux"], row["flux_err"]) == (pytest.approx(flux), pytest.approx(flux * 10.55 / 229.087))
    assert row["mag"] == 18.0


def test_a_night_is_the_mean_of_its_fluxes_weighted_by_inverse_variance():
    """Fluxes 100 +- 1 and 130 +- 2: weights 1 and 1/4, so 106 +- 0.894427, and 18.836735 +- 0.009162 mag."""
    rows = [ztf(RR, 0, flux=100.0, flux_err=1.0), ztf(RR, 0.1, flux=130.0, flux_err=2.0), ztf(RR, 1, flux=50.0, flux_err=1.0)]
    first, second = night(*rows)
    assert (first["flux"], first["flux_err"]) == (pytest.approx(106.0), pytest.approx(0.8944271909999159))
    assert (first["mag"], first["mag_err"]) == (pytest.approx(23.9 - 2.5 * math.log10(106), abs=1e-6), pytest.approx(0.0091617, abs=1e-6))
    assert first["time"] == pytest.approx(rows[0]["time"] + 0.2 * 0.10321, abs=1e-9)
    assert first["bjd_tdb"] == pytest.approx(rows[0]["bjd_tdb"] + 0.2 * 0.10321, abs=1e-9)
    assert (first["points"], second["points"], first["exptime"]) == (2, 1, 60.0)
    assert (second["flux"], second["flux_err"]) == (50.0, 1.0)


def test_a_negative_mean_is_data_without_a_magnitude():
    (row,) = night(ztf(RR, 0, flux=-20.0, flux_err=1.0), ztf(RR, 0.1, flux=10.0, flux_err=1.0))
    assert (row["flux"], row["mag"], row["mag_err"]) == (-5.0, None, None)


def test_a_passband_without_fluxes_is_averaged_in_magnitudes():
    rows = [ztf(RR, number / 100, filter="G(GAIA_DR4)", mag=15.0 + number, mag_err=0.1) for number in (0, 1)]
    (row,) = night(*rows)
    assert (row["mag"], row["mag_err"], row["flux"]) == (pytest.approx(15.5), pytest.approx(0.1 / math.sqrt(2)), None)


def test_without_errors_the_mean_is_plain_and_its_error_is_told_by_the_scatter():
    (row,) = night(ztf(RR, 0, flux=10.0), ztf(RR, 0.1, flux=14.0))
    assert (row["flux"], row["flux_err"]) == (12.0, pytest.approx(2.0))
    (alone,) = night(ztf(RR, 0, flux=10.0))
    assert alone["flux_err"] is None


def test_a_point_without_an_error_weighs_nothing_beside_one_that_has_one():
    (row,) = night(ztf(RR, 0, flux=10.0, flux_err=1.0), ztf(RR, 0.1, flux=999.0))
    assert (row["flux"], row["points"]) == (10.0, 1)


def test_a_night_of_limits_is_its_deepest_and_beside_a_detection_limits_are_dropped():
    limits = [ztf(RR, number, upper_limit=True, limiting_mag=mag, limit_sigma=5.0) for number, mag in ((0, 20.1), (0.1, 20.9), (1, 21.0))]
    first, second = night(*limits, ztf(RR, 1.1, flux=10.0, flux_err=1.0))
    assert (first["upper_limit"], first["limiting_mag"], first["limit_sigma"], first["flux"]) == (True, 20.9, 5.0, None)
    assert first["time"] == limits[1]["time"]
    assert (second["upper_limit"], second["limiting_mag"], second["flux"]) == (False, None, 10.0)


def test_a_night_runs_from_noon_to_noon_at_the_telescope():
    """At Palomar, 116.8597 degrees West, mean noon is at 19:47 UT; at Greenwich at 12:00."""
    noon = (180 + 116.8597) / 360 + 58204
    before, after = (ztf(RR, 0, time=noon + step, flux=10.0, flux_err=1.0) for step in (-0.01, 0.01))
    assert [row["observation_id"] for row in night(before, after)] == ["night 58203", "night 58204"]
    assert len(night(ztf(RR, 0, time=58204.45, flux=1.0), ztf(RR, 0, time=58204.55, flux=1.0))) == 1


def test_bad_points_take_no_part_in_a_night_and_its_quality_is_the_worst_of_the_rest():
    (row,) = night(ztf(RR, 0, flux=10.0, flux_err=1.0), ztf(RR, 0.1, flux=10.0, flux_err=1.0, quality=1), ztf(RR, 0.2, flux=9e9, quality=2))
    assert (row["flux"], row["quality"], row["points"]) == (10.0, 1, 2)


def test_targets_and_filters_are_binned_apart_and_what_differs_in_a_night_is_left_empty():
    rows = [ztf(RR, 0, flux=1.0, observer="A"), ztf(RR, 0.1, flux=3.0, observer="B"), ztf(PHI, 0, flux=5.0), gaia(PHI, 1, 15.0)]
    found = night(*rows)
    assert [(row["target"], row["filter"]) for row in found] == [(row["target"], row["filter"]) for row in rows[1:]]
    assert (found[0]["observer"], found[0]["object_id"], found[0]["source"]) == (None, rows[0]["object_id"], "ztf_dr")
    assert found[1]["observer"] == rows[2]["observer"]


def test_bins_do_not_depend_on_how_the_rows_were_cut():
    rows = [ztf(RR, number / 40, flux=100.0 + number % 7, flux_err=1.0) for number in range(400)]
    table = pa.concat_tables([table_of(*rows), table_of(*(row | {"target": PHI.name} for row in rows))])
    whole = [pa.Table.from_batches(Derivation(night=True).applied(table.to_batches(size), KNOWN)).to_pylist() for size in (7, 10_000)]
    assert whole[0] == whole[1]
    assert sum(row["points"] for row in whole[0]) == 800


def test_a_clip_flags_outliers_and_removes_nothing():
    values = [10.0, 10.1, 9.9, 10.05, 9.95, 10.0, 50.0]
    rows = derived(table_of(*(ztf(RR, number, flux=value) for number, value in enumerate(values))), clip=5.0)
    assert [row["clipped"] for row in rows] == [False] * 6 + [True]
    assert [row["flux"] for row in rows] == values


def test_a_clip_looks_again_once_the_worst_is_out():
    """Round 1: median 1.5, MAD 1.5, so 3 sigma is 6.67 and 8 lies 6.5 off; with 1000 out, MAD is 1 and it goes."""
    values = [0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 8.0, 1000.0]
    rows = derived(table_of(*(ztf(RR, number, flux=value) for number, value in enumerate(values))), clip=3.0)
    assert [row["clipped"] for row in rows] == [False] * 6 + [True, True]


def test_limits_and_bad_points_are_never_flagged_and_take_no_part():
    rows = [ztf(RR, number, flux=10.0 + number / 100, flux_err=1.0) for number in range(5)]
    extra = [ztf(RR, 7, upper_limit=True, limiting_mag=3.0), ztf(RR, 8, flux=9e9, quality=2)]
    assert not any(row["clipped"] for row in derived(table_of(*rows, *extra), clip=3.0))


def test_clipped_points_are_left_out_of_bins():
    rows = [ztf(RR, number / 100, flux=value, flux_err=1.0) for number, value in enumerate([10.0, 10.1, 9.9, 10.0, 500.0])]
    (row,) = night(*rows, clip=5.0)
    assert (row["points"], row["flux"]) == (4, pytest.approx(10.0))


def test_all_together_keep_their_order():
    (row,) = night(ztf(RR, 0, flux=100.0, flux_err=1.0, mag=18.9, mag_err=0.01086), floors={"*": 0.01}, system="vega", flux_unit="mJy")
    floored = math.hypot(1.0, 100 * 0.01 * math.log(10) / 2.5)
    assert (row["flux"], row["flux_err"]) == (pytest.approx(0.1), pytest.approx(floored / 1000))
    assert row["mag"] == pytest.approx(23.9 - 5 + 0.1091268, abs=1e-6)
    assert row["mag_err"] == pytest.approx(floored / 100 * 2.5 / math.log(10))


def test_what_was_derived_is_said_in_words():
    asked = Derivation("mjd", {"g(ZTF_DR)": 0.02}, documented_floors=True, system="ab", flux_unit="cgs", night=True, clip=3)
    words = asked.words()
    assert words["error_floor"] == "other filters: as documented; g(ZTF_DR): 0.02 mag"
    assert (words["magnitude_system"], words["flux_unit"]) == ("AB", "erg.s**-1.cm**-2.Hz**-1")
    assert words["binned"]
    assert "3 robust sigma" in words["clipped"]
    assert not any(Derivation().words().values())


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_whole_targets_are_never_cut(size):
    parts = [set(table["target"].to_pylist()) for table in whole_targets(TABLE.to_batches(size))]
    assert sum(len(part) for part in parts) == 2
    assert sum(table.num_rows for table in whole_targets(TABLE.to_batches(size))) == len(ROWS)


def test_nothing_derives_from_nothing():
    for asked in ({"night": True}, {"clip": 3.0}, {"time": "mjd"}, {"system": "ab"}):
        assert derived(table_of(), **asked) == []
        assert np.array_equal(
            pa.Table.from_batches(
                Derivation(**asked).applied(table_of().to_batches(), KNOWN), Derivation(**asked).schema(TABLE.schema)
            ).num_rows,
            0,
        )
