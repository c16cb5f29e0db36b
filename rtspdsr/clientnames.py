"""How clients are named in the session log: whole, cut to their network, or hashed with a secret key.

Handed addresses, gives back text. A hashed name is the same for one client as long as the key is, so that
its sessions can be followed; without the key nobody finds the address by trying all of them. The key
belongs to one installation, in a file that only its owner can read.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path

from rtspdsr.errors import RtspDsrError
from rtspdsr.model import Address

KEY_FILE = "client-key"  # in daemon.state_dir
KEY_BYTES = 32
NAME_DIGITS = 12  # 48 bits: of a million clients, two share a name with a chance of 0.2 %
PREFIXES = {4: 24, 6: 48}
_REMEMBERED = 65_536  # names of clients that come again

ClientName = Callable[[Address], str]


class ClientAddresses(StrEnum):
    """What the log says of clients."""

    FULL = "full"
    TRUNCATE = "truncate"  #: their network: /24 or /48
    HASH = "hash"


def client_name(addresses: ClientAddresses, state_dir: Path) -> ClientName:
    """How to name clients; the key is made when it is first needed. Raises RtspDsrError."""
    match addresses:
        case ClientAddresses.FULL:
            return str
        case ClientAddresses.TRUNCATE:
            return truncated
        case ClientAddresses.HASH:
            return hashed(_own_key(state_dir / KEY_FILE))


def truncated(address: Address) -> str:
    """The network that an address is in: ``192.0.2.0/24``."""
    return str(ip_network((address, PREFIXES[address.version]), strict=False))


def hashed(key: bytes) -> ClientName:
    """Names such as ``#1a2b3c4d5e6f``."""

    @lru_cache(maxsize=_REMEMBERED)
    def name(address: Address) -> str:
        return f"#{hmac.digest(key, address.packed, 'sha256').hex()[:NAME_DIGITS]}"

    return name


def named(text: str, name: ClientName) -> str:
    """Text that may be an address, as a client asked for it: named like one, if it is one."""
    try:
        return name(ip_address(text.strip("[]")))
    except ValueError:
        return text


def load_key(file: Path) -> bytes:
    """The key in a file. Raises RtspDsrError."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except OSError as error:
        raise RtspDsrError(
            f"{file}: cannot be read: {error.strerror}; it takes its owner's rights"
        ) from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise RtspDsrError(
            f"{file}: is no key of {KEY_BYTES} bytes in hexadecimal; "
            "remove it, and the daemon makes a new one, with which every client has a new name"
        )
    return key


def _own_key(file: Path) -> bytes:
    if not file.exists():
        _make_key(file)
    return load_key(file)


def _make_key(file: Path) -> None:
    """Write a key beside the file and put it in place, so that nobody ever reads half of one."""
    fresh = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(file)
    except OSError as error:
        raise RtspDsrError(
            f'{file}: the key for log.client_addresses = "hash" cannot be written: {error.strerror}; '
            "mend that, or set daemon.state_dir"
        ) from error
