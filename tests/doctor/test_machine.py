"""What is not of one interface: kernel, network stack, sockets, clock, packet filter."""

from dataclasses import replace
from typing import Any

import pytest

from rtspdsr.doctor import clock, firewall, kernel, server, sockets, stack
from rtspdsr.doctor.machine import Claim, Clock, Firewall, Machine, Packets, Process, Share
from rtspdsr.finding import Verdict
from tests.doctor.builders import NIC, VIP4, counters, echo, found, machine

OK, ADVICE, WRONG, UNKNOWN = Verdict.OK, Verdict.ADVICE, Verdict.WRONG, Verdict.UNKNOWN


TAKEN = kernel.Trial()


@pytest.mark.parametrize(
    ("made", "tried", "about", "verdict"),
    [
        (machine(), TAKEN, "kernel", OK),
        (machine(release="5.15.0-91-generic"), TAKEN, "kernel", WRONG),
        (machine(release="5.18.0"), TAKEN, "kernel", OK),
        (machine(), TAKEN, "XDP program", OK),
        (machine(), kernel.Trial("the verifier refused it"), "XDP program", WRONG),
        (machine(), kernel.Trial("not permitted", permitted=False), "XDP program", UNKNOWN),
        (machine(sysctls={"net/core/bpf_jit_enable": "0"}), TAKEN, "BPF compiler", ADVICE),
        (machine(sysctls={"net/core/bpf_jit_enable": ""}), TAKEN, "BPF compiler", UNKNOWN),
    ],
)
def test_the_kernel(made: Machine, tried: kernel.Trial, about: str, verdict: Verdict) -> None:
    assert found(kernel.judge(made, tried), about).verdict is verdict


@pytest.mark.parametrize(
    ("told", "verdict", "measured"),
    [
        (Clock(synchronised=True, error_s=0.02), OK, "wrong by 20 ms at most"),
        (Clock(synchronised=True, error_s=3.0), ADVICE, "3000 ms"),
        (Clock(synchronised=False, error_s=16.0), ADVICE, "nothing synchronises it"),
        (None, UNKNOWN, "does not tell"),
    ],
)
def test_the_clock(told: Clock | None, verdict: Verdict, measured: str) -> None:
    finding = clock.judge(told)
    assert finding.verdict is verdict
    assert measured in finding.measured


def test_the_kernel_tells_of_its_clock() -> None:
    told = clock.read()
    assert told is not None
    assert told.error_s >= 0


BACKLOG: dict[str, tuple[dict[str, int], dict[str, int], str, Verdict]] = {
    "nothing": ({}, {"softnet.processed": 1000}, "CPU backlog", OK),
    "dropped once": ({"softnet.dropped": 5}, {"softnet.dropped": 5}, "CPU backlog", ADVICE),
    "one of a million": ({}, {"softnet.processed": 10**6, "softnet.dropped": 1}, "CPU backlog", ADVICE),
    "one of a hundred": ({}, {"softnet.processed": 1000, "softnet.dropped": 10}, "CPU backlog", WRONG),
    "squeezed": ({}, {"softnet.squeezed": 1000}, "CPU time", ADVICE),
}


@pytest.mark.parametrize(("first", "last", "about", "verdict"), BACKLOG.values(), ids=BACKLOG)
def test_the_backlog(first: dict[str, int], last: dict[str, int], about: str, verdict: Verdict) -> None:
    made = machine(counters=counters(first, last))
    assert found(stack.judge_backlog(made), about).verdict is verdict


MEDIA: dict[str, tuple[dict[str, int], dict[str, int], str, Verdict]] = {
    "buffers overran once": ({"udp.SndbufErrors": 3}, {"udp.SndbufErrors": 3}, "UDP send", ADVICE),
    "buffers overrun": ({}, {"ip6.Udp6SndbufErrors": 3}, "UDP send", WRONG),
    "RTP in pieces": ({}, {"ip.FragCreates": 30}, "fragments", ADVICE),
    "a lossy way": ({}, {"tcp.OutSegs": 20_000, "tcp.RetransSegs": 900}, "TCP segments", ADVICE),
    "a clean way": ({}, {"tcp.OutSegs": 20_000, "tcp.RetransSegs": 90}, "TCP segments", OK),
    "too early to say": ({}, {"tcp.OutSegs": 20, "tcp.RetransSegs": 9}, "TCP segments", OK),
}


