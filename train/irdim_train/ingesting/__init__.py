"""Field logs from the edge become sequences and queue items: verified, once, with their provenance."""

from irdim_train.ingesting.run import Ingested, ingest

__all__ = ["Ingested", "ingest"]
