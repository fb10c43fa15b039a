"""Wires the parts, schedules the jobs, stops cleanly. One process; see docs/decisions for its threads."""
