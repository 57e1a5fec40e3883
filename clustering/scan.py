"""SCAN on embeddings that stay as they are: neighbours fall into the same cluster, all are used.

W. Van Gansbeke, S. Vandenhende, S. Georgoulis, M. Proesmans and L. Van Gool, SCAN: learning to
classify images without labels, ECCV 2020 (arXiv 2005.12320). Several linear heads learn at once;
the one whose neighbours agree best, for how evenly it uses its clusters, is kept. No label is seen.

From later papers: the weight of a pair, so that neighbours of two classes teach little
(N. Adaloglou, F. Michels, H. Kalisch and M. Kollmann, Exploring the limits of deep image clustering
using pretrained models, BMVC 2023, arXiv 2303.17896), and a loss that sets the probability to be in
the same cluster against the size of that cluster (S. Alshammari, J. Hershey, A. Feldmann,
W. T. Freeman and M. Hamilton, I-Con: a unifying framework for representation learning, ICLR 2025,
arXiv 2504.16929).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from clustering.checks import by_size, prepared
from clustering.contract import NO_ROW, Clustering, Neighbours, Progress, no_progress
from clustering.count import counted
from clustering.eigenvectors import cut, leading, similarities
from clustering.neighbours import neighbour_graph
from clustering.training import Rows, batches, device_of, steps_of
from indexer.extras import extra
from indexer.types import Embeddings

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device  # noqa: N812 - a class, named as one

_LEAST = 1e-8
"""Of a probability whose logarithm is taken."""
_JUDGED_ROWS, _JUDGED_NEIGHBOURS = 5_000, 5
"""What a head is judged by: a sample of rows, and of each its nearest."""
_BEGUN_ROWS = 20_000
"""Rows of which a spectral clustering is made at most."""
_LEAST_TAUGHT = 50
_SURE = 0.99
"""Probability above which a label is taught."""
_SMOOTHING = 0.6
"""Share of I-Con's two distributions that is uniform."""


