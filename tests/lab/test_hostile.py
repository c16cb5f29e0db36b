"""Hostile clients against the running daemon, while one that means well plays from a real server."""

import json
from contextlib import ExitStack

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import url
from tests.lab.client import PORTS, Client
from tests.lab.helpers import log_lines, pins, wait_for, wait_for_line

LORIS = 300


def test_an_id_of_another_client_is_logged_and_its_media_goes_on(lab: Lab) -> None:
    # At one backend, the server itself would take the thief at its word.
    lab.daemon.place(str(lab.client("player8", 4)), "gst-a")
    lab.daemon.place(str(lab.client("player9", 4)), "gst-b")
    with Client(lab, "player8") as player:
        track, _ = player.describe("clip")
        session = player.set_up(track, PORTS[0]).session
        assert player.request("PLAY", url("clip", player.vip), Session=session).status == 200
        assert player.hear_rtp(PORTS[0][0], 3)
        steal(lab, player, session)
        assert player.hear_rtp(PORTS[0][0], 3)
        player.request("TEARDOWN", url("clip", player.vip), Session=session)


def steal(lab: Lab, player: Client, session: str) -> None:
    """Name the player's session from another address; nothing of it changes."""
    before = {pin for pin in pins(lab) if pin.flow.client == player.source}
    with Client(lab, "player9") as thief:
        for method in ("PAUSE", "TEARDOWN", "PLAY", "GET_PARAMETER"):
            thief.request(method, url("clip", thief.vip), Session=session)
        claimed = wait_for_line(lab, "session_claimed", client=str(thief.source))
    (opened,) = log_lines(lab, "session_opened", client=str(player.source), client_port=player.port)
    assert claimed["other"] == opened["session"]
    assert {pin for pin in pins(lab) if pin.flow.client == player.source} == before
    assert not log_lines(lab, "session_ending", session=opened["session"])


def test_escape_sequences_of_a_client_are_one_line_of_the_log_each(lab: Lab) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\x9b1m[/x]"
    with Client(lab, "player9") as client:
        transport = f"RTP/AVP;unicast;client_port={PORTS[1][0]}-{PORTS[1][1]}"
        client.ask("SETUP", f"rtsp://{client.vip}/{hostile}", Transport=transport, User_Agent=hostile)
        opened = wait_for_line(lab, "session_opened", client=str(client.source), client_port=client.port)
    assert opened["url"].endswith("\\x1b]0;owned\\x07\\x1b[2J\\r\\x9b1m[/x]")
    for line in lab.daemon.log.read_text().splitlines():
        assert line.isprintable()
        assert json.loads(line)["time"]


def test_beside_slow_loris_a_session_is_pinned_before_its_setup_is_answered(lab: Lab) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(Client(lab, "player9")) for _ in range(LORIS)]
        for one in crowd:
            one.send(b"OPTIONS rtsp://h/ RTSP/1.0\r\nX: ")
        wait_for(lambda: sum(pin.flow.client == crowd[0].source for pin in pins(lab)) >= LORIS, "their pins")
        with Client(lab, "player7") as client:
            track, _ = client.describe("clip")
            client.set_up(track, PORTS[0])
            mine = {pin.flow.client_port for pin in pins(lab) if pin.flow.client == client.source}
            assert {*PORTS[0], client.port} <= mine
            for one in crowd:
                one.send(b"x")
    assert not log_lines(lab, "daemon_fault")
    assert not log_lines(lab, "tracker_full", client=str(crowd[0].source))
