"""Towers that several encoders are made of, and their words.

A tower is as large as the tensors of a file tell. The networks are those of transformers and MONAI,
whose names and arithmetic are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from indexer.encoders.engine import Engine
from indexer.encoders.weights import numbered_parts
from indexer.errors import WeightsError
from indexer.types import Embeddings

_HEAD_WIDTH = 64
"""Of BERT, in all its sizes."""


def empty_bert(state: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """A `BertModel` without weights.

    Args:
        state: named tensors of a file.
        prefix: of those that are the model's, with the dot.

    Raises:
        WeightsError: tensors that tell its size are not there.
    """
    from transformers import BertConfig, BertModel  # noqa: PLC0415 - optional and heavy

    words, width = _shape(state, f"{prefix}embeddings.word_embeddings.weight")
    places, _ = _shape(state, f"{prefix}embeddings.position_embeddings.weight")
    kinds, _ = _shape(state, f"{prefix}embeddings.token_type_embeddings.weight")
    inner, _ = _shape(state, f"{prefix}encoder.layer.0.intermediate.dense.weight")
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=numbered_parts(state, f"{prefix}encoder.layer."),
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        intermediate_size=inner,
        max_position_embeddings=places,
        type_vocab_size=kinds,
    )
    with torch.device("meta"):
        bert: Any = BertModel(config)
    # Counted up, not learned: only old versions of transformers wrote the places into the file.
    written = f"{prefix}embeddings.position_ids" in state
    bert.embeddings.position_ids = nn.Buffer(torch.arange(places)[None], persistent=written)
    bert.embeddings.token_type_ids = nn.Buffer(
        torch.zeros((1, places), dtype=torch.long), persistent=False
    )
    network: nn.Module = bert
    return network


def empty_resnet(state: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """A residual network of bottlenecks without weights and without a classifier.

    Of two or three dimensions; the first convolution looks at as much as its tensor tells, and
    steps along rows and columns only.

    Raises:
        WeightsError: tensors that tell its size are not there.
    """
    from monai.networks.nets.resnet import ResNet  # noqa: PLC0415 - optional

    _, channels, *kernel = _shape(state, f"{prefix}conv1.weight", 4, 5)
    planes = [_shape(state, f"{prefix}layer{i}.0.conv1.weight", 4, 5)[0] for i in range(1, 5)]
    with torch.device("meta"):
        network: nn.Module = ResNet(
            block="bottleneck",
            layers=[numbered_parts(state, f"{prefix}layer{i}.") for i in range(1, 5)],
            block_inplanes=planes,
            spatial_dims=len(kernel),
            n_input_channels=channels,
            conv1_t_size=tuple(kernel),
            conv1_t_stride=(*(1,) * (len(kernel) - 2), 2, 2),
            bias_downsample=False,
            feed_forward=False,
        )
    return network


def _shape(state: Mapping[str, Tensor], name: str, *axes: int) -> tuple[int, ...]:
    """Of a tensor that has so many axes, 2 unless told otherwise."""
    if name not in state:
        raise WeightsError(f"the weights are of another network: {name} is missing")
    shape = tuple(state[name].shape)
    if len(shape) not in (axes or (2,)):
        raise WeightsError(f"the weights are of another network: {name} has the shape {shape}")
    return shape


def bert_tokenizer(vocabulary: Path, words: int) -> Any:
    """WordPiece of lower-cased text, by the list of words of a BERT that knows so many.

    Raises:
        WeightsError: the list is damaged, or another one.
    """
    from transformers import BertTokenizer  # noqa: PLC0415 - optional and heavy

    return made_tokenizer(lambda: BertTokenizer(vocab=str(vocabulary)), vocabulary, words)


def made_tokenizer(make: Callable[[], Any], vocabulary: Path, words: int) -> Any:
    """What ``make`` reads from a file of words and perhaps others beside it.

    Raises:
        WeightsError: they are damaged, or are not as many words as the network knows.
    """
    try:
        tokenizer = make()
    except Exception as error:  # the reader of its files raises no type of its own
        raise WeightsError(f"the tokenizer of {vocabulary} cannot be used: {error}") from error
    if len(tokenizer) != words:
        raise WeightsError(f"{vocabulary} has {len(tokenizer)} words, and the network {words}")
    return tokenizer


def count_tokens(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has, before it is cut."""
    return [len(tokenizer(text, verbose=False)["input_ids"]) for text in texts]


def embed_each(
    forward: Callable[[Tensor], Tensor],
    tokenizer: Any,
    texts: Sequence[str],
    limit: int,
    device: str,
) -> Embeddings:
    """Vectors of texts, each by itself, so that none depends on how long the others are.

    Args:
        forward: token ids ``(1, n)`` to ``(1, dim)``.
        tokenizer: of the network.
        texts: at least one.
        limit: tokens after which a text is cut.
        device: where the network is.
    """
    place, rows = Engine(device).place, []
    with torch.inference_mode():
        for text in texts:
            said = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
            rows.append(forward(said["input_ids"].to(place)).float().cpu().numpy())
    found: Embeddings = np.concatenate(rows)
    return found
