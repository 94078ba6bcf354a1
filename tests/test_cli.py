"""What the user types, reads and gets back: texts, statuses, nothing half-stored."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from harvester.emulator.faults import Faults

LYR = "fetch --source gaia_dr3 --target 'RR Lyr'"


@pytest.fixture
def impatient(monkeypatch):
    """Retries without waiting between them."""
    monkeypatch.setattr("harvester.session.session.backoff", lambda *_: 0.0)


def points(store):
    with sqlite3.connect(store) as connection:
        return connection.execute("SELECT count(*) FROM photometry").fetchone()[0]


def said(harvest, *words):
    lines = [line for line in harvest.err.splitlines() if line.startswith(("error:", "warning:", "       "))]
    assert 1 <= len(lines) <= 3, harvest.err
    for word in words:
        assert word in harvest.err
    assert "Traceback" not in harvest.err
    return True


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("fetch --source gaia_dr33 --target x", 2, "Did you mean 'gaia_dr3'?"),
        ("fetch --source gaia_dr3", 2, "no target given"),
        ("fetch --source gaia_dr3 --target '400 10'", 2, "is not a position"),
        ("fetch --source gaia_dr3 --target '10:00:00 +10:61:00'", 2, "is not a position"),
        ("fetch --source gaia_dr3 --target @nowhere.csv", 2, "nowhere.csv"),
        ("fetch --source gaia_dr3 --target @bad.csv", 2, "line 3"),
        ("fetch --source gaia_dr3 --target 'No Such Star'", 1, "no object named"),
        ("fetch --source gaia_dr3 --target x --since yesterday", 2, "no date"),
        ("fetch --source gaia_dr3 --target x --radius -1", 2, "--radius"),
        ("fetch --colour", 2, "--colour"),
        ("fecth", 2, "Did you mean 'fetch'?"),
        ("status", 1, "store"),
        ("export -o x.csv", 1, "store"),
        ("plot --target x", 1, "store"),
    ],
)
def test_bad_input_is_an_error_of_at_most_three_lines_and_stores_nothing(harvest, tmp_path, words, status, text):
    (tmp_path / "bad.csv").write_text("name,ra,dec\nA,1,2\nB,1,95\n", "utf-8")
    assert harvest(words) == status
    assert said(harvest, text)
    assert not harvest.out
    assert not harvest.store.exists() or points(harvest.store) == 0


def test_unknown_ambiguous_and_unreachable_are_three_different_messages(harvest, emulator, impatient):
    name = next(name for name, stars in emulator.sky._by_name.items() if len(stars) > 1)
    assert harvest(f"fetch --source gaia_dr3 --target {name!r}") == 1
    assert said(harvest, "the name of 2 objects")
    assert harvest("fetch --source gaia_dr3 --target 'No Such Star'") == 1
    assert said(harvest, "do not know it")
    emulator.faults = Faults({"sesame": ["503"], "simbad": ["503"]})
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr'") == 1
    assert said(harvest, "name services are down")


def test_simbad_answers_when_sesame_is_down(harvest, emulator, impatient):
    emulator.faults = Faults({"sesame": ["503"]})
    assert harvest("targets add --target 'RR Lyr'") == 0
    assert harvest("targets show --target 'V* RR Lyr' --json") == 0
    (star,) = emulator.sky.named("RR Lyr")
    (shown,) = harvest.objects
    assert shown["name"] == "RR Lyr"
    assert shown["ra"] == pytest.approx(star.ra, abs=1e-6)
    assert shown["pmra"] == pytest.approx(star.pmra)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("html", "malformed", "HTML"),
        ("503", "unreachable", "503"),
        ("reset", "unreachable", "gaia"),
        ("truncated", "truncated", "gaia"),
    ],
)
def test_a_failing_service_is_said_and_nothing_is_half_stored(harvest, emulator, impatient, fault, error, words):
    emulator.faults = Faults({"gaia": [fault]})
    assert harvest(f"{LYR} --json") == 1
    (found,) = harvest.objects
    assert (found["outcome"], found["error"]) == ("failed", error)
    assert said(harvest, words)
    assert points(harvest.store) == 0
    emulator.faults = Faults()
    assert harvest(LYR) == 0
    assert points(harvest.store) > 100


def test_a_truncated_zip_is_malformed_and_kept(harvest, emulator, monkeypatch):
    emulator.faults = Faults({"gaia": ["truncated-zip"]})
    assert harvest(f"{LYR} --json") == 1
    assert harvest.objects[0]["error"] == "malformed"
    with sqlite3.connect(harvest.store) as connection:
        assert connection.execute("SELECT count(*) FROM payload").fetchone()[0] == 1


def test_one_failing_source_does_not_stop_the_other(harvest, emulator, impatient):
    emulator.faults = Faults({"irsa": ["html"]})
    assert harvest("fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr' --json") == 3
    assert {found["source"]: found["outcome"] for found in harvest.objects} == {"gaia_dr3": "new", "ztf_dr": "failed"}


def test_a_header_without_rows_is_suspicious_and_what_was_stored_stays(harvest, emulator):
    harvest("fetch --source ztf_dr --target 'RR Lyr'")
    before = points(harvest.store)
    emulator.faults = Faults({"irsa": ["header-only"]})
    assert harvest("fetch --source ztf_dr --target 'RR Lyr' --json") == 3
    assert harvest.objects[0]["outcome"] == "suspicious"
    assert points(harvest.store) == before


def test_a_service_that_wants_a_long_wait_is_postponed(harvest, emulator, impatient):
    emulator.faults = Faults({"irsa": ["429=3600"]})
    assert harvest("fetch --source ztf_dr --target 'RR Lyr' --json") == 3
    assert harvest.objects[0]["outcome"] == "postponed"
    assert said(harvest, "wait")


def test_one_unknown_name_among_good_ones_is_a_partial_success(harvest):
    assert harvest("fetch --source gaia_dr3 --target 'RR Lyr' --target 'No Such Star' --json") == 3
    assert {found["target"]: found["outcome"] for found in harvest.objects} == {"RR Lyr": "new", "No Such Star": "failed"}


def test_a_store_that_cannot_be_written_is_said(harvest, tmp_path):
    harvest.store = tmp_path / "folder.db"
    harvest.store.mkdir()
    assert harvest(LYR) == 1
    assert said(harvest, "folder.db")
    harvest.store = "/proc/nowhere/store.db"
    assert harvest(LYR) == 1
    assert said(harvest, "/proc/nowhere")


def test_a_store_of_a_newer_version_is_refused_untouched(harvest):
    harvest("targets add --target '10 20'")
    with sqlite3.connect(harvest.store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = harvest.store.read_bytes()
    assert harvest(LYR) == 1
    assert said(harvest, "newer")
    assert harvest.store.read_bytes() == before


def test_a_file_that_is_no_store_is_refused(harvest):
    harvest.store.write_bytes(b"this is a shopping list, not a database" * 100)
    assert harvest(LYR) == 1
    assert said(harvest, "store.db")


def test_simulated_and_real_data_never_meet(harvest):
    harvest(LYR)
    assert harvest("fetch --source gaia_dr3 --target '10 20'", emulate=False) == 2
    assert said(harvest, "simulated")
    assert harvest("status", emulate=False) == 0
    harvest.store = harvest.store.with_name("real.db")
    assert harvest("targets add --target '10 20'", emulate=False) == 0
    assert harvest("fetch --source gaia_dr3 --target '10 20'") == 2
    assert said(harvest, "real")
    assert harvest("db info --json", emulate=False) == 0
    assert harvest.objects[0]["kind"] == "real"


def test_exports_and_db_info_say_that_data_are_simulated(harvest, tmp_path):
    harvest(LYR)
    harvest(f"export -o {tmp_path / 'x.parquet'} -q")
    assert pq.read_schema(tmp_path / "x.parquet").metadata[b"data"] == b"simulated"
    harvest("db info")
    assert "simulated" in harvest.out


def test_a_dry_run_prints_the_requests_and_sends_none(harvest, emulator):
    assert harvest("fetch -n --source gaia_dr3 --source ztf_dr --target '291.3663 42.7844'") == 0
    lines = harvest.out.splitlines()
    assert len(lines) == 2
    assert "tap-server/tap/sync" in lines[0]
    assert "CIRCLE" in lines[1]
    assert emulator.requests == []
    assert not harvest.store.exists()


def test_a_second_fetch_leaves_the_store_as_it_was(harvest, tmp_path):
    outs = []
    for name in ("first.csv", "second.csv"):
        harvest("fetch --source gaia_dr3 --source ztf_dr --target 'U Gem'")
        harvest(f"export -o {tmp_path / name} -q")
        outs.append((tmp_path / name).read_bytes())
    assert outs[0] == outs[1]


def test_targets_are_preferred_all_or_none(harvest):
    harvest("targets add --target '10.0 20.0' --name A")
    harvest("targets add --target '11.0 20.0' --name B")
    assert harvest("targets prefer --target b --priority 10") == 0
    assert harvest("targets prefer --target A --target Z --priority 5") == 2
    harvest("targets list --json")
    assert {row["name"]: row["priority"] for row in harvest.objects} == {"A": 0, "B": 10}
    assert harvest("targets prefer --target A --priority 1001") == 2


def test_targets_are_added_listed_moved_and_removed(harvest, tmp_path):
    (tmp_path / "list.csv").write_text("name,ra,dec,pmra,pmdec\nA,10.0,20.0,,\nB,11.0,21.0,100.0,-50.0\n", "utf-8")
    assert harvest(f"targets import --file {tmp_path / 'list.csv'}") == 0
    assert harvest("targets add --target '12.0 22.0' --name C --pmra 5") == 0
    assert harvest("targets list --json") == 0
    assert {row["name"]: (row["ra"], row["pmra"]) for row in harvest.objects} == {"A": (10.0, 0.0), "B": (11.0, 100.0), "C": (12.0, 5.0)}
    assert harvest("targets add --target '12.5 22.0' --name c") == 0
    harvest("targets show --target C --json")
    assert harvest.objects[0]["ra"] == 12.5
    assert harvest("targets remove --target B -q") == 0
    assert harvest("targets show --target B") == 2
    assert said(harvest, "no target 'B'")


def test_a_target_with_photometry_is_removed_only_on_demand(harvest):
    harvest(LYR)
    assert harvest("targets remove --target 'RR Lyr'") == 1
    assert points(harvest.store) > 0
    assert harvest("targets remove --target 'RR Lyr' --with-photometry") == 0
    assert points(harvest.store) == 0


def test_a_reader_is_told_what_the_store_does_not_hold(harvest, tmp_path):
    harvest(LYR)
    assert harvest(f"export -o {tmp_path / 'x.csv'} --filter 'G(GAIADR3)'") == 2
    assert said(harvest, "Did you mean 'G(GAIA_DR3)'?")
    assert harvest("plot --target 'RR Lyrae'") == 2
    assert said(harvest, "Did you mean 'RR Lyr'?")
    assert harvest("export -o x.xlsx") == 2
    assert said(harvest, "parquet")


def test_export_streams_csv_to_standard_output(harvest):
    harvest(LYR)
    assert harvest("export -o - --filter 'G(GAIA_DR3)' --quality good") == 0
    head, *lines = harvest.out.splitlines()
    assert "bjd_tdb" in head
    assert len(lines) > 20


def test_since_and_until_cut_what_is_read(harvest, tmp_path):
    harvest(LYR)
    harvest(f"export -o {tmp_path / 'x.parquet'} --since 2015-06-01 --until 57600 -q")
    mjd = [bjd - 2400000.5 for bjd in pq.read_table(tmp_path / "x.parquet")["bjd_tdb"].to_pylist()]
    assert mjd
    assert min(mjd) >= 57174
    assert max(mjd) < 57600


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plots_are_made_by_suffix(harvest, tmp_path, suffix, magic):
    harvest(LYR)
    assert harvest(f"plot --target 'RR Lyr' -o {tmp_path / f'x.{suffix}'}") == 0
    assert (tmp_path / f"x.{suffix}").read_bytes().startswith(magic)


def test_without_a_file_the_terminal_shows_the_light_curve(harvest):
    harvest(LYR)
    assert harvest("plot --target 'RR Lyr'") == 0
    assert "RR Lyr" in harvest.out
    assert "G(GAIA_DR3)" in harvest.out
    assert max(len(line) for line in harvest.out.splitlines()) <= 80


def test_status_tells_what_is_stored_and_what_fails(harvest, emulator, impatient):
    harvest(LYR)
    emulator.faults = Faults({"irsa": ["html"]})
    harvest("fetch --source ztf_dr --target 'RR Lyr'")
    assert harvest("status --target 'RR Lyr'") == 0
    by_source = {row["source"]: row for row in harvest.rows}
    assert by_source["gaia_dr3"]["outcome"] == "new"
    assert int(by_source["gaia_dr3"]["points"]) > 100
    assert by_source["ztf_dr"]["outcome"] == "failed: malformed"


def test_quiet_is_silent_when_all_goes_well(harvest):
    assert harvest(f"{LYR} -q") == 0
    assert harvest.out == harvest.err == ""


def test_sources_are_listed_and_shown(harvest):
    assert harvest("sources list --json") == 0
    assert {row["source"] for row in harvest.objects} >= {"gaia_dr3", "ztf_dr"}
    assert harvest("sources show --source gaia_dr3") == 0
    for word in ("TCB", "barycentre", "Vega", "G(GAIA_DR3)", "2016A&A...595A...1G"):
        assert word in harvest.out


def test_common_options_stand_before_or_after_the_command(harvest):
    assert harvest("--json sources list") == 0
    before = harvest.out
    assert harvest("sources list --json") == 0
    assert harvest.out == before


def test_completion_knows_the_sources():
    environment = os.environ | {"_HARVEST_COMPLETE": "bash_complete", "COMP_WORDS": "harvest fetch --source gaia", "COMP_CWORD": "3"}
    code = "from harvester.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "gaia_dr3" in run.stdout


def test_the_emulator_can_be_served_for_people(tmp_path):
    with subprocess.Popen([sys.executable, "-m", "harvester", "emulate", "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        import urllib.request

        with urllib.request.urlopen(f"{url}/cds.unistra.fr/cgi-bin/nph-sesame/-oI/SNV?RR%20Lyr") as answer:
            assert b"%J 291.366" in answer.read()
        server.terminate()


def test_at_a_terminal_tables_are_drawn_and_progress_is_shown(tmp_path):
    main, follower = pty.openpty()
    command = [sys.executable, "-m", "harvester", "--emulate", "--store", str(tmp_path / "s.db"), "fetch", "-s", "gaia_dr3", "-t", "RR Lyr"]
    process = subprocess.Popen(
        command, stdout=follower, stderr=follower, close_fds=True, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "harvesting" in text
    assert "──" in text
    assert "G(GAIA_DR3)" in text


def test_json_holds_one_object_per_outcome(harvest):
    harvest("fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr' --target 'SS Cyg' --json")
    assert [json.loads(line)["outcome"] for line in harvest.out.splitlines()] == ["new"] * 4


def test_the_password_of_a_store_is_shown_and_kept_nowhere(harvest, postgres_schema):
    secret = "pw-planted-secret"
    harvest.store = f"{postgres_schema}&password={secret}"
    assert harvest("targets add --target '10 20'") == 0
    assert harvest("fetch --source gaia_dr3 --target '10 20' -vv") == 0
    assert secret not in harvest.out + harvest.err
    with psycopg.connect(postgres_schema) as connection:
        tables = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()").fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            assert secret not in str(connection.execute(f'SELECT * FROM "{table}"').fetchall()), table


def test_a_failure_is_not_called_nothing_new(harvest, emulator, impatient):
    emulator.faults = Faults({"gaia": ["500"]})
    harvest(LYR)
    assert "Nothing new" not in harvest.err
    assert "1 of 1 did not succeed" in harvest.err


def test_words_of_others_cannot_command_the_terminal(harvest):
    assert harvest("targets add --target '10 20' --name 'x[/b] [red]y'") == 0
    assert harvest("targets list") == 0
    assert "x[/b] [red]y" in harvest.out
    assert harvest("fetch --source gaia_dr3 --target '\x1b[31mEVIL'") == 1
    assert "\x1b" not in harvest.err


def test_stored_photometry_pins_its_target_to_its_place(harvest, tmp_path):
    harvest(LYR)
    before = points(harvest.store)
    (tmp_path / "far.csv").write_text("name,ra,dec\nRR Lyr,50,20\n", "utf-8")
    assert harvest(f"fetch --source gaia_dr3 --target @{tmp_path / 'far.csv'}") == 2
    assert said(harvest, "stored photometry")
    assert points(harvest.store) == before


def test_a_list_that_names_an_alias_leaves_place_and_motion_alone(harvest, tmp_path):
    harvest("""targets add --target "Barnard's star" """)
    harvest("""targets show --target "Barnard's star" --json""")
    (before,) = harvest.objects
    (tmp_path / "gj.csv").write_text("name,ra,dec\nGJ 699,269.452,4.6934\nNAME Barnard star,269.4521,4.6933\n", "utf-8")
    assert harvest(f"targets import --file {tmp_path / 'gj.csv'}") == 0
    harvest("targets show --target 'GJ 699' --json")
    assert harvest.objects == [before]
    (tmp_path / "gj.csv").write_text("name,ra,dec\nGJ 699,10,20\n", "utf-8")
    assert harvest(f"targets import --file {tmp_path / 'gj.csv'}") == 2
    assert said(harvest, "another name")


def test_a_position_that_is_corrected_keeps_the_motion(harvest):
    harvest("targets add --target '10 20' --name A --pmra 100 --pmdec -50")
    assert harvest("targets add --target '10.00001 20' --name A") == 0
    assert "moved A by" in harvest.err
    harvest("targets show --target A --json")
    assert (harvest.objects[0]["ra"], harvest.objects[0]["pmra"], harvest.objects[0]["pmdec"]) == (10.00001, 100.0, -50.0)


def test_all_aliases_are_in_json(harvest):
    harvest("targets add --target 'RR Lyr'")
    harvest("targets list --json")
    assert not [alias for alias in harvest.objects[0]["aliases"] if "more" in alias]
    assert len(harvest.objects[0]["aliases"]) > 4


def test_a_reader_who_leaves_early_is_no_error(harvest):
    harvest(LYR)
    command = f"{sys.executable} -m harvester --store {harvest.store} export -o - | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert "bjd_tdb" in done.stdout
    assert done.stderr == ""


def test_a_full_disk_behind_standard_output_is_said(harvest):
    harvest(LYR)
    command = [sys.executable, "-m", "harvester", "--store", str(harvest.store), "status"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_heard_at_once_and_leaves_a_complete_store(tmp_path):
    store = tmp_path / "s.db"
    names = [argument for number in range(30) for argument in ("-t", f"{10 + number},20")]  # many times what goes on at once
    command = [sys.executable, "-m", "harvester", "--emulate", "--store", str(store), "fetch", "-s", "ztf_dr", *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.readline()
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 130
    assert "stopping" in err
    assert "were not asked" in err
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT status FROM run").fetchall() == [("interrupted",)]


def test_help_without_a_command_is_help(harvest):
    assert harvest("targets") == 2
    assert "Usage:" in harvest.err
    assert not harvest.err.startswith("error:")
