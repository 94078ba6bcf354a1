"""Harvester from Python: open a store, fetch into it, read a light curve as the tools of the trade want it. Its names are those of `harvester`."""

from harvester.api.curve import LightCurve, light_curve
from harvester.api.work import NotAllSucceeded, fetch, open  # noqa: A004 - read as harvester.open

__all__ = ["LightCurve", "NotAllSucceeded", "fetch", "light_curve", "open"]
