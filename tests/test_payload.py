import io
import zipfile

import pyarrow as pa
import pytest

from harvester.errors import Malformed
from harvester.payload import Payload, integer, mapped, number, read_members, read_table, text, truth


def payload(body):
    return Payload(body, source="test")


def column(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind or pa.string())])


def test_csv_is_read_as_text_and_keeps_every_digit():
    table = read_table(payload(b"OID, Mag\n675103300002930999,18.6746521\n675103300002931000,null\n"))
    assert table.column_names == ["oid", "mag"]
    assert table["oid"].to_pylist() == ["675103300002930999", "675103300002931000"]
    assert table["mag"].to_pylist() == ["18.6746521", None]


def test_an_empty_body_is_an_empty_table_with_the_columns_wanted():
    assert read_table(payload(b" \n"), "a", "b").column_names == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><body>Down</body></html>",
        b"\n\n<HTML>maintenance</HTML>",
        b"Service Unavailable: try later, please\nsorry\n",
        b"a,b\n1,2,3\n",
        b"a,a\n1,2\n",
        b"\x00\x01\x02\x03",
        b'<VOTABLE version="1.4"><RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">no table</INFO></RESOURCE></VOTABLE>',
        b'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="int"/><DATA><TABLEDATA><TR><TD>1</TD>',
    ],
)
def test_what_is_no_table_is_malformed_and_keeps_its_payload(body):
    with pytest.raises(Malformed) as error:
        read_table(payload(body), "a")
    assert len(error.value.lines()) <= 3


def test_missing_columns_are_named():
    with pytest.raises(Malformed, match="magerr"):
        read_table(payload(b"oid,mag\n1,2\n"), "oid", "magerr")


def test_a_service_that_says_error_in_a_votable_is_quoted():
    body = b'<VOTABLE version="1.4"><RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">unknown table: x</INFO></RESOURCE></VOTABLE>'
    with pytest.raises(Malformed, match="unknown table: x"):
        read_table(payload(body))


def test_members_of_a_zip_are_read_one_by_one_and_a_cut_zip_is_malformed():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("sub/EPOCH-Gaia DR3 1.csv", "a\n1\n")
        archive.writestr("EPOCH-Gaia DR3 2.csv", "a\n2\n")
    whole = stream.getvalue()
    assert [(name, table["a"].to_pylist()) for name, table in read_members(payload(whole))] == [
        ("sub/EPOCH-Gaia DR3 1.csv", ["1"]),
        ("EPOCH-Gaia DR3 2.csv", ["2"]),
    ]
    for length in (len(whole) // 3, len(whole) - 5):
        with pytest.raises(Malformed):
            list(read_members(payload(whole[:length])))


def test_a_zip_with_a_flipped_byte_is_malformed():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", "a\n" + "12345\n" * 1000)
    body = bytearray(stream.getvalue())
    body[45] ^= 0xFF
    with pytest.raises(Malformed):
        list(read_members(payload(bytes(body))))


def test_what_is_no_number_becomes_infinite_and_null_stays_null():
    assert number(column(" 1.5", "1e-3", None, "12x", "inf", "0x10")).to_pylist() == [1.5, 0.001, None, *[float("inf")] * 3]


def test_whole_numbers_may_be_hexadecimal():
    assert integer(column("0x2", "516", None, "0x8000", "007", "32768.0")).to_pylist() == [2, 516, None, 32768, 7, 32768]


def test_what_is_no_whole_number_is_not_known():
    assert integer(column("4.5", "junk", "0xzz", "-1")).to_pylist() == [None] * 4


def test_truth_is_read_in_every_spelling_and_null_is_false():
    assert truth(column("true", "False", "T", "0", "1", None)).to_pylist() == [True, False, True, False, True, False]
    assert truth(column(True, None, kind=pa.bool_())).to_pylist() == [True, False]


def test_words_are_translated_and_unknown_ones_stay():
    assert mapped(column("zg", " zr ", "zz"), {"zg": "g", "zr": "r"}).to_pylist() == ["g", "r", "zz"]


def test_ids_become_text_without_passing_a_float():
    assert text(column(9223372036854775807, kind=pa.int64())).to_pylist() == ["9223372036854775807"]


def test_float32_of_a_votable_keeps_the_digits_that_were_meant():
    body = (
        b'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="mag" datatype="float"/><FIELD name="id" datatype="long"/>'
        b"<DATA><TABLEDATA><TR><TD>17.72</TD><TD>675103300002930999</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    table = read_table(payload(body))
    assert table["mag"].to_pylist() == [17.72]
    assert text(table["id"]).to_pylist() == ["675103300002930999"]
