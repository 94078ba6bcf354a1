"""How SIMBAD reads a name: case, blanks, Greek letters and the prefixes that tell the sort of a name do not matter."""

from __future__ import annotations

import re

LETTERS = "αβγδεζηθικλμνξοπρστυφχψω"
SHORT = (
    *("alf", "bet", "gam", "del", "eps", "zet", "eta", "tet", "iot", "kap", "lam", "mu"),
    *("nu", "ksi", "omi", "pi", "rho", "sig", "tau", "ups", "phi", "chi", "psi", "ome"),
)
SPELLED_OUT = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
SPELLED = dict(zip(SPELLED_OUT, SHORT, strict=True))
GENITIVE = {
    "aquilae": "aql", "aurigae": "aur", "camelopardalis": "cam", "cassiopeiae": "cas", "centauri": "cen", "cephei": "cep", "ceti": "cet",
    "coronae borealis": "crb", "cygni": "cyg", "draconis": "dra", "geminorum": "gem", "herculis": "her", "hydrae": "hya", "leonis": "leo",
    "lyrae": "lyr", "ophiuchi": "oph", "persei": "per", "tauri": "tau", "ursae majoris": "uma", "virginis": "vir", "vulpeculae": "vul",
}  # fmt: skip
PREFIX = re.compile(r"^(name\s+|v\*\s*|em\*\s*|\*\*\s*|\*\s*)", re.IGNORECASE)


def fold(name: str) -> str:
    """Return the form under which a name is compared."""
    words = " ".join(PREFIX.sub("", name.strip()).casefold().replace("_", " ").split())
    for letter, short in zip(LETTERS, SHORT, strict=True):
        words = words.replace(letter, f"{short} ")
    for genitive, short in GENITIVE.items():
        words = words.replace(f" {genitive}", f" {short}")
    parts = [SPELLED.get(word, word) for word in words.split()]
    return "".join(parts).replace(".", "").replace("'", "").replace("\u2019", "")
