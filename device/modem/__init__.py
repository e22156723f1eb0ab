"""The serial modem: its AT dialogue, and the PPP link that is dialled through it."""
