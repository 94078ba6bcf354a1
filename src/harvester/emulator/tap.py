"""TAP 1.1 as a service speaks it: synchronous and asynchronous queries, uploads, and the documents that describe the service.

An Archive is made of tables that are filled from the simulated sky; what a query may see of the sky is bounded by its constants
(adql.Constants).
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from harvester.emulator import uws, vosi, votable
from harvester.emulator.adql import Column, Result, Table, run
from harvester.emulator.tokens import AdqlError, Constants, constants, respelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harvester.emulator.app import Handler, Request, Response
    from harvester.emulator.sky import Sky

ADQL_TYPES = {
    "long": "BIGINT", "int": "INTEGER", "short": "SMALLINT", "double": "DOUBLE", "float": "REAL", "char": "VARCHAR", "boolean": "BOOLEAN",
}  # fmt: skip
VOTABLE_TYPES = {"i": "long", "u": "long", "f": "double", "b": "boolean"}


@dataclass(frozen=True)
class Key:
    """A foreign key, as TAP_SCHEMA lists it: table and column, which refer to another table and column."""

    from_table: str
    from_column: str
    target_table: str
    target_column: str


@dataclass(frozen=True)
class Form:
    """What a TAP request holds: parameters by lower-case name (the last of repeated ones wins), and uploaded files by name."""

    params: Mapping[str, str]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Archive:
    """One TAP service.

    `path` is its base ("/tap-server/tap"), `tables` gives its tables for a sky and the constants of a query, `most_rows` is its hard limit,
    `usual_rows` the limit of a query that asks for none, `most_uploaded` the rows of an upload (0: none are taken). Tables of the schema
    `bare` are listed without its name. `spell` writes the texts of a query as the tables have them (SIMBAD takes a name in many spellings).
    """

    path: str
    title: str
    tables: Callable[[Sky, Constants], Sequence[Table]]
    most_rows: int
    usual_rows: int
    most_uploaded: int = 0
    keys: tuple[Key, ...] = ()
    bare: str = ""
    spell: Callable[[Sky, str], str] = lambda _, text: text

    def routes(self) -> dict[str, Handler]:
        """Return the handlers of the service by path, for a module's ROUTES."""
        return {
            f"{self.path}/sync": self.sync,
            f"{self.path}/async/*": lambda request: uws.serve(request, read_form(request), self._answer, f"{self.path}/async"),
            f"{self.path}/tables": lambda request: vosi.tables(self._all(request.sky), self.listed, request.first("tables")),
            f"{self.path}/capabilities": lambda request: vosi.capabilities(self, request.root + self.path),
            f"{self.path}/availability": lambda _: vosi.availability(),
        }

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Return what a module's METHODS needs: jobs can be deleted."""
        return {f"{self.path}/async/*": ("GET", "HEAD", "POST", "DELETE")}

    def sync(self, request: Request) -> Response:
        """Answer a synchronous query; an error is a VOTable with status 400."""
        try:
            return self._answer(request.sky, read_form(request))
        except AdqlError as error:
            return votable.error_document(str(error))

    def listed(self, table: Table) -> str:
        """Return the name under which TAP_SCHEMA lists a table."""
        return table.name.removeprefix(f"{self.bare}.") if self.bare else table.name

    def _answer(self, sky: Sky, form: Form) -> Response:
        """Run the query of a form. Raises AdqlError."""
        query = form.params.get("query", "")
        if form.params.get("request", "doQuery") != "doQuery" or not form.params.get("lang", "ADQL").upper().startswith("ADQL"):
            raise AdqlError("Only REQUEST=doQuery with LANG=ADQL is served.")
        if not query.strip():
            raise AdqlError("Mandatory parameter QUERY is missing.")
        words = form.params.get("responseformat") or form.params.get("format") or "votable"
        if words.casefold() not in votable.FORMATS:
            raise AdqlError(f"Unsupported format: {words}")
        result = self._run(sky, query, form)
        return votable.serialise(result, words, infos=(("QUERY", query),))

    def _run(self, sky: Sky, query: str, form: Form) -> Result:
        limit = form.params.get("maxrec", "") or str(self.usual_rows)
        if not limit.isdigit():
            raise AdqlError(f"MAXREC must be a whole number, not {limit!r}.")
        uploads = list(self._uploaded(form))
        query = respelled(query, lambda text: self.spell(sky, text))
        texts = tuple(value for table in uploads for row in table.rows() for value in row if isinstance(value, str))
        tables = [*self.tables(sky, replace(constants(query), uploaded=texts)), *uploads]
        return run(query, [*tables, *tap_schema(self, tables)], maxrec=min(int(limit), self.most_rows))

    def _all(self, sky: Sky) -> list[Table]:
        tables = self.tables(sky, Constants())
        return [*tables, *tap_schema(self, tables)]

    def _uploaded(self, form: Form) -> Iterator[Table]:
        for item in filter(None, form.params.get("upload", "").split(";")):
            name, _, place = item.partition(",")
            content = form.files.get(place.removeprefix("param:"))
            if content is None or not self.most_uploaded:
                raise AdqlError(f"Upload {name!r} refused: only files in the request itself are taken, if any.")
            yield read_upload(f"TAP_UPLOAD.{name}", content)


