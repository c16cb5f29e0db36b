"""A lab of network namespaces with real media servers and real players, one balancer between them."""
