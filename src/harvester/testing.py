"""The specification of a source, as tests: every source against every recording of it.

An outsider's plug-in is tested by one import, in a file beside a folder `recordings/<source>/`:

    from harvester.testing import *

A recording is `<case>.<ext>`, a body in the service's format; `<case>.expected.csv` beside it is what it must become, and `<case>.json`, if there,
says what the body cannot: {"target": {"ra": .., "dec": ..}, "objects": [..], "url": ".."}. `python -m harvester.testing recordings` writes the
expected tables anew, to be reviewed as a diff.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from harvester.delivery import deliver, with_bjd_tdb
from harvester.errors import Malformed
from harvester.layout import columns_of
from harvester.payload import Payload, SkyObject
from harvester.schema import SCHEMA, SURVEY_COLUMNS
from harvester.source import Source, columns_file, describe, find, layouts, load
from harvester.target import Target

__all__ = [
    "pytest_generate_tests",
    "test_a_damaged_body_is_refused_or_gives_no_wrong_row",
    "test_a_page_in_place_of_data_is_malformed",
    "test_a_recording_becomes_its_expected_table",
    "test_an_empty_body_is_an_empty_table",
    "test_limits_are_declared_as_the_recordings_have_them",
    "test_normalise_is_pure",
    "test_the_columns_of_the_recordings_are_written_down",
    "test_the_file_tells_what_an_astronomer_needs",
    "test_the_source_declares_what_the_core_needs",
]

EXPECTED = ".expected.csv"
FACTS = ("release", "manual", "time", "magnitude", "missing", "cite")
BIBCODE = re.compile(r"\d{4}[A-Za-z&.]{2,}[\w.&]*")
PAGE = b"<!DOCTYPE html><html><head><title>Down for maintenance</title></head><body><h1>Service unavailable</h1></body></html>"
SIGMAS = re.compile(r"(\d+(?:\.\d+)?) sigma\b")
DAY_DIGITS = 2e-9
RELATIVE = 1e-11


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded answer of one source."""

    source: str
    path: Path

    @property
    def expected(self) -> Path:
        """The table that it must become."""
        return self.path.with_name(self.path.stem + EXPECTED)

    @property
    def payload(self) -> Payload:
        """The answer, with what is known beside it."""
        objects = tuple(SkyObject(**thing) for thing in self._beside.get("objects", ()))
        return Payload(self.path.read_bytes(), url=self._beside.get("url", self.path.name), source=self.source, objects=objects)

    @property
    def target(self) -> Target:
        """Where the light curve was asked for."""
        return Target("recorded", **self._beside.get("target", {"ra": 0.0, "dec": 0.0}))

    @property
    def _beside(self) -> dict[str, Any]:
        path = self.path.with_name(self.path.stem + ".json")
        beside: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return beside

    def table(self) -> pa.Table:
        """Return what the recording becomes today: conformed rows with BJD_TDB, and rejected ones with their reason."""
        source = load(self.source)
        delivery = deliver(source, [self.payload])
        rows = with_bjd_tdb(delivery.rows, self.target, source.systems()).select(SCHEMA.names)
        rows = rows.append_column("rejected", pa.nulls(rows.num_rows, pa.string()))
        if delivery.rejected.num_rows:
            rejected = delivery.rejected.rename_columns({"passband": "filter", "reason": "rejected"})
            rows = pa.concat_tables(
                [rows, rejected.select([n for n in rows.column_names if n in rejected.column_names])], promote_options="default"
            )
        return rows.sort_by([("filter", "ascending"), ("time", "ascending"), ("observation_id", "ascending")])

    def columns(self) -> tuple[str, ...] | None:
        """Return the columns that the service sent, None for a body that is neither a table nor an archive of tables, or empty."""
        try:
            return columns_of(self.payload) or None
        except Malformed:
            return None


def recordings(folder: Path) -> Iterator[Recording]:
    """Yield every recording below a folder of recordings."""
    for path in sorted(folder.glob("*/*")):
        if not path.name.endswith(EXPECTED) and path.suffix != ".json" and path.is_file():
            yield Recording(path.parent.name, path)


def pytest_generate_tests(metafunc: Any) -> None:
    """Run each test of the contract for each recording, or each source that has some, beside the test file."""
    found = list(recordings(metafunc.definition.path.parent / "recordings"))
    if "recording" in metafunc.fixturenames:
        metafunc.parametrize("recording", found, ids=[f"{r.source}-{r.path.stem}" for r in found])
    if "source_name" in metafunc.fixturenames:
        metafunc.parametrize("source_name", sorted({recording.source for recording in found}))


def test_a_recording_becomes_its_expected_table(recording: Recording) -> None:
    assert recording.expected.exists(), f"no {recording.expected.name}: python -m harvester.testing recordings"
    table, expected = recording.table(), _read_expected(recording.expected)
    assert table.num_rows == expected.num_rows
    for name in expected.column_names:
        assert _same(table[name], expected[name]), f"column {name} differs from {recording.expected.name}"


