"""Profiles by OTLP to a receiver that reads them with the protocol's own definitions, and judges each table.

More than 400 lines: what a request must be stands beside both who builds it and who sends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
    ExportProfilesServiceRequest,
)

from monitord.actions import otlp, otlp_profiles
from monitord.actions.workspace import Workspace
from monitord.children import own_command
from monitord.config import load
from monitord.errors import MonitordError
from monitord.metrics import otlp_profiles as messages
from monitord.metrics.otlp_ledger import PROFILES_LEDGER_FILE
from monitord.metrics.otlp_profiles import ProfileAbout, profile_requests, require_profiles
from monitord.model import BEFORE, Capture, CaptureStatus, Incident
from monitord.profiles import Frame, Profile, Thread, parse
from monitord.profiles.representation import OTHER_STACKS, OUTER_LEFT_OUT
from monitord.profiles.writing import write
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.metrics.collector import PROFILES, Collector, collecting, until
from tests.patience import PATIENCE_S

SAMPLES = Path(__file__).parents[1] / "profiles/samples"
HOSTILE = 'ev\x1b[31mil"\n\u202e\udcff' + "x" * 5000
ABOUT = ProfileAbout("an incident\0a key", 1_700_000_000_000_000_000, 10**10, {"monitord.incident.id": "abc"})


# ------------------------------------------------------------------------------------- what a request must be


def told(message: Any, indices: Sequence[int]) -> dict[str, Any]:
    """Attributes of the dictionary as Python values; an index is of one key."""
    tables = message.dictionary
    found = {}
    for index in indices:
        entry = tables.attribute_table[index]
        key = tables.string_table[entry.key_strindex]
        assert key
        assert key not in found
        found[key] = getattr(entry.value, entry.value.WhichOneof("value"))
    return found


def checked(message: ExportProfilesServiceRequest) -> Any:
    """The one profile of a request that keeps every rule of profiles.proto."""
    tables = message.dictionary
    fields = tables.DESCRIPTOR.fields
    assert {field.name for field in fields} == {
        *("mapping_table", "location_table", "function_table", "link_table"),
        *("string_table", "attribute_table", "stack_table"),
    }
    for field in fields:
        table = getattr(tables, field.name)
        first = table[0]  # present, and the zero value
        assert (first if field.name == "string_table" else first.SerializeToString()) in ("", b"")
        values = [one if isinstance(one, str) else one.SerializeToString(deterministic=True) for one in table]
        assert max(Counter(values).values()) == 1, f"twice in {field.name}"
    used: dict[str, set[int]] = {field.name: {0} for field in fields}

    def use(table: str, *indices: int) -> None:
        assert all(0 <= index < len(getattr(tables, table)) for index in indices), (table, indices)
        used[table].update(indices)

    for mapping in tables.mapping_table:
        use("string_table", mapping.filename_strindex)
    for function in tables.function_table:
        use("string_table", function.name_strindex, function.filename_strindex, function.system_name_strindex)
    for location in tables.location_table[1:]:
        use("mapping_table", location.mapping_index)
        use("attribute_table", *location.attribute_indices)
        assert len(location.lines) == 1
        use("function_table", *(line.function_index for line in location.lines))
        assert all(line.function_index for line in location.lines)
    for stack in tables.stack_table[1:]:
        assert stack.location_indices
        assert 0 not in stack.location_indices
        use("location_table", *stack.location_indices)
    for attribute in tables.attribute_table:
        use("string_table", attribute.key_strindex, attribute.unit_strindex)
    (resource,) = message.resource_profiles
    (scope,) = resource.scope_profiles
    (profile,) = scope.profiles
    for kind in (profile.sample_type, profile.period_type):
        use("string_table", kind.type_strindex, kind.unit_strindex)
    use("attribute_table", *profile.attribute_indices)
    identities = Counter()
    for sample in profile.samples:
        use("stack_table", sample.stack_index)
        use("attribute_table", *sample.attribute_indices)
        assert len(sample.values) == 1
        assert sample.values[0] > 0
        assert not sample.timestamps_unix_nano
        identities[sample.stack_index, tuple(sample.attribute_indices)] += 1
    assert max(identities.values()) == 1
    for name, indices in used.items():
        assert indices == set(range(len(getattr(tables, name)))), f"referred to by nobody in {name}"
    assert len(profile.profile_id) == 16
    assert any(profile.profile_id)
    assert profile.profile_id
    return profile


def total(profile: Any) -> int:
    return sum(sample.values[0] for sample in profile.samples)


def folded(message: Any) -> Counter[str]:
    """Its stacks as `root;…;leaf` with their values."""
    tables, found = message.dictionary, Counter()
    for sample in checked(message).samples:
        names = []
        for index in tables.stack_table[sample.stack_index].location_indices:
            (line,) = tables.location_table[index].lines
            names.append(tables.string_table[tables.function_table[line.function_index].name_strindex])
        found[";".join(reversed(names))] += sample.values[0]
    return found


def requests_of(profile: Profile, **limits: int) -> list[ExportProfilesServiceRequest]:
    written = write("profile-json", profile)
    return [
        ExportProfilesServiceRequest.FromString(one) for one in profile_requests(written, ABOUT, **limits)
    ]


def test_a_known_profile_arrives_leaf_first_with_its_lines_threads_and_period() -> None:
    """Each stack as it was, and each location says what it is of."""
    frames = [
        Frame("main", "/srv/app.py", 3),
        Frame("work", "/srv/app.py", 10),
        Frame("memcpy", None, None, "/usr/lib/libc.so.6", "native"),
        Frame("do_syscall_64", None, None, None, "kernel"),
    ]
    stacks = {
        (Thread("MainThread", 11, 10), (0, 1)): 5,
        (Thread("MainThread", 11, 10), (0, 1, 2, 3)): 3,
        (Thread("pool", 12, 10, True), (0, 1)): 2,
    }
    (message,) = requests_of(Profile("py-spy", frames, stacks, 10, period_s=0.01))
    profile, tables = checked(message), message.dictionary
    assert folded(message) == {"main;work": 7, "main;work;memcpy;do_syscall_64": 3}
    assert total(profile) == 10
    first, second, third = profile.samples
    leaf, root = tables.stack_table[first.stack_index].location_indices
    (line,) = tables.location_table[leaf].lines
    assert line.line == 10
    assert tables.string_table[tables.function_table[line.function_index].filename_strindex] == "/srv/app.py"
    assert tables.location_table[root].lines[0].line == 3
    assert told(message, first.attribute_indices) == {
        "thread.name": "MainThread", "thread.id": 11, "process.pid": 10
    }  # fmt: skip
    assert told(message, third.attribute_indices)["monitord.waiting"] is True
    kernel, native, *_ = tables.stack_table[second.stack_index].location_indices
    kinds = [told(message, tables.location_table[one].attribute_indices) for one in (leaf, native, kernel)]
    assert [kind["profile.frame.type"] for kind in kinds] == ["cpython", "native", "kernel"]
    mapping = tables.mapping_table[tables.location_table[native].mapping_index]
    assert tables.string_table[mapping.filename_strindex] == "/usr/lib/libc.so.6"
    named = [
        tables.string_table[index]
        for kind in (profile.sample_type, profile.period_type)
        for index in (kind.type_strindex, kind.unit_strindex)
    ]
    assert named == ["samples", "count", "cpu", "nanoseconds"]
    assert profile.period == 10_000_000
    assert (profile.time_unix_nano, profile.duration_nano) == (ABOUT.taken_at_ns, ABOUT.duration_ns)
    assert profile.profile_id == hashlib.sha256(f"{ABOUT.name}\0000".encode()).digest()[:16]
    assert told(message, profile.attribute_indices) == {"monitord.incident.id": "abc"}


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("py-spy-speedscope.json", "speedscope"),
        ("py-spy-dump.json", "py-spy-dump"),
        ("py-spy-raw-threads.txt", "folded"),
        ("perf-script-fp-python3.13-Xperf.txt", "perf-script"),
        ("scalene-cpu.json", "scalene"),
        ("ring.json", "ring"),
        ("eu-stack.txt", "eu-stack"),
        ("macos-sample.txt", "sample"),
        ("memray-speedscope.json", "speedscope"),
    ],
)
def test_what_real_tools_wrote_keeps_every_rule_and_its_sum(file: str, form: str) -> None:
    """All values together are the profile's, whatever its unit; fractions are rounded within their sum."""
    profile = parse(form, (SAMPLES / file).read_bytes())
    (message,) = requests_of(profile)
    assert total(checked(message)) == round(profile.total)
    type_name = message.dictionary.string_table[checked(message).sample_type.type_strindex]
    assert type_name == profile.unit
    if profile.unit == "samples" and all(isinstance(one, int) for one in profile.stacks.values()):
        assert total(checked(message)) == profile.sample_count