@dataclass(frozen=True)
class Scan:
    """SCAN's clustering step.

    Attributes:
        k: neighbours that are mined of each row; a pair is the row with one of them or with itself.
        heads: linear heads that are trained together.
        epochs: times that each row is an anchor, unless ``steps`` are spent before.
        steps: of training at most.
        batch: anchors of a step.
        learning_rate: of Adam; it falls to 0 by a half cosine.
        temperature: length of the centred rows, see `Rows`.
        entropy_weight: of the term that keeps cluster sizes at the prior.
        start: ``spectral`` teaches each head a spectral clustering of the graph for the first tenth
            of the steps, each from another beginning of k-means; ``random`` begins as the paper
            does, and more often ends with two classes in one cluster.
        prior: cluster sizes that are expected: ``estimated`` by spectral clustering of the graph,
            ``uniform`` (the divergence is then the paper's entropy, which splits large clusters),
            or ``long-tailed``, as 1, 1/2, 1/3 and so on. Sizes are compared in falling order, so
            that no cluster has its size fixed beforehand.
        pair_weight: ``temi`` weighs a pair by how sure all heads are that it belongs together;
            ``none`` takes all alike.
        loss: ``scan``, or ``icon``, which needs neither entropy nor prior.
        self_label: teach the head kept the labels that it is sure of.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    name: ClassVar[str] = "scan"

    k: int = 50
    heads: int = 10
    epochs: int = 100
    steps: int = 4_000
    batch: int = 512
    learning_rate: float = 0.01
    temperature: float = 10.0
    entropy_weight: float = 5.0
    start: Literal["spectral", "random"] = "spectral"
    prior: Literal["estimated", "uniform", "long-tailed"] = "estimated"
    pair_weight: Literal["none", "temi"] = "temi"
    loss: Literal["scan", "icon"] = "scan"
    self_label: bool = False
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
        """Cluster; see `ClusterMethod.fit`. Confidence is the probability of the label.

        Raises:
            ConfigError: the device is not there.
        """
        parameters, answer = prepared(self, embeddings, n_clusters, seed)
        if answer is not None:
            return answer
        device = device_of(self.device)
        graph = neighbours or neighbour_graph(embeddings, self.k, seed=seed, progress=progress)
        clusters, notes, curves = counted(embeddings, n_clusters, graph, seed, progress)
        rows, pairs = Rows(embeddings, self.temperature, device), mined(graph, self.k)
        begun = self._begun(embeddings, clusters, graph, seed, progress)
        sizes = expected_sizes(self.prior, clusters, begun)
        head = _trained(self, rows, pairs, sizes, begun, seed=seed, progress=progress)
        if self.self_label:
            notes += _self_labelled(self, head, rows, seed, progress)
        labels, confidence = _predicted(head, rows)
        empty = clusters - len(np.unique(labels))
        if empty:
            notes += (f"{empty} of {clusters} clusters have no items",)
        return Clustering(by_size(labels), confidence, parameters, notes, curves)

    def _begun(
        self,
        embeddings: Embeddings,
        n_clusters: int,
        graph: Neighbours,
        seed: int,
        progress: Progress,
    ) -> _Begun | None:
        """What heads or prior begin with; None where neither asks for it."""
        if self.start == "random" and self.prior != "estimated":
            return None
        count = len(embeddings)
        rows = np.arange(count)
        if count > _BEGUN_ROWS:
            rows = np.sort(np.random.default_rng([seed, 23]).permutation(count)[:_BEGUN_ROWS])
            graph = neighbour_graph(embeddings[rows], seed=seed, progress=progress)
        progress("cutting the neighbour graph", 0, 1)
        vectors = leading(similarities(graph), n_clusters, seed)
        cuts = [
            cut(vectors, n_clusters, seed * self.heads + head, tries=1)
            for head in range(self.heads)
        ]
        return _Begun(rows, np.stack(cuts, axis=1))


@dataclass(frozen=True)
class _Begun:
    """Spectral clusterings of some rows: row numbers ``(m,)`` and labels ``(m, heads)``."""

    rows: np.ndarray
    labels: np.ndarray


def mined(graph: Neighbours, k: int) -> np.ndarray:
    """Row numbers ``(n, k + 1)``: each row itself, then its k nearest; itself where there is none.

    A row stays in its own list, as in the paper: one pair of k + 1 is a row with itself.
    """
    own = np.arange(len(graph.rows), dtype=np.int32)[:, None]
    nearest = graph.rows[:, :k]
    return np.concatenate([own, np.where(nearest == NO_ROW, own, nearest)], axis=1)


def expected_sizes(prior: str, n_clusters: int, begun: _Begun | None = None) -> np.ndarray:
    """Shares of ``n_clusters`` clusters, float32, the largest first, summing to 1.

    Args:
        prior: of `Scan`.
        n_clusters: how many.
        begun: the clusterings whose mean sizes ``estimated`` are.
    """
    if prior == "estimated" and begun is not None:
        counts = [np.bincount(each, minlength=n_clusters) for each in begun.labels.T]
        sizes = np.mean([np.sort(each)[::-1] for each in counts], axis=0).astype(np.float32)
        filled = np.maximum(sizes, 1)
    elif prior == "long-tailed":
        filled = 1 / np.arange(1, n_clusters + 1, dtype=np.float32)
    else:
        filled = np.ones(n_clusters, np.float32)
    shares: np.ndarray = filled / filled.sum()
    return shares


def agreement(anchors: Tensor, others: Tensor, *, weighted: bool) -> Tensor:
    """How badly pairs agree: the mean of ``-w log <p, q>`` of each head.

    Args:
        anchors: probabilities ``(m, heads, clusters)`` of the rows.
        others: those of the rows that they are paired with.
        weighted: whether w is how surely, on average over heads, a pair is in one cluster; its mean
            is made 1. Else w is 1.
    """
    same = (anchors * others).sum(dim=2)
    lost = -same.clamp_min(_LEAST).log()
    if weighted:
        weight = same.detach().mean(dim=1, keepdim=True)
        lost = lost * weight / weight.mean().clamp_min(_LEAST)
    return lost.mean(dim=0)


def divergence(shares: Tensor, expected: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each head's cluster shares from the sizes that are expected.

    Both in falling order, so that any cluster may be the largest. Of equal sizes it is the constant
    ``log clusters`` less the entropy.

    Args:
        shares: ``(heads, clusters)``.
        expected: ``(clusters,)``, falling.
    """
    falling = shares.sort(dim=1, descending=True).values.clamp_min(_LEAST)
    return (falling * (falling / expected).log()).sum(dim=1)


