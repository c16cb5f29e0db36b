"""rtspdsr: an RTSP-aware Direct Server Return load balancer with an XDP forwarding core."""