def test_fractions_of_samples_add_up_and_those_too_light_are_left_out() -> None:
    """A thousand stacks of a third: 333 samples, none of them 0."""
    frames = [Frame(f"f{number}") for number in range(1000)]
    stacks = {(Thread(), (number,)): 1 / 3 for number in range(1000)}
    (message,) = requests_of(Profile("x", frames, stacks, 1000))
    assert total(checked(message)) == 333
    assert requests_of(Profile("x", frames[:1], {(Thread(), (0,)): 0.2}, 1)) == []


def test_a_profile_without_stacks_makes_no_request() -> None:
    assert requests_of(Profile("x", [], {}, 0)) == []


@pytest.mark.parametrize("number", [0, -1, 2**40, 10**15])
def test_hostile_names_and_numbers_stay_texts_of_bounded_length(number: int) -> None:
    """Escapes and surrogates do not pass; a line number outside of the range is moved into it."""
    frames = [Frame(HOSTILE, HOSTILE, number, HOSTILE, "unheard of")]
    profile = Profile(HOSTILE, frames, {(Thread(HOSTILE, number, number), (0, 0)): number or 1}, 1, HOSTILE)
    for message in requests_of(profile):
        assert total(checked(message)) == (number or 1)
        for text in (*message.dictionary.string_table, str(message)):
            assert not set(text) & {"\x1b", "\u202e"}
        assert max(map(len, message.dictionary.string_table)) <= 1000


