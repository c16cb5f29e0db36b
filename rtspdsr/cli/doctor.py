"""``rtspdsr doctor``: everything on the balancer that real-time media depends on, looked at and judged."""

from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.cli.findings import BitrateOption, bits_per_s, show


def doctor(config: ConfigOption = CONFIG, bitrate: BitrateOption = None, as_json: JsonOption = False) -> None:
    """Look at everything on the balancer that real-time media depends on, and say what to mend.

    Kernel, XDP and its mode, offloads, rings, queues, drops, VIPs and who else answers for them, backends and
    the size of packets that reach them, filters, buffers, the daemon, the clock. Changes nothing, takes one
    to three seconds, works without a running daemon; run it as root. Exits with 4 if anything is wrong.
    On a media server, run `rtspdsr backend check`.

    Examples:

        rtspdsr doctor

        rtspdsr doctor --bitrate 12M

        rtspdsr doctor --json | jq -r '.findings[] | select(.verdict == "wrong") | .mend'
    """
    rate = bits_per_s(bitrate)

    from rtspdsr.config import load
    from rtspdsr.doctor.examine import examine_balancer

    show(examine_balancer(load(config), rate), as_json=as_json)
