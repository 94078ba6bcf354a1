"""Times against 225 golden rows, astropy's full path, and the mistakes that others make."""

import csv
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import erfa
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning
from numpy.testing import assert_allclose, assert_array_equal

from harvester import ephemeris, scales
from harvester.scales import LeapSecondsExpired
from harvester.times import BJD_TDB, TimeSystem, mjd_utc_mid, to_bjd_tdb, to_mjd_utc

GOLDEN = list(csv.DictReader((Path(__file__).parent / "data" / "golden_times.csv").read_text("utf-8").splitlines()))
MJD0 = Decimal("2400000.5")
DAY = 86_400.0
US = 1e-6 / DAY
FORMATS = {"bkjd": "jd-2454833", "btjd": "jd-2457000", "gaia": "jd-2455197.5", "met": "mjd"}
PLACES = {"spacecraft-LEO": "geocentre"}
SITES = {
    "Palomar P48": "Palomar",
    "PS1 Haleakala": "Pan-STARRS1",
    "Cerro Pachon (Rubin)": "Rubin",
    "ATLAS HKO Haleakala (02)": "ATLAS Haleakala",
    "ATLAS MLO Mauna Loa (01)": "ATLAS Mauna Loa",
    "ATLAS STH Sutherland (03)": "ATLAS Sutherland",
    "ATLAS CHL El Sauce (04)": "ATLAS El Sauce",
    "ATLAS TDO Teide (05)": "ATLAS Teide",
    "ASAS-SN CTIO": "ASAS-SN Cerro Tololo",
    "Las Campanas (OGLE)": "Las Campanas",
    "KMTNet CTIO": "KMTNet Cerro Tololo",
    "KMTNet SAAO": "KMTNet Sutherland",
    "KMTNet SSO": "KMTNet Siding Spring",
    "Mt John (MOA)": "Mount John",
    "CSS Mt Bigelow": "Mount Bigelow",
    "MLS Mt Lemmon": "Mount Lemmon",
    "SSS Siding Spring": "Siding Spring",
    "Siding Spring (SkyMapper)": "SkyMapper",
    "Apache Point (SDSS)": "Apache Point",
}
PALOMAR = TimeSystem("mjd", "utc", "observatory", site="Palomar")
GEOCENTRE = TimeSystem("mjd", "utc", "geocentre")
HELIOCENTRE = TimeSystem("mjd", "utc", "heliocentre")
GAIA = TimeSystem("jd-2455197.5", "tcb", "barycentre")
CRAB = (83.63, 22.01)
LEAP_2016 = 57_753  # 2016-12-31, 86401 s long


def golden_system(row):
    place = PLACES.get(row["place"], row["place"])
    sited = place == "observatory" or row["helio_observer"] == "topocentric"
    native = row["native_format"]
    offset = float(row["known_offset_s"] or 0)
    site = SITES[row["site"]] if sited else None
    return TimeSystem(FORMATS.get(native, native), row["scale"], place, site=site, stamp=row["stamp"], offset_s=offset)


def golden_stamp(row):
    """The native text as whole days and a fraction; seconds since 2001 of a spacecraft's clock as MJD."""
    value = Decimal(row["native_value"])
    if row["native_format"] == "met":
        value = 51_910 + (value + Decimal(row["utcf_s"] or "64.184")) / 86_400
    return int(value // 1), float(value % 1)


def golden_position(row):
    """ICRS degrees at the epoch: straight motion on the sky from the row's own epoch."""
    ra, dec = np.radians([float(row["ra_deg"]), float(row["dec_deg"])])
    if not row["pm_epoch_jyear"]:
        return float(row["ra_deg"]), float(row["dec_deg"])
    years = (float(row["expected_bjd_tdb"]) - 2_451_545.0) / 365.25 + 2000.0 - float(row["pm_epoch_jyear"])
    east, north = np.radians([float(row["pm_racosdec_masyr"]), float(row["pm_dec_masyr"])]) / 3.6e6 * years
    axes = [[-np.sin(ra), np.cos(ra), 0.0], [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)]]
    x, y, z = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]) + np.array([east, north]) @ np.array(axes)
    return float(np.degrees(np.arctan2(y, x))) % 360.0, float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def golden_tolerance_s(row):
    """5 us, the file's own where it depends on a model of Delta T."""
    return float(row["tolerance_s"]) if row["scale"] == "ut" else 5e-6


