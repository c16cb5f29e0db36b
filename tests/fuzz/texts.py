"""What clients say, whole and in pieces: what hostile texts are put together from."""

from random import Random

URL = b"rtsp://192.0.2.10/clip"
OFFERS = (
    b"RTP/AVP;unicast;client_port=5000-5001",
    b"RTP/AVP;unicast;client_port=6000",
    b"RTP/AVP/TCP;unicast;interleaved=0-1",
    b"RTP/AVP;multicast",
    b"RTP/AVP/TCP;interleaved=255-256,RTP/AVP;client_port=65535",
    b'RTP/AVP/UDP;unicast;dest_addr=":7000"/"203.0.113.9:7001"',
    b"RTP/AVP;client_port=0-1;destination=203.0.113.9",
)
IDS = (b"", b"Session: abc\r\n", b"Session: xyz;timeout=60\r\n")
METHODS = (b"OPTIONS", b"DESCRIBE", b"PLAY", b"PAUSE", b"RECORD", b"TEARDOWN", b"GET_PARAMETER")
REPORT = bytes.fromhex("81c90007 00000001 00000002 40000003 00000100 00000007 00000000 00000000")


def asks(method: bytes, url: bytes = URL, headers: bytes = b"") -> bytes:
    """One request."""
    return method + b" " + url + b" RTSP/1.0\r\nCSeq: 1\r\n" + headers + b"\r\n"


def framed(channel: int, payload: bytes) -> bytes:
    """An interleaved frame."""
    return b"$" + bytes([channel]) + len(payload).to_bytes(2) + payload


REQUESTS = (
    *(asks(method, headers=name) for method in METHODS for name in IDS),
    *(
        asks(b"SETUP", URL + track, b"Transport: " + offer + b"\r\n" + name)
        for offer in OFFERS
        for track in (b"/1", b"/2")
        for name in IDS[:2]
    ),
)
PIECES = (
    *(asks(method) for method in METHODS),
    framed(1, REPORT),
    framed(0, bytes(200)),
    b"$\x01\xff\xff",
    b"$",
    b"ANNOUNCE rtsp://h/ RTSP/1.0\r\n",
    b"RTSP/1.0 200 OK\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"content-length : 4\r\n",
    b"Transport: ",
    *OFFERS,
    b"Session: ",
    b"Authorization: Basic eDp5\r\n",
    b"User-Agent: \x1b]0;x\x07\xff\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b":",
    b"A" * 150,
    b"GET /clip HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    "rtsp://us\u0435r:p@ss@h/\u202e".encode(),
    b"?password=secret&x=[/b]",
)


def text(dice: Random) -> bytes:
    """Requests and pieces of them in any order, an octet changed here and there."""
    made = bytearray(dice.choice(REQUESTS) * (dice.random() < 0.7))
    made += b"".join(dice.choice((*PIECES, *REQUESTS)) for _ in range(dice.randrange(8)))
    while made and dice.random() < 0.3:
        made[dice.randrange(len(made))] = dice.randrange(256)
    return bytes(made)
