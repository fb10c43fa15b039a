"""A script run under Scalene: by hand, or switched off and waiting; nothing of the run is left behind."""
