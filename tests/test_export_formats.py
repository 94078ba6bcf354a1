"""Every format, read back by the tool that its users have: nothing is lost but what the format has no place for, and that is said."""

import csv
import io
import json
import math
import sys

import duckdb
import nested_pandas
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.table import Table
from exported import ABOUT, PHI, ROWS, RR, TABLE, gaia, table_of, written, ztf

from harvester.errors import ExportError, UsageError
from harvester.export import FORMATS, LeftOut, time_of
from harvester.healpix import pixel_at

ONE_TARGET = table_of(*ROWS[:5])
STREAMED = [name for name, form in FORMATS.items() if not form.folder]
EVERYTHING = ("parquet", "csv", "ecsv", "votable", "fits", "jsonl", "nested", "dataset")


def plain(value):
    """What a reader gives, without its own words for missing."""
    if value is np.ma.masked or value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def assert_same(rows, expected=ROWS, *, but=lambda value: value):
    """Compare rows of a reader with what was written, to the last bit; `but` is what a format does to a value."""
    assert len(rows) == len(expected)
    for row, truth in zip(rows, expected, strict=True):
        assert {name: plain(row[name]) for name in truth} == {name: but(value) for name, value in truth.items()}


def rows_of(table):
    return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]


def without_empty(rows):
    """In VOTable and FITS a text that is missing is empty."""
    return [{name: None if plain(value) == "" else value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("read", [lambda path: pq.read_table(path).to_pylist(), lambda path: pl.read_parquet(path).to_dicts()])
def test_parquet_reads_back_equal(tmp_path, read):
    assert written(tmp_path / "x.parquet") == len(ROWS)
    assert_same(read(tmp_path / "x.parquet"))


def test_parquet_reads_back_equal_with_duckdb(tmp_path):
    written(tmp_path / "x.parquet")
    found = duckdb.sql(f"SELECT * FROM '{tmp_path / 'x.parquet'}'")
    assert_same([dict(zip(found.columns, row, strict=True)) for row in found.fetchall()])


def test_csv_reads_back_equal_with_pandas(tmp_path):
    written(tmp_path / "x.csv")
    kinds = dict.fromkeys(("object_id", "observation_id", "flags", "facility", "observer"), str)
    found = pd.read_csv(tmp_path / "x.csv", dtype=kinds)
    assert_same(found.to_dict("records"))
    assert set(found["data"]) == {"real"}


def test_json_lines_read_back_equal(tmp_path):
    written(tmp_path / "x.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines()]
    assert_same(rows)
    assert {row["data"] for row in rows} == {"real"}


def test_ecsv_reads_back_equal_with_units_and_origin(tmp_path):
    written(tmp_path / "x.ecsv")
    found = Table.read(tmp_path / "x.ecsv")
    assert_same(rows_of(found))
    assert (found["flux"].unit, found["bjd_tdb"].unit, found["mag"].unit) == (units.uJy, units.d, units.mag)
    assert found.meta["run"] == "7"
    assert "TDB" in found.meta["time_scale:bjd_tdb"]


def test_votable_reads_back_equal_with_units_ucds_and_time_systems(tmp_path):
    written(tmp_path / "x.vot", time="mjd")
    document = votable.parse(tmp_path / "x.vot", verify="exception")
    table = document.get_first_table()
    assert_same(without_empty(rows_of(table.to_table(use_names_over_ids=True))))
    fields = {field.name: field for field in table.fields}
    systems = {system.ID: system for system in document.resources[0].time_systems}
    assert (fields["mag"].ucd, str(fields["flux"].unit), fields["mjd_utc"].ref) == ("phot.mag", "uJy", "mjd_utc_system")
    assert (systems["bjd_tdb_system"].timescale, systems["bjd_tdb_system"].refposition) == ("TDB", "BARYCENTER")
    assert systems["mjd_utc_system"].timeorigin == 2400000.5
    assert fields["mjd_utc"].ucd == "time.epoch;meta.main"
    assert {info.name: info.value for info in document.resources[0].infos} == ABOUT


def test_votable_holds_the_calibration_of_each_filter(tmp_path):
    written(tmp_path / "x.vot")
    groups = votable.parse(tmp_path / "x.vot").resources[0].groups
    facts = [{param.name: param.value for param in group.entries} for group in groups]
    assert [(fact["filter"], fact["magnitudeSystem"], fact["zeroPointFlux"]) for fact in facts] == [
        ("G(GAIA_DR3)", "Vega", 3269.858),
        ("g(ZTF_DR)", "AB", 3630.7805),
    ]


def test_fits_reads_back_equal_but_for_letters_that_are_not_ascii(tmp_path):
    with pytest.warns(LeftOut, match="ASCII"):
        written(tmp_path / "x.fits")
    found = Table.read(tmp_path / "x.fits", character_as_bytes=False)

    def in_fits(value):
        return value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else value

    assert_same(without_empty(rows_of(found)), but=in_fits)
    assert (found["flux"].unit, found["bjd_tdb"].unit) == (units.uJy, units.d)


@pytest.mark.parametrize(("time", "words"), [("bjd_tdb", ("TDB", "BARYCENTER", "bjd_tdb")), ("mjd", ("UTC", "TOPOCENTER", "mjd_utc"))])
def test_fits_says_in_keywords_how_time_is_counted(tmp_path, time, words):
    with pytest.warns(LeftOut):
        written(tmp_path / "x.fits", time=time)
    with fits.open(tmp_path / "x.fits") as file:
        file.verify("exception")
        head = file[1].header
        column = next(number for number in range(1, 30) if head.get(f"TTYPE{number}") == words[2])
        assert (head["TIMESYS"], head["TREFPOS"], head[f"TCTYP{column}"], head["TIMEUNIT"]) == (*words[:2], words[0], "d")
        assert head["DATAKIND"] == "real"
        assert len(file[1].data) == len(ROWS)


def test_nested_parquet_has_a_row_per_target_and_reads_back_equal(tmp_path):
    assert written(tmp_path / "x.parquet", form="nested") == len(ROWS)
    found = nested_pandas.read_parquet(tmp_path / "x.parquet")
    assert found["target"].tolist() == [RR.name, PHI.name]
    assert found["ra"].tolist() == [RR.ra, PHI.ra]
    flat = [{"target": row.target} | one for row in found.itertuples() for one in row.lightcurve.to_dict("records")]
    assert_same([{name: None if value is pd.NA else value for name, value in row.items()} for row in flat])
    assert pq.read_schema(tmp_path / "x.parquet").field("lightcurve").type.field("flux").metadata[b"unit"] == b"uJy"


@pytest.mark.parametrize("partition", ["target", "healpix", "healpix:0"])
def test_a_dataset_reads_back_equal_however_it_is_cut(tmp_path, partition):
    assert written(tmp_path / "x", form="dataset", partition=partition) == len(ROWS)
    key = ("target", "filter", "observation_id")
    for found in (
        pa_dataset.dataset(tmp_path / "x", partitioning="hive").to_table().to_pylist(),
        pl.read_parquet(tmp_path / "x" / "**" / "*.parquet", hive_partitioning=True).to_dicts(),
        duckdb.sql(f"SELECT * FROM read_parquet('{tmp_path}/x/**/*.parquet', hive_partitioning = true)").to_arrow_table().to_pylist(),
    ):
        assert_same(sorted(found, key=lambda row: [row[name] for name in key]), sorted(ROWS, key=lambda row: [row[name] for name in key]))


def test_the_cells_of_a_dataset_are_those_of_its_targets(tmp_path):
    written(tmp_path / "x", form="dataset", partition="healpix:3")
    cells = {folder.name for folder in (tmp_path / "x").iterdir() if folder.is_dir()}
    assert cells == {f"healpix={int(pixel_at(3, one.ra, one.dec))}" for one in (RR, PHI)}


def test_a_partition_that_is_none_is_refused(tmp_path):
    for partition in ("night", "healpix:99", "healpix:x"):
        with pytest.raises(UsageError, match="no partition"):
            written(tmp_path / "x", form="dataset", partition=partition)
    assert list(tmp_path.glob("*x*")) == []


def test_bhtom_has_its_columns_and_marks_limits_by_an_error_of_minus_one(tmp_path):
    with pytest.warns(LeftOut, match="1 without a magnitude"):
        assert written(tmp_path / "x.csv", ONE_TARGET, form="bhtom") == 4
    found = pd.read_csv(tmp_path / "x.csv", sep=";")
    assert list(found) == ["MJD", "Magnitude", "Error", "Facility", "Filter", "Observer"]
    assert found["Magnitude"].tolist() == [ROWS[0]["mag"], ROWS[1]["mag"], ROWS[2]["mag"], ROWS[4]["limiting_mag"]]
    assert found["Error"].tolist() == [ROWS[0]["mag_err"], ROWS[1]["mag_err"], ROWS[2]["mag_err"], -1.0]
    assert found["Observer"][2] == ROWS[2]["observer"]
    assert found["MJD"][2] == pytest.approx(ROWS[2]["time"] + 15 / 86400, abs=1e-9)


def test_a_tom_toolkit_reads_what_is_meant_for_it(tmp_path):
    """As tom_base does: astropy guesses the table, masked values are left out."""
    with pytest.warns(LeftOut):
        assert written(tmp_path / "x.csv", ONE_TARGET, form="tom") == 4
    rows = [{name: plain(value) for name, value in row.items()} for row in rows_of(Table.read(tmp_path / "x.csv", format="ascii"))]
    assert [row["magnitude"] for row in rows] == [ROWS[0]["mag"], ROWS[1]["mag"], ROWS[2]["mag"], None]
    assert [row["limit"] for row in rows] == [None, None, None, ROWS[4]["limiting_mag"]]
    assert [row["source"] for row in rows] == ["GAIA_DR3", "GAIA_DR3", "ZTF_DR", "ZTF_DR"]
    assert rows[3]["time"] == pytest.approx(ROWS[4]["time"] + 15 / 86400, abs=1e-9)


def aavso(text):
    """AAVSO Extended by its specification: parameters after #, then fields divided by the delimiter that they name."""
    lines = text.splitlines()
    head = dict(line[1:].split("=", 1) for line in lines if line.startswith("#") and "=" in line)
    fields = "NAME DATE MAG MERR FILT TRANS MTYPE CNAME CMAG KNAME KMAG AMASS GROUP CHART NOTES".split()
    limits = {"NAME": 30, "DATE": 16, "MAG": 8, "MERR": 6, "FILT": 5}
    rows = [dict(zip(fields, line.split(head["DELIM"]), strict=True)) for line in lines if not line.startswith("#")]
    assert all(len(row[name]) <= most for row in rows for name, most in limits.items())
    return head, rows


def test_aavso_extended_is_what_its_specification_says(tmp_path):
    own = [row | {"source": "own"} for row in ROWS[:5]]
    own[0] |= {"filter": "V(AAVSO)"}
    with pytest.warns(LeftOut, match="1 without a magnitude"):
        assert written(tmp_path / "x.txt", table_of(*own), form="aavso", obscode="ABC") == 4
    head, rows = aavso((tmp_path / "x.txt").read_text("utf-8"))
    assert (head["TYPE"], head["OBSCODE"], head["DATE"], head["SOFTWARE"]) == ("Extended", "ABC", "JD", "harvester x")
    assert [row["FILT"] for row in rows] == ["V", "O", "O", "O"]
    assert [row["MAG"] for row in rows] == ["7.42364", "7.57386", "7.90123", "<20.5123"]
    assert [row["MERR"] for row in rows] == ["0.0012", "0.0012", "0.0123", "na"]
    assert "|FILTER=g(ZTF_DR)|" in rows[2]["NOTES"]
    assert float(rows[2]["DATE"]) == pytest.approx(ROWS[2]["time"] + 2400000.5 + 15 / 86400, abs=1e-8)


def test_photometry_of_surveys_is_not_for_the_aavso_and_a_name_must_fit(tmp_path):
    with pytest.warns(LeftOut, match="own"):
        written(tmp_path / "x.txt", table_of(ROWS[0]), form="aavso")
    with pytest.raises(UsageError, match="no place for the name"):
        written(tmp_path / "y.txt", table_of(ROWS[5]), form="aavso")
    assert not (tmp_path / "y.txt").exists()


@pytest.mark.parametrize(("form", "inside", "columns"), [("pylima", "", (0, 1, 2)), ("rtmodel", "Data/", (2, 0, 1))])
def test_three_columns_per_filter_are_read_as_numbers(tmp_path, form, inside, columns):
    with pytest.warns(LeftOut, match="2 upper limits, 1 without a magnitude, 1 without an error"):
        assert written(tmp_path / "out", form=form) == 4
    time, mag, err = (np.loadtxt(tmp_path / "out" / "RR_Lyr" / f"{inside}G_GAIA_DR3.dat")[:, place] for place in columns)
    offset = 2_450_000 if form == "rtmodel" else 0
    assert time + offset == pytest.approx([ROWS[0]["bjd_tdb"], ROWS[1]["bjd_tdb"]], abs=1e-8)
    assert (mag.tolist(), err.tolist()) == ([ROWS[0]["mag"], ROWS[1]["mag"]], [ROWS[0]["mag_err"]] * 2)
    assert sum(1 for _ in (tmp_path / "out").rglob("*.dat")) == 3


def test_rtmodel_gets_the_coordinates_of_the_event(tmp_path):
    with pytest.warns(LeftOut):
        written(tmp_path / "out", form="rtmodel")
    assert (tmp_path / "out" / "RR_Lyr" / "Data" / "RR_Lyr.coordinates").read_text() == "19:25:27.913 +42:47:03.69\n"


@pytest.mark.parametrize("form", ["bhtom", "tom", "sncosmo", "snana"])
def test_a_format_without_names_of_targets_takes_one_target(tmp_path, form):
    with pytest.raises(UsageError, match="RR Lyr"):
        written(tmp_path / "x", form=form)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("form", "time"), [("bhtom", "bjd_tdb"), ("aavso", "survey"), ("rtmodel", "mjd"), ("snana", "bjd_tdb")])
def test_a_time_that_readers_would_take_for_another_is_refused(form, time):
    with pytest.raises(UsageError, match="cannot hold the time"):
        time_of(form, time)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore::harvester.export.LeftOut")
def test_a_failed_export_leaves_nothing_and_what_was_there_untouched(tmp_path, form):
    rows = table_of(*ROWS[:1])
    written(tmp_path / "x", rows, form=form)
    before = sorted((str(path), path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())

    class Failing:
        schema = TABLE.schema

        def to_batches(self, _):
            yield from rows.to_batches()
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="cannot be written"):
        written(tmp_path / "x", Failing(), form=form)
    assert sorted((str(path), path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.filterwarnings("ignore::harvester.export.LeftOut")
def test_what_is_streamed_is_what_is_written(tmp_path, form, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    own = table_of(*(row | {"source": "own"} for row in ROWS[:5]))
    assert written("-", own, form=form) == written(tmp_path / "x", own, form=form)
    assert stream.buffer.getvalue() == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_of_nothing_is_a_file_that_can_be_read(tmp_path, form):
    assert written(tmp_path / "x", table_of(), form=form) == 0
    readers = {"ecsv": "ascii.ecsv", "votable": "votable", "fits": "fits"}
    if form in readers:
        assert len(Table.read(tmp_path / "x", format=readers[form])) == 0
    if form in {"parquet", "nested"}:
        assert pq.read_table(tmp_path / "x").num_rows == 0


def test_files_of_several_are_no_stream():
    with pytest.raises(UsageError, match="several files"):
        written("-", form="dataset")


def test_a_folder_that_is_not_an_export_of_ours_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ExportError, match="no export of ours"):
        written(tmp_path / "mine", form="dataset")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_an_export_of_ours_is_replaced_whole(tmp_path):
    written(tmp_path / "x", form="dataset")
    written(tmp_path / "x", table_of(*ROWS[:5]), form="dataset")
    assert {path.name for path in (tmp_path / "x").iterdir()} == {"_harvester.json", "target=RR%20Lyr"}


@pytest.mark.parametrize("form", EVERYTHING)
@pytest.mark.filterwarnings("ignore::harvester.export.LeftOut")
def test_simulated_data_say_so(tmp_path, form):
    written(tmp_path / "x", form=form, about=ABOUT | {"data": "simulated"})
    files = [tmp_path / "x"] if (tmp_path / "x").is_file() else list((tmp_path / "x").rglob("*.*"))
    assert all(b"simulated" in file.read_bytes() for file in files)


@pytest.mark.parametrize("form", sorted(set(FORMATS) - set(EVERYTHING)))
@pytest.mark.filterwarnings("ignore::harvester.export.LeftOut")
def test_simulated_data_say_so_in_formats_without_a_place_for_it(tmp_path, form):
    written(tmp_path / "x", table_of(*ROWS[:1]), form=form, about=ABOUT | {"data": "simulated"})
    files = [tmp_path / "x"] if (tmp_path / "x").is_file() else list((tmp_path / "x").rglob("*.dat"))
    assert files
    assert all("simulated" in file.read_text("utf-8") for file in files)


def test_memory_stays_with_the_batches(tmp_path):
    """A row group of 64 Ki rows at a time, however many come: nothing holds the whole."""
    import tracemalloc

    one = table_of(*(ztf(RR, number, mag=18.0, mag_err=0.1, flux=229.0, flux_err=20.0) for number in range(1000)))
    for form in ("votable", "ecsv", "jsonl", "bhtom", "aavso"):
        peaks = []
        for times in (2, 12):
            tracemalloc.start()
            with pytest.warns(LeftOut) if form == "aavso" else pytest.MonkeyPatch.context():
                written(tmp_path / "x", pa.concat_tables([one] * times), form=form, batch=1000)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0], form


def test_text_that_needs_no_quotes_has_none(tmp_path):
    written(tmp_path / "x.csv", table_of(gaia(RR, 1, 7.0)), form="bhtom")
    assert '"' not in (tmp_path / "x.csv").read_text("utf-8")
    assert next(csv.reader((tmp_path / "x.csv").read_text("utf-8").splitlines(), delimiter=";"))[0] == "MJD"
