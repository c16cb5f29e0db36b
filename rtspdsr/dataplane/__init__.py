"""The forwarding core: one XDP program, its maps, and the loader that fills and reads them."""
