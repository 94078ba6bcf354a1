"""The nightly job: what is written into a crontab or a unit is what runs, nothing else is touched, and no secret is in it.

The crontab here is a stand-in for the program (a file, and the same words and exit statuses): a test must not write into that of whoever runs it.
"""

import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.cron import Job, crontab, own_minute, units
from harvester.errors import CronError

ROOT = Path(__file__).parents[1]
CRONTAB = """#!/bin/sh
file={file}
case "$1" in
-l) if [ -e "$file" ]; then cat "$file"; else echo "no crontab for somebody" >&2; exit 1; fi ;;
-r) rm "$file" ;;
-) if [ -e "$file.refuse" ]; then echo "errors in crontab file, can't install." >&2; exit 1; fi; cat > "$file"; echo >> "$file.writes" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {file}
[ ! -e {file}.refuse ] || {{ echo "Failed to connect to bus: No medium found" >&2; exit 1; }}
"""
OTHERS = "MAILTO=me\n# m h dom mon dow command\n5 4 * * 1 /bin/backup %in\r\n\n@reboot  /bin/true  # harvest updates\nlast without end"
EXAMPLE = Job(
    "/data/light_curves/harvest.db",
    ("/opt/harvester/bin/harvest", "--store", "/data/light_curves/harvest.db", "update", "-q"),
    environment={"HARVESTER_CONTACT": "me@observatory.example"},
    hour=4,
    minute=17,
)
PATHS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=30).map(
    lambda text: f"/{text}"
)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Stand-ins for crontab and systemctl, before all others on PATH; returns their files."""
    folder = tmp_path / "bin"
    folder.mkdir()
    files = {"crontab": tmp_path / "crontab.txt", "systemctl": tmp_path / "systemctl.txt"}
    for name, text in (("crontab", CRONTAB), ("systemctl", SYSTEMCTL)):
        (folder / name).write_text(text.format(file=shlex.quote(str(files[name]))), "utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return files


def as_cron_runs(line, shell="/bin/sh"):
    """Return the words that a program gets when cron runs a line, with `harvest` replaced by one that prints its words.

    Cron cuts the command at the first % without a backslash and takes the backslash from the others.
    """
    command = line.split(maxsplit=5)[5]
    kept = command.replace("\\%", "\0")
    assert "%" not in kept
    program = next(word for word in shlex.split(kept.partition(" && ")[2].partition(crontab.MARK)[0]) if word.startswith("/bin/harvest"))
    told = kept.replace(program, f"{shlex.quote(sys.executable)} -c 'import sys, os; print(os.getcwd(), *sys.argv[1:], sep=chr(10))'", 1)
    done = subprocess.run([shell, "-c", told.replace("\0", "%")], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@given(PATHS, PATHS)
def test_what_cron_runs_is_what_was_meant_whatever_is_in_the_paths(store, other):
    job = Job(store, ("/bin/harvest", "--store", store, "--config", other, "update"), environment={"HARVESTER_CONTACT": other})
    if "\\" in store + other:
        with pytest.raises(CronError, match="backslash"):
            crontab.line(job)
        return
    line = crontab.line(job)
    assert "\n" not in line
    (entry,) = crontab.entries(line)
    assert (entry.place, entry.when, entry.program) == (store, "03:00", "/bin/harvest")


@pytest.mark.parametrize("store", ["/data/50%.db", '/a b/it\'s "mine"/%%.db', "/$HOME/`id`/!x.db", "/ü*?[a].db"])
def test_a_shell_that_cron_starts_gives_every_word_unharmed(store, tmp_path):
    job = Job(store, ("/bin/harvest", "--store", store, "update", "-q"), str(tmp_path), {"HARVESTER_CONTACT": "a % b"})
    assert as_cron_runs(crontab.line(job)) == [str(tmp_path), "--store", store, "update", "-q"]


@pytest.mark.parametrize("bad", ["/a\nb.db", "/a\0b.db", "/a\x1b.db"])
def test_what_would_break_a_line_is_refused(bad):
    with pytest.raises(CronError, match="control character"):
        Job(bad, ("/bin/harvest",))


def test_a_job_is_written_once_and_no_byte_of_others_changes():
    once = crontab.with_job(OTHERS, EXAMPLE)
    assert once.startswith(OTHERS + "\n")
    assert crontab.with_job(once, EXAMPLE) == once
    assert crontab.without(once, EXAMPLE.place) == OTHERS + "\n"


def test_another_time_replaces_the_line_where_it_stands():
    once = crontab.with_job(OTHERS, EXAMPLE) + "9 9 * * * /bin/after\n"
    later = crontab.with_job(once, Job(EXAMPLE.place, EXAMPLE.words, hour=23, minute=5))
    assert len(later.splitlines()) == len(once.splitlines())
    assert later.splitlines()[-2].startswith("5 23 * * * ")
    assert later.splitlines()[-1] == "9 9 * * * /bin/after"


def test_stores_whose_names_begin_alike_have_lines_of_their_own():
    long, short = (Job(place, ("/bin/harvest", "--store", place)) for place in ("/data/a.db.old", "/data/a.db"))
    both = crontab.with_job(crontab.with_job("", long), short)
    assert [entry.place for entry in crontab.entries(both)] == ["/data/a.db.old", "/data/a.db"]
    assert [entry.place for entry in crontab.entries(crontab.without(both, "/data/a.db"))] == ["/data/a.db.old"]


def test_a_line_that_was_commented_out_is_left_alone():
    off = f"# {crontab.line(EXAMPLE)}\n"
    assert crontab.with_job(off, EXAMPLE) == off + crontab.line(EXAMPLE) + "\n"
    assert crontab.without(off, EXAMPLE.place) == off
    assert not list(crontab.entries(off))


def test_another_job_with_the_same_remark_is_not_ours():
    other = f"0 9 * * * /bin/mail-the-night # harvest update of {EXAMPLE.place}\n"
    assert crontab.with_job(other, EXAMPLE) == other + crontab.line(EXAMPLE) + "\n"
    assert crontab.without(other, EXAMPLE.place) == other
    assert not list(crontab.entries(other))


def test_stores_are_not_asked_for_at_one_minute():
    minutes = {own_minute(f"/data/{number}.db") for number in range(100)}
    assert len(minutes) > 50
    assert all(3 <= hour < 6 for hour, _ in minutes)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here to judge units")
@pytest.mark.parametrize("name", ["plain", 'a 50% $HOME "of" it\'s ü'])
def test_systemd_itself_finds_nothing_wrong_with_the_units(tmp_path, monkeypatch, name):
    folder, runtime = tmp_path / name, tmp_path / "run"
    for made in (folder, runtime):
        made.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    job = Job(str(folder / "a.db"), (sys.executable, "--store", str(folder / "a.db"), "update"), str(folder), {"HARVESTER_CONTACT": name})
    files = [tmp_path / f"{units.name(job.place)}.{kind}" for kind in ("service", "timer")]
    for file, text in zip(files, (units.service(job), units.timer(job)), strict=True):
        file.write_text(text, "utf-8")
    command = ["systemd-analyze", "--user", "--man=no", "verify", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if units.name(job.place) in line]) == (0, [])


def test_units_escape_what_systemd_would_read_as_its_own():
    text = units.service(Job('/50%/a "b".db', ("/bin/harvest", "--store", '/50%/a "b".db', "$HOME", "\\n")))
    assert r'ExecStart="/bin/harvest" "--store" "/50%%/a \"b\".db" "$$HOME" "\\n"' in text.splitlines()


def test_the_examples_in_configs_are_what_install_writes():
    written = {"systemd/harvest.service": units.service(EXAMPLE), "systemd/harvest.timer": units.timer(EXAMPLE)}
    for name, text in written.items():
        assert (ROOT / "configs" / name).read_text("utf-8") == text
    assert crontab.line(EXAMPLE) in (ROOT / "configs" / "crontab.example").read_text("utf-8").splitlines()


def test_install_twice_shows_one_and_remove_leaves_what_was(harvest, programs):
    programs["crontab"].write_bytes(OTHERS.encode() + b"\n# \xff\n")
    before = programs["crontab"].read_bytes()
    assert harvest("targets add --target '10 20'") == 0
    assert harvest("cron install --at 04:17") == 0
    assert harvest("cron install --at 4:17") == 0
    assert programs["crontab"].with_name("crontab.txt.writes").read_text() == "\n"
    assert harvest("cron show --json") == 0
    (shown,) = harvest.objects
    assert (shown["by"], shown["when"], shown["store"], shown["runs"]) == ("crontab", "04:17", str(harvest.store), True)
    assert harvest("cron remove") == 0
    assert programs["crontab"].read_bytes() == before


def test_the_only_line_goes_with_its_crontab(harvest, programs):
    harvest("cron install")
    assert harvest("cron remove") == 0
    assert not programs["crontab"].exists()
    assert harvest("cron remove") == 0
    assert "Nothing was installed" in harvest.err


def test_the_installed_line_runs_this_harvest_on_this_store(harvest, programs, monkeypatch):
    harvest("fetch --source gaia_dr3 --target 'RR Lyr' -q")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    assert harvest("cron install -q --source gaia_dr3 --max-time 2h") == 0
    assert harvest.err == ""
    line = programs["crontab"].read_text("utf-8").strip()
    assert f"PYTHONPATH={ROOT / 'src'}" in line
    words = line.split(maxsplit=5)[5].replace("\\%", "%")
    night = subprocess.run(["/bin/sh", "-c", words], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (night.returncode, night.stdout, night.stderr) == (0, "", "")
    command = words.replace(" update -q --source gaia_dr3 --max-time 2h", " db info --json")
    done = subprocess.run(["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f'"place": "{harvest.store}"' in done.stdout


def test_no_secret_is_written_and_the_user_is_told(harvest, programs, monkeypatch):
    planted = {
        "HARVESTER_ATLAS_TOKEN": "planted-1",
        "HARVESTER_TNS_PASSWORD": "planted-2",
        "PGPASSWORD": "planted-3",
        "HTTPS_PROXY": "http://me:planted-4@proxy.example:3128",
        "HARVESTER_ZTF_DR_BASE_URL": "https://me:planted-5@mirror.example/",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARVESTER_CONTACT", "me@observatory.example")
    for way in ("--crontab", "--systemd"):
        assert harvest(f"cron install {way}", emulate=False) == 0
        told = harvest.err
        assert all(name in told for name in planted)
        harvest("cron show --json", emulate=False)
        told += harvest.out
        assert "planted" not in told
    written = [programs["crontab"], *Path.home().rglob("harvest-*")]
    assert len(written) == 3
    for file in written:
        assert "planted" not in file.read_text("utf-8")
    assert "HARVESTER_CONTACT=me@observatory.example" in programs["crontab"].read_text("utf-8")


def test_a_password_in_the_stores_address_is_refused_where_it_would_be_written(harvest, programs, tmp_path):
    harvest.store = "postgresql://me:planted@db.example/lc"
    assert harvest("cron install", emulate=False) == 2
    assert "planted" not in harvest.err
    assert ".pgpass" in harvest.err
    assert not programs["crontab"].exists()


def test_what_depends_on_the_folder_is_made_absolute(harvest, programs, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("harvester.toml").write_text("contact = 'me@observatory.example'\n", "utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    harvest.store = "mine.db"
    assert harvest("--log-file night.log cron install", emulate=False) == 0
    line = programs["crontab"].read_text("utf-8")
    for words in (f"cd {tmp_path}/here &&", f"--store {tmp_path}/here/mine.db", f"--log-file {tmp_path}/here/night.log"):
        assert words in line
    assert f"SSL_CERT_FILE={tmp_path}/here/ca.pem" in line


def test_a_crontab_that_cannot_be_read_or_written_stays_as_it_is(harvest, programs):
    programs["crontab"].write_bytes(OTHERS.encode())
    programs["crontab"].with_name("crontab.txt.refuse").touch()
    assert harvest("cron install") == 1
    assert "can't install" in harvest.err
    assert programs["crontab"].read_bytes() == OTHERS.encode()
    programs["crontab"].unlink()
    programs["crontab"].mkdir()  # cat fails, with other words than those for no crontab
    assert harvest("cron install") == 1
    assert "cannot be read" in harvest.err


def test_without_any_cron_the_message_names_the_way_out(harvest, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert harvest("cron install") == 1
    assert "crontab" in harvest.err
    assert "--systemd" in harvest.err


def test_a_systemd_timer_is_started_shown_and_removed(harvest, programs):
    assert harvest("cron install --systemd --at 23:05") == 0
    folder = Path.home() / "systemd" / "user"
    service, timer = sorted(folder.iterdir())
    assert service.stem == timer.stem == units.name(str(harvest.store))
    assert "OnCalendar=*-*-* 23:05:00" in timer.read_text("utf-8")
    assert stat.S_IMODE(timer.stat().st_mode) & 0o022 == 0
    assert harvest("cron show --json") == 0
    assert [(row["by"], row["when"], row["store"], row["runs"]) for row in harvest.objects] == [
        ("systemd", "23:05", str(harvest.store), True)
    ]
    assert harvest("cron remove") == 0
    assert not list(folder.iterdir())
    told = programs["systemctl"].read_text("utf-8").splitlines()
    assert told == [
        *("--user daemon-reload", f"--user enable {timer.name}", f"--user restart {timer.name}"),
        *(f"--user disable --now {timer.name}", "--user daemon-reload"),
    ]


def test_a_timer_that_systemd_does_not_take_is_not_left_behind(harvest, programs):
    programs["systemctl"].with_name("systemctl.txt.refuse").touch()
    assert harvest("cron install --systemd") == 1
    assert "Failed to connect to bus" in harvest.err
    assert not list((Path.home() / "systemd" / "user").iterdir())


def test_a_dry_run_prints_and_writes_nothing(harvest, programs):
    assert harvest("cron install -n --at 04:17") == 0
    assert harvest.out.startswith("17 4 * * * ")
    assert harvest("cron install -n --systemd --at 04:17") == 0
    assert "OnCalendar=*-*-* 04:17:00" in harvest.out
    assert not programs["crontab"].exists()
    assert not programs["systemctl"].exists()


@pytest.mark.parametrize("at", ["25:00", "4", "noon", "04:60"])
def test_a_time_that_is_none_is_a_usage_error(harvest, programs, at):
    assert harvest(f"cron install --at {at}") == 2
    assert "04:30" in harvest.err


def test_a_duration_that_is_none_is_a_usage_error(harvest, programs):
    assert harvest("cron install --max-time soon") == 2
    assert "6h" in harvest.err
    assert not programs["crontab"].exists()


def test_a_program_that_has_gone_is_said(harvest, programs):
    programs["crontab"].write_text(f"{crontab.line(EXAMPLE)}\n", "utf-8")
    assert harvest("cron show") == 0
    assert "/opt/harvester/bin/harvest" in harvest.err
    assert "harvest cron install" in harvest.err
