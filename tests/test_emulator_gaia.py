"""The emulator's Gaia archive: its transits against astropy and the sky, its wire formats against the real ones, asked by astroquery's client."""

import gc
import importlib
import io
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import votable
from astropy.table import Table
from astropy.time import Time
from conftest import needs_recordings

from harvester.emulator import gaia
from harvester.emulator.app import Emulator
from harvester.emulator.gaia_releases import DR2
from harvester.emulator.gaia_source import bounded, galactic, has_epoch_photometry, source_row
from harvester.emulator.gaia_transits import G_AFTER_AF1, TICK_S, ZERO, light_time, on_board_seconds, tcb_days
from harvester.emulator.server import serve
from harvester.emulator.sky import Sky, position
from harvester.healpix import centre_of

# astroquery's TAP client never closes its connections.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

SKY = Sky()
RR_LYR = SKY.named("RR Lyr")[0]
MIRA = SKY.named("Mira")[0]
BARNARD = SKY.named("Barnard's star")[0]
COMPANION = next(star for star in SKY.stars_near(RR_LYR.ra, RR_LYR.dec, 6 / 3600, epoch=2016.0) if not star.name)
VEGA_MAG_OF_ONE = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}
REAL = "gaia_dr3/dr3_epoch_photometry_individual_1457486023639239296.vot"


def test_transits_are_the_same_for_ever_and_differ_between_skies():
    assert np.array_equal(gaia.transits(Sky(), RR_LYR).bands["G"].flux, gaia.transits(SKY, RR_LYR).bands["G"].flux)
    assert not np.array_equal(gaia.transits(Sky(7), RR_LYR).bands["G"].flux[:5], gaia.transits(SKY, RR_LYR).bands["G"].flux[:5])


def test_transits_lie_in_the_time_of_dr3_in_order_and_come_in_pairs():
    times = gaia.transits(SKY, RR_LYR).bands["G"].time
    assert Time(times.min() + ZERO, format="jd", scale="tcb").isot > "2014-07-25"
    assert Time(times.max() + ZERO, format="jd", scale="tcb").isot < "2017-05-29"
    gaps = np.diff(times) * 1440
    assert (gaps > 60).all()
    assert np.sum(np.abs(gaps - 106.5) < 1.0) >= 5


@pytest.mark.parametrize("star", [star for star in SKY.famous() if star.name], ids=lambda star: star.name)
def test_a_famous_star_has_a_plausible_number_of_transits(star):
    assert len(gaia.transits(SKY, star)) <= 260
    assert len(gaia.transits(SKY, star)) >= 15 or star.kind in {"supernova", "microlensing"}


def test_the_served_time_is_the_true_one_by_astropy():
    band = gaia.transits(SKY, MIRA).bands["G"]
    back = Time(2455197.5, band.time, format="jd", scale="tcb").tdb
    assert np.abs(((back.jd1 - band.bjd_tdb) + back.jd2) * 86400).max() < 1e-4


def test_the_golden_epoch_of_the_dossier():
    assert tcb_days(np.array([2456890.75729306]))[0] == pytest.approx(1693.257506198131, abs=1e-8)


def test_the_light_time_to_the_barycentre_is_that_of_astropy_but_for_gaias_place():
    jd = np.array([2457100.25, 2457300.25, 2457500.25])
    from astropy.coordinates import EarthLocation

    centre = EarthLocation.from_geocentric(0, 0, 0, unit=units.m)
    time = Time(jd, format="jd", scale="tdb", location=centre)
    years = 2000 + (jd - 2451545.0) / 365.25
    place = SkyCoord(*position(BARNARD, years), unit="deg")
    expected = time.light_travel_time(place, ephemeris="builtin").to_value("s")
    assert np.abs(light_time(BARNARD, jd) * 86400 - expected).max() < 6.0
    assert np.abs(light_time(BARNARD, jd) * 86400 - expected * 1.01).max() < 0.1


def test_bp_and_rp_follow_g_by_27_and_35_seconds():
    bands = gaia.transits(SKY, RR_LYR).bands
    assert np.nanmedian(bands["BP"].time - bands["G"].time) * 86400 == pytest.approx(27.2, abs=0.01)
    assert np.nanmedian(bands["RP"].time - bands["G"].time) * 86400 == pytest.approx(34.9, abs=0.01)


