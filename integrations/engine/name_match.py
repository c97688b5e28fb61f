"""How much a heading sounds like a canonical field or like one of its look-alikes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz, process

from integrations.engine.lookalikes import DECOYS
from integrations.engine.synonyms import FIELDS

_WEAK = 0.62
_SURE_LENGTH = 5
"""Shorter words are compared exactly: one letter off is another word (`qte` and `qty` apart, `cost` and `cash` not)."""
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ı": "i",
        "№": " no ",
        "#": " no ",
        "°": "o ",
        "’": "'",
    }
)
_CAMEL = re.compile(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ])|(?<=[A-ZÀ-Þ])(?=[A-ZÀ-Þ][a-zà-ÿ])")
_FILLERS = "id no nr code name number num key type line unit pos art me un il data count value"
_GENERIC = frozenset(_FILLERS.split())
"""Words that say little within a longer heading; alone they count as any other."""


@dataclass(frozen=True, slots=True)
class NameMatch:
    """`strength` 0..1 of the likeness, the known `word` it is like, its `language`, whether it is that very word."""

    strength: float
    word: str
    language: str
    exact: bool


def split_words(text: str) -> tuple[str, ...]:
    """The heading as plain lower-case words: `ArtikelNr.`, `artikel_nr` and `ARTIKEL-NR` are all (artikel, nr)."""
    text = _CAMEL.sub(" ", text[:120]).translate(_LETTERS).lower().translate(_LETTERS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    return tuple(re.findall(r"[a-z]+|[0-9]+|[^\W\d_a-z]+", text))


def folded(words: Sequence[str]) -> str:
    """The words without anything between them, umlauts written either way made alike."""
    joined = "".join(words)
    for written, plain in (("ae", "a"), ("oe", "o"), ("ue", "u")):
        joined = joined.replace(written, plain)
    return joined


@dataclass(frozen=True, slots=True)
class _Name:
    kind: str
    word: str
    language: str
    weight: float


@lru_cache(maxsize=1)
def _names() -> tuple[dict[str, tuple[_Name, ...]], list[str]]:
    """Folded name to what it may mean, and all folded names that are long enough to be compared loosely."""
    table: dict[str, dict[str, _Name]] = {}

    def add(kind: str, word: str, language: str) -> None:
        weak = word.lstrip().startswith("~")
        word = " ".join(word.replace("~", "").split())
        known = table.setdefault(folded(split_words(word)), {})
        found = _Name(kind, word, language, _WEAK if weak else 1.0)
        if kind not in known or known[kind].weight < found.weight:
            known[kind] = found

    for kind, languages in FIELDS.items():
        add(kind, kind.replace("_", " "), "")
        for language, text in languages.items():
            for word in text.split(","):
                add(kind, word.strip(), language)
    for kind, (_, text) in DECOYS.items():
        for word in text.split(","):
            add(kind, word.strip(), "")
    names = {key: tuple(kinds.values()) for key, kinds in table.items() if key}
    return names, [key for key in names if len(key) >= _SURE_LENGTH]


def match_name(heading: str) -> dict[str, NameMatch]:
    """Field or look-alike to how much the heading sounds like it; nothing for a heading that says nothing."""
    return dict(_match(split_words(heading)))


@lru_cache(maxsize=4096)
def _match(words: tuple[str, ...]) -> tuple[tuple[str, NameMatch], ...]:
    names, long_names = _names()
    whole = folded(words)
    found: dict[str, NameMatch] = {}

    def offer(key: str, likeness: float, exact: bool = False) -> None:
        for name in names[key]:
            match = NameMatch(likeness * name.weight, name.word, name.language, exact)
            if name.kind not in found or found[name.kind].strength < match.strength:
                found[name.kind] = match

    if not whole:
        return ()
    if whole in names:
        offer(whole, 1.0, exact=True)
    plain = folded([word for word in words if not word.isdigit()])
    if plain != whole and plain in names:
        offer(plain, 0.92)
    for size in range(1, min(len(words), 4)):
        for start in range(len(words) - size + 1):
            part = words[start : start + size]
            key = folded(part)
            if key in names and not (size == 1 and part[0] in _GENERIC):
                offer(key, 0.55 + 0.38 * len(key) / len(whole))
    for word in dict.fromkeys((*words, whole)):
        if len(word) > _SURE_LENGTH + 2:
            _offer_compounds(folded((word,)), len(whole), names, offer)
    if len(whole) >= _SURE_LENGTH and whole not in names:
        for key, score, _ in process.extract(whole, long_names, scorer=fuzz.ratio, score_cutoff=80, limit=6):
            offer(str(key), 0.95 * (score / 100) ** 1.5)
    return tuple(found.items())


def _offer_compounds(
    word: str, length: int, names: dict[str, tuple[_Name, ...]], offer: Callable[[str, float], None]
) -> None:
    """`Verkaufsfiliale`: a known word at the end of a compound says what it is, one at its beginning less so."""
    for cut in range(3, len(word) - _SURE_LENGTH + 1):
        if word[cut:] in names:
            offer(word[cut:], 0.5 + 0.38 * (len(word) - cut) / length)
            break
    for cut in range(len(word) - 2, _SURE_LENGTH - 1, -1):
        if word[:cut] in names:
            offer(word[:cut], 0.4 + 0.38 * cut / length)
            break
