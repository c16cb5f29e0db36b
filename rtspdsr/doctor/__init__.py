"""What real-time media needs of a machine: facts are read in one place, and judged by pure functions.

``facts`` and ``reach`` read, ``machine`` holds what they found, and each other module judges one thing.
``examine`` puts both together, for the balancer and for a media server.
"""
