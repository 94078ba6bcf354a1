"""Photometry of the user's own: every format comes in with its filter and time system, goes out again, and comes in again as the same."""

import json
import math

import pyarrow.parquet as pq
import pytest
from conftest import FIXTURES, needs_recordings

from harvester import own
from harvester.errors import UsageError
from harvester.own import resolved, time_system
from harvester.source import load, registered

PLACE = "291.366304 42.7843594"
CSV = """time,filter,mag,mag_err,limit,observer
2459000.5123456789,V,7.812345678901234,0.0123,,ABC
2459001.5,V,,,15.25,ABC
2459002.25,rp,8.25,,,"O'Neil, J."
"""
BHTOM = """# thanks to everybody
MJD;Magnitude;Error;Facility;Filter;Observer
60000.5;15.2;0.03;AZT-8;GaiaSP/V;ihor
60001.5;15.25;0.04;AZT-8;GaiaSP(V);ihor
60002.5;18.0;-1;AZT-8;V(GAIASP);ihor
60002.5;18.1;;ROAD;V(GAIASP);ihor
"""
TOM = """time,filter,magnitude,error,limit,source
55959.07,r(SDSS),15.582,0.005,,ZTF
55959.07,B,15.591,0.008,,Las Cumbres
55959.07,B,,,18.0,DLT40
"""
AAVSO = """#TYPE=Extended
#OBSCODE=ABC
#SOFTWARE=some
#DELIM=,
#DATE=HJD
#OBSTYPE=CCD
#NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME,CMAG,KNAME,KMAG,AMASS,GROUP,CHART,NOTES
TT Cnc,2460425.30957,11.013,0.010,V,NO,STD,000-BBP-713,19.277,na,na,1.236,na,X,na
TT Cnc,2460425.30992,<15.3,na,B,NO,STD,na,na,na,na,na,na,na,|FACILITY=my roof|
"""


@pytest.fixture
def bring(harvest, tmp_path):
    """Write a file and import it into a store of measured data."""

    def run(text, words, *, emulate=False):
        (tmp_path / "mine.txt").write_text(text, "utf-8")
        return harvest(f"import mine.txt --target {PLACE!r} {words}", emulate=emulate)

    return run


@pytest.fixture
def stored(harvest, tmp_path):
    """Return every row of the store."""

    def read():
        assert harvest(f"export -o {tmp_path / 'all.parquet'} -q", emulate=False) == 0
        return pq.read_table(tmp_path / "all.parquet").to_pylist()

    return read


def test_a_csv_comes_in_with_its_filters_and_times(bring, stored, harvest):
    assert bring(CSV, "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS) --json") == 0
    assert (harvest.objects[0]["source"], harvest.objects[0]["new"]) == ("own", 3)
    limit, first, last = sorted(stored(), key=lambda row: (row["filter"], not row["upper_limit"]))
    assert (first["filter"], first["mag"], first["mag_err"], first["observer"]) == ("V(MY_OBS)", 7.812345678901234, 0.0123, "ABC")
    assert first["flux"] == pytest.approx(3636e6 * 10 ** (-0.4 * first["mag"]))
    assert first["time"] == 2459000.5123456789
    assert abs(first["bjd_tdb"] - first["time"]) < 0.0068
    assert (limit["upper_limit"], limit["limiting_mag"], limit["mag"]) == (True, 15.25, None)
    assert (last["filter"], last["mag_err"], last["observer"]) == ("r(MY_OBS)", None, "O'Neil, J.")
    assert last["flux"] == pytest.approx(3630.7805e6 * 10 ** (-0.4 * 8.25))


@pytest.mark.parametrize(("word", "seconds"), [("bjd_tdb", 0.0), ("bjd_utc", 69.2), ("bjd_tt", 0.0)])
def test_the_time_system_that_is_said_is_the_one_that_counts(bring, stored, word, seconds):
    assert bring("time,mag\n2459000.5,8.0\n", f"--format csv --survey MY_OBS --time {word} --filter V:V(AAVSO)") == 0
    (row,) = stored()
    assert (row["bjd_tdb"] - 2459000.5) * 86400 == pytest.approx(seconds, abs=0.02)