def huge(stack_count: int, depth: int = 30) -> Profile:
    """Every stack has frames of its own."""
    frames = [
        Frame(f"function_{number}_{'n' * 200}", f"/srv/{number}.py", 1)
        for number in range(stack_count * depth)
    ]
    stacks = {
        (Thread("t", number % 7), tuple(range(number * depth, (number + 1) * depth))): number + 1
        for number in range(stack_count)
    }
    return Profile("x", frames, stacks, sum(stacks.values()))


def test_a_huge_profile_goes_in_parts_of_bounded_size_heaviest_first() -> None:
    """Each part stands alone, has an id of its own and says which it is; together they are the profile."""
    profile = huge(500)
    written = write("profile-json", profile)
    parts = [*profile_requests(written, ABOUT, limit_bytes=512 << 10)]
    assert 3 < len(parts) <= 16
    assert max(map(len, parts)) <= 512 << 10
    assert min(map(len, parts[:-1])) > 128 << 10  # not many small ones
    assert parts == [*profile_requests(written, ABOUT, limit_bytes=512 << 10)]
    read = [ExportProfilesServiceRequest.FromString(part) for part in parts]
    profiles = [checked(message) for message in read]
    assert sum(map(total, profiles)) == profile.sample_count
    assert len({profile.profile_id for profile in profiles}) == len(parts)
    facts = [told(message, one.attribute_indices) for message, one in zip(read, profiles, strict=True)]
    assert [fact["monitord.profile.part"] for fact in facts] == [*range(1, len(parts) + 1)]
    assert {fact["monitord.profile.parts"] for fact in facts} == {len(parts)}
    values = [sample.values[0] for one in profiles for sample in one.samples]
    assert values == sorted(values, reverse=True)


