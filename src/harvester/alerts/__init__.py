"""Alerts: asked of brokers, read of nightly archives, heard on streams; their packets and stamps."""
