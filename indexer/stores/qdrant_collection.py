"""The collections of a library in Qdrant: one for items, one for slices, each behind an alias.

A collection has one named vector for each space. Its payload indexes are made before the first
point, since the graph gets links along a field only where an index is there when it is built.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.errors import ConfigError
from indexer.stores.contract import Place
from indexer.stores.qdrant_filter import IndexSchema, payload_indexes
from indexer.stores.qdrant_server import QdrantClient, Server, models
from indexer.stores.qdrant_spec import QdrantSpec

_LIBRARY, _LAYER, _MADE_WITH = "syntopy_library", "syntopy_layer", "syntopy_made_with"
_HNSW = models.HnswConfigDiff(m=16, ef_construct=200)


@dataclass(frozen=True)
class CollectionState:
    """What the server says of a collection.

    Attributes:
        name: its own, behind the alias.
        vectors: names of its vectors, with their lengths.
        metadata: what was written down with it.
        indexes: payload fields with an index.
    """

    name: str
    vectors: Mapping[str, int]
    metadata: Mapping[str, object]
    indexes: frozenset[str]


class Collection:
    """The collection that one layer of a library has, and in it the vector of one space.

    Args:
        server: where it is.
        spec: what it is called and how it is made.
        place: of which library, space and layer.
        number: which of several behind one alias to work on; None takes the one it points at.
    """

    def __init__(
        self, server: Server, spec: QdrantSpec, place: Place, number: int | None = None
    ) -> None:
        self._server, self._spec, self._place = server, spec, place
        self.alias = spec.name if place.layer == "space" else f"{spec.name}-{place.layer}"
        self.vector = vector_name(place)
        self._own = None if number is None else f"{self.alias}-{number}"

    @property
    def target(self) -> str:
        """What to call it in requests: the alias, or its own name while it is beside another."""
        return self._own or self.alias

    def state(self) -> CollectionState | None:
        """What is there; None if nothing is.

        Raises:
            ConfigError: it belongs to another library, or was not made by Syntopy.
        """
        name = self._own or self._behind_alias()
        if name is None:
            name = self.alias  # a collection by this very name would be somebody else's
        if not self._server.read(lambda client: client.collection_exists(name)):
            return None
        info = self._server.read(lambda client: client.get_collection(name))
        metadata = dict(info.config.metadata or {})
        if metadata.get(_LIBRARY) != self._place.library:
            whose = "another library" if _LIBRARY in metadata else "something else than Syntopy"
            raise ConfigError(
                f"the collection '{name}' at {self._spec.address} belongs to {whose}; give the "
                "store's URL another name at its end"
            )
        vectors = info.config.params.vectors
        sizes = {n: v.size for n, v in vectors.items()} if isinstance(vectors, dict) else {}
        return CollectionState(name, sizes, metadata, frozenset(info.payload_schema))

    def make(self) -> CollectionState:
        """Make what is missing: collection, payload indexes, the space's vector, the alias."""
        aliased = self._own is None
        if aliased and self.state() is None:
            self._own = f"{self.alias}-1"
        state = self.state() or self._create()
        for field, schema in payload_indexes().items():
            # The local mode compares every payload and knows no indexes.
            if field not in state.indexes and not self._server.local:
                self._add_index(state.name, field, schema)
        if self.vector not in state.vectors:
            self._add_vector(state.name)
        if aliased and self._behind_alias() is None:
            self._point_aliases([(self.alias, state.name)])
        if aliased:
            self._own = None
        made = self.state()
        assert made is not None  # noqa: S101 - it was just made
        return made

    def note(self, values: Mapping[str, object]) -> None:
        """Write something down with the collection."""
        state = self.state()
        if state is not None:
            self._server.write(
                lambda client, seconds: client.update_collection(
                    state.name, metadata=dict(values), timeout=seconds
                )
            )

    def drop(self) -> None:
        """Delete the space's vector, and with the last one the collection."""
        state = self.state()
        if state is None or self.vector not in state.vectors:
            return
        if set(state.vectors) == {self.vector}:
            self._delete(state.name)
            return
        self._server.write(
            lambda client, seconds: client.delete_vector_name(
                state.name, self.vector, timeout=seconds
            )
        )

    def next_number(self) -> int:
        """The number of a collection to be filled beside the one that searches go to."""
        name = self._behind_alias()
        return 1 if name is None else int(name.rpartition("-")[2]) + 1

    def clear(self, *, going_on: bool = False) -> None:
        """Delete what stopped runs left: collections of this layer that searches do not go to.

        With ``going_on`` the one to be filled next stays, if it was made with the same options.
        """
        behind, following = self._behind_alias(), f"{self.alias}-{self.next_number()}"
        numbered = re.compile(rf"{re.escape(self.alias)}-\d+")
        for found in self._server.read(lambda client: client.get_collections()).collections:
            name = found.name
            if name == behind or not numbered.fullmatch(name):
                continue
            metadata = self._metadata(name)
            whose = metadata.get(_LIBRARY), metadata.get(_LAYER)
            begun = name == following and metadata.get(_MADE_WITH) == self._spec.made_with
            if whose == (self._place.library, self._place.layer) and not (going_on and begun):
                self._delete(name)

    def switch(self) -> None:
        """Point the alias at this collection, at one stroke, and delete the one it pointed at."""
        old = self._behind_alias()
        state = self.state()
        if state is None or state.name == old:
            return
        self._point_aliases([(self.alias, state.name)])
        if old is not None:
            self._delete(old)

    def _metadata(self, name: str) -> dict[str, object]:
        info = self._server.read(lambda client: client.get_collection(name))
        return dict(info.config.metadata or {})

    def _behind_alias(self) -> str | None:
        found = self._server.read(lambda client: client.get_aliases()).aliases
        return next((a.collection_name for a in found if a.alias_name == self.alias), None)

    def _point_aliases(self, pairs: Sequence[tuple[str, str]]) -> None:
        operations: list[models.AliasOperations] = []
        for alias, name in pairs:
            gone = models.DeleteAlias(alias_name=alias)
            made = models.CreateAlias(collection_name=name, alias_name=alias)
            operations += [
                models.DeleteAliasOperation(delete_alias=gone),
                models.CreateAliasOperation(create_alias=made),
            ]
        self._server.write(
            lambda client, seconds: client.update_collection_aliases(operations, timeout=seconds)
        )

    def _create(self) -> CollectionState:
        name = self._own or f"{self.alias}-1"

        def create(client: QdrantClient, seconds: int) -> None:
            if client.collection_exists(name):
                return  # made by a try whose answer was lost
            client.create_collection(
                name,
                vectors_config={self.vector: self._vector()},
                shard_number=self._spec.shards or None,
                replication_factor=self._spec.replicas or None,
                on_disk_payload=True,
                hnsw_config=_HNSW,
                quantization_config=_quantization(self._spec),
                metadata={
                    _LIBRARY: self._place.library,
                    _LAYER: self._place.layer,
                    _MADE_WITH: self._spec.made_with,
                },
                timeout=seconds,
            )

        self._server.write(create)
        self._own = name
        state = self.state()
        assert state is not None  # noqa: S101 - it was just made
        return state

    def _vector(self) -> models.VectorParams:
        # Products, not cosines: of cosines the server would renormalise what it stores, and round
        # it a second time. With quantised vectors in memory the whole ones can stay on the disk.
        return models.VectorParams(
            size=self._place.dim,
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            on_disk=self._spec.quantization != "none",
        )

    def _add_vector(self, name: str) -> None:
        whole = self._vector()
        dense = models.DenseVectorConfig(
            size=whole.size,
            distance=whole.distance,
            datatype=models.VectorStorageDatatype.FLOAT16,
        )
        self._server.write(
            lambda client, seconds: client.create_vector_name(
                name, self.vector, models.DenseVectorNameConfig(dense=dense), timeout=seconds
            )
        )
        if whole.on_disk:
            change = {self.vector: models.VectorParamsDiff(on_disk=True)}
            self._server.write(
                lambda client, seconds: client.update_collection(
                    name, vectors_config=change, timeout=seconds
                )
            )

    def _add_index(self, name: str, field: str, schema: IndexSchema) -> None:
        self._server.write(
            lambda client, seconds: client.create_payload_index(
                name, field, field_schema=schema, wait=True, timeout=seconds
            )
        )

    def _delete(self, name: str) -> None:
        self._server.write(lambda client, seconds: client.delete_collection(name, timeout=seconds))


def vector_name(place: Place) -> str:
    """Of a space in its collection: the encoder, and a digest of its weights and preprocessing."""
    identity = json.dumps([place.encoder, place.weights, place.preprocessing])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return re.sub(r"[^A-Za-z0-9_.-]", "_", place.encoder)[:64] + "-" + digest


def _quantization(spec: QdrantSpec) -> models.QuantizationConfig | None:
    if spec.quantization == "int8":
        scalar = models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=0.99, always_ram=True
        )
        return models.ScalarQuantization(scalar=scalar)
    if spec.quantization == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None
