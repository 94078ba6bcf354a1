"""Light curves of your targets from many sky surveys, in one schema, in one store.

    with harvester.open("harvest.db") as store:
        harvester.fetch(store, ["gaia_dr3"], ["RR Lyr"])
        light_curve = harvester.light_curve(store, "RR Lyr")
    light_curve.to_pandas()

Importing it is light: what a name needs is imported when the name is first used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "HarvesterError", "LightCurve", "NotAllSucceeded", "Outcome", "Store", "Target", "__version__", "fetch", "light_curve", "open",
]  # fmt: skip

if TYPE_CHECKING:
    from harvester.api import LightCurve, NotAllSucceeded, fetch, light_curve, open  # noqa: A004 - read as harvester.open
    from harvester.errors import HarvesterError
    from harvester.store import Store
    from harvester.target import Target
    from harvester.task import Outcome
else:
    HOMES = {
        "HarvesterError": "harvester.errors",
        "Outcome": "harvester.task",
        "Store": "harvester.store",
        "Target": "harvester.target",
        **dict.fromkeys(("LightCurve", "NotAllSucceeded", "fetch", "light_curve", "open"), "harvester.api"),
    }

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        from importlib import import_module

        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
