"""A client of our own plays through the VIP and the XDP program, on the balancer.

``wire`` makes its namespace and the way there and back, ``trial`` plays from each backend.
"""