def read_form(request: Request) -> Form:
    """Read the parameters and files of a request, also of a multipart body."""
    params = {name.lower(): value for name, value in request.params}
    files = dict(_parts(request.body)) if request.body.startswith(b"--") else {}
    texts = {name.lower(): content.decode("utf-8", "replace") for name, content in files.items()}
    return Form({**texts, **params}, files)


def _parts(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the parts of a multipart body, whose first line is its boundary."""
    boundary = body.partition(b"\r\n")[0].removeprefix(b"--")
    message = message_from_bytes(b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n' + body)
    for part in message.walk():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content


def read_upload(name: str, content: bytes) -> Table:
    """Make a table of an uploaded VOTable. Raises AdqlError if it is none."""
    from astropy.table import Table as AstropyTable

    try:
        table = AstropyTable.read(io.BytesIO(content), format="votable")
    except (ValueError, TypeError, OSError, IndexError) as error:
        raise AdqlError(f"The upload {name} is not a VOTable: {error}") from error
    columns = tuple(Column(each, VOTABLE_TYPES.get(table[each].dtype.kind, "char")) for each in table.colnames)
    values = [table[each].tolist() for each in table.colnames]
    return Table(name, columns, lambda: zip(*values, strict=True))


def tap_schema(archive: Archive, tables: Sequence[Table]) -> list[Table]:
    """Return the tables that describe tables (TAP 1.1, section 4)."""
    made = [(name, tuple(Column(*column.split(":")) for column in columns.split())) for name, columns in SCHEMA_COLUMNS.items()]
    listed = [*tables, *(Table(f"tap_schema.{name}", columns, list) for name, columns in made)]
    rows: dict[str, list[tuple[Any, ...]]] = {
        "schemas": [(name, "", "") for name in dict.fromkeys(table.name.partition(".")[0] for table in listed)],
        "tables": [(t.name.partition(".")[0], archive.listed(t), "table", "", t.description) for t in listed],
        "columns": [
            (archive.listed(t), c.name, ADQL_TYPES[c.datatype], None, c.unit or None, c.ucd or None, c.description, 1, 0, 1, n)
            for t in listed
            for n, c in enumerate(t.columns)
        ],
        "keys": [(f"key{n}", key.from_table, key.target_table, "", "") for n, key in enumerate(archive.keys)],
        "key_columns": [(f"key{n}", key.from_column, key.target_column) for n, key in enumerate(archive.keys)],
    }
    return [_filled(name, columns, rows[name]) for name, columns in made]


def _filled(name: str, columns: tuple[Column, ...], rows: list[tuple[Any, ...]]) -> Table:
    return Table(f"tap_schema.{name}", columns, lambda: rows, "description of the tables of this service")


SCHEMA_COLUMNS = {
    "schemas": "schema_name:char description:char utype:char",
    "tables": "schema_name:char table_name:char table_type:char utype:char description:char",
    "columns": "table_name:char column_name:char datatype:char arraysize:char unit:char ucd:char description:char"
    " principal:int indexed:int std:int column_index:int",
    "keys": "key_id:char from_table:char target_table:char description:char utype:char",
    "key_columns": "key_id:char from_column:char target_column:char",
}
