"""One archive for a bug report: what stands on this machine, without secrets.

``parts`` says what is gathered, ``scrubbing`` what is taken out of it, ``archive`` packs it.
"""
