"""The nightly digest: what is new, what changed most, what failed and since when; as a page to look at and as a text for mail."""

from harvester.digest.gather import Digest, TargetNews, digest, with_pictures

__all__ = ["Digest", "TargetNews", "digest", "with_pictures"]