def test_beyond_so_many_parts_the_rest_is_one_stack() -> None:
    """What a hostile process can make its host send is bounded; the sum stays."""
    profile = huge(500)
    read = requests_of(profile, limit_bytes=512 << 10, parts=2)
    assert len(read) == 2
    assert sum(total(checked(message)) for message in read) == profile.sample_count
    assert folded(read[1])[OTHER_STACKS] > 0
    assert all(len(message.SerializeToString()) <= 512 << 10 for message in read)


def test_one_stack_that_is_too_large_keeps_its_inner_frames() -> None:
    frames = [Frame(f"{number}{'é' * 900}", "ü" * 900) for number in range(900)]
    (message,) = requests_of(
        Profile("x", frames, {(Thread(), tuple(range(900))): 4}, 4), limit_bytes=256 << 10
    )
    assert len(message.SerializeToString()) <= 256 << 10
    ((names, value),) = folded(message).items()
    assert value == 4
    assert names.startswith(OUTER_LEFT_OUT)
    assert names.endswith(frames[-1].name)
    assert len(names.split(";")) > 40


def test_definitions_of_another_layout_are_refused_and_not_half_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_profiles()
    monkeypatch.setitem(messages._LAYOUT, "Sample", ("locations_start_index",))
    with pytest.raises(MonitordError, match=r"another layout.*1\.45.*otlp\.signals"):
        require_profiles()


# ------------------------------------------------------------------------------------- from a store to a receiver


def profiled(**changes: Any) -> Incident:
    """An incident with what the black box held before, a real profile, a dump, and a profiler that failed."""
    incident = make_incident(**{"at": datetime.now(UTC) - timedelta(minutes=10), **changes})
    context, during, failed = incident.captures
    during = replace(during, payload=(SAMPLES / "py-spy-speedscope.json").read_bytes())
    before = Capture(
        role=BEFORE, profiler="ring", status=CaptureStatus.OK, started_at=during.started_at - timedelta(seconds=100),
        duration_s=100.0, target=during.target, format="ring", payload=(SAMPLES / "ring.json").read_bytes(),
    )  # fmt: skip
    dump = replace(
        during, role="dump", format="py-spy-dump", payload=(SAMPLES / "py-spy-dump.json").read_bytes()
    )
    return replace(incident, captures=(context, before, during, dump, failed))


