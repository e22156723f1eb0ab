"""The ways out of the device: what the kernel tells of them, and where they are proven to lead."""