def test_bhtom_s_own_file_comes_in_whatever_it_calls_filters(bring, stored):
    assert bring(BHTOM, "--format bhtom --survey MY_OBS --time mjd_utc") == 0
    rows = sorted(stored(), key=lambda row: (row["time"], row["upper_limit"]))
    assert {row["filter"] for row in rows} == {"V(MY_OBS)"}
    assert [row["mag"] for row in rows] == [15.2, 15.25, 18.1, None]
    assert [row["limiting_mag"] for row in rows] == [None, None, None, 18.0]
    assert {row["facility"] for row in rows} == {"AZT-8", "ROAD"}
    assert rows[0]["flux"] == pytest.approx(3649.8e6 * 10 ** (-0.4 * 15.2))


def test_a_tom_s_file_comes_in(bring, stored):
    assert bring(TOM, "--format tom --survey MY_OBS --time mjd_utc --filter B:B(AAVSO)") == 0
    rows = sorted(stored(), key=lambda row: (row["filter"], row["upper_limit"]))
    assert [(row["filter"], row["mag"], row["limiting_mag"]) for row in rows] == [
        ("B(MY_OBS)", 15.591, None),
        ("B(MY_OBS)", None, 18.0),
        ("r(MY_OBS)", 15.582, None),
    ]


def test_an_aavso_file_tells_its_filters_and_its_time(bring, stored):
    assert bring(AAVSO, "--format aavso --survey MY_OBS") == 0
    rows = sorted(stored(), key=lambda row: row["filter"])
    assert [(row["filter"], row["mag"], row["limiting_mag"], row["facility"]) for row in rows] == [
        ("B(MY_OBS)", None, 15.3, "my roof"),
        ("V(MY_OBS)", 11.013, None, None),
    ]
    assert rows[1]["bjd_tdb"] - rows[1]["time"] == pytest.approx(69.2 / 86400, abs=5 / 86400)  # HJD to BJD: scale, and the Sun's own path


def test_a_time_that_the_file_denies_is_refused(bring, harvest):
    assert bring(AAVSO, "--format aavso --survey MY_OBS --time jd_utc") == 2
    assert "hjd_utc" in harvest.err
    assert bring(AAVSO.replace("#DATE=HJD", "#DATE=EXCEL"), "--format aavso --survey MY_OBS") == 1
    assert "EXCEL" in harvest.err


@pytest.mark.parametrize("form", ["bhtom", "tom", "aavso", "csv"])
def test_what_goes_out_comes_in_again_as_the_same(bring, stored, harvest, tmp_path, form):
    bring(CSV, "--format csv --survey MY_OBS --time mjd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)".replace("mjd", "jd"))
    before = {(row["filter"], row["upper_limit"], row["mag"]): row for row in stored()}
    assert len(before) == 3
    time = "bjd_tdb" if form == "csv" else "mjd_utc"
    out = tmp_path / "out.txt"
    assert harvest(f"export -o {out} --format {form} -q", emulate=False) == 0
    words = f"--format {form} --survey MY_OBS2 --filter 'V(MY_OBS)=V:V(AAVSO)' --filter 'r(MY_OBS)=r:r(SDSS)'"
    words += "" if form == "aavso" else f" --time {time}"
    assert harvest(f"import {out} --target {PLACE!r} {words}", emulate=False) == 0
    after = [row for row in stored() if row["filter"].endswith("(MY_OBS2)")]
    assert len(after) == 3
    digits = 5e-6 if form == "aavso" else 0.0
    for row in after:
        was = min(before.values(), key=lambda one: abs(one["bjd_tdb"] - row["bjd_tdb"]))
        assert row["filter"] == was["filter"].replace("MY_OBS", "MY_OBS2")
        assert abs(row["bjd_tdb"] - was["bjd_tdb"]) * 86400 < 0.001
        for name in ("mag", "limiting_mag"):
            assert row[name] == (None if was[name] is None else pytest.approx(was[name], abs=digits, rel=0))
        assert row["mag_err"] == (None if was["mag_err"] is None else pytest.approx(was["mag_err"], abs=1e-12 + 10 * digits))
        assert row["upper_limit"] == was["upper_limit"]


