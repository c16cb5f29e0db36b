"""The benchmark of reading measures what it says: all of a text, and requests in it."""

from rtspdsr.core.halfstream import Data, HalfStream
from rtspdsr.core.parser import RequestParser
from rtspdsr.core.request import Request
from tests.bench.reading import KEPT, SIZE, TEXTS, segments


def test_all_of_a_text_is_read_an_octet_to_a_segment() -> None:
    stream, parser = HalfStream(1000, KEPT), RequestParser()
    requests = octets = 0
    for segment in segments(TEXTS["requests"]):
        for said in stream.receive(segment, 1.0):
            assert isinstance(said, Data)
            octets += len(said.data)
            requests += sum(isinstance(one, Request) for one in parser.feed(said.data, said.begins_segment))
    assert octets == SIZE
    assert requests == 1 + (SIZE - 22) // len(TEXTS["requests"])
