"""Whether what leaves the store can be kept as Parquet, where that is configured."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from monitord.doctor.check import FAILURE, OK, WARNING, Check, Surroundings
from monitord.installation import install_command
from monitord.model import counted, sized
from monitord.storage.schema import WARM_NAME


def check_tiers(here: Surroundings) -> Iterator[Check]:
    """The extra is there, the folder is one, and no file of it is damaged."""
    if not here.warm_bytes:
        return
    folder = here.data_dir / WARM_NAME
    if find_spec("pyarrow") is None:
        yield Check(
            "warm tier",
            FAILURE,
            "it needs the extra `analytics`: nothing is kept",
            install_command("analytics"),
        )
        return
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        words = f"{folder} is a link or not a directory: nothing is kept"
        yield Check("warm tier", FAILURE, words, f"rm {folder}")
        return
    files = [path for path in folder.glob("*/*.parquet*") if path.is_file() and not path.is_symlink()]
    used = sum(path.stat().st_size for path in files)
    budget = sized(here.warm_bytes, "disk_bytes")
    detail = f"{counted(len(files), 'file')}, {sized(used, 'disk_bytes')} of {budget} used"
    damaged = [path for path in files if path.name.endswith(".damaged")]
    if damaged:
        words = f"{detail}; set aside as damaged: {damaged[0]}"
        yield Check("warm tier", WARNING, words, f"rm {damaged[0]}  # it goes with its day otherwise")
    else:
        yield Check("warm tier", OK, detail)
