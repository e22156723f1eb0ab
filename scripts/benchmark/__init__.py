"""The benchmark behind ``scripts/bench``: our codecs beside their peers, on the same rows."""
