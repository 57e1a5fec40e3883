"""Published protocols by name: on the user's copy of their data sets.

docs/evaluation.md says what each does here, what a library has to carry for it, and what of the
papers could not be verified.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.service.evaluating.bimcv_r import bimcv_r
from api.service.evaluating.knn_vote import knn_vote
from api.service.evaluating.protocol import Protocol
from api.service.evaluating.three_d_mir import three_d_mir

PROTOCOLS: Mapping[str, Protocol] = {
    "3d-mir": Protocol(three_d_mir, (3, 5, 10)),
    "bimcv-r": Protocol(bimcv_r, (1, 5, 10, 50, 100)),
    "knn-vote": Protocol(knn_vote, (1, 5, 10, 20)),
}
