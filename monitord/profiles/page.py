"""What our self-contained pages are made of: nothing is loaded, nothing is sent, and names stay text.

Their scripts and styles are files of ours, named in the page's content security policy by their hash: a name
that managed to become markup would still not run. Data lie in a block that no browser executes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path

from monitord.profiles.frame_text import encodable

_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {scripts}; \
style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""


def page(title: str, body: str, styles: Sequence[Path], scripts: Sequence[Path] = ()) -> bytes:
    """Return a whole page. `body` is markup whose every foreign text is `escaped`; `title` is plain text."""
    style, *texts = (
        "\n".join(path.read_text(encoding="utf-8") for path in styles),
        *(path.read_text(encoding="utf-8") for path in scripts),
    )
    head = _HEAD.format(
        title=escaped(title),
        style=style,
        style_hash=_source_hash(style),
        scripts=" ".join(f"'{_source_hash(text)}'" for text in texts) or "'none'",
    )
    run = "".join(f"<script>{text}</script>\n" for text in texts)
    return f"{head}{body}{run}</body>\n</html>\n".encode()


def escaped(text: str) -> str:
    """Markup that shows a text."""
    return html.escape(visible(text), quote=True)


def visible(text: str) -> str:
    """Without characters that turn a line around, break it or hide in it: they are shown by their number."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in encodable(text)
    )


def data_block(name: str, value: object) -> str:
    """A block of JSON in ASCII that can't end itself, for a script of the page to read."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
