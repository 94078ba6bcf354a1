import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harvester.errors import ExportError, UsageError
from harvester.export import export, format_of

SCHEMA = pa.schema([("target", pa.string()), ("bjd_tdb", pa.float64()), ("mag", pa.float64()), ("upper_limit", pa.bool_())])
ROWS = [{"target": "a, b", "bjd_tdb": 2456890.757293059, "mag": 15.123456789012345, "upper_limit": False}, {"target": "c", "mag": None}]


def batches():
    yield from pa.Table.from_pylist(ROWS, schema=SCHEMA).to_batches()


@pytest.mark.parametrize("name", ["out.parquet", "out.pq", "OUT.PARQUET"])
def test_parquet_says_units_time_scale_and_origin(tmp_path, name):
    assert export(SCHEMA, batches(), str(tmp_path / name), form=None, about={"data": "simulated", "software": "harvester x"}) == 2
    file = pq.ParquetFile(tmp_path / name)
    assert file.read().to_pylist()[0] == ROWS[0]
    assert file.schema_arrow.field("bjd_tdb").metadata[b"unit"] == b"d"
    assert file.schema_arrow.metadata[b"data"] == b"simulated"
    assert b"TDB" in file.schema_arrow.metadata[b"time_scale:bjd_tdb"]


def test_csv_keeps_every_digit_and_leaves_null_empty(tmp_path):
    export(SCHEMA, batches(), str(tmp_path / "out.csv"), form=None, about={})
    first, second = csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines())
    assert first["target"] == "a, b"
    assert float(first["bjd_tdb"]) == ROWS[0]["bjd_tdb"]
    assert float(first["mag"]) == ROWS[0]["mag"]
    assert second["mag"] == ""


def test_an_unknown_format_names_the_known_ones():
    for output, form in (("x.xlsx", None), ("x", None), ("x.csv", "fitz")):
        with pytest.raises(UsageError) as error:
            format_of(output, form)
        assert "parquet" in str(error.value)
    assert format_of("-", None) == "csv"
    assert format_of("x.dat", "csv") == "csv"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_failed_export_leaves_no_half_file_and_the_old_one_untouched(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"old")

    def failing():
        yield from batches()
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="cannot be written"):
        export(SCHEMA, failing(), str(path), form=None, about={})
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir() if found.name != "home"] == [path.name]


def test_a_folder_that_is_not_there_is_an_error_in_words(tmp_path):
    with pytest.raises(ExportError) as error:
        export(SCHEMA, batches(), str(tmp_path / "no" / "out.csv"), form=None, about={})
    assert len(error.value.lines()) == 3


def test_a_folder_in_the_file_s_place_stays_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        export(SCHEMA, batches(), str(tmp_path / "out.csv"), form=None, about={})
    assert {found.name for found in tmp_path.iterdir()} - {"home"} == {"out.csv"}
