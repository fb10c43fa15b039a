"""Log lines: what a stream that can't be written does to whoever logs."""

from __future__ import annotations

import contextlib
import io

import pytest

from monitord import logs


def test_a_stream_that_cant_be_written_costs_lines_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk, a closed pipe, a terminal that is gone: the line is lost, the logger goes on."""
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails too
    logs.configure(stream=full)
    logs.get_logger().info("passes.on")
    with contextlib.suppress(OSError):
        full.close()
    closed = io.StringIO()
    closed.close()
    logs.configure(stream=closed)
    logs.get_logger().info("passes.on")
    logs.configure()
    logs.get_logger().info("is.heard")
    assert "is.heard" in capsys.readouterr().err
