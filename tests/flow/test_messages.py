"""The story of a message: a real spike, a real recorder, a real receiver; a slow one, a reload, a kill."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable

from tests.flow.recorder import CPU_RULE, FAST, Recorder
from tests.notify.servers import Receiver, receiving, silent

RULE = CPU_RULE.replace("window_s = 2", "window_s = 1")


def told(url: str, name: str = "team") -> str:
    return f'[[notify.receivers]]\nname = "{name}"\nkind = "webhook"\nurl = "{url}"\n'


def test_a_spike_is_told_with_its_function_and_a_receiver_that_hangs_delays_neither_it_nor_the_capture(
    recorder: Callable[..., Recorder],
) -> None:
    """The message comes when the evidence is there, names what `show` names, and is not repeated."""
    with receiving(Receiver()) as place, silent() as port:
        dead = told(f"http://127.0.0.1:{port}/", "dead")
        daemon = recorder(f"{RULE}{dead}{told(place.url)}", FAST).start()
        burner = daemon.python("burn.py", "50")
        incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
        daemon.wait_for(lambda: place.got, "a message")
        burner.kill()
        burner.wait()
        (body,) = place.bodies()[:1]
        assert body["pid"] == burner.pid
        assert body["id"] == incident["correlation_id"]
        assert body["is_ready"] is True
        shown = json.loads(daemon.command("show", body["id"], "--json").stdout)
        assert body["function"].startswith(shown["hotspots"][0]["function"])
        profile = [one for one in shown["captures"] if one["role"] == "profile"][-1]
        assert profile["status"] == "ok"
        assert [one["id"] for one in place.bodies()].count(body["id"]) == 1


def test_a_receiver_that_a_reload_brings_is_told_what_a_killed_recorder_had_not(
    recorder: Callable[..., Recorder],
) -> None:
    """kill -9 while its sender hangs in a receiver: the next recorder tells it, with the same id."""
    with receiving(Receiver(hold=threading.Event())) as place:
        daemon = recorder(RULE, FAST).start()
        daemon.config.write_text(f"{FAST}{RULE}{told(place.url)}")
        assert daemon.daemon is not None
        daemon.daemon.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda: "config.reloaded" in daemon.log_text(), "the reload")
        burner = daemon.python("burn.py", "50")
        daemon.wait_for(lambda: place.got, "a first try")
        burner.kill()
        burner.wait()
        daemon.daemon.kill()
        daemon.daemon.wait()
        assert place.hold is not None
        place.hold.set()
        daemon.start()
        name = place.bodies()[0]["id"]

        def is_told() -> bool:
            status = daemon.ask("status") or {}
            team = status.get("messages", {}).get("receivers", {}).get("team", {})
            return bool(team.get("sent")) and not team["waiting"]

        daemon.wait_for(is_told, "the message to be taken")
        assert 1 <= [body["id"] for body in place.bodies()].count(name) <= 2
