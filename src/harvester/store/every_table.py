"""Every table of a store: `tables`, and those that stand beside it because they did not fit. Who needs them all imports `metadata` from here."""

from harvester.store import alert_tables, match_tables, night_tables, stream_tables
from harvester.store.tables import metadata

__all__ = ["alert_tables", "match_tables", "metadata", "night_tables", "stream_tables"]