def icon(anchors: Tensor, others: Tensor) -> Tensor:
    """I-Con's loss of each head: cross-entropy from true pairs to those that the clusters make.

    Row i picks a cluster by its probabilities, and in it a row j by their shares of the cluster's
    size; the distribution over j, and that of the true partner, are mixed with a uniform one.

    Args:
        anchors: probabilities ``(m, heads, clusters)``.
        others: those of the partners.
    """
    count = len(anchors)
    rows, partners = anchors.transpose(0, 1), others.transpose(0, 1)
    shares = partners / partners.sum(dim=1, keepdim=True).clamp_min(_LEAST)
    picked = rows @ shares.transpose(1, 2)
    logs = ((1 - _SMOOTHING) * picked + _SMOOTHING / count).log()
    true = logs.diagonal(dim1=1, dim2=2).mean(dim=1)
    return -(1 - _SMOOTHING) * true - _SMOOTHING * logs.mean(dim=(1, 2))


@dataclass(frozen=True)
class _Heads:
    """Linear heads side by side: weights ``(dim, heads * clusters)`` and their biases."""

    weights: Tensor
    biases: Tensor
    count: int

    @classmethod
    def drawn(cls, dim: int, count: int, n_clusters: int, seed: int, device: Device) -> _Heads:
        torch = extra("torch")
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(dim, count * n_clusters, generator=generator) / dim**0.5
        biases = torch.zeros(count * n_clusters)
        return cls(weights.to(device), biases.to(device), count)

    def learning(self) -> _Heads:
        """The same heads, whose numbers take gradients; the numbers are shared."""
        return _Heads(self.weights.requires_grad_(), self.biases.requires_grad_(), self.count)

    def only(self, head: int) -> _Heads:
        """A copy of one of them."""
        width = self.weights.shape[1] // self.count
        its = slice(head * width, (head + 1) * width)
        return _Heads(self.weights[:, its].detach().clone(), self.biases[its].detach().clone(), 1)

    def __call__(self, rows: Tensor) -> Tensor:
        """Probabilities ``(m, heads, clusters)``."""
        logits = rows @ self.weights + self.biases
        return logits.view(len(rows), self.count, -1).softmax(dim=2)


