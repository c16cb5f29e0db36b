"""The way of a packet to another machine: how large it may be. Pure."""

from rtspdsr.doctor.machine import Echo
from rtspdsr.finding import Finding, Verdict, judged

ROUTER = "the router"  #: the name of one


def judge_path(echo: Echo, widen: str = "") -> Finding:
    """Whether packets of the interface's MTU get through.

    widen: the command that makes room for them at the other end; a router is not ours to change
    """
    if echo.name == ROUTER:
        widen = f"ip link set dev {echo.interface} mtu {echo.largest}"
    about = f"MTU to {echo.name} ({echo.address})"
    why = "a larger packet is lost without a word: small requests pass, and media or long requests do not"
    if not echo.answered:
        return judged(
            about,
            Verdict.UNKNOWN,
            "it answers no ping, so its way cannot be measured",
            why,
            f"ping -M do -s {echo.mtu - (28 if echo.address.version == 4 else 48)} {echo.address}",
        )
    if echo.largest < echo.mtu:
        measured = f"{echo.interface} sends up to {echo.mtu} octets; {echo.largest} were seen to get through"
        return judged(about, Verdict.WRONG, measured, why, f"{widen}  # or the switch in between")
    return judged(about, Verdict.OK, f"{echo.mtu} octets pass whole", why, "")
