"""Alembic's entry: runs the migrations on the connection that `harvester.store.versions` hands over, inside its transaction."""

from alembic import context

from harvester.store.every_table import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
