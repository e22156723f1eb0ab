"""The demo: two field devices take a map offline, edit it, and bring it back into agreement."""
