"""Which files of a server's folder are taken now, and why the others are left: by names, sizes and times only."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from integrations.engine.contract import Role
from integrations.errors import FileFitsSeveralRoles, one_line
from integrations.services.files import role_of
from integrations.services.sftp_folder import Entry, Kind

# Files whose times lie no further apart belong to one delivery: one export writes several files in a row.
TOGETHER_SECONDS = 15 * 60
_UNFINISHED = (".part", ".tmp", ".filepart", ".partial", ".crdownload", ".upload", ".uploading", "~")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that the contract names, and what it is for."""

    entry: Entry
    role: Role


@dataclass(frozen=True, slots=True)
class Left:
    """A file that was not taken, and why; ``problem`` says whether somebody should do something."""

    name: str
    why: str
    problem: bool = True


@dataclass(slots=True)
class Listing:
    """One look at the folder: what could be taken, what is still arriving, what is left."""

    wanted: dict[str, Wanted] = field(default_factory=dict)
    arriving: dict[str, Entry] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    ignored: int = 0


def sort_out(entries: Mapping[str, Entry], patterns: Mapping[Role, str], *, max_bytes: int) -> Listing:
    """Tell what each entry of a folder is for, by its name and kind. Subfolders, hidden files and names that no pattern
    of the contract fits are none of ours and only counted."""
    listing = Listing()
    for name, entry in sorted(entries.items()):
        shown = one_line(name)[:120]
        if entry.kind is Kind.FOLDER or name.startswith("."):
            listing.ignored += 1
            continue
        final = next((name[: -len(end)] for end in _UNFINISHED if name.lower().endswith(end)), None)
        try:
            role = role_of(final if final is not None else name, patterns)
        except FileFitsSeveralRoles as problem:
            listing.left.append(Left(shown, str(problem)))
            continue
        if role is None:
            listing.ignored += 1
        elif final is not None:
            listing.arriving[name] = entry
        elif not _is_plain(name):
            listing.left.append(Left(shown, "Its name has signs that no file name should have. Rename it."))
        elif entry.kind is Kind.LINK:
            listing.left.append(Left(shown, "It is a link; links are not followed. Put the file itself there."))
        elif entry.kind is Kind.OTHER:
            listing.left.append(Left(shown, "It is no ordinary file."))
        elif not entry.bytes:
            listing.arriving[name] = entry
            listing.left.append(Left(shown, "It is empty. It is taken once it has content."))
        elif entry.bytes > max_bytes:
            limit = f"{max_bytes / 2**20:,.0f} MiB"
            listing.left.append(Left(shown, f"It is larger than the {limit} that are allowed. Split it by period."))
        else:
            listing.wanted[name] = Wanted(entry, role)
    return listing


def unsettled(before: Listing, now: Listing) -> list[str]:
    """Names that changed, came or went between two looks: as long as there are any, a delivery may be incomplete."""
    first = {name: wanted.entry for name, wanted in before.wanted.items()} | before.arriving
    second = {name: wanted.entry for name, wanted in now.wanted.items()} | now.arriving
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def group(files: Sequence[Wanted]) -> tuple[list[list[Wanted]], list[Wanted]]:
    """The files as deliveries, the oldest first, and the reference files that wait for sales to come with.

    Files that arrived within ``TOGETHER_SECONDS`` of one another go together; so does what waited before them.
    """
    groups: list[list[Wanted]] = []
    current: list[Wanted] = []
    for wanted in sorted(files, key=lambda found: (found.entry.modified, found.entry.name)):
        apart = bool(current) and wanted.entry.modified - current[-1].entry.modified > TOGETHER_SECONDS
        if apart and _has_sales(current):
            groups.append(current)
            current = []
        current.append(wanted)
    if _has_sales(current):
        groups.append(current)
        current = []
    return groups, current


def _has_sales(files: Sequence[Wanted]) -> bool:
    return any(wanted.role is Role.TRANSACTIONS for wanted in files)


def _is_plain(name: str) -> bool:
    """Whether a name means the same file everywhere: no path in it, no control characters, of an ordinary length."""
    odd = any(sign in "/\\" or unicodedata.category(sign)[0] == "C" for sign in name)
    return not odd and ".." not in name and name == name.strip() and len(name.encode(errors="replace")) <= 200
