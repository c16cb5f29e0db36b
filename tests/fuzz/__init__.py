"""Hostile input by the million: made up with a seed, judged by what must hold of any input at all.

``frames`` go to the XDP program, ``requests`` to the request parser, ``segments`` to the whole tracker. What
once found a fault is kept under ``seeds`` and read again by every test run.
"""