def test_a_csv_of_ours_keeps_negative_fluxes_flags_and_ids(bring, stored, harvest, tmp_path):
    text = "bjd_tdb,filter,mag,flux,flux_err,quality,flags,observation_id\n2459000.5,r(SDSS),,-12.5,3.25,1,cloudy,a-1\n"
    assert bring(text, "--format csv --survey MY_OBS --time bjd_tdb") == 0
    harvest(f"export -o {tmp_path / 'out.csv'} -q", emulate=False)
    words = "--format csv --survey MY_OBS2 --time bjd_tdb --filter 'r(MY_OBS)=r:r(SDSS)'"
    assert harvest(f"import out.csv --target {PLACE!r} {words}", emulate=False) == 0
    one, two = (row | {"filter": "", "time": 0} for row in stored())
    assert one == two
    assert (one["flux"], one["flux_err"], one["quality"], one["flags"], one["observation_id"]) == (-12.5, 3.25, 1, "cloudy", "a-1")


def test_a_csv_of_surveys_is_never_read_by_times_that_each_counts_in_its_own_way(bring, harvest):
    text = "target,filter,time,bjd_tdb,mag,source\nx,r(SDSS),59000.5,2459001.0,15.0,ztf_dr\n"
    assert bring(text, "--format csv --survey MY_OBS --time mjd_utc") == 1
    assert "--time bjd_tdb" in harvest.err
    assert bring(text, "--format csv --survey MY_OBS --time bjd_tdb") == 0


def test_fluxes_come_in_in_the_unit_that_is_said(bring, stored):
    assert (
        bring("mjd,flux,flux_err\n59000.5,0.25,0.01\n", "--format csv --survey MY_OBS --time mjd_utc --filter r(SDSS) --flux-unit mJy") == 0
    )
    (row,) = stored()
    assert (row["flux"], row["flux_err"]) == (pytest.approx(250.0), pytest.approx(10.0))
    assert row["mag"] == pytest.approx(23.9 - 2.5 * math.log10(250), abs=1e-6)


@pytest.mark.parametrize("label", ["GAIA_DR3", "gaia_dr3", "ZTF", "AAVSO", "OGLE"])
def test_a_label_of_a_survey_that_harvester_knows_is_refused(bring, harvest, label):
    assert bring(CSV, f"--format csv --survey {label} --time jd_utc") == 2
    assert "harvester knows" in harvest.err
    assert f"MY_{label}" in harvest.err


def test_every_survey_of_every_source_is_such_a_label():
    for name in registered():
        for survey in load(name).systems():
            with pytest.raises(UsageError, match="harvester knows"):
                own.checked_label(survey.swapcase())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--time jd_utc", "label"),
        ("--survey MY_OBS", "time system"),
        ("--survey MY_OBS --time jd", "no time system"),
        ("--survey MY_OBS --time jd_utc", "what filter"),
        ("--survey 'MY OBS' --time jd_utc", "no label"),
        ("--survey MY_OBS --time jd_utc --filter V:V(NOWHERE)", "no filter that harvester knows"),
        ("--survey MY_OBS --time jd_utc --filter V --filter rp=V:V(AAVSO)", "cannot mean both"),
        ("--survey MY_OBS --time jd_utc --site Nowhere --filter V:V(AAVSO) --filter rp=r:r(SDSS)", "no site named"),
        ("--survey MY_OBS --time jd_utc --flux-unit erg", "no unit of flux"),
    ],
)
def test_what_is_not_said_is_asked_for_and_never_guessed(bring, harvest, words, told):
    assert bring(CSV, f"--format csv {words}") == 2
    assert told in harvest.err
    assert len(harvest.err.splitlines()) <= 3
    assert harvest(f"status --target {PLACE!r}", emulate=False) != 0 or "own" not in harvest.out


