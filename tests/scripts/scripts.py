"""Scripts to be profiled: each says something first, then does one thing."""

from __future__ import annotations

from pathlib import Path

BURNS = """
import sys, time
def inner(count):
    total = 0
    for number in range(count):
        total += number * number
    return total
def outer(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        inner(20000)
if __name__ == "__main__":
    print("said by the script", sys.argv[1:], flush=True)
    outer(float(sys.argv[1]) if len(sys.argv) > 1 else 0.7)
"""

ENDS_WITH_7 = BURNS + "    sys.exit(7)\n"
TOO_SHORT = "import sys\nsys.exit(7)\n"
BROKEN = "def x(:\n"

ENDLESS = BURNS.split("    outer(float")[0] + "    outer(600)\n"
IGNORES_SIGINT = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + ENDLESS
HANDLES_SIGINT = (
    "import signal\nsignal.signal(signal.SIGINT, lambda *_: print('handled', flush=True))\n" + ENDLESS
)

FORKS = (
    BURNS
    + """
    import subprocess
    child = subprocess.Popen(["/bin/sleep", "601"], start_new_session=True)
    print("child", child.pid, flush=True)
"""
)

MOVES = BURNS.replace("print(", "import os; os.chdir('/'); print(", 1)

A_GIGABYTE = """
import os
block = b"x" * (1 << 20)
for _ in range(1000):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
total = 0
for number in range(3_000_000):
    total += number * number
"""

LEAVES_A_FILE = BURNS + "    import tempfile; print('left', tempfile.mkstemp()[1], flush=True)\n"


def write(folder: Path, text: str, name: str = "app.py") -> Path:
    """The script, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path