Save = Callable[..., str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A store, and an endpoint that was configured before."""
    made = Workspace(tmp_path / "data", tmp_path / "config.toml")
    with closing(open_store(made.data_dir)):
        pass
    begun = datetime.now(UTC) - timedelta(hours=1)
    (made.data_dir / PROFILES_LEDGER_FILE).write_text(json.dumps({"since": begun.isoformat()}))
    return made


@pytest.fixture
def save(workspace: Workspace) -> Save:
    def saved(**changes: Any) -> str:
        with closing(open_store(workspace.data_dir)) as store:
            return store.save_incident(profiled(**changes))[0].correlation_id

    return saved


def send(workspace: Workspace, collector: Collector, *lines: str) -> str:
    configure(workspace, collector, *lines)
    return otlp.send(workspace, lambda _pause_s: None)


def configure(workspace: Workspace, collector: Collector, *lines: str) -> None:
    assert workspace.config_path is not None
    text = ["[otlp]", f'endpoint = "{collector.endpoint}"', 'signals = ["profiles"]', *lines]
    workspace.config_path.write_text("\n".join(text))


def sent(collector: Collector) -> list[ExportProfilesServiceRequest]:
    """What came but for the empty requests."""
    return [message for message in collector.profiles if message.resource_profiles]


def ids(collector: Collector) -> list[bytes]:
    return [checked(message).profile_id for message in sent(collector)]


def test_what_was_taken_before_and_during_arrives_once_with_its_incident(
    workspace: Workspace, save: Save
) -> None:
    """Two profiles an incident, each with the header of its version; a second run sends none."""
    incident = save()
    with collecting() as collector:
        assert send(workspace, collector) == "2 profiles"
        assert send(workspace, collector) == "0 profiles"
        versions = {headers["otlp-profiles-development-version"] for _path, headers in collector.requests}
    assert versions == {"1"}
    facts = [told(one, checked(one).attribute_indices) for one in sent(collector)]
    assert [fact["monitord.capture.role"] for fact in facts] == ["before", "profile"]
    assert {fact["monitord.incident.id"] for fact in facts} == {incident}
    assert {fact["monitord.rule"] for fact in facts} == {"cpu-hog"}
    assert len(set(ids(collector))) == 2
    (resource, *_) = (one.resource_profiles[0].resource for one in sent(collector))
    assert {each.key: each.value.string_value for each in resource.attributes}["service.name"] == "monitord"
    count = parse("speedscope", (SAMPLES / "py-spy-speedscope.json").read_bytes()).sample_count
    assert total(checked(sent(collector)[1])) == count


def test_they_are_off_unless_they_are_named(workspace: Workspace, tmp_path: Path) -> None:
    """And they are sent together with the others where they are."""
    (tmp_path / "c.toml").write_text('[otlp]\nendpoint = "http://localhost:4318"\n')
    assert "profiles" not in load(tmp_path / "c.toml", {}).settings.otlp.signals
    with collecting() as collector:
        configure(workspace, collector)
        assert workspace.config_path is not None
        text = workspace.config_path.read_text().replace('["profiles"]', '["logs", "metrics", "profiles"]')
        workspace.config_path.write_text(text)
        assert otlp.send(workspace).endswith(", 0 profiles")


def test_an_incident_without_a_profile_costs_no_request(workspace: Workspace) -> None:
    """Nor is it looked at again."""
    incident = make_incident()
    with closing(open_store(workspace.data_dir)) as store:
        store.save_incident(replace(incident, captures=incident.captures[:1]))
    with collecting() as collector:
        assert send(workspace, collector) == "0 profiles"
        assert collector.requests == []
    assert len(json.loads((workspace.data_dir / PROFILES_LEDGER_FILE).read_bytes())["sent"]) == 1


def test_one_that_can_not_be_read_keeps_no_other_back(workspace: Workspace, save: Save) -> None:
    """It is counted, and the one beside it is sent."""
    save()
    incident = make_incident()  # whose profile is no profile
    with closing(open_store(workspace.data_dir)) as store:
        store.save_incident(incident)
    with collecting() as collector:
        assert send(workspace, collector) == "2 profiles, 1 that can't be read"
        assert send(workspace, collector) == "0 profiles"


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_collector_without_profiles_is_named_with_what_to_do(
    status: int, workspace: Workspace, save: Save
) -> None:
    """Asked with an empty request, before any profile is read; the others were sent; nothing is given up."""
    save()
    with collecting(profiles_status=status) as collector:
        configure(workspace, collector)
        assert workspace.config_path is not None
        text = workspace.config_path.read_text().replace('["profiles"]', '["metrics", "profiles"]')
        workspace.config_path.write_text(text)
        with pytest.raises(MonitordError) as refused:
            otlp.send(workspace)
        assert [path for path, _headers in collector.requests] == ["/v1/metrics", PROFILES]
        assert collector.bodies[1] == b""
        assert str(refused.value) == (
            f"cannot send profiles to {collector.endpoint}: it takes none (answered {status} at {PROFILES});"
            ' let it take them (docs/metrics.md), or leave "profiles" out of otlp.signals'
        )
        collector.profiles_status = 200
        assert send(workspace, collector) == "2 profiles"


def test_what_may_pass_is_tried_again_and_what_will_not_loses_nothing(
    workspace: Workspace, save: Save
) -> None:
    save()
    with collecting(answers=[503, 200, 429, 200, 503, 503, 503]) as collector:
        with pytest.raises(MonitordError, match="answered 503"):
            send(workspace, collector)
        assert send(workspace, collector) == "2 profiles"
    assert len(ids(collector)) == 3  # the first one twice, under one id
    assert len(set(ids(collector))) == 2


def test_what_is_refused_for_good_is_said_and_not_sent_again(workspace: Workspace, save: Save) -> None:
    """By a partial success, in the receiver's own words, or as bad data."""
    save()
    with collecting(rejected_profiles=1) as collector:
        assert send(workspace, collector) == r"0 profiles, 2 refused by it (no\x1b[31m room)"
        assert send(workspace, collector) == "0 profiles"
    save(pid=77)
    with collecting(answers=[200, 413]) as collector:
        assert send(workspace, collector) == "1 profile, 1 refused by it (answered 413)"
        assert send(workspace, collector) == "0 profiles"


def test_killed_at_work_it_sends_again_under_the_same_ids_and_with_the_same_bytes(
    workspace: Workspace, save: Save
) -> None:
    """A real child, killed while the receiver holds its second profile, before anything could be noted."""
    save(command_line=("python3", "/home/wolfgang/app.py"), user="wolfgang")
    words = own_command("monitord.actions.metrics_errand", "otlp")
    places = ["--data-dir", str(workspace.data_dir), "--config", str(workspace.config_path)]
    with collecting(holds_back=3) as collector:  # an empty one, then two
        configure(workspace, collector)
        with subprocess.Popen([*words, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            until(lambda: len(collector.profiles) == 3)
            os.kill(child.pid, signal.SIGKILL)
            child.wait(PATIENCE_S)
        collector.holds_back = 0
        assert send(workspace, collector) == "2 profiles"
    bodies = [body for body in collector.bodies if body]
    assert len(bodies) == 4
    assert bodies[:2] == bodies[2:]
    assert ids(collector)[:2] == ids(collector)[2:]


def test_secrets_and_names_are_hidden_as_in_an_export(workspace: Workspace) -> None:
    """In frames' files, functions and threads, and in what the incident knows of its user."""
    document = json.loads((SAMPLES / "py-spy-speedscope.json").read_bytes())
    for frame in document["shared"]["frames"]:
        frame["file"] = "/home/wolfgang/token-ghp_16C7e42F292c6912E7710c838347Ae178B4a.py"
    incident = profiled(name=HOSTILE[:200], user="wolfgang")
    captures = [
        replace(one, payload=json.dumps(document).encode()) if one.format == "speedscope" else one
        for one in incident.captures
    ]
    with closing(open_store(workspace.data_dir)) as store:
        store.save_incident(replace(incident, captures=tuple(captures)))
    with collecting() as collector:
        assert send(workspace, collector) == "2 profiles"
    for body in collector.bodies:
        assert b"wolfgang" not in body
        assert b"ghp_16C7" not in body
    assert any(b"user-" in body for body in collector.bodies)
    named = {told(one, checked(one).attribute_indices)["process.executable.name"] for one in sent(collector)}
    assert not set("".join(named)) & set("\x1b\n\u202e")


def test_a_profile_that_may_still_come_is_waited_for(workspace: Workspace, save: Save) -> None:
    """A long profile is taken after its alert: until then its incident is not done."""
    save(at=datetime.now(UTC) - timedelta(seconds=100))
    with collecting() as collector:
        assert send(workspace, collector, "[capture]", "duration_s = 120") == "0 profiles"
        assert send(workspace, collector) == "2 profiles"


def test_a_round_is_bounded(workspace: Workspace, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one goes on, oldest first."""
    monkeypatch.setattr(otlp_profiles, "_INCIDENTS_AT_MOST", 2)
    for minutes in (30, 20, 10):
        save(at=datetime.now(UTC) - timedelta(minutes=minutes), pid=minutes)
    with collecting() as collector:
        assert send(workspace, collector) == "4 profiles"
        assert send(workspace, collector) == "2 profiles"
    pids = [told(one, checked(one).attribute_indices)["process.pid"] for one in sent(collector)]
    assert pids == [30, 30, 20, 20, 10, 10]
