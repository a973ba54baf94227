"""First labels for recordings without any: proposals from classical detectors and tracks, and a target marked on a few frames followed over all of them."""

from irdim_train.labelling.follow import Followed, follow
from irdim_train.labelling.propose import Proposal, ProposalOptions, propose_tracks
from irdim_train.labelling.queueing import add_followed, enqueue_proposals, is_labelled
from irdim_train.labelling.snapping import Spot, find_spot

__all__ = [
    "Followed",
    "Proposal",
    "ProposalOptions",
    "Spot",
    "add_followed",
    "enqueue_proposals",
    "find_spot",
    "follow",
    "is_labelled",
    "propose_tracks",
]
