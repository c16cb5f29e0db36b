"""What is asked of each route that takes something: a model each, with its fields explained."""

from ipaddress import IPv4Address, IPv6Address

from pydantic import Field

from rtspdsr.admin.route import Asked


class Placement(Asked):
    """Where a client's new connections are to go."""

    service: str
    """name of the service"""
    client: IPv4Address | IPv6Address
    """the client's address"""
    backend: str
    """name of a backend of the service"""


class Login(Asked):
    """A browser's login."""

    token: str = Field(max_length=1024)
    """what ``admin.token_file`` holds"""