def test_the_transit_id_tells_the_time_on_board():
    transits = gaia.transits(SKY, RR_LYR)
    aboard = transits.bands["G"].bjd_tdb - light_time(RR_LYR, transits.bands["G"].bjd_tdb)
    seconds = on_board_seconds(tcb_days(aboard) + ZERO)
    assert np.abs((transits.transit_id >> 17) * TICK_S - (seconds - G_AFTER_AF1)).max() < 0.1
    assert len(set(transits.transit_id.tolist())) == len(transits)


@needs_recordings
def test_the_rule_of_the_transit_id_holds_for_the_real_archive(recorded):
    real = Table.read(io.BytesIO(recorded(REAL)), format="votable")
    ra, dec = (float(angle) for angle in centre_of(12, 1457486023639239296 >> 35))
    star = SimpleNamespace(ra=ra, dec=dec, pmra=0.0, pmdec=0.0)
    tcb = np.asarray(real["g_transit_time"]) + ZERO
    late = on_board_seconds(tcb - light_time(star, tcb)) - (np.asarray(real["transit_id"]) >> 17) * TICK_S
    assert np.median(late) == pytest.approx(G_AFTER_AF1, abs=1.0)
    assert np.abs(late - G_AFTER_AF1).max() < 8.0  # the halo of Gaia around L2, which the emulator leaves out


@pytest.mark.parametrize("band", ["G", "BP", "RP"])
def test_the_served_magnitudes_are_the_truth_within_their_errors(band):
    served = gaia.transits(SKY, RR_LYR).bands[band]
    good = np.isfinite(served.mag) & ~served.variability_reject & (served.other_flags & (1024 | 2048) == 0)
    error = 2.5 / np.log(10) * served.flux_error / served.flux
    pull = ((served.mag - SKY.magnitude(RR_LYR, band, served.bjd_tdb)) / error)[good]
    assert np.abs(pull).max() < 4.5
    assert 0.6 < np.std(pull) < 1.4


@pytest.mark.parametrize("band", ["G", "BP", "RP"])
def test_magnitude_and_flux_tell_the_same_by_the_published_zero_point(band):
    served = gaia.transits(SKY, MIRA).bands[band]
    assert np.nanmax(np.abs(served.mag - (VEGA_MAG_OF_ONE[band] - 2.5 * np.log10(served.flux)))) < 1e-12


def test_the_light_curve_folds_on_the_period():
    served = gaia.transits(SKY, RR_LYR).bands["G"]
    phase = (served.bjd_tdb / RR_LYR.period) % 1.0
    good = ~served.variability_reject
    order = np.argsort(phase[good])
    folded = np.abs(np.diff(served.mag[good][order])).sum()
    unfolded = np.abs(np.diff(served.mag[good])).sum()
    assert folded < unfolded / 3


def test_one_bad_rp_is_betrayed_by_its_bit_alone():
    bands = gaia.transits(SKY, RR_LYR).bands
    odd = (bands["RP"].other_flags == 2048) & ~bands["RP"].variability_reject
    assert odd.any()
    off = bands["RP"].mag[odd] - SKY.magnitude(RR_LYR, "RP", bands["RP"].bjd_tdb[odd])
    assert (off > 0.08).all()
    assert not gaia.transits(SKY, RR_LYR).rejected_by_photometry.any()


def test_every_way_of_being_spoiled_occurs_among_the_famous_stars():
    bands = [gaia.transits(SKY, star).bands for star in SKY.famous() if star.name]
    assert any(each["G"].variability_reject.any() for each in bands)
    assert any(np.isnan(each["BP"].flux).any() for each in bands)
    assert {4097, 5, 1} <= {int(flag) for each in bands for flag in each["G"].other_flags}


def test_variables_have_epoch_photometry_and_constant_stars_in_part():
    field = SKY.stars_near(75.0, 30.0, 0.06, epoch=2016.0)
    assert {has_epoch_photometry(SKY, star) for star in field if star.kind == "constant" and star.mean["G"] < 20} == {True, False}
    assert has_epoch_photometry(SKY, RR_LYR)


def test_galactic_coordinates_are_those_of_astropy():
    expected = SkyCoord(RR_LYR.ra, RR_LYR.dec, unit="deg").galactic
    assert galactic(RR_LYR.ra, RR_LYR.dec) == (  # Hipparcos ties the system to ICRS, astropy to FK5: 0.02 arcsec apart
        pytest.approx(expected.l.deg, abs=1e-5),
        pytest.approx(expected.b.deg, abs=1e-5),
    )