def test_a_label_goes_on_meaning_the_same(bring, harvest):
    assert bring(CSV, "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)") == 0
    assert bring(CSV, "--format csv --survey MY_OBS --time hjd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)") == 2
    assert "another label" in harvest.err
    assert bring(CSV, "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(PS1)") == 2
    assert "r(MY_OBS) is like r(SDSS)" in harvest.err
    assert bring(CSV, "--format csv --survey my_obs --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)") == 2
    assert bring(CSV.replace("rp", "ip"), "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter ip=i:i(SDSS)") == 0


def test_importing_again_brings_nothing_new_and_a_replay_reads_the_same(bring, harvest):
    words = "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS) --json"
    bring(CSV, words)
    assert bring(CSV, words) == 0
    assert harvest.objects[0]["outcome"] == "unchanged"
    assert harvest("payloads replay --json", emulate=False) == 0
    assert harvest.objects[0]["outcome"] == "unchanged"
    assert harvest("db check", emulate=False) == 0


def test_a_point_can_be_walked_back_to_the_file_and_its_time_system(bring, harvest):
    bring(CSV, "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)")
    assert harvest(f"explain --target {PLACE!r} --filter 'V(MY_OBS)' --near 2459000.5 --json", emulate=False) == 0
    told = json.loads(harvest.out)
    assert told["requests"][0]["url"] == "file:mine.txt"
    assert told["time"]["system"].startswith("JD in UTC at the observatory")


def test_exports_know_the_filters_and_times_of_own_surveys(bring, harvest, tmp_path):
    bring("mjd,mag,mag_err\n59000.123456789,15.0,0.01\n", "--format csv --survey MY_OBS --time mjd_utc --site Palomar --filter G(GAIA_DR3)")
    assert harvest("export -o - --time mjd --system ab", emulate=False) == 0
    head, row = (line.split(",") for line in harvest.out.replace('"', "").splitlines())
    values = dict(zip(head, row, strict=True))
    assert float(values["mjd_utc"]) == pytest.approx(59000.123456789, abs=1e-10)
    assert float(values["mag"]) == pytest.approx(15.1136777, abs=1e-6)
    assert harvest("export -o x.vot", emulate=False) == 0
    assert 'value="G(MY_OBS)"' in (tmp_path / "x.vot").read_text("utf-8")


@pytest.mark.filterwarnings("ignore::harvester.export.LeftOut")
def test_simulated_and_measured_data_never_mix(bring, harvest, tmp_path):
    harvest("fetch --source ztf_dr --target 'RR Lyr' -q")
    for form in ("csv", "aavso", "bhtom", "tom"):
        harvest(f"export -o {form}.txt --format {form} --source ztf_dr -q")
        words = f"import {form}.txt --format {form} --target {PLACE!r} --survey MY_{form.upper()}"
        words += {"aavso": "", "csv": " --time bjd_tdb"}.get(form, " --time mjd_utc")
        harvest.store = tmp_path / "real.db"
        assert harvest(words, emulate=False) == 2, form
        assert "simulated" in harvest.err
        harvest.store = tmp_path / "store.db"
        assert harvest(words) == 0, form
    assert bring(CSV, "--format csv --survey MY_OBS --time jd_utc --filter V:V(AAVSO) --filter rp=r:r(SDSS)", emulate=True) == 2
    assert "never mix" in harvest.err


