"""Checks of one backend, through the VIP: each is handed the way to it, and gives back what it found."""
