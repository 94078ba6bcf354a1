"""`harvest sources list` and `harvest sources show`: what they say is what the sources declare, and what their recordings hold."""

import json
import os
import pty
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from math import hypot
from pathlib import Path

import pyarrow.compute as pc
import pytest

from harvester import source as contract
from harvester import testing
from harvester.cli.source_facts import parts
from harvester.cli.source_list import cadence
from harvester.source import load, registered

RECORDINGS = Path(__file__).parent / "recordings"
COLUMNS = ["source", "survey", "filters", "cadence", "limits", "credentials", "state", "what", "release", "package"]
BROKEN = {
    "no_module": ("nowhere_at_all.mars:Mars", ""),
    "leaves": ("leaves:Leaves", "import sys\nsys.exit(3)\n"),
    "raises": ("raises:Raises", "raise ZeroDivisionError('on import')\n"),
    "no_source": ("no_source:NoSource", "class NoSource:\n    pass\n"),
    "bare": (
        "bare:Bare",
        "from harvester.source import Source\n\n\nclass Bare(Source):\n    fetch = normalise = None\n",
    ),
}


@pytest.fixture
def listed(harvest):
    """Run `sources list` with words and return its rows by name."""

    def run(words="", **options):
        assert harvest(f"sources list --json {words}", **options) == 0
        return {row["source"]: row for row in harvest.objects}

    return run


@pytest.fixture
def also(monkeypatch, tmp_path):
    """Register further sources, each a line of text for an entry point and the text of its module."""
    monkeypatch.syspath_prepend(tmp_path)

    def register(sources):
        more = [EntryPoint(name, value, contract.GROUP) for name, (value, _) in sources.items()]
        for value, text in sources.values():
            if text:
                (tmp_path / f"{value.partition(':')[0]}.py").write_text(text, "utf-8")
        monkeypatch.setattr(contract, "entry_points", lambda group: EntryPoints([*entry_points(group=group), *more]))

    return register


def terminal(*words):
    """Return the lines that a command prints at a terminal of 80 columns."""
    main, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-m", "harvester", *words]
    with subprocess.Popen(command, env=environment, stdout=follower, stderr=subprocess.DEVNULL) as process:
        os.close(follower)
        with os.fdopen(main, "rb") as screen:
            printed = b""
            try:
                while part := screen.read1(65536):
                    printed += part
            except OSError:
                pass
        assert process.wait() == 0
    return printed.decode().replace("\r\n", "\n").splitlines()


def test_a_program_reads_the_same_columns_as_a_person(harvest):
    assert harvest("sources list") == 0
    assert list(harvest.rows[0]) == COLUMNS
    assert [row["source"] for row in harvest.rows] == list(registered())
    rows = {row["source"]: row for row in harvest.rows}
    assert rows["ztf_dr"]["filters"] == "g(ZTF_DR), r(ZTF_DR), i(ZTF_DR)"
    assert (rows["atlas"]["limits"], rows["gaia_dr3"]["limits"]) == ("yes", "no")


def test_surveys_filters_and_cadences_are_those_of_the_classes(listed):
    rows = listed()
    assert rows["gaia_dr3"]["filters"] == ["G(GAIA_DR3)", "BP(GAIA_DR3)", "RP(GAIA_DR3)"]
    assert {"ZTF", "LSST"} <= set(rows["antares"]["survey"])
    assert {name: rows[name]["cadence"] for name in ("gaia_dr3", "gaia_alerts", "ztf_dr", "aavso", "cpcs", "mars")} == {
        "gaia_dr3": "release DR3", "gaia_alerts": "once", "ztf_dr": "60 d", "aavso": "nightly", "cpcs": "once", "mars": "never",
    }  # fmt: skip


def test_limits_said_are_limits_recorded(listed):
    rows = listed()
    found = dict.fromkeys(rows, False)
    for recording in testing.recordings(RECORDINGS):
        found[recording.source] |= bool(pc.any(recording.table()["upper_limit"]).as_py())
    assert {name: row["limits"] for name, row in rows.items()} == found


@pytest.mark.parametrize(("name", "wrong"), [("atlas", ""), ("atlas", "5 sigma"), ("gaia_dr3", "3 sigma"), ("tns", "5 sigma")])
def test_limits_that_the_recordings_deny_fail_the_contract(monkeypatch, request, name, wrong):
    test = testing.test_limits_are_declared_as_the_recordings_have_them
    test(name, request)
    monkeypatch.setattr(type(load(name)), "limits", wrong)
    with pytest.raises(AssertionError):
        test(name, request)


def test_credentials_are_no_or_yes_or_set(listed, monkeypatch, tmp_path):
    said = {name: row["credentials"] for name, row in listed(emulate=False).items()}
    assert set(said.values()) == {"no", "yes"}
    assert {name for name in said if said[name] == "yes"} == {name for name in registered() if load(name).credentials}
    (tmp_path / "token").write_text("secret-of-lasair\n", "utf-8")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "harvester.toml").write_text('[sources.lasair]\ntoken_file = "token"\n', "utf-8")
    monkeypatch.setenv("HARVESTER_ATLAS_TOKEN", "secret-of-atlas")
    monkeypatch.setenv("HARVESTER_TNS_BOT_ID", "17")
    rows = listed(emulate=False)
    assert [rows[name]["credentials"] for name in ("atlas", "lasair", "tns")] == ["set", "set", "yes"]
    assert [rows[name]["state"] for name in ("atlas", "lasair", "tns")] == ["ready", "ready", "needs credentials"]
    assert "secret" not in json.dumps(rows)


