"""Making a machine a media server behind the VIP: plan, apply, undo, check, persist."""

from pathlib import Path

DEFAULT_STATE = Path("/var/lib/rtspdsr/preparation.json")
