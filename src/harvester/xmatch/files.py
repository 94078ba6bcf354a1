"""Tables in files, read piece by piece in bounded memory: Parquet, CSV, FITS, VOTable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
from pyarrow import parquet

from harvester.errors import UsageError
from harvester.xmatch.columns import NULL_WORDS, arrow
from harvester.xmatch.votable import votable_pieces

ROWS = 1 << 17
"""Rows in a piece."""
BLOCK = 1 << 23
RA = ("ra", "_ra", "raj2000", "_raj2000", "ra_icrs", "_raicrs", "radeg", "ra_deg", "ramean", "alpha_j2000", "target_ra")
DEC = ("dec", "de", "_de", "dej2000", "_dej2000", "de_icrs", "_deicrs", "dedeg", "dec_deg", "decmean", "delta_j2000", "target_dec")
"""Names that columns of positions have; case does not count. Those of VizieR, Gaia, Pan-STARRS and SExtractor are among them."""


@dataclass(frozen=True)
class TableFile:
    """A table with positions (ICRS degrees) in a file; `ra`, `dec` name its columns, empty ones are found by their usual names.

    Raises UsageError for a file that cannot be read, and for columns that it does not have.
    """

    path: Path
    ra: str = ""
    dec: str = ""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in READERS:
            raise UsageError(f"'{self.path}' is no table that can be read.", hint=f"Known are {', '.join(READERS)}.")
        object.__setattr__(self, "names", tuple(self._schema().names))
        for word, known in (("ra", RA), ("dec", DEC)):
            object.__setattr__(self, word, self._named(getattr(self, word), known, word))

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows, some 10^5 at a time: `columns` (all of them if None) and the positions, these as float64."""
        rest = [self.named(name) for name in columns] if columns is not None else list(self.names)
        for piece in self._read(list(dict.fromkeys([*rest, self.ra, self.dec]))):
            yield self._placed(piece)

    def named(self, name: str) -> str:
        """Return a column by its name, whose case does not count. Raises UsageError, with the nearest."""
        found = next((known for known in self.names if known == name), None)
        found = found or next((known for known in self.names if known.lower() == name.lower()), None)
        if found is None:
            near = get_close_matches(name, self.names, n=1)
            hint = f"Did you mean '{near[0]}'?  " if near else ""
            raise UsageError(f"'{self.path}' has no column '{name}'.", hint=f"{hint}It has: {', '.join(self.names[:12])}")
        return found

    @cached_property
    def _reader(self) -> Callable[[Path, Sequence[str] | None], Iterator[pa.Table]]:
        return READERS[self.path.suffix.lower()]

    def _schema(self) -> pa.Schema:
        first = next(self._read(None), None)
        if first is None:
            raise UsageError(f"'{self.path}' holds no table.")
        return first.schema

    def _read(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        try:
            yield from self._reader(self.path, columns)
        except (OSError, ValueError, TypeError, pa.ArrowException) as error:
            why = getattr(error, "strerror", None) or str(error).partition("\n")[0][:150]
            raise UsageError(f"'{self.path}' cannot be read.", str(why)) from error

    def _named(self, given: str, usual: Sequence[str], word: str) -> str:
        if given:
            return self.named(given)
        folded = {name.lower(): name for name in reversed(self.names)}
        found = next((folded[name] for name in usual if name in folded), None)
        if found is None:
            raise UsageError(
                f"'{self.path}': which column is the {'right ascension' if word == 'ra' else 'declination'}?",
                f"It has: {', '.join(self.names[:12])}",
                f"Say it:  --{word} COLUMN, or --catalog-{word} COLUMN for the catalogue",
            )
        return found

    def _placed(self, piece: pa.Table) -> pa.Table:
        try:
            for name in (self.ra, self.dec):
                piece = piece.set_column(piece.column_names.index(name), name, piece[name].cast(pa.float64(), safe=False))
        except pa.ArrowException as error:
            hint = "Positions are in degrees. Name the columns: --ra COLUMN --dec COLUMN"
            raise UsageError(f"'{self.path}': {name} is no number everywhere.", str(error).partition("\n")[0][:120], hint) from error
        return piece


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    with parquet.ParquetFile(path) as file:
        if columns is None:
            yield file.schema_arrow.empty_table()
            return
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            yield pa.Table.from_batches([batch])


def _csv(path: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read all as text: a type guessed from the first rows would fail in the last."""
    delimiter = "\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","
    parse, read = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=False), pa_csv.ReadOptions(block_size=BLOCK)
    with pa_csv.open_csv(path, read_options=read, parse_options=parse) as head:
        names = head.schema.names
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=list(columns) if columns is not None else None,
        strings_can_be_null=True,
        null_values=NULL_WORDS,
    )
    with pa_csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as reader:
        if columns is None:
            yield reader.schema.empty_table()
            return
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _fits(path: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    from astropy.io import fits

    with fits.open(path, memmap=True) as file:
        found = next((part for part in file if isinstance(part, fits.BinTableHDU | fits.TableHDU)), None)
        if found is None:
            raise ValueError("it holds no table")
        names = found.columns.names if columns is None else list(columns)
        rows = 1 if columns is None else len(found.data)
        for start in range(0, rows, ROWS):
            piece = found.data[start : start + ROWS]
            yield arrow(names, [piece[name] for name in names])


def _votable(path: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    for piece in votable_pieces(path):
        yield piece if columns is None else piece.select(list(columns))


READERS: dict[str, Callable[[Path, Sequence[str] | None], Iterator[pa.Table]]] = {
    **dict.fromkeys((".parquet", ".pq"), _parquet),
    **dict.fromkeys((".csv", ".tsv"), _csv),
    **dict.fromkeys((".vot", ".votable", ".xml"), _votable),
    **dict.fromkeys((".fits", ".fit"), _fits),
}
"""By the ending of the file's name."""
