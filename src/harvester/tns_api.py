"""TNS's API, as the source and the broker ask it: its names, numbers of filters, the envelope of its answers, who may ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from harvester.errors import Malformed
from harvester.payload import Payload, members, read_json, read_table
from harvester.source import Credential

NAME = re.compile(r"(?:(?:SN|AT|TDE|CN|FRB|SLSN) ?)?((?:19|20)\d\d)([A-Za-z]{1,7})")
BOT = "Add a bot to your account at https://www.wis-tns.org: its page tells its id, its name and its API key."
CREDENTIALS = (
    Credential('tns_marker{{"tns_id":{bot_id},"type":"bot","name":"{bot_name}"}}', BOT, header="User-Agent"),
    Credential("{api_key}", BOT, field="api_key"),
)
# Families of filters, the number of the first and their letters in order; standard systems are of no survey but TNS itself.
FAMILIES = "ZTF 110 gri,LSST 160 ugrizy,ATLAS 71 co,PS1 56 griz,PS1 26 w,GOTO 120 L,GAIA_ALERTS 75 G,TNS 20 ugriz,TNS 10 UBVRI".split(",")
FILTERS = {int(first) + n: (family, x) for family, first, xs in map(str.split, FAMILIES) for n, x in enumerate(xs)}
"""Survey and passband of each number of a filter."""
TYPES = tuple(
    """SN;SN I;SN Ia;SN Ia-91T-like;SN Ia-91bg-like;SN Ia-CSM;SN Ia-Ca-rich;SN Ia-pec;SN Ia-SC;SN Iax[02cx-like];SN I-faint;SN I-rapid;SN Ib;
    SN Ib-Ca-rich;SN Ib-pec;SN Ib/c;SN Ib/c-Ca-rich;SN Ibn;SN Ibn/Icn;SN Ic;SN Ic-BL;SN Ic-Ca-rich;SN Ic-pec;SN Icn;SN II;SN II-pec;SN IIb;
    SN IIL;SN IIn;SN IIn-pec;SN IIP;SLSN-I;SLSN-II;SLSN-R;PISN;Computed-Ia;Computed-IIb;Computed-IIn;Computed-IIP;Computed-PISN;AGN;Afterglow;
    Blazar;CV;FBOT;FRB;Galaxy;Gap;Gap I;Gap II;ILRT;Impostor-SN;Kilonova;LBV;Light-Echo;LRN;M dwarf;NA/Unknown;Nova;Other;QSO;Std-spec;TDE;
    TDE-H;TDE-H-He;TDE-He;TDE-featureless;Varstar;WR;WR-WC;WR-WN;WR-WO""".replace("\n    ", "").split(";")
)
"""Types of objects, as its classification reports say them (2026)."""
MOST_DAYS, LONGEST_DATE = 21, 100


def bare_names(names: Iterable[str]) -> set[str]:
    """Return those that are names of TNS as its API wants them: no prefix, one letter large, several small.

    >>> bare_names(["SN 2021RF", "SN1987a", "M 31"]) == {"2021rf", "1987A"}
    True
    """
    found = filter(None, map(NAME.fullmatch, names))
    return {f"{one[1]}{one[2].lower() if len(one[2]) > 1 else one[2].upper()}" for one in found}


def change_files(since: datetime | None, until: datetime | None, now: datetime) -> list[list[str]]:
    """Return the endings of the names of the files that hold all changes of a window, groups of them, the newest first.

    The changes of today are in a file for each hour, those of a day before it in one for the day, which are kept for some weeks; "" is the file of
    everything up to this midnight, and better than many of them.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = [f"_{hour:02d}" for hour in range(now.hour + 1)] if until is None or until >= midnight else []
    ago = [midnight - timedelta(days=number) for number in range(1, MOST_DAYS + 1)]
    if since is None or since < ago[-1]:
        return [hours, [""]]
    return [hours, *([f"_{day:%Y%m%d}"] for day in ago if day + timedelta(days=1) > since)]


def entries(payload: Payload) -> pa.Table:
    """Return the rows of a file of changes, as text; a date stands above their header. Raises Malformed."""
    for _, body in members(payload):
        header = body.find(b"objid", 0, LONGEST_DATE)
        start = max(header - (body[header - 1 : header] == b'"'), 0)
        return read_table(payload.about(body=body[start:]), "name", "type", "lastmodified")
    raise Malformed("tns: a file of changes that holds no table.", hint="Try again later.", payload=payload)


def reply(payload: Payload, kind: type) -> Any:
    """Return what an answer holds, with or without the layer that the service put around it until the end of 2024. Raises Malformed."""
    said = read_json(payload)
    data = said.get("data") if isinstance(said, dict) and said.get("id_code") == 200 else None
    held = data.get("reply", data) if isinstance(data, dict) else data
    if not isinstance(held, kind) and held not in ([], {}):
        raise Malformed(f"tns: expected a {kind.__name__}, received {payload.body[:60]!r}.", hint="Try again later.", payload=payload)
    return held
