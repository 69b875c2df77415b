"""Training of the encoders without labels, and training that begins with them."""

from dgccl.pretraining.retrieval import RetrievalResult, retrieval
from dgccl.pretraining.run import pretrain
from dgccl.pretraining.start import Start, open_start

__all__ = ["RetrievalResult", "Start", "open_start", "pretrain", "retrieval"]
