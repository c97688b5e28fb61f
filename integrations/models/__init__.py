"""Tables of the tenant's integrations."""

from integrations.models.batch import BatchFile, IngestBatch, RejectedRow
from integrations.models.source import Contract, Source
from integrations.models.token import ApiToken

__all__ = ["ApiToken", "BatchFile", "Contract", "IngestBatch", "RejectedRow", "Source"]
