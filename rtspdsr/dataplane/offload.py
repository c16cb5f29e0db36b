"""What an interface does to frames before XDP sees them.

Handed an interface's name, it asks the driver (SIOCETHTOOL) and gives back what is wrong, in words. It
changes nothing.
"""

import fcntl
import socket
import struct
from array import array

_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_DRVINFO = struct.Struct("=I32s160x")  # linux/ethtool.h: command, driver, and what we do not ask for
_RX_VLAN = "rx-vlan-hw-parse"


def problem(interface: str) -> str | None:
    """Why XDP does not see an interface's frames as they are on the wire; None if it does.

    A veth is left out: what its sender does counts there, and this switch of its own does nothing.
    """
    if driver(interface) == "veth" or not hides_tags(interface):
        return None
    return (
        "the hardware takes VLAN tags off before XDP sees a frame, so tagged frames are forwarded untagged; "
        f"if any arrive tagged, keep the tags: ethtool -K {interface} rxvlan off"
    )


def hides_tags(interface: str) -> bool:
    """Whether VLAN tags are taken off received frames (rx-vlan-offload), and need not be."""
    from pyroute2.ethtool.ioctl import IoctlEthtool

    asked = IoctlEthtool(interface)
    try:
        features = asked.get_features()
        return bool(features.is_active(_RX_VLAN) and features.is_available(_RX_VLAN))
    except (OSError, KeyError):  # a driver that cannot be asked
        return False
    finally:
        asked.close()


def driver(interface: str) -> str:
    """The name of an interface's driver; empty if it does not say."""
    answer = array("B", _DRVINFO.pack(_ETHTOOL_GDRVINFO, b""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            request = struct.pack("=16sQ16x", interface.encode(), answer.buffer_info()[0])
            fcntl.ioctl(asked, _SIOCETHTOOL, request)
        except OSError:
            return ""
    name: bytes = _DRVINFO.unpack(answer.tobytes())[1]
    return name.rstrip(b"\0").decode(errors="replace")