def golden_distance(row):
    return float(row["distance_au"]) if row["distance_au"] else None


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(iers.conf, "auto_download", False)
    monkeypatch.setattr(iers.conf, "auto_max_age", None)
    monkeypatch.setattr(iers.conf, "iers_degraded_accuracy", "ignore")


@pytest.fixture
def beyond_leap_seconds():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeapSecondsExpired)
        yield


def by_astropy(mjd, scale, ra, dec, *, site=None, kind="barycentric"):
    """BJD_TDB (or HJD_UTC) less 2400000.5 by astropy's full path."""
    xyz = ephemeris.site_position(site) * erfa.CMPS if site else np.zeros(3)
    place, sky = EarthLocation.from_geocentric(*xyz, unit=u.m), SkyCoord(ra, dec, unit="deg")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        warnings.filterwarnings("ignore", "Tried to get polar motions for times (before|after)", AstropyWarning)
        time = Time(np.floor(mjd), mjd - np.floor(mjd), format="mjd", scale=scale, location=place)
        there = (time.tdb if kind == "barycentric" else time.utc) + time.light_travel_time(sky, kind=kind, ephemeris="builtin")
    return (there.jd1 - 2_400_000.5) + there.jd2


def random_sky(n, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(47_900, 61_000, n), rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def test_the_golden_file_is_whole():
    assert len(GOLDEN) == 225


@pytest.mark.usefixtures("beyond_leap_seconds")
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["id"])
def test_golden_bjd_tdb(row):
    got = to_bjd_tdb(
        golden_stamp(row), golden_system(row), *golden_position(row), exptime=float(row["exptime_s"]), distance_au=golden_distance(row)
    )
    assert abs(float((Decimal(float(got)) + MJD0 - Decimal(row["expected_bjd_tdb"])) * 86_400)) < golden_tolerance_s(row)


@pytest.mark.usefixtures("beyond_leap_seconds")
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["id"])
def test_golden_mjd_utc(row):
    got = mjd_utc_mid(golden_stamp(row), golden_system(row), *golden_position(row), exptime=float(row["exptime_s"]))
    assert abs(float((Decimal(float(got)) - Decimal(row["expected_mjd_utc_mid"])) * 86_400)) < golden_tolerance_s(row)


