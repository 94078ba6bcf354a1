"""The streams that can be listened to: where each stands, and what it wants to see. One more stream is one more entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harvester.errors import BadSettings, Refused, UsageError

CONNECTION = {
    "protocol": ("security.protocol", ("SASL_SSL", "SASL_PLAINTEXT")),
    "mechanism": ("sasl.mechanisms", ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")),
}
"""What settings may say of a connection: the client's own key, and what it may be."""
SCRAM = {"sasl.mechanisms": "SCRAM-SHA-512"}


@dataclass(frozen=True, slots=True)
class Stream:
    """A broker's Kafka. `user` and `password` are the words under which settings hold the two, asked for if `closed`, else used if they are set.

    `personal` streams admit only groups that begin with the user's name, then a dash. `days` is for how long messages are kept.
    """

    name: str
    servers: str
    how: str
    user: str = "user"
    password: str = "password"  # noqa: S105 - the word, not a secret
    closed: bool = False
    personal: bool = False
    days: str = "some days"
    security: Mapping[str, str] = field(default_factory=dict)


STREAMS = {
    stream.name: stream
    for stream in (
        Stream(
            "fink",
            "",
            "Ask for an account (free) at https://fink-broker.org: the answer has servers, user and group.",
            days="4 to 7 days",
            security={"security.protocol": "SASL_PLAINTEXT", **SCRAM},
        ),
        Stream(
            "lasair", "", "It needs no account: make a filter with a Kafka stream on Lasair's pages, which name the topic.", days="7 days"
        ),
        Stream(
            "antares",
            "kafka.antares.noirlab.edu:9092",
            "Ask ANTARES for an api key and its secret: https://antares.noirlab.edu.",
            user="api_key",
            password="api_secret",  # noqa: S106 - the word, not a secret
            closed=True,
            security={"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "ssl.endpoint.identification.algorithm": "none"},
        ),
        Stream(
            "alerce",
            "",
            "By agreement with ALeRCE (https://alerce.science), who name servers, topics and group.",
            security={"security.protocol": "SASL_SSL", **SCRAM},
        ),
        Stream(
            "hop",
            "kafka.scimma.org:9092",
            "Make a credential at https://my.hop.scimma.org, and give it the right to read the topic.",
            closed=True,
            personal=True,
            security={"security.protocol": "SASL_SSL", **SCRAM},
        ),
    )
}
SERVERS_OF = {
    "fink": (("_ztf", "kafka-ztf.fink-broker.org:24499"),),
    "lasair": (("lasair_", "lasair-lsst-kafka.lsst.ac.uk:9092"),),
}
"""Servers that are public, by a part of the topic's name."""


def stream(name: str) -> Stream:
    """Return a stream by its broker's name. Raises UsageError with the names."""
    if name not in STREAMS:
        raise UsageError(f"'{name}' has no stream.", hint=f"Streams: {', '.join(STREAMS)}.")
    return STREAMS[name]


def servers_of(service: Stream, topics: Sequence[str], said: str | None) -> str:
    """Return where a stream stands: as said, as it is known, or as its topics tell. Raises UsageError."""
    if said or service.servers:
        return said or service.servers
    told = {place for topic in topics for word, place in SERVERS_OF.get(service.name, ()) if word in topic}
    if len(told) == 1:
        return told.pop()
    variable = f"HARVESTER_{service.name.upper()}_SERVERS"
    raise UsageError(
        f"where {service.name}'s Kafka stands is not known for these topics.", service.how, f"Give --servers HOST:PORT, or set {variable}."
    )


def security_of(service: Stream, secrets: Mapping[str, str], *, local: bool) -> dict[str, Any]:
    """Return what the client shows, and by which protocol: nothing where no user is set and none is needed, as of a server of this machine.

    Beside user and password the settings may have `ca` (PEM: whom to believe in place of the system's authorities), and where a broker told
    another, `protocol` and `mechanism`. Fink's public accounts have a user and no password: they show nothing. Raises Refused, BadSettings.
    """
    user, password = secrets.get(service.user), secrets.get(service.password)
    if password and not user:
        raise Refused(f"{service.name}'s stream has a {service.password} and no {service.user}.", service.how, _variables(service))
    if user and password and service.security:
        return {**service.security, **_told(service, secrets), "sasl.username": user, "sasl.password": password}
    if service.closed and not local:
        raise Refused(f"{service.name}'s stream wants a user, and the settings have none.", service.how, _variables(service))
    return {}


def _told(service: Stream, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return what the settings say of the connection itself. Raises BadSettings."""
    found = {}
    for word, (key, known) in CONNECTION.items():
        if said := secrets.get(word):
            if said.upper() not in known:
                raise BadSettings(f"{word} of {service.name} cannot be '{said}'.", hint=f"It is one of {', '.join(known)}.")
            found[key] = said.upper()
    return found | ({"ssl.ca.pem": secrets["ca"]} if secrets.get("ca") else {})


def _variables(service: Stream) -> str:
    variables = " and ".join(f"HARVESTER_{service.name}_{word}".upper() for word in (service.user, service.password))
    files = ", ".join(f'{word}_file = "PATH"' for word in (service.user, service.password))
    return f"Set {variables}, or {files} below [sources.{service.name}] in harvester.toml."


def group_of(service: Stream, said: str | None, secrets: Mapping[str, str]) -> str:
    """Return the consumer group: as said, else one of ours that stays the same from run to run."""
    if said:
        return said
    user = secrets.get(service.user, "")
    return f"{user}-harvester" if service.personal and user else "harvester"
