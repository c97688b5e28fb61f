"""Errors of mending rejected rows: nothing was changed, and the message says which rows and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from integrations.errors import IntegrationError

_SHOWN = 5


class MendRefused(IntegrationError):
    """Some rows cannot be mended as asked; ``problems`` has one sentence for each. Nothing was changed."""

    code = "mend_refused"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = f" And {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        super().__init__(f"Nothing was changed. {' '.join(problems[:_SHOWN])}{more}")


class MendUnsupported(IntegrationError):
    """Rows of this file format cannot be replaced one by one."""

    code = "mend_unsupported"

    def __init__(self, name: str, file_format: str) -> None:
        self.name, self.file_format = name, file_format
        what = "an Excel workbook" if file_format == "xlsx" else f"a {file_format} file"
        super().__init__(
            f"{name} is {what}, in which rows cannot be replaced one by one. Mend the rows in the file itself "
            "and upload it: days that it brings again are replaced, nothing is counted twice."
        )


class OriginalsGone(IntegrationError):
    """The original files were dropped, so the batch cannot be read again."""

    code = "originals_gone"

    def __init__(self, label: str) -> None:
        super().__init__(f"The original files of {label} are not kept any more. Mend the file itself and upload it.")


class NothingToReplay(IntegrationError):
    code = "nothing_to_replay"

    def __init__(self, label: str) -> None:
        super().__init__(f"No row of {label} was mended or left out, so reading it again would change nothing.")
