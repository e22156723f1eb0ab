"""A device on this machine: the real daemon in its own process, wired to fakes of its board."""
