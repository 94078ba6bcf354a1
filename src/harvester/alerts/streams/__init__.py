"""Streams of alerts over Kafka: where they stand, how their messages are read, and what of them is wanted."""
