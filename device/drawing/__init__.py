"""A map as one SVG file (SVG 1.1): symbols, paths, marks, legend. Nothing in here reads a file."""
