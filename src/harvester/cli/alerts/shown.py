"""Alerts and brokers' feedback as people and programs read them, while they come."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harvester.cli import render
from harvester.cli.options import App

if TYPE_CHECKING:
    from harvester.alerts.broker import Alert, Feedback

COLUMNS = (
    "broker", "survey", "object_id", "alert_id", "time", "mjd", "ra", "dec", "mag", "filter", "classification", "score", "names", "url",
)  # fmt: skip
NUMBERS = ("mjd", "ra", "dec", "mag", "score")
WIDE = ("broker", "survey", "names", "url", "alert_id")
AT_A_TIME = 100
"""Rows of one table at a terminal: an answer may have no end."""
DIGITS = {"mjd": 6, "ra": 6, "dec": 6, "mag": 3, "score": 3}


class Shown:
    """Prints alerts: a JSON object or a line of tab-separated text at once, at a terminal tables of some.

    `beside` is what to say besides of each alert from now on; which columns that are is fixed from the beginning.
    """

    def __init__(self, app: App, **beside: Any) -> None:
        self.count = 0
        self.beside = beside
        self._json = app.json
        self._waiting: list[dict[str, Any]] = []

    def __call__(self, alert: Alert) -> None:
        """Print an alert."""
        self.count += 1
        if self._json:
            render.objects([{**self.beside, **alert.as_object()}])
            return
        row = {**self.beside, **alert.as_row()}
        if not render.at_terminal():
            render.tab_separated([row], (*self.beside, *COLUMNS), header=self.count == 1)
            return
        self._waiting.append(row)
        if len(self._waiting) >= AT_A_TIME:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._flush()
        if not (self.count or self._json or render.at_terminal()):
            render.tab_separated([], (*self.beside, *COLUMNS))

    def _flush(self) -> None:
        if self._waiting:
            short = [row | {key: _rounded(row.get(key), digits) for key, digits in DIGITS.items()} for row in self._waiting]
            render.table(short, (*self.beside, *COLUMNS), right=NUMBERS, wide=WIDE)
            self._waiting = []


def hearing(app: App, who: str = "") -> Feedback:
    """Return a Feedback that says on standard error what a broker says: a warning where something is missing."""
    from harvester.alerts.broker import Feedback

    def hear(text: str, lacking: bool) -> None:
        if lacking:
            render.problem("warning", [f"{who}{text}", "The answer is not whole."])
        elif not app.quiet:
            render.say(f"{who}{text}")

    return Feedback(hear)


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
