"""CPP: features and a membership of pairs learned together; each cluster fills a space of its own.

T. Chu, S. Tong, T. Ding, X. Dai, B. D. Haeffele, R. Vidal and Y. Ma, Image clustering via the
principle of rate reduction in the age of pretrained models, ICLR 2024 (arXiv 2306.05272). A network
with a feature head and a cluster head is trained so that all features need many bits and those of a
cluster few (maximal rate reduction over a doubly stochastic membership); the membership is then cut
by spectral clustering. In place of the bits of clusters, self-expression with a block-diagonal
prior: X. Meng, Z. Huang, W. He, X. Qi, R. Xiao and C.-G. Li, Exploring a principled framework for
deep subspace clustering, ICLR 2025 (arXiv 2503.17288). Both need all pairs: they are trained and
cut on a sample, and the other rows join the clusters of their nearest in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from clustering.checks import by_size, prepared
from clustering.contract import Clustering, Neighbours, Progress, no_progress
from clustering.count import counted
from clustering.eigenvectors import cut, leading
from clustering.training import Rows, batches, device_of, steps_of
from indexer.extras import extra
from indexer.types import Embeddings

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch import device as Device  # noqa: N812 - a class, named as one

PRECISION = 0.1
"""Squared distortion up to which bits are counted."""
_HALF_STEPS = 5
_VOTERS = 20
_BLOCK = 4_096
_PER_EPOCH = 3


@dataclass(frozen=True)
class Cpp:
    """Clustering by rate reduction.

    Attributes:
        sample: the most rows that are trained on and cut; the membership is of all their pairs.
        epochs: times that each of them is seen, unless ``steps`` are spent before.
        steps: of training at most.
        warm_up: the first steps, which only spread the features; the cluster head then begins as a
            copy of the feature head.
        batch: rows of a step; of few a third, so that an epoch has three steps at least.
        hidden: width of the network.
        features: length of the learned features.
        sharpness: divides the cosines of pairs; smaller makes memberships crisper.
        learning_rate: of stochastic gradient descent with momentum 0.9.
        crispness: weight of the membership's squared entries, in ``mlc``.
        regulariser: what draws clusters together: ``mlc``, CPP's bits, or ``prodsc``.
        self_expression: weight of PRO-DSC's self-expression.
        block_diagonal: weight of its block-diagonal prior.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    name: ClassVar[str] = "cpp"

    sample: int = 15_000
    epochs: int = 100
    steps: int = 2_000
    warm_up: int = 50
    batch: int = 512
    hidden: int = 1024
    features: int = 64
    sharpness: float = 0.175
    learning_rate: float = 1e-4
    crispness: float = 0.05
    regulariser: Literal["mlc", "prodsc"] = "mlc"
    self_expression: float = 300.0
    block_diagonal: float = 600.0
    device: str = "auto"

    def fit(
        self,
        embeddings: Embeddings,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        neighbours: Neighbours | None = None,
        progress: Progress = no_progress,
    ) -> Clustering:
        """Cluster; see `ClusterMethod.fit`.

        Confidence is the share of a row's nearest in the sample, by the learned membership, that
        are in its cluster.

        Raises:
            ConfigError: the device is not there.
        """
        parameters, answer = prepared(self, embeddings, n_clusters, seed)
        if answer is not None:
            return answer
        device = device_of(self.device)
        clusters, notes, curves = counted(embeddings, n_clusters, neighbours, seed, progress)
        rows = Rows(embeddings, 1.0, device)
        sample = np.random.default_rng([seed, 31]).permutation(len(rows))[: self.sample]
        sample.sort()
        if len(sample) < len(rows):
            notes += (f"learned on {len(sample):,} of {len(rows):,} items, the others by vote",)
        paced = replace(self, batch=max(min(self.batch, len(sample) // _PER_EPOCH), 2))
        network = _trained(paced, rows, sample, clusters, seed=seed, progress=progress)
        heads = _applied(network, rows)
        progress("cutting the membership", 0, 1)
        shares = membership(heads[sample], self.sharpness)
        labels = cut(leading(shares.cpu().numpy(), clusters, seed), clusters, seed)
        labels, confidence = _voted(heads, sample, labels, self.sharpness)
        return Clustering(by_size(labels), confidence, parameters, notes, curves)


def membership(heads: Tensor, sharpness: float) -> Tensor:
    """How far rows belong together: ``(m, m)``, rows sum to 1, columns nearly.

    Sinkhorn's steps on ``exp(|cosine| / sharpness)``, five halves from rows to rows. What columns
    are divided by takes no gradient, so that only the last step over rows has one.

    Args:
        heads: unit rows ``(m, d)`` of the cluster head.
        sharpness: divides the cosines.
    """
    torch = extra("torch")
    logits = (heads @ heads.T).abs().div_(sharpness)
    with torch.no_grad():
        columns = torch.zeros(len(heads), device=heads.device)
        for _ in range(_HALF_STEPS // 2):
            rows = -(logits + columns).logsumexp(dim=1, keepdim=True)
            columns = -(logits + rows).logsumexp(dim=0)
    shares: Tensor = (logits + columns).softmax(dim=1)
    return shares


def rate(features: Tensor) -> Tensor:
    """Half the bits (nats) that unit rows ``(m, d)`` need for each row's worth of distortion."""
    count, dim = features.shape
    scale = dim / (count * PRECISION)
    product = features.T @ features if dim <= count else features @ features.T
    return _half_logdet(product * scale)


def rate_of_clusters(features: Tensor, shares: Tensor) -> Tensor:
    """The same when each column of the membership is a cluster and is coded for itself.

    A determinant of ``I + Z' D Z`` is one of ``I + D^1/2 Z Z' D^1/2``: the smaller is taken.

    Args:
        features: unit rows ``(m, d)``.
        shares: the membership ``(m, m)``.
    """
    count, dim = features.shape
    sizes = shares.sum(dim=0)
    scale = dim / (sizes * PRECISION)
    if dim <= count:
        outer = (features[:, :, None] * features[:, None, :]).view(count, -1)
        products = ((shares * scale).T @ outer).view(count, dim, dim)
    else:
        roots = (shares * scale).sqrt().T
        products = roots[:, :, None] * (features @ features.T) * roots[:, None, :]
    return (sizes / count * _half_logdet(products)).sum()


def self_expression(features: Tensor, shares: Tensor) -> Tensor:
    """Half the mean squared distance of rows from the mixtures that the membership makes."""
    return (features - shares @ features).square().sum(dim=1).mean() / 2


def block_diagonal(shares: Tensor, n_clusters: int) -> Tensor:
    """Sum of the smallest ``n_clusters`` eigenvalues of the membership's Laplacian, for each row.

    It is 0 where the membership falls into that many blocks. The eigenvectors take no gradient.
    """
    torch = extra("torch")
    both = (shares + shares.T) / 2
    laplacian = both.sum(dim=1).diag() - both
    with torch.no_grad():
        vectors = torch.linalg.eigh(laplacian).eigenvectors[:, :n_clusters]
    summed: Tensor = (laplacian @ vectors * vectors).sum() / len(shares)
    return summed


def _half_logdet(products: Tensor) -> Tensor:
    """``log det(I + P) / 2`` of the last two dimensions."""
    torch = extra("torch")
    identity = torch.eye(products.shape[-1], device=products.device)
    triangle = torch.linalg.cholesky(products + identity)
    half: Tensor = triangle.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    return half


@dataclass(frozen=True)
class _Network:
    """A body and two heads whose outputs have unit rows."""

    body: nn.Module
    feature: nn.Module
    cluster: nn.Module

    @classmethod
    def drawn(cls, method: Cpp, dim: int, seed: int, device: Device) -> _Network:
        torch = extra("torch")
        nn = torch.nn
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body = nn.Sequential(
                nn.Linear(dim, method.hidden),
                nn.BatchNorm1d(method.hidden),
                nn.ReLU(),
                nn.Linear(method.hidden, method.hidden),
                nn.ReLU(),
            )
            heads = [nn.Linear(method.hidden, method.features) for _ in range(2)]
        return cls(body.to(device), heads[0].to(device), heads[1].to(device))

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Unit rows of the feature head and of the cluster head."""
        normalize = extra("torch").nn.functional.normalize
        inner = self.body(rows)
        return normalize(self.feature(inner)), normalize(self.cluster(inner))


def _trained(
    method: Cpp,
    rows: Rows,
    sample: np.ndarray,
    n_clusters: int,
    *,
    seed: int,
    progress: Progress,
) -> _Network:
    """The network after warm-up and training, ready to be applied."""
    torch = extra("torch")
    network = _Network.drawn(method, rows.dim, seed, rows.device)
    wide = [*network.body.parameters(), *network.feature.parameters()]
    optimisers = [
        torch.optim.SGD(parameters, lr=method.learning_rate, momentum=0.9, weight_decay=decay)
        for parameters, decay in ((wide, 1e-4), (list(network.cluster.parameters()), 5e-3))
    ]
    random = np.random.default_rng([seed, 32])
    steps = steps_of(method, len(sample))
    for step, some in enumerate(islice(batches(len(sample), method.batch, random), steps)):
        progress("training the network", step, steps)
        if step == min(method.warm_up, steps // 2):
            network.cluster.load_state_dict(network.feature.state_dict())
        features, heads = network(rows[sample[some]])
        loss = -rate(features)
        if step >= min(method.warm_up, steps // 2):
            shares = membership(heads, method.sharpness)
            loss = loss + _drawn_together(method, features, shares, n_clusters)
        for optimiser in optimisers:
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        for optimiser in optimisers:
            optimiser.step()
    network.body.eval()
    return network


def _drawn_together(method: Cpp, features: Tensor, shares: Tensor, n_clusters: int) -> Tensor:
    """What is low where the rows of a cluster are alike."""
    if method.regulariser == "mlc":
        return rate_of_clusters(features, shares) + method.crispness / 2 * shares.square().sum()
    alike = method.self_expression * self_expression(features, shares)
    return alike + method.block_diagonal * block_diagonal(shares, n_clusters)


def _applied(network: _Network, rows: Rows) -> Tensor:
    """The cluster head of all rows, in memory."""
    torch = extra("torch")
    with torch.no_grad():
        heads: Tensor = torch.cat([network(block)[1].cpu() for block in rows.blocks()])
    return heads


def _voted(
    heads: Tensor, sample: np.ndarray, labels: np.ndarray, sharpness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all rows, and how many of the nearest in the sample agree.

    Rows of the sample keep the label that they have.
    """
    torch = extra("torch")
    known, given = heads[sample], torch.from_numpy(labels)
    place = np.full(len(heads), -1)
    place[sample] = np.arange(len(sample))
    voters = min(_VOTERS, len(sample) - 1)
    found, sure = [], []
    for start in range(0, len(heads), _BLOCK):
        block = slice(start, start + _BLOCK)
        near = (heads[block] @ known.T).abs()
        own = torch.from_numpy(place[block])
        sampled = (own >= 0).nonzero().ravel()
        near[sampled, own[sampled]] = -1.0
        nearest, which = near.topk(voters, dim=1)
        votes = torch.zeros(len(near), int(given.max()) + 1)
        votes.scatter_add_(1, given[which], (nearest / sharpness).exp())
        votes /= votes.sum(dim=1, keepdim=True)
        chosen = votes.argmax(dim=1)
        chosen[sampled] = given[own[sampled]]
        found.append(chosen)
        sure.append(votes.gather(1, chosen[:, None]).ravel())
    return torch.cat(found).numpy(), torch.cat(sure).numpy()
