"""The benchmark's own BPF programs: compiled when they are wanted, loaded, and one put before another.

Handed the names of sources that lie beside it, it gives back programs and maps; it measures nothing.
"""

import struct
import subprocess
import tempfile
from pathlib import Path

import hatch_build
from rtspdsr.dataplane.layout import index
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.objects import Object
from rtspdsr.dataplane.libbpf.programs import Program

_HERE = Path(__file__).parent
_DRAWING = struct.Struct("=QIIII")


class Loaded:
    """The programs and maps of one source."""

    def __init__(self, source: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            built = Path(directory) / "bench.bpf.o"
            wanted = {str(hatch_build.SOURCE): str(_HERE / source)}
            command = hatch_build.command(hatch_build.find_clang(), built)
            subprocess.run([wanted.get(word, word) for word in command], cwd=hatch_build.ROOT, check=True)
            self._object = Object(built)
            self._object.load()
        self.maps: dict[str, Map] = self._object.maps()

    def program(self, name: str) -> Program:
        """A program by its function's name."""
        return self._object.program(name)

    def close(self) -> None:
        """Free the maps."""
        for one in self.maps.values():
            one.close()
        self._object.close()


class Drawn(Loaded):
    """``target`` run on frames of clients drawn at random, or of all of them in turn.

    source:   where the last four octets of the source address are in the frame
    sequence: where the sequence number is, if it is to be drawn as well
    """

    def __init__(
        self, target: Program, clients: int, source: int, sequence: int = 0, *, in_turn: bool = False
    ) -> None:
        super().__init__("draw.bpf.c")
        state = 0 if in_turn else clients
        self.maps["drawings"].update(index(0), _DRAWING.pack(state, clients, source, sequence, in_turn))
        self.maps["target"].update(index(0), target.fd.to_bytes(4, "little"))
        self.drawing = self.program("draw")

    def close(self) -> None:
        """Free it; the target stays."""
        self.drawing.close()
        super().close()
