"""Words that nobody wrote to be read are known by their letters, and words are not taken for them."""

from __future__ import annotations

import random
import shlex
import string

import pytest

from monitord.redaction import HIDDEN, redact_argv, redact_text

_MIXED = string.ascii_letters + string.digits
# What somebody or something makes up where no rule asks for signs in a password.
LOOKS = {
    "letters": lambda dice: "".join(dice.choices(string.ascii_lowercase, k=10)),
    "word and letters": lambda dice: dice.choice(["geheim", "passt", "Summer"]) + dice.choice("-_.") + "".join(dice.choices(_MIXED, k=8)),
    "mixed": lambda dice: "".join(dice.choices(_MIXED, k=12)),
    "with signs": lambda dice: "".join(dice.choices(_MIXED, k=5)) + dice.choice("#$^~") + "".join(dice.choices(_MIXED, k=6)),
    "escaped": lambda dice: "".join(dice.choices(_MIXED, k=6)) + "%40" + "".join(dice.choices(_MIXED, k=6)),
    "letters and digits": lambda dice: "".join(dice.choices(string.ascii_lowercase + string.digits, k=14)),
}  # fmt: skip
PLACES = """
    frob {} | frob --known {} | frob --known={} | frob -s {} | frob sync {} now | frob known:{} | frob a,{}
    python -c "f('u', b'{}')" | node -e "g({{k: '{}'}})" | frob "start with {} please" | sudo frob {} | sh -c "frob --known {}"
    curl -d '{"x":"{}"}' https://x.example | env MASTER={} ./app | docker run img frob {} | racadm --known {}
    ssh h "frob --known {} -v" | frob 'k={};v=1'
"""
READABLE = """
    frob AbstractBeanFactory | frob nginx-prod-eu1 | frob Standard_D4s_v3 | frob Qwen2.5-7B-Instruct | frob x86_64-linux-gnu
    frob web-7d9c6b8f5d-x2x9z | frob 4f5a6b7c8d9e | frob en_US.UTF-8 | frob benutzerverzeichnis | frob --known max_connections
    frob --image-id qzvwkxplmtbr | git log qzvwkxplmtbr | frob tests/qzvwkxplmtbr | frob qzvwkxplmtbr.json | frob YYYY-MM-DD
    frob --user mkrzysztof | frob --rg rg-weu-prd-shd-001 | frob acme-prd-eu-w1-lgs | frob web.1.x7k2m9q4t6v8w1z3c5b7n9d2f
    az x --subscription 6f3b5c7e-91d2-4a0f-8e3c-2b7d9a1c4e5f | pip install xlsxwriter | wg set wg0 peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
    ssh mkrzysztof@web | id mkrzysztof | ping srvxqk01 | frob -i enx00e04c534458 | frob --ckpt exp042_lr3e4_bs64_ctx8k
    frob --format yuv420p | frob libx264 | frob kubectl systemctl vgcreate | frob 'Please restart the gunicorn workers'
    frob ubuntu-22.04-jammy | frob --zone eu-central-1b | frob ec2-user | frob i-0abcdef1234567890 | frob org.springframework.boot
"""


def _lines(text: str) -> list[str]:
    return [line.strip() for row in text.strip().splitlines() for line in row.split(" | ")]


@pytest.mark.parametrize("place", _lines(PLACES))
def test_a_made_up_word_is_hidden_in_every_place_of_a_tool_that_nobody_knows(place: str) -> None:
    dice = random.Random(11)
    secrets = [make(dice) for make in LOOKS.values() for _ in range(50)]
    left = [
        secret
        for secret in secrets
        if secret in " ".join(redact_argv(shlex.split(place.replace("{}", secret))))
    ]
    print(f"{len(left)} of {len(secrets)} made-up words leak from {place}")
    assert len(left) <= 0.02 * len(secrets), left


def test_a_command_line_in_free_text_is_read_as_one() -> None:
    dice = random.Random(12)
    lines = [line for line in _lines(PLACES) if '"' not in line and "'" not in line]
    texts = [
        (line.replace("{}", secret), secret)
        for line in lines
        for secret in (make(dice) for make in LOOKS.values())
    ]
    left = [text for text, secret in texts if secret in redact_text(text)]
    assert len(left) <= 0.02 * len(texts), left


def test_a_line_that_a_command_is_fed_is_read() -> None:
    for text in ("chpasswd <<EOF\nbob:qzvwkxplmt\nEOF", "cat > f <<EOF\nqzvwkxplmt\nEOF"):
        assert "qzvwkxplmt" not in " ".join(redact_argv(["sh", "-c", text]))


def test_what_brackets_hold_together_is_fed_together() -> None:
    for text in (
        "(echo dragon; echo dragon) | smbpasswd -s -a bob",
        "{ echo dragon; echo dragon; } | passwd bob",
    ):
        assert "dragon" not in " ".join(redact_argv(["sh", "-c", text]))


def test_words_of_random_letters_are_a_passphrase_and_a_sentence_is_none() -> None:
    assert redact_argv(["frob", "fgrdf jhisl xrqng vtoon"]) == ("frob", HIDDEN)
    assert redact_argv(["frob", "please restart all workers"]) == ("frob", "please restart all workers")


@pytest.mark.parametrize("words", [("frob", "unlock", "-c"), ("frob", "door", "-x"), ("frob", "otp", "-o")])
def test_a_number_behind_a_letter_is_hidden_where_a_word_announces_a_pin(words: tuple[str, ...]) -> None:
    assert redact_argv([*words, "482193"])[-1] == HIDDEN
    assert redact_argv([words[0], "scale", words[-1], "482193"])[-1] == "482193"


@pytest.mark.parametrize("line", _lines(READABLE))
def test_a_word_that_somebody_wrote_to_be_read_stays(line: str) -> None:
    assert redact_argv(shlex.split(line)) == tuple(shlex.split(line))