@pytest.mark.parametrize(("first", "last", "about", "verdict"), MEDIA.values(), ids=MEDIA)
def test_what_media_met(first: dict[str, int], last: dict[str, int], about: str, verdict: Verdict) -> None:
    assert found(stack.judge_media(counters(first, last)), about).verdict is verdict


def test_what_checks_met() -> None:
    finding = stack.judge_checks(counters({}, {"udp.RcvbufErrors": 2}))
    assert finding.verdict is WRONG
    assert "net.core.rmem_default" in finding.mend


@pytest.mark.parametrize(
    ("rate", "room", "verdict", "measured"),
    [
        (2_000_000, "212992", OK, "518 ms of 2 Mb/s"),
        (8_000_000, "212992", ADVICE, "129 ms of 8 Mb/s"),
        (40_000_000, "212992", WRONG, "26 ms of 40 Mb/s"),
        (None, "212992", UNKNOWN, "enough up to 4.14 Mb/s"),
        (8_000_000, "", UNKNOWN, "not shown"),
    ],
)
def test_buffers_against_the_bit_rate(rate: int | None, room: str, verdict: Verdict, measured: str) -> None:
    sysctls = {"net/core/wmem_default": room, "net/core/rmem_default": room}
    sending = found(sockets.judge_sending(machine(sysctls=sysctls), rate), "UDP send buffer")
    receiving = sockets.judge_receiving(machine(sysctls=sysctls), rate)
    for finding in (sending, receiving):
        assert finding.verdict is verdict
        assert measured in finding.measured


def test_what_mends_a_buffer_is_enough() -> None:
    rate = 40_000_000
    mend = found(sockets.judge_sending(machine(), rate), "UDP send buffer").mend
    _, _, default, _ = mend.split()
    mended = machine(sysctls={"net/core/wmem_default": default.partition("=")[2]})
    assert found(sockets.judge_sending(mended, rate), "UDP send buffer").verdict is OK


def test_interleaved_streams() -> None:
    small = machine(
        sysctls={"net/ipv4/tcp_wmem": "4096 16384 65536", "net/ipv4/tcp_slow_start_after_idle": "1"}
    )
    findings = list(sockets.judge_sending(small, 8_000_000))
    assert found(findings, "TCP send").verdict is ADVICE
    assert found(findings, "TCP after").mend == "sysctl -w net.ipv4.tcp_slow_start_after_idle=0"


@pytest.mark.parametrize(
    ("used", "most", "verdict"), [(40, 65_536, OK), (40, 1024, ADVICE), (900, 1024, WRONG)]
)
def test_file_descriptors(used: int, most: int, verdict: Verdict) -> None:
    process = Process(pid=7, name="mediamtx", descriptors=Share(used=used, most=most))
    (finding,) = sockets.judge_descriptors([process], "media server", sockets.FEW)
    assert finding.verdict is verdict
    assert f"room for {(most - used) // 5:,} sessions" in finding.measured
    assert ("prlimit --pid 7" in finding.mend) is (verdict is not OK)


def rules(*expressions: list[dict[str, Any]], **chain: str) -> dict[str, Any]:
    """As nft prints them, in one chain."""
    place = {"family": "inet", "table": "f"}
    hook = {"hook": "input", "policy": "accept", **chain}
    return {
        "nftables": [
            {"metainfo": {}},
            {"chain": {**place, "name": "in", **hook}},
            *(
                {"rule": {**place, "chain": "in", "handle": 5 + at, "expr": one}}
                for at, one in enumerate(expressions)
            ),
        ]
    }


def state(right: object, op: str = "in") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": right}}


DROP: dict[str, Any] = {"drop": None}
BY_STATE = {
    "vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", DROP], ["new", {"accept": None}]]}}
}
BY_NAMED_MAP = {"vmap": {"key": {"ct": {"key": "state"}}, "data": "@by_state"}}


def named_map(*elements: list[Any]) -> dict[str, Any]:
    """The map that ``BY_NAMED_MAP`` looks into; without elements, nft tells of none."""
    told = {"elem": list(elements)} if elements else {}
    return {"map": {"family": "inet", "table": "f", "name": "by_state", "map": "verdict", **told}}


