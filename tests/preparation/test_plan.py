"""Which routes, settings and rules a server needs, from facts alone."""

from ipaddress import ip_address, ip_network

import pytest

from rtspdsr.preparation.network import MAIN_TABLE, Facts, HeldAddress, Hop, Link, Route, RouteKind, Rule
from rtspdsr.preparation.plan import Request, missing, obstacles, plan, sample

from .conftest import SERVER4, VIP4, VIP6

ROUTER = ip_address("10.77.0.254")
ON_LINK = Route(
    table=MAIN_TABLE,
    destination=ip_network("10.77.0.0/24"),
    hops=(Hop(interface="eth0"),),
    source=ip_address("10.77.0.1"),
)
DEFAULT = Route(
    table=MAIN_TABLE,
    destination=ip_network("0.0.0.0/0"),
    hops=(Hop(interface="eth0", gateway=ROUTER),),
    metric=100,
)
ELSEWHERE = Route(
    table=MAIN_TABLE, destination=ip_network("10.20.0.0/16"), hops=(Hop(interface="eth1", gateway=ROUTER),)
)
ON_LINK6 = Route(table=MAIN_TABLE, destination=ip_network("fd77::/64"), hops=(Hop(interface="eth0"),))
UNUSED = {
    f"net/ipv4/conf/{name}/{key}": "0"
    for name in ("all", "lo", "eth0", "eth1")
    for key in ("arp_ignore", "arp_announce", "rp_filter")
}
SERVER = Facts(
    links=(Link(name="lo", up=True), Link(name="eth0", up=True), Link(name="eth1", up=True)),
    addresses=(HeldAddress(interface="eth0", address=SERVER4, prefix_length=24),),
    routes=(ON_LINK, DEFAULT),
    sysctls=UNUSED,
)


def with_routes(*routes: Route) -> Facts:
    return Facts(links=SERVER.links, addresses=SERVER.addresses, routes=routes, sysctls=UNUSED)


def with_sysctls(**values: str) -> Facts:
    changed = {f"net/ipv4/conf/{key.replace('__', '/')}": value for key, value in values.items()}
    return Facts(links=SERVER.links, routes=(ON_LINK, DEFAULT, ELSEWHERE), sysctls={**UNUSED, **changed})


def written(request: Request, facts: Facts) -> list[str]:
    return [str(route) for route in plan(request, facts).routes]


def test_everyone_is_a_client_on_the_link_as_well_but_no_multicast_group() -> None:
    assert written(Request(vips=(VIP4,)), SERVER) == [
        f"10.77.0.0/24 table 554 src {VIP4} dev eth0",
        f"default table 554 src {VIP4} metric 100 via {ROUTER} dev eth0",
        "throw 224.0.0.0/3 table 554",
    ]


def test_named_clients_take_the_way_that_the_main_table_has_for_them() -> None:
    request = Request(vips=(VIP4,), clients=(ip_network("192.0.2.0/24"), ip_network("10.77.0.128/25")))
    assert written(request, SERVER) == [
        f"192.0.2.0/24 table 554 src {VIP4} metric 100 via {ROUTER} dev eth0",
        f"10.77.0.128/25 table 554 src {VIP4} dev eth0",
    ]


def test_narrower_routes_inside_a_client_network_are_repeated() -> None:
    request = Request(vips=(VIP4,), clients=(ip_network("10.0.0.0/8"),))
    assert written(request, with_routes(ON_LINK, DEFAULT, ELSEWHERE)) == [
        f"10.77.0.0/24 table 554 src {VIP4} dev eth0",
        f"10.20.0.0/16 table 554 src {VIP4} via {ROUTER} dev eth1",
        f"10.0.0.0/8 table 554 src {VIP4} metric 100 via {ROUTER} dev eth0",
    ]


