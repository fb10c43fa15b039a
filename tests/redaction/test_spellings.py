"""Kinds of places for a secret in an argument list, each with secrets of every look: words, dashes, blanks, hex, UUIDs."""

from __future__ import annotations

import shlex

import pytest

from monitord.redaction import redact_argv, redact_name, redact_text

LOOKS = {
    "word": "hunterly",
    "dashes": "correct-horse-battery",
    "dots": "s3cr3t.p4ss.w0rd",
    "blanks": "Summer of twentyfour",
    "hex": "9f86d081884c7d659a2feaa0c55ad015",
    "uuid": "550e8400-e29b-41d4-a716-446655440000",
    "mixed": "Tr0ub4dor" + "x3",
}
ANY_LOOK = [
    ("env", "PGPASSWORD=%S", "psql"),
    ("docker", "run", "-e", "MYSQL_ROOT_PASSWORD=%S", "mysql"),
    ("mount", "-o", "user=bob,password=%S,vers=3", "/mnt"),
    ("psql", "host=db password=%S dbname=shop"),
    ("xfreerdp", "/u:bob", "/p:%S", "/v:h"),
    ("tf", "get", "/login:bob,%S"),
    ("tf", "get", "/connection:bob:%S"),
    ("ktpass", "/pass", "%S", "/princ", "x"),
    ("reg", "add", "HKLM", "/v", "DefaultPassword", "/d", "%S"),
    ("sc", "config", "svc", "obj=", "bob", "password=", "%S"),
    ("neo4j-admin", "dbms", "set-initial-password", "%S"),
    ("wp", "config", "set", "DB_PASSWORD", "%S"),
    ("frob", "set", "passwd", "%S"),
    ("yarn", "config", "set", "npmAuthToken", "%S"),
    ("npm", "config", "set", "//r.example.org/:_authToken", "%S"),
    ("poetry", "config", "pypi-token.pypi", "%S"),
    ("az", "keyvault", "secret", "set", "--name", "n", "--value", "%S"),
    ("age", "-p", "-passphrase", "%S", "f"),
    ("sh", "-c", "cryptsetup open --key-file <(echo '%S') /dev/sda x"),
    ("php", "-r", '$d = new PDO("mysql:host=a", "bob", "%S");'),
]
PINS = [
    "simctl setPin %S",
    "simctl entercode PIN %S",
    "simctl --sim PUK %S",
    "signer pkcs11:object=a;pin-value=%S",
    "signer --pin-value=%S",
]
CHOSEN = [  # only what looks chosen or made up: the same words without it name a package, a host, a person
    "importer APP/%S@XE",
    "bteq .logon h/bob,%S",
    "frob 'keepalived: auth_pass %S;'",
    "importer -x svc/%S@db.example.org",
    "sh -c \"echo '%S' > /run/secrets/db\"",
]
ISSUED = [  # only what a machine made: another word may well be no secret
    ("mytool", "auth", "%S"),
    ("mytool", "-p", "%S", "x"),
    ("mytool", "-u", "bob:%S", "x"),
]


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.parametrize("words", ANY_LOOK, ids=" ".join)
def test_no_look_of_a_secret_leaks_where_its_place_tells(words: tuple[str, ...], look: str) -> None:
    shown = " ".join(redact_argv([word.replace("%S", look) for word in words]))
    assert not [part for part in look.split(" ") if len(part) > 2 and part in shown], shown


@pytest.mark.parametrize("look", [LOOKS["hex"], LOOKS["uuid"], LOOKS["mixed"]])
@pytest.mark.parametrize("words", ISSUED, ids=" ".join)
def test_what_a_machine_made_is_hidden_for_tools_that_nobody_knows(words: tuple[str, ...], look: str) -> None:
    assert look not in " ".join(redact_argv([word.replace("%S", look) for word in words]))


@pytest.mark.parametrize("line", PINS)
def test_a_number_that_a_name_calls_a_pin_is_hidden(line: str) -> None:
    for pin in ("4711", "48213", "81607753"):
        assert pin not in " ".join(redact_argv(line.replace("%S", pin).split())), line


