"""`harvest export` as it is typed: what it says of the data, what can be derived, and what is refused."""

import csv
import json

import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from harvester import __version__
from harvester.cli.derived import UNITS
from harvester.cli.export import FORMATS
from harvester.derive import FLUX_UNITS
from harvester.export import FORMATS as TABLE


@pytest.fixture
def fetched(harvest):
    harvest("fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr' -q")
    return harvest


def rows(harvest, words=""):
    assert harvest(f"export -o - {words}") == 0, harvest.err
    return list(csv.DictReader(harvest.out.splitlines()))


def test_a_file_says_from_which_store_and_run_and_software_it_is(fetched, tmp_path):
    assert fetched(f"export -o {tmp_path / 'x.parquet'}") == 0
    said = {key.decode(): value.decode() for key, value in pq.read_schema(tmp_path / "x.parquet").metadata.items()}
    assert (said["data"], said["software"], said["store"], said["run"]) == ("simulated", f"harvester {__version__}", "store.db", "1")
    assert said["as_of"].startswith("20")
    fetched(f"export -o {tmp_path / 'x.vot'}")
    document = (tmp_path / "x.vot").read_text("utf-8")
    assert '<INFO name="store" value="store.db"/>' in document
    assert '<INFO name="run" value="1"/>' in document


def written(path):
    """Return all that an export wrote."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(file.relative_to(path), file.read_bytes()) for file in files]


@pytest.fixture(scope="module")
def every_format():
    """The words that write each format."""
    own = {
        "aavso": "-o x.txt --obscode ABC",
        "dataset": "-o x.set",
        "snana": "-o x.snana",
        "pylima": "-o x.pylima",
        "rtmodel": "-o x.rtmodel",
    }
    return {form: own.get(form) or f"-o x{TABLE[form].suffixes[0] if TABLE[form].suffixes else f'.{form}'}" for form in FORMATS.split()}


@pytest.mark.filterwarnings("ignore::harvester.export.content.LeftOut")
def test_an_earlier_state_is_exported_as_it_was_byte_for_byte_in_every_format(fetched, tmp_path, every_format):
    def exported(folder, words=""):
        (tmp_path / folder).mkdir()
        for form, output in every_format.items():
            there = output.replace("-o ", f"-o {folder}/")
            assert fetched(f"export --format {form} {there} --target 'RR Lyr' {words}") == 0, fetched.err
        return {path.name: written(path) for path in sorted((tmp_path / folder).iterdir())}

    then = exported("then")
    fetched("fetch --source ztf_dr --source alerce --target '150.25 2.25' --target 'RR Lyr' -q")
    assert exported("again", "--as-of 1") == then
    assert len(then) == len(every_format)


@pytest.mark.parametrize("other_url", ["postgresql"], indirect=True)
def test_a_copy_exports_an_earlier_state_as_the_store_did_byte_for_byte(fetched, tmp_path, other_url):
    fetched("export -o then.parquet")
    fetched("fetch --source ztf_dr --target '150.25 2.25' -q")
    for number, place in enumerate([str(tmp_path / "copy.db"), other_url, str(tmp_path / "back.db")]):
        assert fetched(f"db copy --to '{place}'") == 0, fetched.err
        fetched.store = place
        assert fetched("payloads prune --older-than 0") == 0
        assert fetched(f"export -o {number}.parquet --as-of 1") == 0
        assert (tmp_path / f"{number}.parquet").read_bytes() == (tmp_path / "then.parquet").read_bytes()


def test_time_by_choice_is_a_column(fetched):
    bare, utc = rows(fetched), rows(fetched, "--time mjd")
    assert "mjd_utc" not in bare[0]
    assert [row["bjd_tdb"] for row in bare] == [row["bjd_tdb"] for row in utc]
    assert all(abs(float(row["mjd_utc"]) + 2400000.5 - float(row["bjd_tdb"])) < 0.0068 for row in utc)
    ztf = next(row for row in utc if row["source"] == "ztf_dr")
    assert float(ztf["mjd_utc"]) == pytest.approx(float(ztf["time"]) + float(ztf["exptime"]) / 2 / 86400, abs=1e-9)


def test_what_is_derived_is_in_the_file_and_never_in_the_store(fetched, tmp_path):
    before = rows(fetched)
    fetched(f"export -o {tmp_path / 'x.ecsv'} --error-floor survey --system ab --flux-unit mJy --clip 5 --quality good")
    found = Table.read(tmp_path / "x.ecsv")
    assert found.meta["magnitude_system"] == "AB"
    assert str(found["flux"].unit) == "mJy"
    assert min(found["mag_err"][found["filter"] == "G(GAIA_DR3)"]) >= 0.0045
    assert "clipped" in found.colnames
    assert rows(fetched) == before


def test_a_night_is_one_row(fetched):
    every, binned = rows(fetched, "--filter G(GAIA_DR3) --quality good"), rows(fetched, "--filter G(GAIA_DR3) --quality good --bin night")
    assert len(binned) < len(every)
    assert sum(int(row["points"]) for row in binned) == len(every)
    assert len({row["observation_id"] for row in binned}) == len(binned)


def test_the_formats_can_be_listed_and_help_names_them_all(harvest):
    assert harvest("export --formats") == 0
    assert [row["format"] for row in harvest.rows] == list(TABLE) == FORMATS.split()
    assert set(UNITS) == set(FLUX_UNITS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-o x --format dataset --partition night", "no partition"),
        ("-o x.csv --partition target", "is for the format dataset"),
        ("-o x.csv --obscode ABC", "is for the format aavso"),
        ("-o x --format bhtom --flux-unit mJy", "no place for a unit"),
        ("-o x --format bhtom --time bjd_tdb", "cannot hold the time"),
        ("-o - --format rtmodel", "several files"),
        ("-o x.csv --error-floor much", "no error floor"),
        ("-o x.xyz", "Formats:"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(fetched, tmp_path, words, told):
    before = {path.name for path in tmp_path.iterdir()}
    assert fetched(f"export {words}") == 2
    assert told in fetched.err
    assert len(fetched.err.splitlines()) <= 3
    assert {path.name for path in tmp_path.iterdir()} == before


def test_json_lines_stream(fetched):
    assert fetched("export -o - --format jsonl --filter 'G(GAIA_DR3)'") == 0
    assert {json.loads(line)["filter"] for line in fetched.out.splitlines()} == {"G(GAIA_DR3)"}