def test_a_simulation_needs_no_credentials(listed):
    rows = listed()
    assert {rows[name]["state"] for name in rows if rows[name]["credentials"] == "yes"} == {"ready"}


def test_a_retired_source_names_its_successors_and_an_announced_release_its_absence(listed, monkeypatch):
    assert listed()["mars"]["state"] == "retired (alerce, fink, lasair, antares)"
    release = type(load("gaia_dr4"))
    assert release.public_from == "2026-12-02"
    for day, state in (("9999-01-01", "not yet public"), ("2020-01-01", "ready")):
        monkeypatch.setattr(release, "public_from", day)
        assert listed()["gaia_dr4"]["state"] == state


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_is_a_row_and_a_warning_and_spoils_nothing(listed, harvest, also, name):
    whole = listed()
    also({name: BROKEN[name]})
    rows = listed()
    assert rows.pop(name)["state"] == "broken plug-in"
    assert rows == whole
    assert harvest.err.startswith(f"warning: source '{name}'")
    assert "Upgrade or remove it" in harvest.err


def test_listing_needs_nothing_heavy():
    heavy = ["pandas", "astropy", "astroquery", "sqlalchemy", "matplotlib", "httpx", "rich", "requests"]
    code = (
        "import sys\nfrom harvester.cli import status_of\n"
        f"print(status_of(['sources', 'list']), [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "0 []"


def test_both_fit_a_terminal_of_80_columns():
    lines = terminal("sources", "list")
    assert max(map(len, lines)) <= 80
    head = next(line for line in lines if line.strip())
    assert head.split() == COLUMNS[:7]
    firsts = {line.split()[0] for line in lines if line.strip() and not line.startswith("  ")}
    assert set(registered()) <= firsts, "no name is broken"
    shown = terminal("sources", "show", "ztf_dr", "tns")
    assert max(len(line) for line in shown if "://" not in line) <= 80, "but an address is not broken"
    assert sum(line.startswith("source ") for line in shown) == 2


@pytest.mark.parametrize("name", registered())
def test_all_that_is_known_of_a_source_is_shown(harvest, name):
    assert harvest(f"sources show {name} --json") == 0
    (said,) = harvest.objects
    source = load(name)
    for word in ("time", "time_system", "time_budget", "magnitude", "magnitude_system", "quality", "missing", "manual", "release", "cite"):
        assert said[word], word
    assert said["quality"] != "not told"
    assert "error" in said.get("errors", said["magnitude"]) or said["errors"].startswith("as served")
    assert said["limits"] == (source.limits or "none")
    assert said["manual"].startswith("http")
    assert said["cite"] == list(source.cite)
    assert said["cadence"] == cadence(source)
    assert [one["filter"] for one in said["passbands"]] == said["filters"]
    assert all(one["system"] in {"AB", "Vega", "other"} for one in said["passbands"])
    if source.credentials:
        assert said["how_to_get_them"]


@pytest.mark.parametrize("name", registered())
def test_the_parts_of_the_error_budget_make_its_whole(harvest, name):
    assert harvest(f"sources show --source {name} --json") == 0
    said = {one["survey"]: one for one in harvest.objects[0]["time_budget"]}
    for survey, system in load(name).systems().items():
        budget = parts(system)
        assert hypot(budget["survey_ms"], budget["site_ms"], budget["ephemeris_ms"]) == pytest.approx(system.total_sigma_s * 1e3)
        assert said[survey] == {"survey": survey, "total_ms": system.total_sigma_s * 1e3, **budget}


def test_show_tells_people_in_words_what_a_program_gets_in_parts(harvest):
    assert harvest("sources show atlas") == 0
    for words in (
        "27.9 ms (1 sigma)",
        "25 ms that the survey leaves open",
        "12.3 ms for a telescope that could be anywhere",
        "0.43 ms between ephemerides",
        "o(ATLAS): AB, magnitude 0 is 3630.78 Jy, pivot 678.81 nm, Misc/Atlas.orange",
        "limits             3 sigma",
        "chi/N > 100",
        "30 days before the newest point",
        "2018PASP..130f4505T",
        "https://fallingstar-data.com/forcedphot/resultdesc/",
        "1 requests a second, 2 at once",
        "HARVESTER_ATLAS_TOKEN",
    ):
        assert words in harvest.out
    assert harvest("sources show gaia_dr4") == 0
    assert "no flux of it" in harvest.out
    assert harvest("sources show asassn") == 0
    assert "good to 140 s" in harvest.out
    assert "good to 135000 ms (1 sigma)" in harvest.out
    assert harvest("sources show ztf_dr") == 0
    assert harvest.out.count("without the colour term (clrcoeff)") == 1, "what all passbands have in common is said once"


def test_show_without_a_name_or_with_an_unknown_one_says_what_to_do(harvest):
    assert harvest("sources show") == 2
    assert "harvest sources list" in harvest.err
    assert harvest("sources show ztf_rd") == 2
    assert "Did you mean 'ztf_dr'" in harvest.err
