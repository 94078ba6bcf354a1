"""Where CDS XMatch stands, how it is reached, and how its catalogues are called."""

from __future__ import annotations

import re

from harvester.source import Pace

NAME, URL = "xmatch", "https://cdsxmatch.cds.unistra.fr/xmatch/api/v1"
PACE, TIMEOUT, RETRIES = Pace(per_second=1, at_once=1), 300.0, 2
"""One job at a time, and patience: a job that is asked again too soon runs beside itself."""
VIZIER = re.compile(r"(?:vizier:)?((?:[IVXB]+|J)/[\w.+&/-]+)", re.IGNORECASE)
SHORT = {"gaia": "vizier:I/355/gaiadr3", "2mass": "vizier:II/246/out", "allwise": "vizier:II/328/allwise", "simbad": "simbad"}
"""Words for what is asked most."""


def remote(catalogue: str) -> str | None:
    """Return a catalogue's name as CDS takes it, None for a word that is no name of one.

    >>> remote("II/246/out"), remote("vizier:I/355/gaiadr3"), remote("SIMBAD"), remote("stars.csv")
    ('vizier:II/246/out', 'vizier:I/355/gaiadr3', 'simbad', None)
    """
    if catalogue.lower() in SHORT:
        return SHORT[catalogue.lower()]
    found = VIZIER.fullmatch(catalogue)
    return f"vizier:{found[1]}" if found else None