@pytest.mark.usefixtures("beyond_leap_seconds")
@pytest.mark.parametrize("row", [row for row in GOLDEN if not row["distance_au"]], ids=lambda row: row["id"])
def test_golden_rows_come_back_from_the_barycentre(row):
    bjd = Decimal(row["expected_bjd_tdb"]) - MJD0
    site = golden_system(row).site if row["mjd_utc_at"] == "observatory" else None
    got = to_mjd_utc((int(bjd // 1), float(bjd % 1)), *golden_position(row), site=site)
    assert abs(float((Decimal(float(got)) - Decimal(row["expected_mjd_utc_mid"])) * 86_400)) < golden_tolerance_s(row)


def test_a_float_of_a_full_jd_costs_its_quantum_and_no_more():
    row = next(row for row in GOLDEN if row["native_format"] == "jd" and row["scale"] == "utc")
    system, position = golden_system(row), golden_position(row)
    as_pair, as_float = to_bjd_tdb(golden_stamp(row), system, *position), to_bjd_tdb(float(row["native_value"]), system, *position)
    assert abs(as_float - as_pair) * DAY <= 21e-6


@pytest.mark.parametrize("site", [None, "Palomar", "Mount John", "Rubin"])
def test_agrees_with_astropy_anywhere_on_the_sky_and_in_time(site):
    mjd, ra, dec = random_sky(120, 1)
    got = to_bjd_tdb(mjd, TimeSystem("mjd", "utc", "observatory", site=site), ra, dec)
    assert_allclose(got, by_astropy(mjd, "utc", ra, dec, site=site), rtol=0, atol=4 * US)


@pytest.mark.parametrize("scale", ["utc", "tai", "tt", "tdb", "tcb"])
def test_agrees_with_astropy_in_every_scale(scale):
    mjd, ra, dec = random_sky(40, 2)
    assert_allclose(
        to_bjd_tdb(mjd, replace(PALOMAR, scale=scale), ra, dec), by_astropy(mjd, scale, ra, dec, site="Palomar"), rtol=0, atol=4 * US
    )


@pytest.mark.parametrize("site", [None, "Palomar"])
def test_undoes_the_hjd_that_astropy_makes(site):
    mjd, ra, dec = random_sky(60, 3)
    hjd = by_astropy(mjd, "utc", ra, dec, site=site, kind="heliocentric")
    system = replace(HELIOCENTRE, site=site)
    assert_allclose(to_bjd_tdb(hjd, system, ra, dec), by_astropy(mjd, "utc", ra, dec, site=site), rtol=0, atol=4 * US)
    assert_allclose(mjd_utc_mid(hjd, system, ra, dec), mjd, rtol=0, atol=4 * US)


def test_the_observatory_is_where_erfa_puts_it():
    day, fraction = np.arange(58_900, 60_400, 7), np.linspace(0.0, 1.0, 215)  # |UT1 - UTC| < 0.25 s: 0.4 us
    toward = np.array([0.6, 0.0, 0.8])
    x, y, z = ephemeris.site_position("Palomar") * erfa.CMPS
    utc = fraction - 69.184 / DAY
    turned = erfa.c2t06a(2_400_000.5 + day, fraction, 2_400_000.5 + day, utc, 0.0, 0.0)
    place = np.einsum("nij,i->nj", turned, [x, y, z]) @ toward / erfa.CMPS
    clocks = [
        erfa.dtdb(2_400_000.5 + day, fraction, utc % 1.0, np.arctan2(y, x), *km) for km in ((np.hypot(x, y) / 1e3, z / 1e3), (0.0, 0.0))
    ]
    here, centre = (ephemeris.LightTime(day, toward, site=site).to_barycentre(slice(None), fraction) for site in ("Palomar", None))
    assert_allclose(here - centre, place + clocks[0] - clocks[1], rtol=0, atol=0.6e-6)


def test_dates_outside_the_shipped_table_agree_with_astropy():
    mjd = np.linspace(41_400.2, 47_800.7, 25)
    assert_allclose(to_bjd_tdb(mjd, GEOCENTRE, *CRAB), by_astropy(mjd, "utc", *CRAB), rtol=0, atol=2 * US)
    mjd = np.linspace(66_000.2, 66_400.7, 25)  # across its end
    assert_allclose(to_bjd_tdb(mjd, replace(GEOCENTRE, scale="tt"), *CRAB), by_astropy(mjd, "tt", *CRAB), rtol=0, atol=2 * US)


def test_the_shipped_table_is_what_erfa_computes():
    days = np.arange(ephemeris.TABLE_FROM, ephemeris.TABLE_TO + 1)
    shipped = ephemeris.shipped()
    assert len(shipped) == days.size
    values, rates = np.moveaxis(np.abs(shipped[::10] - ephemeris.computed(days[::10])), 1, 0)
    assert values.max() < 0.6e-9
    assert rates.max() < 10e-9


def test_the_shipped_table_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ephemeris, "TABLE_TO", ephemeris.TABLE_FROM + 50)
    ephemeris.write_table(tmp_path / ephemeris.TABLE)
    made = tmp_path / ephemeris.TABLE
    monkeypatch.undo()
    again, shipped = (np.load(path)["differences"] for path in (made, Path(ephemeris.__file__).parent / "data" / ephemeris.TABLE))
    assert np.abs(again[ephemeris.TABLE_ORDER :] - shipped[ephemeris.TABLE_ORDER : len(again)]).max() <= 2**ephemeris.TABLE_ORDER
    assert again.shape == (59, ephemeris.COLUMNS)


def test_one_position_and_many_give_the_same():
    mjd = np.random.default_rng(4).uniform(44_000, 60_000, 40_000)
    for system in (GEOCENTRE, PALOMAR, replace(HELIOCENTRE, site="Palomar")):
        many = to_bjd_tdb(mjd, system, np.full(mjd.size, CRAB[0]), np.full(mjd.size, CRAB[1]))
        assert_allclose(to_bjd_tdb(mjd, system, *CRAB), many, rtol=0, atol=US)
        assert_allclose(to_bjd_tdb(mjd[7], system, *CRAB), many[7], rtol=0, atol=US)


def test_positions_and_times_broadcast():
    mjd, ra, dec = np.array([58_000.1, 59_000.2, 60_000.3]), np.array([[10.0], [200.0]]), np.array([[-20.0], [60.0]])
    grid = to_bjd_tdb(mjd, PALOMAR, ra, dec)
    assert grid.shape == (2, 3)
    assert_allclose(grid[1, 2], to_bjd_tdb(mjd[2], PALOMAR, 200.0, 60.0), rtol=0, atol=US)


def test_no_times_give_no_times():
    assert to_bjd_tdb([], PALOMAR, *CRAB).shape == (0,)
    assert to_mjd_utc([], *CRAB).shape == (0,)


def test_what_cannot_be_converted_is_nan_and_spoils_nothing_else():
    mjd = np.array([59_000.5, np.nan, np.inf, -np.inf, 1e9, 1e300, -1e7, 59_000.5])
    for system in (PALOMAR, GAIA, HELIOCENTRE, replace(PALOMAR, scale="tcb")):
        for got in (to_bjd_tdb(mjd, system, *CRAB), mjd_utc_mid(mjd, system, *CRAB)):
            assert np.isnan(got[1:7]).all()
    good = to_bjd_tdb(59_000.5, PALOMAR, *CRAB)
    assert_array_equal(to_bjd_tdb(mjd, PALOMAR, *CRAB)[[0, 7]], [good, good])


def test_an_unknown_position_or_exposure_is_nan():
    start = replace(PALOMAR, stamp="start")
    got = to_bjd_tdb(59_000.5, start, [83.63, np.nan, np.inf], 22.01, exptime=[[30.0], [np.nan], [np.inf], [1e300]])
    assert_array_equal(np.isfinite(got), [[True, False, False]] + 3 * [3 * [False]])
    assert np.isnan(mjd_utc_mid(59_000.5, replace(HELIOCENTRE, stamp="start"), np.nan, 22.01, exptime=30.0))


def test_there_and_back_again():
    mjd, ra, dec = random_sky(20_000, 5)
    for site in (None, "Palomar"):
        bjd = to_bjd_tdb(mjd, TimeSystem("mjd", "utc", "observatory", site=site), ra, dec)
        assert_allclose(to_mjd_utc(bjd, ra, dec, site=site), mjd, rtol=0, atol=1.5 * US)


def test_civil_time_of_any_age_comes_back():
    mjd = np.arange(-3_000.0, 61_000.0, 7.77)
    bjd = to_bjd_tdb(mjd, replace(GEOCENTRE, scale="ut"), *CRAB)
    assert_allclose(to_mjd_utc(bjd, *CRAB), mjd, rtol=0, atol=1.5 * US)
    assert np.diff(bjd).min() > 7.76


def test_civil_midnight_belongs_to_the_new_day():
    midnight_1890, offset_s = 11_368, -36.1  # TAI - UT
    day, fraction = scales.utc_from_tai(np.array([midnight_1890 - 1]), np.array([1.0 + (offset_s + 1.0) / DAY]))
    assert day == midnight_1890
    assert 0.0 <= fraction[0] < 2.0 / DAY


def test_a_leap_second_is_a_second():
    before, last, after = to_bjd_tdb([LEAP_2016 + 86_399.0 / 86_401, LEAP_2016 + 86_400.0 / 86_401, LEAP_2016 + 1.0], GEOCENTRE, *CRAB)
    assert_allclose([(last - before) * DAY, (after - last) * DAY], 1.0, rtol=0, atol=2e-4)  # 1e-4 of it is the Earth's motion


def test_the_inside_of_a_leap_second_comes_back():
    mjd = LEAP_2016 + (86_400.0 + np.linspace(0.0, 0.999, 50)) / 86_401
    assert_allclose(to_mjd_utc(to_bjd_tdb(mjd, GEOCENTRE, *CRAB), *CRAB), mjd, rtol=0, atol=1.5 * US)


def test_an_exposure_that_crosses_a_leap_second_has_its_middle_in_atomic_time():
    start, system = LEAP_2016 + 86_390.0 / 86_401, replace(PALOMAR, stamp="start")
    middle = mjd_utc_mid(start, system, *CRAB, exptime=30.0)
    assert_allclose((middle - (LEAP_2016 + 1)) * DAY, 4.0, rtol=0, atol=1e-6)  # 11 s remain of the day with the leap second
    elapsed = to_bjd_tdb(start, system, *CRAB, exptime=30.0) - to_bjd_tdb(start, PALOMAR, *CRAB)
    assert_allclose(elapsed * DAY, 15.0, rtol=0, atol=2e-3)


def test_a_long_exposure_ends_in_a_later_day():
    start, mid = replace(PALOMAR, stamp="start"), PALOMAR
    assert_allclose(to_bjd_tdb(59_000.9, start, *CRAB, exptime=5 * DAY), to_bjd_tdb(59_003.4, mid, *CRAB), rtol=0, atol=US)


def test_half_an_exposure_of_a_barycentric_start_passes_at_the_telescope():
    btjd = TimeSystem("jd-2457000", "tdb", "barycentre", stamp="start")
    got = to_bjd_tdb(1_720.1, btjd, *CRAB, exptime=1_800.0)
    utc = to_mjd_utc(58_719.6, *CRAB)
    assert_allclose(got, to_bjd_tdb(utc + 900.0 / DAY, GEOCENTRE, *CRAB), rtol=0, atol=2 * US)
    assert abs(got - (58_719.6 + 900.0 / DAY)) * DAY > 0.01


def test_bjd_tdb_stays_what_it_is():
    mjd = np.array([58_000.123456789, 20_000.987654321])
    assert_array_equal(to_bjd_tdb(mjd, BJD_TDB, *CRAB), mjd)


def test_a_body_of_the_solar_system_needs_its_distance():
    row = next(row for row in GOLDEN if row["distance_au"] == "1.2")
    stamp, system, position = float(row["native_value"]), golden_system(row), golden_position(row)
    sphere, plane = to_bjd_tdb(stamp, system, *position, distance_au=1.2), to_bjd_tdb(stamp, system, *position)
    assert abs(sphere - plane) * DAY > 50
    near, unknown, star = to_bjd_tdb(stamp, system, *position, distance_au=[1.2, np.nan, np.inf])
    assert near == sphere
    assert np.isnan(unknown)
    assert_allclose(star, plane, rtol=0, atol=US)


@pytest.mark.parametrize(
    ("wrong", "low", "high"),
    [
        (replace(GAIA, scale="utc"), 85.0, 89.0),  # TCB taken as UTC, 2015
        (replace(GAIA, scale="tdb"), 18.0, 19.2),
        (replace(GAIA, place="heliocentre"), 0.1, 4.7),
        (replace(GAIA, place="geocentre"), 10.0, 500.0),  # corrected twice
        (replace(GAIA, format="jd-2454833"), 364.4 * DAY, 364.6 * DAY),
    ],
)
def test_the_traps_of_gaia_are_as_deep_as_known(wrong, low, high):
    time = 1_840.0
    assert low < abs(to_bjd_tdb(time, wrong, *CRAB) - to_bjd_tdb(time, GAIA, *CRAB)) * DAY < high


@pytest.mark.parametrize(
    ("right", "wrong", "low", "high"),
    [
        (PALOMAR, replace(PALOMAR, scale="tt"), 69.0, 69.4),
        (replace(PALOMAR, scale="tai"), PALOMAR, 36.9, 37.1),
        (HELIOCENTRE, TimeSystem("mjd", "utc", "barycentre"), 0.1, 4.7),
        (HELIOCENTRE, BJD_TDB, 64.0, 74.0),
        (PALOMAR, BJD_TDB, 69.0, 570.0),
        (replace(PALOMAR, stamp="start"), PALOMAR, 14.9, 15.1),
        (replace(GEOCENTRE, offset_s=-0.57), GEOCENTRE, 0.5699, 0.5702),
        (PALOMAR, GEOCENTRE, 1e-4, 0.0213),
        (TimeSystem("jd-2454833", "tdb", "barycentre"), TimeSystem("jd-2457000", "tdb", "barycentre"), 2_167 * DAY, 2_167 * DAY),
    ],
)
def test_the_traps_of_other_surveys_are_as_deep_as_known(right, wrong, low, high):
    time = 3_000.25 if right.format.startswith("jd-") else 58_849.25
    assert low <= abs(to_bjd_tdb(time, wrong, *CRAB, exptime=30.0) - to_bjd_tdb(time, right, *CRAB, exptime=30.0)) * DAY <= high


def test_barnards_star_without_its_motion_is_half_a_second_wrong_at_worst():
    row = next(row for row in GOLDEN if "Barnard" in row["note"])
    stamp, system = golden_stamp(row), golden_system(row)
    still = to_bjd_tdb(stamp, system, float(row["ra_deg"]), float(row["dec_deg"]), exptime=30.0)
    assert 0.1 < abs(still - to_bjd_tdb(stamp, system, *golden_position(row), exptime=30.0)) * DAY < 0.55


@pytest.mark.parametrize(("mjd", "error_s"), [(11_000.0, 36.0), (15_020.0, 34.2), (20_035.0, 16.2), (28_000.0, 8.1), (33_282.0, 3.3)])
def test_universal_time_before_1960_is_not_utc(mjd, error_s):
    naive = to_bjd_tdb(mjd, replace(GEOCENTRE, scale="tai"), *CRAB)
    assert_allclose((naive - to_bjd_tdb(mjd, replace(GEOCENTRE, scale="ut"), *CRAB)) * DAY, error_s, rtol=0, atol=0.1)
    assert to_bjd_tdb(mjd, GEOCENTRE, *CRAB) == to_bjd_tdb(mjd, replace(GEOCENTRE, scale="ut"), *CRAB)


def test_the_last_day_before_utc_is_not_stretched():
    start, end = to_bjd_tdb([36_933.0, 36_933.999_999], replace(GEOCENTRE, scale="ut"), *CRAB)
    light = np.diff(to_bjd_tdb([36_933.0, 36_933.999_999], replace(GEOCENTRE, scale="tt"), *CRAB))
    assert abs((end - start) - light.item()) * DAY < 1e-3


def test_a_utc_beyond_the_known_leap_seconds_is_warned_of():
    expiry = scales.leap_seconds()[2]
    with pytest.warns(LeapSecondsExpired, match="astropy-iers-data") as caught:
        to_bjd_tdb(expiry + 10.0, PALOMAR, *CRAB)
    assert caught[0].filename == __file__
    with pytest.warns(LeapSecondsExpired):
        to_mjd_utc(expiry + 10.0, *CRAB)
    with pytest.warns(LeapSecondsExpired):
        mjd_utc_mid(expiry + 10.0, replace(PALOMAR, scale="tai"), *CRAB)


def test_no_leap_second_is_asked_for_where_none_is_needed():
    expiry = scales.leap_seconds()[2]
    assert np.isfinite(to_bjd_tdb(expiry + 10.0, replace(PALOMAR, scale="tai"), *CRAB))
    assert np.isfinite(to_bjd_tdb(expiry - 10.0, PALOMAR, *CRAB))


def test_our_leap_seconds_are_those_of_erfa():
    starts, steps, expiry = scales.leap_seconds()
    year, month, day, _ = erfa.jd2cal(2_400_000.5, starts)
    assert_array_equal(steps, erfa.dat(year, month, day, 0.0))
    assert expiry > starts[-1]


def test_threads_share_the_table_of_days():
    mjd = np.linspace(30_000, 34_000, 200)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: to_bjd_tdb(mjd, replace(GEOCENTRE, scale="tt"), *CRAB), range(16)))
    assert_allclose(results[0], by_astropy(mjd, "tt", *CRAB), rtol=0, atol=2 * US)
    assert all(np.array_equal(results[0], other) for other in results)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mjd ", "utc", "observatory"), "time format 'mjd ' is none of"),
        (("jd-", "utc", "observatory"), "time format"),
        (("mjd", "gps", "observatory"), "time scale 'gps' is none of utc, ut"),
        (("mjd", "utc", "moon"), "time place 'moon'"),
        (("mjd", "utc", "observatory", "Palomer"), "no site named 'Palomer'; did you mean 'Palomar'"),
        (("mjd", "utc", "barycentre", "Palomar"), "has no site"),
        (("mjd", "utc", "observatory", None, "end"), "time stamp 'end'"),
        (("mjd", "utc", "observatory", None, "mid", float("nan")), "finite"),
        (("mjd", "utc", "observatory", None, "mid", 0.0, -1.0), "finite"),
    ],
)
def test_a_time_system_that_means_nothing_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        TimeSystem(*arguments)