def test_normalise_is_pure(recording: Recording) -> None:
    source, payload = load(recording.source), recording.payload
    first = source.normalise(payload)
    assert str(first.to_pylist()) == str(source.normalise(payload).to_pylist())
    assert set(first.column_names) <= set(SURVEY_COLUMNS)
    assert payload == recording.payload


def test_the_columns_of_the_recordings_are_written_down(recording: Recording) -> None:
    seen = recording.columns()
    assert seen is None or seen in layouts(find(recording.source)), "python -m harvester.testing recordings"


def test_a_damaged_body_is_refused_or_gives_no_wrong_row(recording: Recording) -> None:
    source, whole = load(recording.source), recording.payload
    good = deliver(source, [whole]).rows
    cut = whole.about(body=whole.body[: len(whole.body) * 3 // 5])
    try:
        rows = deliver(source, [cut]).rows
    except Malformed:
        return
    known = pa.array(good["observation_id"].to_pylist(), pa.string())
    strangers = pc.sum(pc.invert(pc.is_in(rows["observation_id"], value_set=known))).as_py() or 0
    assert strangers <= 1, "rows that the whole body does not have: only the line that was cut may be one"


def test_a_page_in_place_of_data_is_malformed(source_name: str) -> None:
    source = load(source_name)
    for body in (PAGE, PAGE.replace(b"<!DOCTYPE html>", b"\n  "), b"Internal server error\n\nsome words, and others\n"):
        try:
            source.normalise(Payload(body, source=source_name))
        except Malformed as error:
            assert 1 <= len(error.lines()) <= 3
        else:
            raise AssertionError(f"{body[:30]!r} was taken for data")


def test_an_empty_body_is_an_empty_table(source_name: str) -> None:
    source = load(source_name)
    assert deliver(source, [Payload(b"", source=source_name)]).rows.num_rows == 0


def test_limits_are_declared_as_the_recordings_have_them(source_name: str, request: Any) -> None:
    declared, folder = load(source_name).limits, request.path.parent / "recordings"
    tables = [recording.table() for recording in recordings(folder) if recording.source == source_name]
    limits = pa.concat_tables([table.filter(table["upper_limit"]) for table in tables])
    assert bool(declared) == bool(limits.num_rows), (
        "its `limits` says at how many sigma its upper limits are, and is empty where it has none"
    )
    said = SIGMAS.match(declared)
    assert set(limits["limit_sigma"].to_pylist()) <= {float(said[1]) if said else None}


def test_the_file_tells_what_an_astronomer_needs(source_name: str) -> None:
    about = describe(find(source_name))
    assert about.title
    missing = [fact for fact in FACTS if not about.facts.get(fact)]
    assert not missing, f"the docstring at the head of the file lacks: {missing}"
    assert all(BIBCODE.match(word) for word in about.facts["cite"].split())


def test_the_source_declares_what_the_core_needs(source_name: str) -> None:
    source = load(source_name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", source_name)
    assert re.fullmatch(r"[A-Z0-9_a-z]+", source.survey)
    for survey in source.systems():
        assert source.bands(survey), f"no passband of {survey}: in passbands.toml, or as the source's own"
    assert source.base_url.startswith("http://" if source.plain_http else "https://")
    assert not (source.plain_http and source.credentials)
    assert source.radius > 0
    assert source.batch >= 1
    assert source.takes <= {"cone", "ids", "names"}
    assert source.cite
    assert source.acknowledgement
    assert list(inspect.signature(source.fetch).parameters) == list(inspect.signature(Source.fetch).parameters)[1:]


def _read_expected(path: Path) -> pa.Table:
    kinds = {field.name: field.type for field in SCHEMA} | {"rejected": pa.string()}
    return pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))


def _same(ours: pa.ChunkedArray, expected: pa.ChunkedArray) -> bool:
    """Text to the letter; numbers to the digits in which platforms may differ."""
    if not pa.types.is_floating(expected.type):
        return bool(ours.to_pylist() == expected.to_pylist())
    left, right = (np.array(column.to_numpy(), np.float64) for column in (ours, expected))
    return bool(np.allclose(left, right, rtol=RELATIVE, atol=DAY_DIGITS, equal_nan=True))


def _regenerate(folder: Path) -> None:
    for recording in recordings(folder):
        table = recording.table()
        pa_csv.write_csv(table, recording.expected, pa_csv.WriteOptions(quoting_style="needed"))
        sys.stdout.write(f"{recording.expected}: {table.num_rows} rows\n")
    for name in sorted({recording.source for recording in recordings(folder)}):
        _write_columns(name, [recording.columns() for recording in recordings(folder) if recording.source == name])


def _write_columns(name: str, seen: list[tuple[str, ...] | None]) -> None:
    """Write the columns of a source's recordings beside its file, for `harvest sources check` to compare a live answer with."""
    path, blocks = columns_file(find(name)), dict.fromkeys("\n".join(columns) for columns in seen if columns)
    if blocks:
        path.write_text("\n\n".join(blocks) + "\n", "utf-8")
        sys.stdout.write(f"{path}: {len(blocks)} layouts\n")


if __name__ == "__main__":
    _regenerate(Path(sys.argv[1]))