def test_a_query_without_bounds_sees_the_famous_stars():
    from harvester.emulator.tokens import constants

    assert list(bounded(SKY, constants("SELECT TOP 5 ra FROM gaiadr3.gaia_source"))) == list(SKY.famous())


def test_a_star_is_found_by_its_designation():
    from harvester.emulator.tokens import constants

    assert bounded(SKY, constants(f"SELECT ra FROM gaiadr3.gaia_source WHERE designation = 'Gaia DR3 {MIRA.gaia_id}'")) == [MIRA]


@pytest.mark.parametrize("kind", ["supernova", "microlensing"])
def test_an_event_is_measured_only_while_it_is_bright_enough(kind):
    star = next(star for star in SKY.famous() if star.kind == kind)
    assert (SKY.magnitude(star, "G", gaia.transits(SKY, star).bands["G"].bjd_tdb) <= 20.9).all()
    assert has_epoch_photometry(SKY, star) == (len(gaia.transits(SKY, star)) > 0)


def test_a_supernova_after_dr3_is_not_in_its_catalogue():
    late = next(star for star in SKY.famous() if star.kind == "supernova" and star.epoch > 2458000)
    assert source_row(SKY, late) is None
    assert source_row(SKY, RR_LYR) is not None


@pytest.fixture(scope="module")
def emulator():
    return Emulator(SKY)


@pytest.fixture(scope="module")
def url(emulator):
    with serve(emulator) as running:
        yield f"{running.url}/gea.esac.esa.int"
    gc.collect()  # what is left open is closed here, where its warning is expected


def data(url, **form):
    """Ask data-server/data for RR Lyr's epoch photometry, with changes; return status, content type and body."""
    asked = {
        "RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY",
        "ID": str(RR_LYR.gaia_id),
        "RELEASE": "Gaia DR3",
        "DATA_STRUCTURE": "INDIVIDUAL",
        "FORMAT": "csv",
        "VALID_DATA": "false",
    }
    body = urllib.parse.urlencode({k: v for k, v in (asked | form).items() if v is not None}).encode()
    try:
        with urllib.request.urlopen(f"{url}/data-server/data", body) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def members(body):
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_csv_holds_the_truth_to_the_last_digit(url):
    status, kind, body = data(url)
    served = Table.read(io.BytesIO(body), format="ascii.csv", fast_reader=False)
    truth = gaia.transits(SKY, RR_LYR)
    assert (status, kind, len(served)) == (200, "text/csv", len(truth))
    assert np.array_equal(np.asarray(served["transit_id"], np.int64), truth.transit_id)
    for name, prefix, time in (("G", "g_transit", "g_transit_time"), ("BP", "bp", "bp_obs_time"), ("RP", "rp", "rp_obs_time")):
        band = truth.bands[name]
        for column, values in ((time, band.time), (f"{prefix}_flux", band.flux), (f"{prefix}_mag", band.mag)):
            assert np.array_equal(np.ma.filled(np.ma.asarray(served[column], float), np.nan), values, equal_nan=True), column


@needs_recordings
def test_the_csv_has_the_columns_of_the_real_one(url, recorded):
    real = recorded("gaia_dr3/dr3_epoch_individual_csv_2rows_excerpt.csv").decode().splitlines()
    assert data(url)[2].decode().splitlines()[0] == real[0]


@needs_recordings
def test_the_votable_is_built_like_the_real_one(url, recorded):
    ours, real = (votable.parse(io.BytesIO(body)).get_first_table() for body in (data(url, FORMAT="votable")[2], recorded(REAL)))
    assert [(f.name, f.datatype, str(f.unit), f.ucd, f.ref) for f in ours.fields] == [
        (f.name, f.datatype, str(f.unit), f.ucd, f.ref) for f in real.fields
    ]
    assert ours.array.dtype == real.array.dtype
    constant = {"solution_id", "source_id", "release"}
    assert {(p.name, p.datatype) for p in ours.params if p.name in constant} == {
        (p.name, p.datatype) for p in real.params if p.name in constant
    }
    assert b"BINARY2" in data(url, FORMAT="votable")[2]


@pytest.mark.parametrize(
    ("form", "reader"), [("votable", "votable"), ("votable_plain", "votable"), ("ecsv", "ascii.ecsv"), ("fits", "fits")]
)
def test_every_format_holds_the_same_fluxes(url, form, reader):
    table = Table.read(io.BytesIO(data(url, FORMAT=form)[2]), format=reader)
    truth = gaia.transits(SKY, RR_LYR).bands["RP"]
    assert np.array_equal(np.ma.filled(np.ma.asarray(table["rp_flux"], float), np.nan), truth.flux, equal_nan=True)
    assert np.array_equal(np.asarray(table["variability_flag_rp_reject"], bool), truth.variability_reject)


