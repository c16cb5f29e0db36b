"""The network around the forwarding core: MAC addresses, links and routes as they change; announcements."""