@pytest.mark.parametrize("line", CHOSEN)
def test_what_looks_chosen_is_hidden_beside_what_may_be_a_login(line: str) -> None:
    for secret in ("S0mmer!Pqk6VD", "W1nterw4h2fa", "x7Qp2mK9vR4t"):
        words = shlex.split(line.replace("%S", secret))
        assert secret not in " ".join(redact_argv(words)), words


def test_a_quoted_word_that_looks_chosen_is_hidden_in_free_text() -> None:
    line = "python3 -c from x import *; f(g('h'),'cn=a','%S',True)"
    assert "W1nterJep6Jr" not in redact_text(line.replace("%S", "W1nterJep6Jr"))
    assert redact_text(line.replace("%S", "mode-auto")) == line.replace("%S", "mode-auto")


@pytest.mark.parametrize(
    "line",
    [
        "terraform init -backend-config=key=prod/terraform.tfstate",
        "systemd-run --scope -p MemoryMax=2G -p CPUQuota=50% ./job",
        "docker run -u 1000:1000 -u app:staff img",
        "docker login registry.example.com",
        "az login --identity",
        "vault token lookup",
        "kubectl create token build-robot",
        "apt-get install passwd keyutils",
        "git config user.name bob",
        "redis-cli set counter:visits 42",
        "helm upgrade api ./chart --set key=prod/values.yaml",
        "sc query state= all",
        "tmux new-session -s auth-work -d",
        "ls /secret /password x",
    ],
)
def test_what_only_sounds_like_a_place_is_kept(line: str) -> None:
    assert redact_argv(line.split()) == tuple(line.split())


@pytest.mark.parametrize("name", ["password", "redis_auth", "AUTH_TOKEN", "SECRET", "db.passwd"])
@pytest.mark.parametrize("choice", ["default", "basic", "none", "a", "C", "env", "$USER", "${USER}"])
def test_what_follows_a_choice_and_a_colon_is_hidden_and_the_choice_is_kept(name: str, choice: str) -> None:
    for secret in ("Hunt3r2xK9", "sommer24", "kX9vQ2mLp7Zt", "dragon:egg"):
        shown = f"{name}={choice}:***HIDDEN***"
        assert redact_text(f"{name}={choice}:{secret}") == shown
        assert secret not in redact_argv(["sh", "-c", f"export {name}={choice}:{secret}; app"])[2]
    assert redact_text(f"{name}={choice}") == f"{name}={choice}"
    assert redact_text(f"{name}={choice}:${{PORT}}") == f"{name}={choice}:${{PORT}}"


@pytest.mark.parametrize("begin", [".*", ".+", "\\s", "\\w", "\\d", "\\S", "\\(", "\\[", "${X}", "${X}-"])
def test_a_secret_that_begins_as_a_pattern_or_a_variable_does_is_hidden(begin: str) -> None:
    for secret in ("Hunt3r2", "K9x!Lq2", "ommer24", "inter"):
        assert secret not in redact_text(f"PASSWORD={begin}{secret} ./run")
        assert secret not in redact_argv(["app", "-e", f"PASSWORD={begin}{secret}"])[2]


