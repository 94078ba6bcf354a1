"""VOTables are read in pieces, and a piece is what the whole would be; what was cut off, or left out by its maker, is said."""

import io
import warnings

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable.tree import VOTableFile
from astropy.table import MaskedColumn, Table

from harvester.xmatch import votable
from harvester.xmatch.columns import read_votable
from harvester.xmatch.votable import votable_pieces

ROWS = 5000
FORMATS = ("tabledata", "binary", "binary2")


def made(rows=ROWS, *, texts=False):
    number = np.arange(rows)
    table = Table({"source_id": number + 2**60, "ra": number / rows * 360.0, "dec": number / rows * 80.0 - 40.0})
    table["mag"] = MaskedColumn((number % 17).astype("f4") + np.float32(0.1), mask=number % 7 == 0)
    table["flag"] = MaskedColumn((number % 3).astype("i2"), mask=number % 5 == 0)
    if texts:
        table["name"] = [f"star <{one}> & co" for one in number]
    return table


def written(table, kind):
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "binary":  # it has no null for whole numbers
            table["flag"] = table["flag"].filled(9)
        document = VOTableFile.from_table(table)
        document.to_xml(out, tabledata_format=kind)
    return out.getvalue()


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(votable, "STEP", 4096)


def pieces(tmp_path, body, **how):
    (tmp_path / "t.vot").write_bytes(body)
    return list(votable_pieces(tmp_path / "t.vot", **how))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("texts", [False, True])
def test_the_pieces_together_are_the_whole(tmp_path, small_steps, kind, texts):
    body = written(made(texts=texts), kind)
    found = pieces(tmp_path, body, rows=64)
    assert pa.concat_tables(found).equals(read_votable(io.BytesIO(body))[0])
    assert len(found) > 10 or (texts and kind != "tabledata"), "texts of free length in BINARY are read whole"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_without_rows_has_its_columns(tmp_path, kind):
    (found,) = pieces(tmp_path, written(made(0), kind))
    assert (found.num_rows, found.column_names) == (0, ["source_id", "ra", "dec", "mag", "flag"])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_file_that_was_cut_off_is_an_error(tmp_path, small_steps, kind, share):
    body = written(made(), kind)
    with pytest.raises(ValueError, match=r"cut off|broken|element|token|padding"):
        pieces(tmp_path, body[: int(len(body) * share)])


@pytest.mark.parametrize(("value", "why"), [("OVERFLOW", "left out rows"), ("ERROR", "error that a service told")])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_what_the_service_says_of_the_table_is_heard_before_and_behind_it(tmp_path, small_steps, value, why, place):
    body = written(made(), "tabledata")
    info = f'<INFO name="QUERY_STATUS" value="{value}">too many</INFO>'.encode()
    body = body.replace(b"</TABLE>", b"</TABLE>" + info) if place == "behind" else body.replace(b"<TABLE", info + b"<TABLE", 1)
    with pytest.raises(ValueError, match=why):
        pieces(tmp_path, body)


def test_prefixes_and_comments_do_not_matter(tmp_path):
    body = written(made(50), "tabledata")
    plain = read_votable(io.BytesIO(body))[0]
    commented = body.replace(b"<TABLEDATA>", b"<!-- <TABLEDATA> --><TABLEDATA>")
    assert pa.concat_tables(pieces(tmp_path, commented)).equals(plain)


def test_what_is_no_votable_is_an_error(tmp_path):
    for body in (b"", b"<html><body>Down</body></html>", b"ra,dec\n1,2\n"):
        with pytest.raises((ValueError, OSError)):
            pieces(tmp_path, body)


def test_a_dry_run_of_a_match_shows_the_request_and_sends_none(harvest, emulator, tmp_path):
    (tmp_path / "mine.csv").write_text("id,ra,dec\n1,10.0,20.0\n2,10.5,20.5\n")
    emulator.requests.clear()
    assert harvest("xmatch --catalog vizier:II/246/out --table mine.csv --radius 3 -n") == 0
    assert harvest.out.startswith("POST http")
    assert "cdsxmatch.cds.unistra.fr/xmatch/api/v1/sync request=xmatch" in harvest.out
    assert "distMaxArcsec=3" in harvest.out
    assert "2 positions would be sought in vizier:II/246/out: 1 request or more. Nothing was sent" in harvest.err
    assert harvest("xmatch --catalog mine.csv --table mine.csv -n") == 0
    assert harvest.out == ""
    assert "no request" in harvest.err
    assert harvest("xmatch --catalog gaia --target nobody -n") == 1
    assert "there is no store" in harvest.err
    assert harvest('targets add --target "10 20"') == 0
    assert harvest("xmatch --catalog gaia --target nobody -n") == 2
    assert harvest("xmatch --catalog gaia --table mine.csv --radius 200 -n") == 2
    assert not emulator.requests


def test_a_votable_that_its_service_cut_off_is_no_catalogue(harvest, tmp_path):
    body = written(made(20), "tabledata").replace(b"</TABLE>", b'</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    (tmp_path / "part.vot").write_bytes(body)
    (tmp_path / "mine.csv").write_text("id,ra,dec\n1,10.0,20.0\n")
    assert harvest("xmatch --catalog part.vot --table mine.csv") == 2
    assert "left out rows" in harvest.err