def test_raw_is_one_row_per_source_with_arrays(url):
    body = data(url, DATA_STRUCTURE="RAW", FORMAT="ecsv", ID=f"{RR_LYR.gaia_id},{MIRA.gaia_id}")[2]
    (name, content), *others = members(body).items()
    table = Table.read(io.BytesIO(content), format="ascii.ecsv")
    assert (name, others, len(table)) == ("EPOCH_PHOTOMETRY_RAW.ecsv", [], 2)
    assert np.array_equal(np.asarray(table["g_transit_flux"][0], float), gaia.transits(SKY, RR_LYR).bands["G"].flux)
    assert table["n_transits"][1] == len(table["rp_mag"][1]) == len(gaia.transits(SKY, MIRA))
    assert np.array_equal(
        np.asarray(table["photometry_flag_rp_reject"][0], bool), gaia.transits(SKY, RR_LYR).bands["RP"].other_flags & 2048 > 0
    )


def test_several_ids_come_zipped_and_those_without_data_are_absent(url):
    found = members(data(url, ID=f"gaia dr3 {RR_LYR.gaia_id}, {MIRA.gaia_id},{COMPANION.gaia_id}, 42,Gaia DR2 {BARNARD.gaia_id}")[2])
    assert set(found) == {f"EPOCH_PHOTOMETRY-Gaia DR3 {star.gaia_id}.csv" for star in (RR_LYR, MIRA)}
    assert found[f"EPOCH_PHOTOMETRY-Gaia DR3 {RR_LYR.gaia_id}.csv"] == data(url)[2]


def test_a_source_without_epoch_photometry_is_an_empty_answer(url):
    assert data(url, ID=str(COMPANION.gaia_id))[::2] == (200, b"")
    assert members(data(url, ID=str(COMPANION.gaia_id), USE_ZIP_ALWAYS="true")[2]) == {}


def test_valid_data_leaves_rows_out(url):
    every = Table.read(io.BytesIO(data(url)[2]), format="ascii.csv", fast_reader=False)
    valid = Table.read(io.BytesIO(data(url, VALID_DATA="true")[2]), format="ascii.csv", fast_reader=False)
    assert 0 < len(valid) < len(every)
    assert set(valid["variability_flag_g_reject"]) == {"false"}
    assert not np.ma.is_masked(valid["bp_mag"])


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"DATA_STRUCTURE": "COMBINED"}, b"Invalid Data Structure parameter: 'COMBINED', valid ones are: RAW, INDIVIDUAL"),
        (
            {"DATA_STRUCTURE": "DATAMODEL_STANDARD"},
            b"Invalid Data Structure parameter: 'DATAMODEL_STANDARD', valid ones are: RAW, INDIVIDUAL",
        ),
        ({"RELEASE": "Gaia DR4"}, b"not public"),
        ({"RELEASE": "Gaia DR1"}, b"not simulated"),
        ({"FORMAT": "json"}, b"Invalid Format"),
        ({"RETRIEVAL_TYPE": "XP_SAMPLED"}, b"not simulated"),
        ({"ID": ",".join(map(str, range(1, 5002)))}, b"Too many"),
        ({"ID": "RR Lyr"}, b"Invalid identifier"),
        ({"ID": ""}, b"ID is missing"),
    ],
)
def test_what_the_archive_refuses_is_refused_with_status_500(url, form, words):
    status, _, body = data(url, **form)
    assert status == 500
    assert words in body


@pytest.fixture(scope="module")
def client_class():
    """Import astroquery.gaia, which asks the archive for news while it is imported: here nobody answers."""

    def unreachable(*_args, **_kwargs):
        raise OSError("no network in tests")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", unreachable)
        sys.modules.pop("astroquery.gaia.core", None)
        return importlib.import_module("astroquery.gaia").GaiaClass


@pytest.fixture
def archive(client_class, url, capsys):
    client = client_class(gaia_tap_server=url + "/", gaia_data_server=url + "/", show_server_messages=True)
    assert "simulated" in capsys.readouterr().out
    return client


