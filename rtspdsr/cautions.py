"""What a configuration gives up by a choice that is no mistake, in words, for whoever checks it."""

from collections.abc import Iterator

from rtspdsr.config import Config, ServiceSection
from rtspdsr.model import PlaceBy, Schedule


def cautions(config: Config) -> list[str]:
    """Each as ``key: what is given up``, in the order of the file."""
    return [
        caution
        for number, section in enumerate(config.services)
        for caution in _of_service(f"service[{number}]", section)
    ]


def _of_service(key: str, section: ServiceSection) -> Iterator[str]:
    if section.place_by is PlaceBy.CONNECTION:
        yield (
            f"{key}.place_by: 'connection' lets a client's connections go to different backends: a session "
            "whose connection is opened again, an RTSP-over-HTTP tunnel (two connections) and UDP from ports "
            "that no SETUP named may reach a backend that does not know them"
        )
        if section.opaque_ports:
            yield (
                f"{key}.place_by: 'connection' with opaque_ports: what TLS hides cannot be pinned, so UDP of "
                "such a session goes to the backend of its client's latest connection"
            )
    if section.schedule is not Schedule.HASH:
        yield (
            f"{key}.schedule: where {section.schedule.value!r} has placed a client is remembered, not told "
            "by its address: a SYN flood beyond flows_max and newcomers_max breaks connections that have not "
            "asked for anything yet, which 'hash' would find again"
        )
    limited = [one.max_sessions > 0 for one in section.backends]
    if any(limited) and not all(limited):
        yield (
            f"{key}: some backends have max_sessions and others have not: when those are full, these get all "
            "new clients"
        )
