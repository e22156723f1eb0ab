"""What a person runs, and the Python behind it."""
