"""Light curves of your targets from many sky surveys, in one schema, in one store."""

__version__ = "0.1.0"
