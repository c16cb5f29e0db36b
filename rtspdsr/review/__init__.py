"""Reviewing session logs after the fact: what happened, to whom, and which backend is to blame.

Nothing here runs in the daemon. A log of any size is read once, from first line to last, in bounded memory.
"""