def test_astroquery_searches_a_cone_and_finds_the_star_where_it_is_in_2016(archive):
    ra, dec = position(RR_LYR, 2016.0)
    found = archive.cone_search(SkyCoord(float(ra), float(dec), unit="deg"), radius=6 * units.arcsec).get_results()
    assert list(found["SOURCE_ID" if "SOURCE_ID" in found.colnames else "source_id"]) == [RR_LYR.gaia_id, COMPANION.gaia_id]
    assert (found["ra"][0], found["dec"][0]) == (float(ra), float(dec))
    assert found["dist"][0] * 3600 < 0.05  # the client rounds the position that it asks for
    assert bool(found["has_epoch_photometry"][0]) is True
    assert bool(found["has_epoch_photometry"][1]) is False
    assert np.ma.is_masked(found["radial_velocity"][0])


@pytest.mark.parametrize("form", ["votable_gzip", "votable", "votable_plain", "csv", "ecsv", "fits", "json"])
def test_astroquery_reads_every_format(archive, form):
    query = f"SELECT source_id, ra, phot_g_mean_mag FROM gaiadr3.gaia_source WHERE source_id = {RR_LYR.gaia_id}"
    found = archive.launch_job(query, output_format=form).get_results()
    assert int(found["source_id"][0]) == RR_LYR.gaia_id
    assert float(found["ra"][0]) == float(position(RR_LYR, 2016.0)[0])


def test_astroquery_runs_a_job_and_finds_it_again(archive):
    query = f"SELECT source_id FROM gaiadr3.gaia_source WHERE source_id IN ({RR_LYR.gaia_id}, {MIRA.gaia_id})"
    job = archive.launch_job_async(query)
    assert set(job.get_results()["source_id"]) == {RR_LYR.gaia_id, MIRA.gaia_id}
    assert job.jobid.endswith("O")
    assert archive.load_async_job(jobid=job.jobid, load_results=False).get_phase() == "COMPLETED"
    assert job.jobid in [each.jobid for each in archive.list_async_jobs()]


def test_astroquery_tells_why_a_query_failed(archive):
    from requests.exceptions import HTTPError

    with pytest.raises(HTTPError, match="no such column: nosuch"):
        archive.launch_job("SELECT nosuch FROM gaiadr3.gaia_source")


def test_astroquery_lists_the_tables(archive):
    table = archive.load_table("gaiadr3.gaia_source")
    assert {"source_id", "has_epoch_photometry", "ref_epoch"} <= {column.name for column in table.columns}
    assert "gaiadr3.gaia_source" in {each.name for each in archive.load_tables()}


@pytest.mark.parametrize("form", ["csv", "votable"])
def test_astroquery_loads_epoch_photometry(archive, form, tmp_path):
    ids = [RR_LYR.gaia_id, MIRA.gaia_id, COMPANION.gaia_id]
    found = archive.load_data(ids, data_release="Gaia DR3", data_structure="INDIVIDUAL", retrieval_type="EPOCH_PHOTOMETRY", format=form)
    suffix = {"csv": "csv", "votable": "xml"}[form]
    assert set(found) == {f"EPOCH_PHOTOMETRY-Gaia DR3 {star.gaia_id}.{suffix}" for star in (RR_LYR, MIRA)}
    table = found[f"EPOCH_PHOTOMETRY-Gaia DR3 {RR_LYR.gaia_id}.{suffix}"][0]
    table = table.to_table() if form == "votable" else table
    assert np.array_equal(np.asarray(table["g_transit_mag"], float), gaia.transits(SKY, RR_LYR).bands["G"].mag)


def test_astroquery_finds_a_source_of_dr2_by_its_id_in_dr3_and_loads_its_photometry(archive):
    query = f"SELECT dr2_source_id FROM gaiadr3.dr2_neighbourhood WHERE dr3_source_id = {RR_LYR.gaia_id}"
    (number,) = archive.launch_job(query).get_results()["dr2_source_id"]
    assert int(number) == DR2.id_of(RR_LYR) != RR_LYR.gaia_id
    asked = {"data_release": "Gaia DR2", "data_structure": "INDIVIDUAL", "retrieval_type": "EPOCH_PHOTOMETRY", "format": "csv"}
    found = archive.load_data([int(number)], **asked)
    (table,) = found[f"EPOCH_PHOTOMETRY-Gaia DR2 {number}.csv"]
    assert set(table["band"]) == {"G", "BP", "RP"}
    g = np.asarray(table["mag"], float)[np.asarray(table["band"]) == "G"]
    assert np.array_equal(g, gaia.transits(SKY, RR_LYR).bands["G"].mag[: len(g)])
