"""Which version this is; a test compares it with the package's own."""

VERSION = "0.1.0"
"""Asking the installed package would load parsers of mail headers and archives: 0.7 MB, and longer
than all else that ``fieldsync --version`` does."""
