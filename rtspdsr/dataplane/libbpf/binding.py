"""The binding to the shared library: its functions with their types, and its refusals as errors.

Nothing here knows what is asked of the kernel; the other modules do.
"""

import ctypes
import errno
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any

from rtspdsr.errors import DataplaneError

SampleCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
_PrintCallback = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

# What libbpf exports and we call: name -> (result, arguments).
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (c_void_p, [_PrintCallback]),
    "libbpf_num_possible_cpus": (c_int, []),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_map_create": (c_int, [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "bpf_map_get_next_key": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_lookup_batch": (c_int, [c_int] + [c_void_p] * 6),
    "bpf_map_update_batch": (c_int, [c_int] + [c_void_p] * 4),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_prog_get_fd_by_id": (c_int, [c_uint32]),
    "bpf_prog_load": (c_int, [c_int, c_char_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "bpf_link_create": (c_int, [c_int, c_int, c_int, c_void_p]),
    "bpf_link_update": (c_int, [c_int, c_int, c_void_p]),
    "bpf_link_detach": (c_int, [c_int]),
    "ring_buffer__new": (c_void_p, [c_int, SampleCallback, c_void_p, c_void_p]),
    "ring_buffer__add": (c_int, [c_void_p, c_int, SampleCallback, c_void_p]),
    "ring_buffer__epoll_fd": (c_int, [c_void_p]),
    "ring_buffer__consume": (c_int, [c_void_p]),
    "ring_buffer__free": (None, [c_void_p]),
}


class _Library:
    """The shared library with typed functions, and the messages it prints kept for our errors."""

    def __init__(self) -> None:
        try:
            self._dll = ctypes.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            raise DataplaneError("libbpf.so.1 is not there; install it: apt-get install libbpf1") from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._dll, name)
            function.restype, function.argtypes = result, arguments
        self.messages: list[str] = []
        self._libc = ctypes.CDLL(None)
        self._print = _PrintCallback(self._keep)  # must outlive the library's pointer to it
        self._dll.libbpf_set_print(self._print)

    def _keep(self, level: int, template: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(8192)
        self._libc.vsnprintf(text, c_size_t(len(text)), c_char_p(template), c_void_p(arguments))
        if level < 2:  # 2 is LIBBPF_DEBUG
            self.messages = [*self.messages[-20:], text.value.decode(errors="replace").rstrip()]
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dll, name)

    def check(self, result: int, doing: str) -> int:
        """Give back a result that is not negative; else raise ``DataplaneError`` for the errno in it."""
        if result >= 0:
            return result
        raise self.refusal(-result if result != -1 else ctypes.get_errno(), doing)

    def refusal(self, code: int, doing: str) -> DataplaneError:
        """The error for a refused call, with an ``OSError`` as its cause for callers that look at errno."""
        why = os.strerror(code)
        if code in (errno.EPERM, errno.EACCES):
            why += "; run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
        detail = "".join(f"\n  {line}" for line in self.messages)
        self.messages = []
        error = DataplaneError(f"cannot {doing}: {why}{detail}")
        error.__cause__ = OSError(code, os.strerror(code))
        return error


@cache
def library() -> _Library:
    """libbpf, loaded at the first use."""
    return _Library()


def refused_with(error: DataplaneError) -> int:
    """The errno behind a ``DataplaneError`` of this module, 0 if there is none."""
    cause = error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0


def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has."""
    return library().check(library().libbpf_num_possible_cpus(), "count processors")