def test_what_the_main_table_refuses_is_left_to_it() -> None:
    hole = Route(table=MAIN_TABLE, destination=ip_network("10.9.0.0/16"), kind=RouteKind.BLACKHOLE)
    request = Request(vips=(VIP4,), clients=(ip_network("10.9.0.0/16"), ip_network("10.77.0.0/24")))
    assert written(request, with_routes(ON_LINK, hole))[0] == "throw 10.9.0.0/16 table 554"


def test_reverse_path_filtering_is_loosened_only_where_it_would_drop_clients() -> None:
    def loosened(request: Request, facts: Facts) -> list[str]:
        return [step.subject for step in missing(plan(request, facts), facts) if "rp_filter" in step.subject]

    here, both = Request(vips=(VIP4,)), with_routes(ON_LINK, DEFAULT)
    assert loosened(here, both) == []
    assert loosened(here, with_sysctls()) == []
    assert loosened(here, with_sysctls(eth0__rp_filter="1")) == ["net/ipv4/conf/eth0/rp_filter"]
    assert loosened(here, with_sysctls(all__rp_filter="1", eth0__rp_filter="2")) == [
        "net/ipv4/conf/eth1/rp_filter"
    ]
    assert loosened(here, with_sysctls(all__rp_filter="2", eth0__rp_filter="1")) == []


def test_a_sysctl_that_is_stricter_already_stays() -> None:
    facts = with_sysctls(all__arp_ignore="2", eth0__arp_ignore="8", eth1__arp_ignore="1")
    steps = missing(plan(Request(vips=(VIP4,)), facts), facts)
    assert not [step for step in steps if "arp_ignore" in step.subject]


def test_a_sample_of_a_route_takes_no_narrower_one_and_is_not_our_own() -> None:
    routes = plan(Request(vips=(VIP4,)), SERVER).routes
    assert [str(sample(route, routes, SERVER)) for route in routes[:2]] == ["10.77.0.2", "192.0.2.1"]


@pytest.mark.parametrize(
    ("request_", "facts", "problem"),
    [
        (Request(vips=(VIP4, ip_address("10.77.0.101"))), SERVER, "are both IPv4"),
        (Request(vips=(ip_address("127.0.0.1"),)), SERVER, "127.0.0.1 cannot be a VIP"),
        (Request(vips=(SERVER4,)), SERVER, "`ip address del 10.77.0.1/24 dev eth0`"),
        (Request(vips=(VIP4,), interface="eth7"), SERVER, "no interface 'eth7'; there are lo, eth0, eth1"),
        (Request(vips=(VIP4,)), Facts(links=(), routes=(DEFAULT,), sysctls=UNUSED), "`ip link set lo up`"),
        (Request(vips=(VIP6,)), with_routes(ON_LINK6), "IPv6 is disabled on lo"),
        (Request(vips=(VIP4,)), with_routes(), "no route to clients in 0.0.0.0/0"),
        (
            Request(vips=(VIP4,), clients=(ip_network("2001:db8::/32"),)),
            SERVER,
            "clients 2001:db8::/32 need an IPv6 VIP",
        ),
        (
            Request(vips=(VIP4,)),
            with_routes(DEFAULT, Route(table=554, destination=ip_network("10.1.0.0/16"))),
            "choose another with --table",
        ),
        (
            Request(vips=(VIP4,)),
            Facts(
                links=SERVER.links,
                routes=(DEFAULT,),
                rules=(Rule(version=4, priority=554, table=7),),
                sysctls=UNUSED,
            ),
            "choose another with --priority",
        ),
    ],
    ids=[
        "two VIPs of one family",
        "a loopback VIP",
        "the server's own address",
        "an unknown interface",
        "lo is down",
        "IPv6 is disabled",
        "no route to clients",
        "clients without a VIP of their family",
        "the table is taken",
        "the priority is taken",
    ],
)
def test_an_obstacle_is_named_with_what_to_do(request_: Request, facts: Facts, problem: str) -> None:
    found = obstacles(request_, facts, prepared=False)
    assert len(found) == 1
    assert problem in found[0]
