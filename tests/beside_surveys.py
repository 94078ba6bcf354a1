"""A survey for tests of the process beside: it takes its time, and says in the flags of every row which process read it.

An answer may also say what its reading is to come to: the object's name is the word.
"""

import logging
import os
import time

import pyarrow as pa
from nights import Night

from harvester.errors import Malformed
from harvester.payload import constant, read_table


class Slow(Night):
    base_url, at_least = "https://slow.example/", 0.02

    def normalise(self, payload):
        time.sleep(self.at_least)
        words = read_table(payload, "star")["star"].to_pylist()
        match words[0].partition("-")[0]:
            case "malformed":
                raise Malformed("slow: what came is no light curve.", payload=payload)
            case "bug":
                raise ZeroDivisionError("of the source")
            case "told":
                logging.getLogger("somebody").warning("read by %s", os.getpid())
        rows = super().normalise(payload)
        return rows.append_column("flags", constant(str(os.getpid()), rows.num_rows).cast(pa.string()))


class Killed(Slow):
    """Ends the process that reads it, but for the one that it is told to spare."""

    base_url, spared = "https://killed.example/", int(os.environ.get("SPARED", "0"))

    def normalise(self, payload):
        if self.spared and os.getpid() != self.spared:
            os._exit(7)
        return super().normalise(payload)
