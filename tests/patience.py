"""How long a test waits for what comes by itself.

Longer than a crowd of burners lasts: beside it a lane of low priority (run.py) gets next to nothing of a core.
"""

PATIENCE_S = 240.0
