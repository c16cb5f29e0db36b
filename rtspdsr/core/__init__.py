"""What decides: sans-IO code that is handed values and ``now`` and returns events."""