def test_several_things_in_one_file_are_refused(bring, harvest):
    assert bring(AAVSO.replace("TT Cnc,2460425.30992", "RR Lyr,2460425.30992"), "--format aavso --survey MY_OBS") == 2
    assert "several things" in harvest.err


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("<html>no</html>", "csv"),
        ("a;b\n1;2\n", "bhtom"),
        ("time,filter\n1,V\n", "tom"),
        ("time,filter,mag\n1,V,5\n2,V\n", "csv"),
        ("", "csv"),
    ],
)
def test_a_file_of_another_format_is_malformed_in_words(bring, harvest, text, form):
    assert bring(text, f"--format {form} --survey MY_OBS --time mjd_utc --filter V:V(AAVSO)") in {1, 2}
    assert harvest.err.startswith("error:")
    assert len(harvest.err.splitlines()) <= 3


def test_a_row_that_cannot_be_read_goes_to_quarantine_and_the_others_come_in(bring, harvest):
    text = "mjd,mag\n59000.5,15.0\n59001.5,bright\nyesterday,15.0\n"
    assert bring(text, "--format csv --survey MY_OBS --time mjd_utc --filter V:V(AAVSO) --json") == 0
    assert (harvest.objects[0]["new"], harvest.objects[0]["quarantined"]) == (1, 2)


def test_options_of_own_photometry_are_not_for_saved_answers(harvest):
    assert harvest(f"import x.json --format mars --target {PLACE!r} --survey MY_OBS", emulate=False) == 2
    assert "photometry of your own" in harvest.err


@pytest.mark.parametrize(
    ("word", "described"),
    [
        ("mjd_utc", "MJD in UTC at the observatory"),
        ("HJD_UTC", "JD in UTC at the heliocentre"),
        ("bmjd_tdb", "MJD in TDB at the barycentre"),
        ("jd-2450000_tt", "JD-2450000 in TT at the observatory"),
    ],
)
def test_time_systems_are_read_as_people_write_them(word, described):
    assert time_system(word).describe().startswith(described)


@pytest.mark.parametrize("word", ["", "mjd", "utc", "mjd-50000_utc", "jd_gps", "xjd_utc"])
def test_what_is_no_time_system_is_refused(word):
    with pytest.raises(UsageError, match="no time system"):
        time_system(word)


def test_filters_that_are_known_need_not_be_said():
    assert resolved(["r(SDSS)", "GaiaSP/V"], []) == ({"r(SDSS)": "r", "GaiaSP/V": "V"}, {"r": "r(SDSS)", "V": "V(GAIASP)"})
    assert resolved(["g'"], ["g:g(SDSS)"]) == ({"g'": "g"}, {"g": "g(SDSS)"})
    assert resolved(["r", "r(SDSS)"], ["r:r(SDSS)"])[0] == {"r": "r", "r(SDSS)": "r"}
    assert resolved([""], ["clear"]) == ({"": "clear"}, {"clear": ""})
    with pytest.raises(UsageError, match="already"):
        resolved(["g(ZTF)", "g(PS1)"], [])
    assert resolved(["g(ZTF)", "g(PS1)"], ["g(PS1)=gp:g(PS1)"])[0] == {"g(ZTF)": "g", "g(PS1)": "gp"}


@needs_recordings
@pytest.mark.parametrize(
    ("file", "words", "points"),
    [
        ("tom/tom_base_photometry_sample.csv", "--format tom --time mjd_utc --filter r:r(SDSS) --filter V:V(AAVSO) --filter B:B(AAVSO)", 4),
        (
            "tom/mop_sample_photometry.csv",
            "--format tom --time jd_utc --filter OMEGA_sinistro_gp=g:g(SDSS) --filter OMEGA_sinistro_ip=i:i(SDSS)",
            None,
        ),
        ("aavso/webobs_download_demo_ASASSN-V_J060000.76-310027.83.csv", "--format aavso", 1),
    ],
)
def test_real_files_of_others_come_in(harvest, file, words, points):
    status = harvest(f"import {FIXTURES / file} --target {PLACE!r} --survey MY_OBS {words} --json", emulate=False)
    assert status == 0, harvest.err
    assert harvest.objects[0]["quarantined"] == 0
    assert points is None or harvest.objects[0]["new"] == points
