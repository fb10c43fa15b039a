"""A flight recorder for the processes of one machine."""

__version__ = "0.1.0"
