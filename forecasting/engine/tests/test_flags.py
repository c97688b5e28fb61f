"""Every flag that a forecast can carry has a word and a meaning, in the engine's table and in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.flags import FLAGS, flag_label, flag_meanings

ENGINE = Path(__file__).resolve().parents[1]
DOCS = ENGINE.parents[1] / "docs" / "api.md"


def test_flags__table__names_only_what_the_engine_writes() -> None:
    sources = "".join((ENGINE / name).read_text(encoding="utf-8") for name in ("combine.py", "fitted.py", "guard.py"))
    assert [name for name in FLAGS if not re.search(rf"[\"',]{name}[\"':,]", sources)] == []


def test_flags__docs__say_the_same() -> None:
    rows = re.findall(r"^\| `([a-z_]+)(?::<[a-z]+>)?` \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    known = {name: meaning for name, meaning in rows if name in FLAGS}
    assert known == {name: meaning for name, (_, meaning) in FLAGS.items()}


def test_flag_label__with_a_detail__names_it() -> None:
    assert flag_label("declined:prophet") == "Declined: prophet" and flag_label("capped") == "Cut"
    assert flag_label("of another release") == "of another release"


def test_flag_meanings__several_of_a_kind__are_told_once_in_the_tables_order() -> None:
    flags = ["capped", *(f"declined:{name}" for name in FAMILY_NAMES), "unheard_of"]
    assert [label for label, _ in flag_meanings(flags)] == ["Declined", "Cut"]
