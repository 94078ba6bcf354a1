"""What a format's module is given to write, and how it tells what it cannot hold."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from harvester.derive import Known
from harvester.errors import UsageError

TIME_COLUMN = {"bjd_tdb": "bjd_tdb", "mjd": "mjd_utc", "survey": "time"}


class LeftOut(UserWarning):
    """Points are not in the file, because its format has no place for them."""


@dataclass(frozen=True)
class Content:
    """Light curves on their way into a file: `batches` of a `schema` with metadata, target by target, and what is known of them."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    form: str
    about: Mapping[str, str]
    known: Known
    time: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def simulated(self) -> str:
        """The word that must stand in every file of simulated data, empty for real ones."""
        return "simulated" if self.about.get("data") == "simulated" else ""

    @property
    def time_column(self) -> str:
        """The column that is the file's time."""
        return TIME_COLUMN[self.time]

    def of_one_target(self) -> Content:
        """Return the same, which raises UsageError when a second target comes."""
        return replace(self, batches=self._watched())

    def _watched(self) -> Iterator[pa.RecordBatch]:
        seen: list[str] = []
        for batch in self.batches:
            seen = list(dict.fromkeys([*seen, *pc.unique(batch.column("target")).to_pylist()]))
            if len(seen) > 1:
                what = f"{self.form} has no place for the name of a target, and '{seen[0]}' is not the only one."
                raise UsageError(what, f"There is '{seen[1]}' as well.", "Choose one: --target NAME")
            yield batch


class Census:
    """Counts the points that stay out, by reason, and says so at the end."""

    def __init__(self, form: str) -> None:
        self._form, self._counts = form, Counter[str]()

    def keep(self, batch: pa.RecordBatch, *reasons: tuple[str, pa.Array]) -> pa.RecordBatch:
        """Return the rows for which no reason holds; each reason is a word and which rows it is true of."""
        out = pa.repeat(pa.scalar(False), batch.num_rows)
        for why, here in reasons:
            fresh = pc.and_not(pc.fill_null(here, False), out)
            self._counts[why] += pc.sum(fresh).as_py() or 0
            out = pc.or_(out, fresh)
        return batch.filter(pc.invert(out))

    def tell(self) -> None:
        """Warn of what stayed out."""
        words = [f"{count} {why}" for why, count in self._counts.items() if count]
        if words:
            warnings.warn(f"{self._form} has no place for some points: {', '.join(words)}.", LeftOut, stacklevel=3)
