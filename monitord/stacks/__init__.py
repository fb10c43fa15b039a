"""The black box: what every process was doing lately, kept by the kernel in rings that wake nobody."""
