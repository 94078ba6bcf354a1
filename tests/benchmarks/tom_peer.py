"""The peer's side, run by the peer's own Python: rows (JSON lines) into TOM Toolkit's ReducedDatum, on SQLite.

`bulk_create` of one JSON row per point is the fastest that Django can do, and checks nothing; `save` of TOM's own class for photometry
validates each against duplicates. Prints as JSON the CPU seconds per row of both, and the bytes of a row.
Run it: `python tom_peer.py ROWS.jsonl DATABASE ROWS_TO_SAVE`.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import django
from django.conf import settings
from tom_common.default_settings import TOMTOOLKIT_INSTALLED_APPS, TOMTOOLKIT_MIDDLEWARE

BATCH = 5000


def main(source, database, to_save):
    settings.configure(
        INSTALLED_APPS=TOMTOOLKIT_INSTALLED_APPS,
        MIDDLEWARE=TOMTOOLKIT_MIDDLEWARE,
        ROOT_URLCONF="tom_common.urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        USE_TZ=True,
        SITE_ID=1,
        SECRET_KEY="a benchmark has none",
        TARGET_TYPE="SIDEREAL",
        HOOKS={},
        EXTRA_FIELDS=[],
        MATCH_MANAGERS={},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        AUTHENTICATION_BACKENDS=("django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend"),
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    rows = [json.loads(line) for line in Path(source).read_text().splitlines()]
    json.dump(measured(rows, to_save), sys.stdout)


def measured(rows, to_save):
    from django.db import connection, transaction
    from tom_dataproducts.models import PhotometryReducedDatum, ReducedDatum
    from tom_targets.models import Target

    target = Target.objects.create(name="star", type="SIDEREAL", ra=10.0, dec=20.0)
    bulk_s = timed(lambda: ReducedDatum.objects.bulk_create([datum(ReducedDatum, target, row) for row in rows], batch_size=BATCH))
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%reduceddatum%'")
        size = cursor.fetchone()[0]
    with transaction.atomic():
        save_s = timed(lambda: [point(PhotometryReducedDatum, target, row).save() for row in rows[:to_save]])
    return {"bulk_s": bulk_s / len(rows), "save_s": save_s / to_save, "bytes": size / len(rows)}


def datum(model, target, row):
    return model(target=target, data_type="photometry", source_name=row["source"], timestamp=moment(row), value=row)


def point(model, target, row):
    measured = {"brightness": row.get("mag"), "brightness_error": row.get("mag_err"), "limit": row.get("limiting_mag")}
    return model(target=target, source_name=row["source"], timestamp=moment(row), bandpass=row["filter"], value=row, **measured)


def moment(row):
    return datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=row["time"])


def timed(work):
    start = process_time()
    work()
    return process_time() - start


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
