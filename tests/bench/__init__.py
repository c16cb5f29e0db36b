"""Benchmarks: what the balancer costs, against the least that it could cost, and against its peers."""
