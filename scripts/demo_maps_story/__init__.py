"""The demo of maps: a portal's web map, on demand and ahead of time, in all four update modes."""
