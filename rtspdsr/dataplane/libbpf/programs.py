"""XDP programs: run on a frame without an interface, attached to one, replaced."""

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass

from rtspdsr.dataplane.libbpf.binding import library
from rtspdsr.dataplane.libbpf.descriptors import Descriptor

BPF_XDP = 37  # enum bpf_attach_type
LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
XDP_MODES = {"native": 4, "generic": 2}  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE


class _Options(ctypes.Structure):
    """An ``..._opts`` of which we use the flags alone; libbpf takes what lies beyond as zero."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32), ("pad", c_uint32))


class _LinkInfo(ctypes.Structure):
    _fields_ = (
        *((name, c_uint32) for name in ("type", "id", "prog_id", "pad", "ifindex")),
        ("rest", ctypes.c_ubyte * 44),
    )


class _TestRunOptions(ctypes.Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program did with a frame in BPF_PROG_TEST_RUN.

    nanoseconds: mean of one run
    """

    action: int
    frame: bytes
    nanoseconds: int


class Program(Descriptor):
    """A loaded XDP program."""

    @classmethod
    def by_id(cls, program_id: int) -> "Program":
        """A program that is loaded; takes CAP_SYS_ADMIN."""
        fd = library().bpf_prog_get_fd_by_id(program_id)
        return cls(library().check(fd, f"open program {program_id}"))

    def test_run(self, frame: bytes, ifindex: int = 0, repeat: int = 1) -> TestRun:
        """Run it on a frame of 14 octets or more, without an interface (BPF_PROG_TEST_RUN).

        ifindex: the interface the frame seems to come in by; it must exist
        """
        room = ctypes.create_string_buffer(len(frame) + 512)
        options = _TestRunOptions(data_out=ctypes.cast(room, c_void_p), data_size_out=len(room))
        self._test(options, frame, ifindex, repeat)
        return TestRun(options.retval, room.raw[: options.data_size_out], options.duration)

    def transmit(self, frame: bytes, ifindex: int, repeat: int) -> None:
        """Run it on so many real frames: what leaves by XDP_TX goes out by the interface (Linux 5.18).

        A frame is used again as it came back: the program has to write all that somebody may have altered.
        """
        self._test(_TestRunOptions(flags=LIVE_FRAMES), frame, ifindex, repeat)

    def _test(self, options: _TestRunOptions, frame: bytes, ifindex: int, repeat: int) -> None:
        context = (c_uint32 * 6)(0, len(frame), 0, ifindex, 0, 0)  # struct xdp_md
        options.sz, options.repeat = ctypes.sizeof(_TestRunOptions), repeat
        options.data_in, options.data_size_in = ctypes.cast(c_char_p(frame), c_void_p), len(frame)
        if ifindex:
            options.ctx_in, options.ctx_size_in = ctypes.addressof(context), ctypes.sizeof(context)
        result = library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        library().check(result, f"test a program with a frame of {len(frame)} octets")


class Link(Descriptor):
    """An XDP program attached to an interface."""

    @classmethod
    def attach(cls, program: Program, ifindex: int, mode: str) -> "Link":
        """Attach in mode ``native`` or ``generic``; EBUSY is behind the error if something is attached."""
        options = _Options(sz=ctypes.sizeof(_Options), flags=XDP_MODES[mode])
        fd = library().bpf_link_create(program.fd, ifindex, BPF_XDP, ctypes.byref(options))
        return cls(library().check(fd, f"attach to interface {ifindex} in {mode} mode"))

    def replace(self, program: Program) -> None:
        """Swap the program atomically. Blocks some 10 ms: not for the event loop."""
        library().check(library().bpf_link_update(self.fd, program.fd, None), "replace the program")

    def detach(self) -> None:
        """Take the program off at once; the kernel does so only some time after the last reference."""
        library().check(library().bpf_link_detach(self.fd), "detach the program")

    @property
    def ifindex(self) -> int:
        """The interface it is attached to; 0 when that is gone."""
        return int(self._info().ifindex)

    @property
    def program_id(self) -> int:
        """The program that is in force there."""
        return int(self._info().prog_id)

    def _info(self) -> _LinkInfo:
        info = _LinkInfo()
        length = c_uint32(ctypes.sizeof(info))
        result = library().bpf_obj_get_info_by_fd(self.fd, ctypes.byref(info), ctypes.byref(length))
        library().check(result, "ask about a link")
        return info


def pass_program() -> Program:
    """An XDP program that passes everything: what the peer of a veth needs to receive a native XDP_TX."""
    instructions = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit
    fd = library().bpf_prog_load(6, b"pass", b"Dual BSD/GPL", instructions, 2, None)
    return Program(library().check(fd, "load a program"))