def test_a_start_without_exposure_time_is_refused():
    with pytest.raises(ValueError, match="exptime"):
        to_bjd_tdb(59_000.0, replace(PALOMAR, stamp="start"), *CRAB)


def test_a_pair_of_ordinary_times_is_not_taken_for_days_and_fractions():
    with pytest.raises(ValueError, match="whole days"):
        to_bjd_tdb((59_000.25, 59_001.25), PALOMAR, *CRAB)


@pytest.mark.parametrize(
    ("form", "jd_offset", "mjd_offset"),
    [
        ("jd", 0.0, (-2_400_001, 0.5)),
        ("mjd", 2_400_000.5, (0, 0.0)),
        ("jd-2455197.5", 2_455_197.5, (55_197, 0.0)),
        ("jd-2454833", 2_454_833.0, (54_832, 0.5)),
    ],
)
def test_an_offset_format_loses_nothing(form, jd_offset, mjd_offset):
    system = TimeSystem(form, "tdb", "barycentre")
    assert (system.jd_offset, system.mjd_offset) == (jd_offset, mjd_offset)


def test_a_time_system_says_what_it_is_and_how_good():
    assert GAIA.describe() == "JD-2455197.5 in TCB at the barycentre, middle of the exposure; BJD_TDB good to 0 s"
    assert replace(PALOMAR, stamp="start", offset_s=-0.57).describe() == (
        "MJD in UTC at the observatory (Palomar), start of the exposure, -0.57 s; BJD_TDB good to 0.00043 s"
    )
    assert replace(PALOMAR, site=None).total_sigma_s == pytest.approx(0.0123, rel=0.01)
    assert replace(PALOMAR, sigma_s=0.5).total_sigma_s == pytest.approx(0.5, rel=1e-5)


def test_a_time_system_travels_between_processes():
    assert pickle.loads(pickle.dumps(PALOMAR)) == PALOMAR


def test_every_site_is_on_the_earth():
    assert len(ephemeris.sites()) >= 19
    for name in ephemeris.sites():
        assert np.linalg.norm(ephemeris.site_position(name)) * erfa.CMPS == pytest.approx(6.371e6, rel=0.003)
