"""No request fills the disk: a file that grows beyond the limit is not kept, and the page can say why."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

_FILES_AT_ONCE = 4


class LimitedUploadHandler(FileUploadHandler):
    """Stands before the handlers that keep files: it passes each block on and stops the upload at the limit.

    One file may have ``UPLOAD_MAX_BYTES``, a request's files together four times that. What is too large is named in
    ``request.upload_refused`` (see ``refused_upload``); nothing of it stays.
    """

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._file = self._all = 0
        self._hopeless = False

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:  # the framework's own names
        """A request that announces more than all its files may have is refused at its first file."""
        self._hopeless = content_length > (_FILES_AT_ONCE + 1) * settings.UPLOAD_MAX_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._file = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self._file += len(raw_data)
        self._all += len(raw_data)
        most = settings.UPLOAD_MAX_BYTES
        if self._hopeless or self._file > most or self._all > _FILES_AT_ONCE * most:
            if self.request is not None:
                self.request.upload_refused = self.file_name or "The file"  # type: ignore[attr-defined]  # ours, read below
            raise StopUpload(connection_reset=False)  # the rest is read and thrown away, so that the answer arrives
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def refused_upload(request: HttpRequest) -> str | None:
    """Why an upload of this request was not kept, in words; None where all of it was."""
    _ = request.POST  # files are read when somebody asks for what was posted, not before
    name = getattr(request, "upload_refused", None)
    if name is None:
        return None
    limit = settings.UPLOAD_MAX_BYTES / 2**20
    return f"{name} is larger than the {limit:,.0f} MiB that a file may have. Split it by period and send the parts."
