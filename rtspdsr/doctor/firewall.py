"""The packet filter: what of it may hurt media, read by ``nft``, and judged.

Connection tracking on a media server sees both halves of each conversation, and the forwarding core passes
none of it; what hurts is a rule that drops what tracking does not know, and one that translates the VIP.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtspdsr.doctor.machine import Firewall, FirewallRule, Machine, Packets
from rtspdsr.finding import Finding, Verdict, judged

TIMEOUT_S = 5.0
LEGACY = ("ip_tables_names", "ip6_tables_names")  # in /proc/net: tables of the older iptables
FULL_ADVICE = 0.8
FULL_WRONG = 0.95


def read() -> Firewall:
    """The rules of this network namespace that matter."""
    proc = Path("/proc/thread-self/net")
    legacy = [name for name in LEGACY if (proc / name).exists() and (proc / name).read_text().strip()]
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None:
        return Firewall(unread="the command nft is not installed: apt-get install -y nftables")
    try:
        ran = subprocess.run(
            [nft, "--json", "list", "ruleset"], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
        rules = tuple(parse(json.loads(ran.stdout)))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Firewall(unread=f"nft does not tell ({error}); run as root")
    unread = "rules of the older iptables stand beside these: iptables-legacy-save" if legacy else ""
    return Firewall(rules=rules, unread=unread)


def parse(ruleset: Mapping[str, Any]) -> Iterator[FirewallRule]:
    """What may hurt in the answer of ``nft --json list ruleset``."""
    parts = [(kind, one) for part in ruleset["nftables"] for kind, one in part.items()]
    hooks = {_place(one, "name"): one["hook"] for kind, one in parts if kind == "chain" and "hook" in one}
    callers = _callers(parts)
    maps = {_place(one, "name"): one.get("elem", []) for kind, one in parts if kind == "map"}
    for kind, one in parts:
        if kind == "chain" and one.get("policy") == "drop" and one["hook"] == "input":
            place = " ".join(_place(one, "name"))
            yield FirewallRule(
                hook="input",
                takes=Packets.ALL,
                text=f"chain {place} drops what no rule accepts",
                mend=f"nft list chain {place}",
            )
        if kind == "rule" and (takes := _takes(one, maps)):
            chain = _place(one, "chain")
            hook = hooks.get(callers.get(chain, chain), "")
            place = " ".join(chain)
            nat = takes is Packets.ALL
            yield FirewallRule(
                hook=hook or "a chain that others call",
                takes=takes,
                text=f"rule {one['handle']} of chain {place}",
                mend=f"nft delete rule {place} handle {one['handle']}",
                nat=nat,
            )


def judge(machine: Machine) -> Iterator[Finding]:
    """The rules of a media server."""
    firewall = machine.firewall
    for rule in _chosen(firewall, Packets.INVALID, nat=False):
        yield _forgetful(rule, machine)
    for rule in _chosen(firewall, Packets.ALL, nat=True):
        yield Finding(
            about=f"source translation: {rule.text}",
            verdict=Verdict.WRONG,
            measured="it takes every packet that leaves",
            why="RTP leaves with another source port, or the real address: players behind a NAT get nothing",
            mend=rule.mend,
        )
    for rule in _chosen(firewall, Packets.ALL, nat=False):
        yield Finding(
            about=f"packet filter: {rule.text}",
            verdict=Verdict.UNKNOWN,
            measured="whether RTSP, and UDP from 1024 up, get in by another rule cannot be told here",
            why="players send RTCP and their first packets to ports that change with each session",
            mend=f"{rule.mend}  # look for a rule that accepts udp dport 1024-65535",
        )
    if firewall.unread:
        yield Finding(
            about="packet filter",
            verdict=Verdict.UNKNOWN,
            measured=firewall.unread,
            why="a rule that drops or translates RTP looks like a server that sends none",
            mend="iptables-save; nft list ruleset",
        )
    elif not firewall.rules:
        yield Finding(
            about="packet filter",
            verdict=Verdict.OK,
            measured="no rule drops what is unknown to connection tracking, or translates sources",
            why="a rule that drops or translates RTP looks like a server that sends none",
        )


def judge_checks(firewall: Firewall) -> Finding:
    """The rules of a balancer: what XDP forwards passes none of them, its checks do."""
    about = "packet filter"
    why = "what is forwarded passes no filter; checks do, and RTP that they asked for comes from the VIP"
    if firewall.unread:
        return judged(about, Verdict.UNKNOWN, firewall.unread, why, "nft list ruleset; iptables-save")
    dropping = [rule for rule in firewall.rules if rule.hook == "input" and not rule.nat]
    if not dropping:
        return judged(about, Verdict.OK, "no rule is in the way of checks", why, "")
    return judged(
        about,
        Verdict.UNKNOWN,
        f"{', '.join(rule.text for rule in dropping)}; whether another rule lets RTP in cannot be told here",
        why,
        dropping[0].mend + "  # RTP to checks: udp from the VIPs to ports from 1024 up",
    )


def judge_conntrack(machine: Machine) -> Iterator[Finding]:
    """Whether connection tracking has room for one more player."""
    count, most = (machine.sysctl(f"net/netfilter/nf_conntrack_{name}") for name in ("count", "max"))
    if count is None or not most:
        return
    refused = machine.counters.told("conntrack.drop", "conntrack.insert_failed")
    lately = machine.counters.lately("conntrack.drop", "conntrack.insert_failed")
    verdict = Verdict.OK
    if count > FULL_WRONG * most or lately:
        verdict = Verdict.WRONG
    elif count > FULL_ADVICE * most:
        verdict = Verdict.ADVICE
    yield judged(
        "connection tracking",
        verdict,
        f"{count:,} of {most:,} entries; refused {refused}",
        "a player takes up to five entries; when they are used up, new ones are dropped without a word",
        f"sysctl -w net.netfilter.nf_conntrack_max={2 * most}",
    )


def _forgetful(rule: FirewallRule, machine: Machine) -> Finding:
    strict = machine.sysctl("net/netfilter/nf_conntrack_tcp_loose") == 0
    begun = " no more (tcp_loose)" if strict else ""
    return Finding(
        about=f"packet filter: {rule.text}",
        verdict=Verdict.WRONG if strict else Verdict.ADVICE,
        measured=f"drops what connection tracking calls invalid ({rule.hook}), so far "
        f"{machine.counters.told('conntrack.invalid')} packets; "
        f"connections are taken up in their middle{begun}",
        why="after a failover, players' packets come in the middle of a connection: dropped, they hang; "
        "let in, they are answered by a reset, and the player connects again",
        mend=rule.mend,
    )


def _chosen(firewall: Firewall, takes: Packets, *, nat: bool) -> Sequence[FirewallRule]:
    return [rule for rule in firewall.rules if rule.takes is takes and rule.nat is nat]


def _place(one: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """Family, table, and chain or map."""
    return one["family"], one["table"], one[name]


def _callers(parts: Sequence[tuple[str, Any]]) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """Chains without a hook, and one that jumps to each."""
    callers = {}
    for kind, one in parts:
        for part in one["expr"] if kind == "rule" else ():
            for verb in ("jump", "goto"):
                if isinstance(part.get(verb), dict):
                    callers[one["family"], one["table"], part[verb]["target"]] = _place(one, "chain")
    return callers


def _takes(rule: Mapping[str, Any], maps: Mapping[tuple[str, str, str], Any]) -> Packets | None:
    """What of the packets a rule drops, or whose source it translates; None if it does neither to media."""
    expressions = rule["expr"]
    last = expressions[-1] if expressions else {}
    matches = [part["match"] for part in expressions if "match" in part]
    if "drop" in last and any(_is_state(match["left"]) and _names_invalid(match) for match in matches):
        return Packets.INVALID
    for part in expressions:
        if "vmap" in part and _is_state(part["vmap"]["key"]):
            data = part["vmap"]["data"]
            named = isinstance(data, str)  # "@name"
            told = maps.get((rule["family"], rule["table"], data[1:]), []) if named else data.get("set", [])
            dropped = [key for key, does in told if "drop" in does]
            return Packets.INVALID if "invalid" in dropped else None
    narrowed = any("payload" in match["left"] for match in matches)
    return Packets.ALL if ("masquerade" in last or "snat" in last) and not narrowed else None


def _is_state(left: Any) -> bool:
    return isinstance(left, Mapping) and left.get("ct", {}).get("key") == "state"


def _names_invalid(match: Mapping[str, Any]) -> bool:
    if match["op"] == "!=":
        return False
    right = match["right"]
    if isinstance(right, Mapping):
        right = right.get("set", [])
    return "invalid" in ([right] if isinstance(right, str) else right)
