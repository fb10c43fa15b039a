"""Words that nobody wrote to be read are known by their letters, and words are not taken for them."""

from __future__ import annotations

import random
import shlex
import string

import pytest

from monitord.redaction import redact_argv

_MIXED = string.ascii_letters + string.digits
# What somebody or something makes up where no rule asks for signs in a password.
LOOKS = {
    "letters": lambda dice: "".join(dice.choices(string.ascii_lowercase, k=10)),
    "word and letters": lambda dice: dice.choice(["geheim", "passt", "Summer"]) + dice.choice("-_.") + "".join(dice.choices(_MIXED, k=8)),
    "mixed": lambda dice: "".join(dice.choices(_MIXED, k=12)),
    "letters and digits": lambda dice: "".join(dice.choices(string.ascii_lowercase + string.digits, k=14)),
}  # fmt: skip
PLACES = """
    frob {} | frob --known {} | frob --known={} | frob -s {} | frob sync {} now | frob known:{} | frob a,{}
    python -c "f('u', b'{}')" | node -e "g({{k: '{}'}})" | frob "start with {} please" | sudo frob {} | sh -c "frob --known {}"
    ssh h "frob --known {} -v" | frob 'k={};v=1'
"""
READABLE = """
    frob AbstractBeanFactory | frob nginx-prod-eu1 | frob Standard_D4s_v3 | frob Qwen2.5-7B-Instruct | frob x86_64-linux-gnu
    frob web-7d9c6b8f5d-x2x9z | frob 4f5a6b7c8d9e | frob en_US.UTF-8 | frob benutzerverzeichnis | frob --known max_connections
    frob --image-id qzvwkxplmtbr | git log qzvwkxplmtbr | frob tests/qzvwkxplmtbr | frob qzvwkxplmtbr.json | frob YYYY-MM-DD
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
    assert len(left) <= 0.05 * len(secrets), left


@pytest.mark.parametrize("line", _lines(READABLE))
def test_a_word_that_somebody_wrote_to_be_read_stays(line: str) -> None:
    assert redact_argv(shlex.split(line)) == tuple(shlex.split(line))
