from pathlib import Path

import pytest

from harvester.config import is_secret, read_settings
from harvester.errors import BadSettings


def settings(tmp_path, text="", environ=None, **said):
    if text:
        (tmp_path / "harvester.toml").write_text(text, "utf-8")
    return read_settings(environ=environ or {}, **said)


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    assert settings(tmp_path).store.endswith("harvest.db")
    assert settings(tmp_path, 'store = "file.db"').store == "file.db"
    assert settings(tmp_path, environ={"HARVESTER_STORE": "environment.db"}).store == "environment.db"
    assert settings(tmp_path, environ={"HARVESTER_STORE": "environment.db"}, store="flag.db").store == "flag.db"


def test_simulated_data_have_a_store_of_their_own_whatever_the_file_says(tmp_path):
    assert settings(tmp_path, 'store = "real.db"', simulated=True).store.endswith("simulated.db")
    assert settings(tmp_path, simulated=True, store="x.db").store == "x.db"


def test_a_source_can_be_pointed_elsewhere_by_file_or_environment(tmp_path):
    text = '[sources.gaia_dr3]\nbase_url = "https://mirror.example/"\nradius = 2\n'
    service = settings(tmp_path, text, {"HARVESTER_GAIA_DR3_TIMEOUT": "7.5"}).service("gaia_dr3")
    assert (service.base_url, service.radius, service.timeout) == ("https://mirror.example/", 2, 7.5)
    service = settings(tmp_path, environ={"HARVESTER_GAIA_DR3_BASE_URL": "http://127.0.0.1:1/"}).service("gaia_dr3")
    assert service.base_url == "http://127.0.0.1:1/"


def test_secrets_come_from_files_or_environment_and_are_never_shown(tmp_path):
    (tmp_path / "secret").write_text("hush\n", "utf-8")
    service = settings(tmp_path, f'[sources.atlas]\ntoken_file = "{tmp_path / "secret"}"\n').service("atlas")
    assert service.secrets == {"token": "hush"}
    assert "hush" not in repr(service)
    found = settings(tmp_path, environ={"HARVESTER_LASAIR_TOKEN": "quiet"})
    assert found.service("lasair").secrets == {"token": "quiet"}
    assert "quiet" not in repr(found)


def test_a_secret_of_a_source_may_have_any_name(tmp_path):
    environ = {"HARVESTER_TNS_API_KEY": "a", "HARVESTER_TNS_BOT_ID": "b", "HARVESTER_CPCS_HASHTAG": "c", "HARVESTER_LASAIR_LSST_TOKEN": "d"}
    found = settings(tmp_path, environ=environ | {"HARVESTER_TNS_PER_SECOND": "0.1"})
    assert found.service("tns").secrets == {"api_key": "a", "bot_id": "b"}
    assert found.service("tns").per_second == 0.1
    assert found.service("cpcs").secrets == {"hashtag": "c"}
    assert found.service("lasair_lsst").secrets == {"token": "d"}
    assert found.service("lasair").secrets == {}
    assert not found.doubts
    assert [name for name in (*environ, "HARVESTER_TNS_PER_SECOND", "HARVESTER_STORE", "PATH") if is_secret(name)] == list(environ)


@pytest.mark.parametrize(("mode", "doubted"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_secret_that_others_may_read_is_doubted(tmp_path, mode, doubted):
    (tmp_path / "secret").write_text("hush", "utf-8")
    (tmp_path / "secret").chmod(mode)
    doubts = settings(tmp_path, f'[sources.atlas]\ntoken_file = "{tmp_path / "secret"}"\n').doubts
    assert bool(doubts) == doubted
    assert "hush" not in str(doubts)


def test_a_secret_of_the_environment_may_end_in_a_line_end(tmp_path):
    assert settings(tmp_path, environ={"HARVESTER_ATLAS_TOKEN": "quiet\n"}).service("atlas").secrets == {"token": "quiet"}


def test_a_variable_that_means_nothing_is_doubted(tmp_path):
    assert "Did you mean HARVESTER_STORE?" in settings(tmp_path, environ={"HARVESTER_STROE": "x"}).doubts[0]
    assert not settings(tmp_path, environ={"HARVESTER_STORE": "x", "HARVESTER_ATLAS_TOKEN": "y", "HARVESTER_TEST_POSTGRES_URL": "z"}).doubts


@pytest.mark.parametrize(
    ("variable", "value"), [("HARVESTER_ZTF_DR_AT_ONCE", "1.5"), ("HARVESTER_ZTF_DR_AT_ONCE", "inf"), ("HARVESTER_ZTF_DR_RADIUS", "-5")]
)
def test_an_impossible_variable_is_refused(tmp_path, variable, value):
    with pytest.raises(BadSettings):
        settings(tmp_path, environ={variable: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("store = 3", "store"),
        ('stoer = "x"', "Did you mean 'store'"),
        ("[sources.gaia_dr3]\nradios = 3", "Did you mean 'radius'"),
        ('[sources.atlas]\ntoken = "secret"', "token"),
        ("[sources]\ngaia_dr3 = 1", "not a table"),
        ("[sources.gaia_dr3]\nradius = -3", "cannot be -3"),
        ("[sources.gaia_dr3]\ntimeout = nan", "timeout"),
        ("[sources.gaia_dr3]\nat_once = 0", "at_once"),
        ("store = ", "harvester.toml"),
        ('[sources.atlas]\ntoken_file = "/no/such/file"', "cannot be read"),
    ],
)
def test_an_impossible_setting_is_named(tmp_path, text, words):
    with pytest.raises(BadSettings) as error:
        settings(tmp_path, text)
    assert words in str(error.value)
    assert len(error.value.lines()) <= 3


def test_a_configuration_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(BadSettings, match="no configuration file"):
        settings(tmp_path, config="nowhere.toml")


def test_the_example_is_valid_with_every_line_switched_on(tmp_path):
    example = (Path(__file__).parents[1] / "configs" / "harvester.toml").read_text("utf-8")
    switched = ("# [", '# store = "l', "# contact", "# base_url", "# radius", "# timeout", "# per", "# at")
    lines = [line.removeprefix("# ") if line.startswith(switched) else line for line in example.splitlines()]
    found = settings(tmp_path, "\n".join(lines))
    assert found.store == "light_curves.db"
    assert found.service("gaia_dr3").at_once == 2
    assert found.service("simbad").base_url == "https://simbad.cds.unistra.fr/"
