"""SIGHUP: a good configuration replaces the old one; a bad one is refused, and told until it is mended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from monitord import config
from monitord.config import LoadedConfig
from monitord.config.settings import needs_restart
from monitord.daemon.journal import Journal
from monitord.errors import ConfigError
from monitord.logs import get_logger
from monitord.recorder.artefact_stores import check_storage


class Reloading:
    """Which configuration is in force, and how the last attempt to change it went.

    `outcome` is what status.json says of it: how many attempts, whether the last was taken, why not, and
    which keys wait for a restart.
    """

    def __init__(self, loaded: LoadedConfig, config_path: Path | None, journal: Journal) -> None:
        self.loaded = loaded
        self._built = loaded.settings
        self._config_path = config_path
        self._journal = journal
        self._attempts = 0
        self._refused: str | None = None
        self._waiting: list[str] = []
        self._at: datetime | None = None

    @property
    def outcome(self) -> dict[str, object]:
        return {
            "attempts": self._attempts,
            "at": self._at,
            "refused": self._refused,
            "needs_restart": list(self._waiting),
        }

    def complaints(self) -> list[str]:
        """What `status` says of it."""
        found = []
        if self._refused is not None:
            found.append(
                f"the last reload was refused, the configuration before it is in force: {self._refused}"
            )
        if self._waiting:
            found.append(f"only a restart takes up: {', '.join(self._waiting)}")
        return found

    def attempt(self, apply: Callable[[LoadedConfig], None]) -> None:
        """Read it again, and apply it when it is good."""
        self._at = datetime.now(UTC)
        try:
            loaded = config.load(self._config_path)
            check_storage(loaded)
        except ConfigError as error:
            self._refused = str(error)
            get_logger().error("config.refused", reason=self._refused)
            self._journal.reload(refused=self._refused)
        else:
            self._take(loaded, apply)
        finally:
            self._attempts += 1

    def _take(self, loaded: LoadedConfig, apply: Callable[[LoadedConfig], None]) -> None:
        apply(loaded)
        self.loaded, self._refused = loaded, None
        self._waiting = needs_restart(self._built, loaded.settings)
        get_logger().info("config.reloaded", rules=len(loaded.settings.rules))
        self._journal.reload(needs_restart=self._waiting)
        if self._waiting:
            get_logger().warning("config.needs_restart", keys=", ".join(self._waiting))
