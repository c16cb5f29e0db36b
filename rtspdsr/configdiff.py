"""What differs between two configurations, in words: what a reload changes, and what waits for a restart.

Passwords are not told, only that they have changed.
"""

from rtspdsr.config import NEEDS_RESTART, Config, HealthSection, ServiceSection


def diff(old: Config, new: Config) -> list[str]:
    """What changes from one to the other, in words, one a difference; says what waits for a restart."""
    changes: list[str] = []
    for section in ("daemon", "dataplane", "tracker", "log", "admin", "probe"):
        was, now = getattr(old, section), getattr(new, section)
        for key in type(was).model_fields:
            changes += _changed(f"{section}.{key}", getattr(was, key), getattr(now, key))
    return changes + _diff_services(old, new)


def _changed(key: str, old: object, new: object) -> list[str]:
    if old == new:
        return []
    waits = any(key == name or key.startswith(f"{name}.") for name in NEEDS_RESTART)
    return [f"{key}: {_plain(old)} -> {_plain(new)}" + (" (needs a restart)" if waits else "")]


def _diff_services(old: Config, new: Config) -> list[str]:
    was = {service.name: service for service in old.services}
    now = {service.name: service for service in new.services}
    changes = [f"service {name!r}: removed" for name in was if name not in now]
    for name, service in now.items():
        if name not in was:
            changes.append(
                f"service {name!r}: added, VIP {_plain(service.vips)}, "
                f"backends {', '.join(backend.name for backend in service.backends)}"
            )
            continue
        for key in ("vips", "ports", "opaque_ports", "schedule", "place_by", "slow_start_s"):
            changes += _changed(f"service {name!r}: {key}", getattr(was[name], key), getattr(service, key))
        changes += _diff_health(was[name], service)
        changes += _diff_backends(was[name], service)
    return changes


def _diff_health(old: ServiceSection, new: ServiceSection) -> list[str]:
    changes = []
    for key in HealthSection.model_fields:
        was, now = getattr(old.health, key), getattr(new.health, key)
        if key == "probe_url" and was != now:  # it may hold a password
            changes.append(f"service {new.name!r}: health.probe_url changed")
        else:
            changes += _changed(f"service {new.name!r}: health.{key}", was, now)
    return changes


def _diff_backends(old: ServiceSection, new: ServiceSection) -> list[str]:
    was = {backend.name: backend for backend in old.backends}
    now = {backend.name: backend for backend in new.backends}
    prefix = f"service {new.name!r}: backend"
    changes = [f"{prefix} {name!r} removed" for name in was if name not in now]
    for name, backend in now.items():
        if name not in was:
            changes.append(f"{prefix} {name!r} added, {_plain(backend.addresses)}, weight {backend.weight}")
            continue
        for key in ("addresses", "weight", "max_sessions"):
            changes += _changed(f"{prefix} {name!r}: {key}", getattr(was[name], key), getattr(backend, key))
    return changes


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