def _trained(
    method: Scan,
    rows: Rows,
    pairs: np.ndarray,
    sizes: np.ndarray,
    begun: _Begun | None,
    *,
    seed: int,
    progress: Progress,
) -> _Heads:
    """The head, of all heads and epochs, that was the best without labels."""
    torch = extra("torch")
    random = np.random.default_rng([seed, 21])
    heads = _Heads.drawn(rows.dim, method.heads, len(sizes), seed, rows.device).learning()
    expected = torch.from_numpy(np.maximum(sizes, _LEAST)).to(rows.device)
    steps = steps_of(method, len(rows))
    optimiser = torch.optim.Adam([heads.weights, heads.biases], lr=method.learning_rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    judged = random.permutation(len(rows))[:_JUDGED_ROWS]
    judged = pairs[judged, : _JUDGED_NEIGHBOURS + 1]
    looks = set(np.linspace(0, steps, min(method.epochs, steps) + 1).astype(int)[1:].tolist())
    if begun is not None and method.start == "spectral":
        few = max(steps // 10, _LEAST_TAUGHT)
        rate = method.learning_rate
        _taught(heads, rows, begun, size=method.batch, steps=few, rate=rate, random=random)
    best, kept = np.inf, heads.only(0)
    for step, anchors in enumerate(islice(batches(len(rows), method.batch, random), steps), 1):
        drawn = pairs[anchors, random.integers(0, pairs.shape[1], len(anchors))]
        loss = _loss(method, heads(rows[anchors]), heads(rows[drawn]), expected)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        falling.step()
        if step in looks:
            progress("training heads", step, steps)
            value, head = _judged(heads, rows, judged, expected)
            if value < best:
                best, kept = value, heads.only(head)
    return kept


def _taught(
    heads: _Heads,
    rows: Rows,
    begun: _Begun,
    *,
    size: int,
    steps: int,
    rate: float,
    random: np.random.Generator,
) -> None:
    """Teach each head its own clustering of some rows."""
    torch = extra("torch")
    optimiser = torch.optim.Adam([heads.weights, heads.biases], lr=rate)
    for some in islice(batches(len(begun.rows), size, random), steps):
        wanted = torch.from_numpy(begun.labels[some]).to(rows.device)
        given = heads(rows[begun.rows[some]]).gather(2, wanted[:, :, None])
        loss = -given.clamp_min(_LEAST).log().mean(dim=0).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


def _loss(method: Scan, anchors: Tensor, others: Tensor, expected: Tensor) -> Tensor:
    """Of all heads together; they share no weights."""
    if method.loss == "icon":
        return icon(anchors, others).sum()
    lost = agreement(anchors, others, weighted=method.pair_weight == "temi")
    return (lost + method.entropy_weight * divergence(anchors.mean(dim=0), expected)).sum()


def _judged(heads: _Heads, rows: Rows, pairs: np.ndarray, expected: Tensor) -> tuple[float, int]:
    """The best head and its value: agreement and divergence at equal weights, lower is better.

    Only the probabilities of true pairs are multiplied, O(n k C), never all with all.
    """
    with extra("torch").no_grad():
        anchors = heads(rows[pairs[:, 0]])
        each = [
            agreement(anchors, heads(rows[column]), weighted=False) for column in pairs[:, 1:].T
        ]
        value = sum(each) / len(each) + divergence(anchors.mean(dim=0), expected)
        head = int(value.argmin())
        return float(value[head]), head


def _self_labelled(
    method: Scan, head: _Heads, rows: Rows, seed: int, progress: Progress
) -> tuple[str, ...]:
    """Teach a head its own labels of the rows that it is sure of; a note where there are none."""
    torch = extra("torch")
    random = np.random.default_rng([seed, 22])
    optimiser = torch.optim.Adam(
        [head.learning().weights, head.biases], lr=method.learning_rate / 10
    )
    steps, taught = max(steps_of(method, len(rows)) // 4, 1), 0
    for step, some in enumerate(islice(batches(len(rows), method.batch, random), steps), 1):
        progress("teaching a head its own labels", step, steps)
        chances = head(rows[some])[:, 0]
        surest, labels = chances.detach().max(dim=1)
        sure = surest > _SURE
        if not sure.any():
            continue
        taught += int(sure.sum())
        loss = -chances[sure].gather(1, labels[sure, None]).clamp_min(_LEAST).log().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return () if taught else (f"self-labelling changed nothing: no label is surer than {_SURE}",)


def _predicted(head: _Heads, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int64, and their probabilities, float32."""
    labels, chances = [], []
    with extra("torch").no_grad():
        for block in rows.blocks():
            surest, label = head(block)[:, 0].max(dim=1)
            labels.append(label.cpu().numpy())
            chances.append(surest.cpu().numpy())
    return np.concatenate(labels), np.concatenate(chances)
