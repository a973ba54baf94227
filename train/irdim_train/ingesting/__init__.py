"""Field logs from the edge become sequences and queue items: verified, once, with their provenance."""

from irdim_train.ingesting.run import Ingested, ingest
from irdim_train.ingesting.suspects import WHOLE

__all__ = ["WHOLE", "Ingested", "ingest"]