@pytest.mark.parametrize(
    "text",
    [
        r"s/password: \(.*\)/\1/",
        r"password:\s*(\S+)",
        r"token=\w+",
        r"token=\d{4,8}",
        "password=.*",
        "re.search('password=')",
        "password=${A}:${B}",
        "password=${A}-${B}",
    ],
)
def test_what_is_wholly_a_pattern_or_variables_is_kept(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("verb", ["export", "delete", "list"])
def test_a_verb_before_a_secrets_name_hides_it_no_less(verb: str) -> None:
    for name in ("SECRET", "SECRET_KEY", "CLIENT_SECRET", "USER_SECRET_TOKEN", "SECRET_KEYS"):
        for spelled in (f"{verb.upper()}_{name}", f"{verb}_{name.lower()}", f"--{verb}-{name.lower()}"):
            assert "sommer24" not in redact_text(f"{spelled}=sommer24")
            assert "sommer24" not in redact_argv(["env", f"{spelled}=sommer24", "app"])[1]
    for keys in ("secret-key", "secret-keys", "secret-subkeys"):  # of GPG: whose keys they are follows
        words = ("gpg", f"--{verb}-{keys}", "build-robot")
        assert redact_argv(words) == words
        assert redact_text(" ".join(words)) == " ".join(words)


@pytest.mark.parametrize(
    "words",
    [
        ("app", "--password", "%S"),
        ("app", "--password=%S"),
        ("mysql", "--password=%S"),
        ("sshpass", "-p", "%S"),
        ("app", "--token", "%S"),
        ("app", "--passphrase", "%S"),
    ],
    ids=" ".join,
)
def test_words_that_slashes_join_are_hidden_where_a_secret_is_due(words: tuple[str, ...]) -> None:
    for secret in ("sommer/winter/herbst", "Sommer/Winter/2024", "rot/blau/gelb24"):
        assert not any(secret in word for word in redact_argv([word.replace("%S", secret) for word in words]))


@pytest.mark.parametrize("before", ["*", "xx*", "(", "**"])
def test_a_login_is_hidden_behind_any_sign(before: str) -> None:
    for login in ("bob:Hunt3r2xK9@host", "admin:sommer24@db.example.com"):
        secret = login.partition(":")[2].partition("@")[0]
        assert secret not in redact_text(before + login)
        assert secret not in redact_argv(["app", before + login])[1]


@pytest.mark.parametrize("task", ["set-admin", "add_admin", "new-user", "create-svc"])
def test_what_looks_chosen_behind_a_task_for_an_account_is_hidden(task: str) -> None:
    for secret in ("Hunt3r2!", "kX9vQ2mLp7Zt", "9f86d081884c7d659a2feaa0c55ad015"):
        assert redact_argv(["app", f"{task}:{secret}"]) == ("app", f"{task}:***HIDDEN***")
    assert redact_argv(["npm", "run", f"{task}:dev"]) == ("npm", "run", f"{task}:dev")


def test_what_is_hidden_before_a_colon_makes_no_login_of_what_follows() -> None:
    assert redact_text("x ***HIDDEN***:8080-web@host") == "x ***HIDDEN***:8080-web@host"


def test_a_search_is_kept_and_what_looks_chosen_in_its_place_is_hidden() -> None:
    for url in ("https://h/?s=linux+kernel+5.10", "https://h/?s=20"):
        assert redact_text(url) == url
    for secret in ("Hunt3r2!", "kX9vQ2mLp7Zt"):
        assert secret not in redact_text(f"https://h/?s={secret}")


@pytest.mark.parametrize("sign", [".", "/"])
def test_what_was_issued_is_hidden_behind_a_part_of_a_path_that_names_it(sign: str) -> None:
    for look in (LOOKS["hex"], LOOKS["uuid"]):
        assert look not in redact_name(f"/run/user/1/token{sign}{look}")
    assert redact_name(f"/app/token{sign}refresh{sign}x.py") == f"/app/token{sign}refresh{sign}x.py"


def test_hex_behind_a_token_is_a_build_and_behind_a_session_its_id() -> None:
    for length in (8, 16, 20):
        hexes = ("4f5a6b7c8d" * 2)[:length]
        assert redact_name(f"/t/auth_token-{hexes}.js") == f"/t/auth_token-{hexes}.js"
    for hexes in ("4f5a6b7c8d9e0f1a", "4f5a6b7c8d9e0f1a4f5a6b7c8d"):
        assert hexes not in redact_name(f"/tmp/sess_{hexes}")


def test_what_a_machine_made_is_hidden_where_something_announces_it_and_kept_elsewhere() -> None:
    for made in (LOOKS["hex"], LOOKS["uuid"], LOOKS["hex"].upper()):
        for line in (
            "frob auth %S",
            "frob token x %S",
            "frob --join-key %S",
            "frob --licence=%S",
            "frob -u bob x %S",
        ):
            assert made not in " ".join(redact_argv(line.replace("%S", made).split())), line
        for line in ("frob %S", "frob start %S", "frob --job %S", "frob --header=%S", "python x.py %S"):
            assert made in " ".join(redact_argv(line.replace("%S", made).split())), line
