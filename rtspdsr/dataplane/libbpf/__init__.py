"""libbpf through ctypes: objects, maps, programs, links and ring buffers as Python values.

Handed bytes and file names, it gives back bytes; it knows nothing of what a map means (``layout.py``
does). The only ctypes of the project: no maintained libbpf binding is on PyPI. Needs libbpf 1.x and a
kernel from 5.18. Every refusal of the kernel becomes a ``DataplaneError`` that names what was refused.
"""
