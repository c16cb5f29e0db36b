"""From the configuration to what each part of the daemon takes, and the file that says what is in force."""

import json
from pathlib import Path

from rtspdsr.admin.guard import Listen, read_token
from rtspdsr.config import Config, listen_address
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.dataplane.dataplane import Sizes
from rtspdsr.errors import RtspDsrError
from rtspdsr.logfile import Rotation
from rtspdsr.network.probepath import Numbers


def sizes(config: Config) -> Sizes:
    """How large the maps are."""
    section = config.dataplane
    return Sizes(
        pins=section.pins_max,
        flows=section.flows_max,
        clients=section.clients_max,
        newcomers=section.newcomers_max,
        services=section.services_max,
        backends=section.backends_max,
        segments_bytes=section.segments_ring_mib << 20,
    )


def limits(config: Config) -> TrackerLimits:
    """How long the tracker waits, and how much it may keep."""
    section = config.tracker
    return TrackerLimits(
        idle_s=section.idle_s,
        linger_s=section.linger_s,
        provisional_s=section.provisional_s,
        provisional_max=section.provisional_max,
        connections_max=section.connections_max,
        client_connections_max=section.client_connections_max,
        pins_max=config.dataplane.pins_max,
        buffer_bytes=section.buffer_mib << 20,
        header_bytes=section.header_kib << 10,
        stall_s=section.stall_s,
    )


def numbers(config: Config) -> Numbers:
    """Marks, tables and rules by which checks reach backends."""
    section = config.probe
    return Numbers(mark_base=section.mark_base, table_base=section.table_base, priority=section.rule_priority)


def listen(config: Config) -> Listen | None:
    """Where the API listens over TCP; None if it does not. Raises ConfigError if there is no token."""
    section = config.admin
    if not section.listen:
        return None
    address, port = listen_address(section.listen)
    token = read_token(Path(section.token_file))
    return Listen(address=address, port=port, token=token, hosts=section.hosts)


def journal_directory(config: Config) -> Path:
    """Where the journal is: beside that of another daemon, which serves other interfaces."""
    return config.daemon.state_dir / "+".join(config.dataplane.interfaces)


def rotation(config: Config) -> Rotation:
    """When the session log's file is rotated."""
    return Rotation(config.log.rotate_mib << 20, config.log.rotate_keep)


def write_effective(config: Config) -> None:
    """Write the configuration in force where ``rtspdsr check --diff`` looks. Raises RtspDsrError."""
    path = config.daemon.run_dir / "config.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.touch(mode=0o640)  # a probe_url may hold a password
        draft.write_text(json.dumps(config.model_dump(mode="json"), indent=1) + "\n")
        draft.replace(path)
    except OSError as error:
        raise RtspDsrError(
            f"cannot write {path}: {error.strerror}; mend it, or set daemon.run_dir"
        ) from error
