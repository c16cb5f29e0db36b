"""The daemon's parts are tested over a real forwarding core, in the dataplane tests' namespace."""

from tests.dataplane.conftest import wire

__all__ = ["wire"]
