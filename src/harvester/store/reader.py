"""A process of its own that reads an SQLite store through ADBC and writes what it finds to standard output, as an Arrow stream.

ADBC is the fastest reader, but brings a second SQLite library, and two of these must never have one file open in one process: closing one drops
the locks of the other. So this runs apart, only reads, and imports nothing of harvester. Usage: `python -P reader.py FILE SQL`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROWS_PER_BATCH = 65_536


def main(file: str, sql: str) -> None:
    """Write the rows that a query finds in a store."""
    import pyarrow as pa
    from adbc_driver_sqlite import dbapi

    uri = f"{Path(file).resolve().as_uri()}?mode=ro"
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(ROWS_PER_BATCH)})
        cursor.execute(sql)
        found = cursor.fetch_record_batch()
        with pa.ipc.new_stream(sys.stdout.buffer, found.schema) as stream:
            for batch in found:
                stream.write_batch(batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
