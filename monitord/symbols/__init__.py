"""Names of functions from a program's own file, given as a descriptor: every length and count is bounded."""
