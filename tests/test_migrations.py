"""Stores of older versions, filled as those filled them, become today's without losing a row, on both back ends."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from harvester.errors import StoreError
from harvester.store import Store, versions
from harvester.store.connection import Database
from harvester.store.tables import metadata

FILLED = """
INSERT INTO meta (key, value) VALUES ('kind', 'simulated');
INSERT INTO source (id, name) VALUES (1, 'ztf_dr');
INSERT INTO target (id, name, folded, ra, dec, epoch, pmra, pmdec, added)
    VALUES (1, 'RR Lyr', 'rrlyr', 291.3, 42.7, 2000, 0, 0, '2026-01-01T00:00:00.000Z');
INSERT INTO run (id, command, version, started, ended, status)
    VALUES (1, 'fetch', '0.1.0', '2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z', 'partial');
INSERT INTO visit (id, run_id, target_id, source_id, time, outcome, error_kind, message, seconds, source_version, new, revised, known,
    known_elsewhere, quarantined) VALUES (7, 1, 1, 1, '2026-01-01T00:00:00.000Z', 'empty', '', '', 0.5, 'harvester 0.1.0', 0, 0, 0, 0, 0);
INSERT INTO schedule (target_id, source_id, visit_id, last_success, failures, digest) VALUES (1, 1, 7, '2026-01-01T00:00:00.000Z', 0, 'abc');
INSERT INTO payload (id, sha256, size) VALUES (3, 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0);
INSERT INTO request (id, visit_id, payload_id, url, params, content_type, time, role, doubt)
    VALUES (5, 7, 3, 'https://irsa.example', '{}', '', '2026-01-01T00:00:00.000Z', 'photometry', '')
"""


@pytest.fixture
def old(store_url):
    """The address of a store of revision 0001 in which rows refer to one another."""
    database = Database(store_url)
    with versions._alone(database) as connection:
        versions._migrate(connection, "0001")
        for statement in FILLED.split(";\n"):
            connection.execute(sa.text(statement))
    database.engine.dispose()
    return store_url


def every_row(store):
    with store._database.reading() as connection:
        return {table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()] for table in metadata.sorted_tables}


def test_an_older_store_is_upgraded_when_asked_and_keeps_every_row(old):
    with pytest.raises(StoreError, match="harvest db upgrade"):
        Store.open(old, simulated=True)
    assert Store.upgrade(old) == ("0001", versions.REVISIONS[-1])
    with Store.open(old, simulated=True) as store:
        held = every_row(store)
        assert held["visit"][0]["id"] == held["schedule"][0]["visit_id"] == held["request"][0]["visit_id"] == 7
        assert (held["schedule"][0]["digest"], held["schedule"][0]["served"], held["target"][0]["priority"]) == ("abc", None, 0)
        assert not [finding for finding in store.check() if finding.problems]
        with store._database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
            assert compare_metadata(context, metadata) == []


def test_references_are_watched_again_after_an_upgrade(old):
    Store.upgrade(old)
    database = Database(old)
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        connection.execute(sa.text("DELETE FROM visit"))
    database.engine.dispose()


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(old, monkeypatch):
    migrate = versions._migrate

    def fails(connection):
        migrate(connection)
        raise RuntimeError

    monkeypatch.setattr(versions, "_migrate", fails)
    with pytest.raises(RuntimeError):
        Store.upgrade(old)
    database = Database(old)
    with database.reading() as connection:
        assert versions.revision(connection, database) == "0001"
        assert connection.execute(sa.text("SELECT count(*) FROM visit")).scalar_one() == 1
    database.engine.dispose()


def test_a_new_outcome_can_be_stored_after_an_upgrade_and_a_strange_one_cannot(old):
    Store.upgrade(old)
    database = Database(old)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE visit SET outcome = 'pending'"))
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        connection.execute(sa.text("UPDATE visit SET outcome = 'lost'"))
    database.engine.dispose()
