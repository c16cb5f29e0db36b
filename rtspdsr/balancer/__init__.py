"""The daemon: the asyncio shell that starts the parts and puts into effect what the deciding code says."""
