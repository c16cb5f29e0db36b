"""Takes out of a text what must not leave the installation: secrets always, clients' addresses where asked.

Handed text, it gives back text. A secret is what stands in a URL as user and password, the values of its
query, and what a key or header of that name is given. Addresses of the installation itself stay: without
them a report says nothing.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address

from rtspdsr.clientnames import ClientName
from rtspdsr.model import Address

GONE = "REMOVED"

_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s\"']*@", re.IGNORECASE)
_QUERY = re.compile(r"([a-z][a-z0-9+.-]*://[^\s\"'?<>]+\?)[^\s\"'<>]+", re.IGNORECASE)
_NAMED = re.compile(
    r"(?P<key>\"?\b(?:[\w-]*token|[\w-]*password|passwd|[\w-]*secret|authorization|api[_-]?key)\"?\s*[:=]\s*)"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s,}\"'][^\n,}]*)",
    re.IGNORECASE,
)
_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_ADDRESS = re.compile(
    rf"(?<![\w.:])[0-9a-f]{{0,4}}(?::[0-9a-f]{{0,4}}){{2,7}}(?:{_IPV4})?(?![\w:]|\.\d)"
    rf"|(?<![\w.]){_IPV4}(?!\w|\.\d)",
    re.IGNORECASE,
)


class Scrubber:
    """What is taken out.

    own:         addresses of the installation, which stay
    client_name: how any other address is written; None leaves all as they are
    """

    def __init__(self, own: Collection[Address], client_name: ClientName | None) -> None:
        self._own, self._client_name = frozenset(own), client_name

    def scrub(self, text: str) -> str:
        """The text without what must not be told."""
        text = _CREDENTIALS.sub(rf"\1{GONE}@", text)
        text = _QUERY.sub(rf"\1{GONE}", text)
        text = _NAMED.sub(_without_value, text)
        return text if self._client_name is None else _ADDRESS.sub(self._named, text)

    def _named(self, found: re.Match[str]) -> str:
        try:
            address = ip_address(found[0])
        except ValueError:  # the time of day, an Ethernet address
            return found[0]
        stays = address in self._own or address.is_loopback or address.is_unspecified
        stays = stays or address.is_multicast or address.is_link_local or _is_mask(address)
        return found[0] if stays or self._client_name is None else self._client_name(address)


def _without_value(found: re.Match[str]) -> str:
    quote = found["value"][0] if found["value"][0] in "\"'" else ""
    return f"{found['key']}{quote}{GONE}{quote}"


def _is_mask(address: Address) -> bool:
    """A netmask or a broadcast address: no machine's."""
    return address.version == 4 and (address.packed[0] == 255 or address.packed[3] == 255)
