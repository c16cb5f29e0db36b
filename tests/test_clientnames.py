"""Clients are named in the log as much as its operator wants known."""

import json
import re
import stat
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from rtspdsr.clientnames import ClientAddresses, client_name, hashed, load_key, named, truncated
from rtspdsr.core.events import DestinationRefused, VipClaimed
from rtspdsr.errors import RtspDsrError
from rtspdsr.logfile import Rotation
from rtspdsr.model import Address
from rtspdsr.sessionlog import open_log

ONE, OTHER = ip_address("192.0.2.7"), ip_address("2001:db8:1:2::7")


class Nameless:
    def service(self, service_id: int) -> str | None:
        return None

    def backend(self, backend_id: int) -> str | None:
        return None


def test_whole_addresses_need_no_key(tmp_path: Path) -> None:
    assert client_name(ClientAddresses.FULL, tmp_path)(ONE) == "192.0.2.7"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("address", "network"), [(ONE, "192.0.2.0/24"), (OTHER, "2001:db8:1::/48")])
def test_a_truncated_address_is_its_network(address: Address, network: str) -> None:
    assert truncated(address) == network


def test_a_hashed_client_keeps_its_name_over_restarts(tmp_path: Path) -> None:
    first = client_name(ClientAddresses.HASH, tmp_path / "state")
    again = client_name(ClientAddresses.HASH, tmp_path / "state")

    assert re.fullmatch("#[0-9a-f]{12}", first(ONE))
    assert first(ONE) == again(ONE) != first(OTHER)


def test_another_installation_has_other_names(tmp_path: Path) -> None:
    names = {client_name(ClientAddresses.HASH, tmp_path / state)(ONE) for state in "ab"}
    assert len(names) == 2


def test_nobody_but_its_owner_reads_the_key(tmp_path: Path) -> None:
    client_name(ClientAddresses.HASH, tmp_path)
    (file,) = tmp_path.iterdir()

    assert file.name == "client-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(load_key(file)) == 32


@pytest.mark.parametrize("content", ["", "00ff", "not hexadecimal"])
def test_a_key_that_is_none_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / "client-key"
    file.write_text(content)

    with pytest.raises(RtspDsrError, match="client-key: is no key of 32 bytes"):
        client_name(ClientAddresses.HASH, tmp_path)
    assert file.read_text() == content


def test_a_key_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    with pytest.raises(RtspDsrError, match=r"client-key: the key for log.client_addresses"):
        client_name(ClientAddresses.HASH, tmp_path / "state")


def test_a_destination_is_named_like_a_client_and_a_host_stays() -> None:
    name = hashed(b"k" * 32)
    assert named("192.0.2.7", name) == named("[192.0.2.7]", name) == name(ONE)
    assert named("host.example", name) == "host.example"


def test_no_whole_address_of_a_client_reaches_the_log(tmp_path: Path) -> None:
    log, file = open_log(
        str(tmp_path / "log"),
        rotation=Rotation(1 << 20, 1),
        queue_max=10,
        names=Nameless(),
        client_name=client_name(ClientAddresses.TRUNCATE, tmp_path),
    )
    log.write(
        DestinationRefused(
            at=1.0,
            service_id=0,
            backend_id=1,
            client=IPv4Address("192.0.2.7"),
            client_port=5000,
            session="s",
            destination="198.51.100.9",
        )
    )
    log.write(
        VipClaimed(
            at=1.0,
            vip=IPv4Address("203.0.113.1"),
            mac="02:00:00:00:00:01",
            interface="eth0",
            defended=False,
        )
    )
    assert file.close()

    refused, claimed = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert (refused["client"], refused["destination"]) == ("192.0.2.0/24", "198.51.100.0/24")
    assert claimed["vip"] == "203.0.113.1"