DOCKER = {
    "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "172.17.0.2"}
}

RULES = {
    "drops invalid": (rules([state("invalid"), DROP]), ADVICE),
    "drops a set with invalid": (rules([state({"set": ["invalid", "untracked"]}, "=="), DROP]), ADVICE),
    "drops by a map": (rules([BY_STATE]), ADVICE),
    "drops all but invalid": (rules([state("invalid", "!="), DROP]), OK),
    "drops new": (rules([state("new"), DROP]), OK),
    "counts invalid": (rules([state("invalid"), {"counter": {}}]), OK),
    "translates all": (rules([{"masquerade": None}], hook="postrouting"), WRONG),
    "translates containers": (rules([DOCKER, {"masquerade": None}], hook="postrouting"), OK),
    "drops by default": (rules(policy="drop"), UNKNOWN),
    "nothing": (rules(), OK),
}


@pytest.mark.parametrize(("ruleset", "verdict"), RULES.values(), ids=RULES)
def test_rules_of_the_packet_filter(ruleset: dict[str, Any], verdict: Verdict) -> None:
    made = machine(firewall=Firewall(rules=tuple(firewall.parse(ruleset))))
    (finding,) = firewall.judge(made)
    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("elements", "verdict"), [([["invalid", DROP]], ADVICE), ([["new", DROP]], OK), ([], OK)], ids=str
)
def test_a_map_that_has_a_name_is_looked_up(elements: list[list[Any]], verdict: Verdict) -> None:
    ruleset = rules([BY_NAMED_MAP])
    ruleset["nftables"].append(named_map(*elements))
    (finding,) = firewall.judge(machine(firewall=Firewall(rules=tuple(firewall.parse(ruleset)))))
    assert finding.verdict is verdict


def test_what_is_invalid_is_more_where_connections_are_not_taken_up() -> None:
    (rule,) = firewall.parse(rules([state("invalid"), DROP]))
    assert rule.takes is Packets.INVALID
    made = machine(firewall=Firewall(rules=(rule,)), sysctls={"net/netfilter/nf_conntrack_tcp_loose": "0"})
    (finding,) = firewall.judge(made)
    assert finding.verdict is WRONG
    assert finding.mend == "nft delete rule inet f in handle 5"


def test_a_filter_that_cannot_be_read_is_unknown() -> None:
    made = machine(firewall=Firewall(unread="the command nft is not installed"))
    assert [one.verdict for one in firewall.judge(made)] == [UNKNOWN]
    assert firewall.judge_checks(made.firewall).verdict is UNKNOWN
    assert firewall.judge_checks(Firewall()).verdict is OK


@pytest.mark.parametrize(
    ("count", "refused", "verdict"), [("10", 0, OK), ("850", 0, ADVICE), ("990", 0, WRONG), ("10", 1, WRONG)]
)
def test_room_of_connection_tracking(count: str, refused: int, verdict: Verdict) -> None:
    sysctls = {"net/netfilter/nf_conntrack_count": count, "net/netfilter/nf_conntrack_max": "1000"}
    made = machine(sysctls=sysctls, counters=counters({}, {"conntrack.drop": refused}))
    (finding,) = firewall.judge_conntrack(made)
    assert finding.verdict is verdict


def test_who_answers_for_the_vip_as_a_media_server_hears_it() -> None:
    def told(*macs: str) -> Verdict:
        claims = [Claim(vip=VIP4, interface="eth0", mac=mac) for mac in macs]
        return found(server.judge(machine(), [VIP4], claims, [echo()], [], None), "who answers").verdict

    assert told() is UNKNOWN
    assert told("02:00:00:00:00:02") is OK
    assert told("02:00:00:00:00:02", "02:00:00:00:00:99") is WRONG


def test_a_media_server_that_is_well() -> None:
    process = Process(pid=7, name="mediamtx", descriptors=Share(used=40, most=65_536))
    claims = [Claim(vip=VIP4, interface="eth0", mac="02:00:00:00:00:02")]
    made = machine(replace(NIC, xdp=None), sysctls={"net/core/wmem_default": "1048576"})
    findings = server.judge(made, [VIP4], claims, [echo()], [process], 8_000_000)
    assert {one.verdict for one in findings} == {OK}
