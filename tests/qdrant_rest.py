"""A server that speaks Qdrant's REST interface and has the client's local mode behind it.

Nothing is made up about the protocol: requests are read into the client's own models, and answers
come from its own implementation of the server. It can fail on purpose, and it keeps what it heard.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


@dataclass
class Fault:
    """An answer that is given instead of the true one; ``before``: nothing is done either."""

    status: int
    before: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request: which collection, the last part of its path, what came with it."""

    name: str
    last: str
    body: Any

    def read(self, kind: Any) -> Any:
        return TypeAdapter(kind).validate_python(self.body)


class RestServer:
    """Listens on a free port of this machine until closed."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.heard: list[tuple[str, str, Any]] = []
        self.keys: set[str | None] = set()
        self.faults: list[Fault] = []
        self.version = "1.18.2"
        self.indexes: dict[str, dict[str, Any]] = {}
        self._turn = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, result, headers = server.answer(
                    self.command, self.path.partition("?")[0], body, self.headers.get("api-key")
                )
                said = json.dumps(result).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(said))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port = self._http.server_address[1]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.client.close()

    def answer(
        self, method: str, path: str, body: Any, key: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        with self._turn:
            self.keys.add(key)
            self.heard.append((method, path, body))
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None and fault.before:
                return fault.status, {"status": {"error": "on purpose"}}, fault.headers
            try:
                result = self._do(method, [unquote(part) for part in path.split("/")[1:]], body)
            except (ValueError, KeyError) as error:
                status = 404 if isinstance(error, KeyError) or "not found" in str(error) else 400
                return status, {"status": {"error": str(error)}}, {}
            if fault is not None:
                return fault.status, {"status": {"error": "on purpose"}}, fault.headers
            return 200, result, {}

    def _do(self, method: str, parts: list[str], body: Any) -> Any:
        if parts == [""]:
            return {"title": "qdrant", "version": self.version}
        what = " ".join([method, *("*" if at == 1 else p for at, p in enumerate(parts))])
        if parts[:2] == ["collections", "aliases"] or parts == ["aliases"]:
            what = f"{method} {parts[-1]}"
        if "vectors" in parts:
            what = f"{method} vector"
        asked = Asked(parts[1] if len(parts) > 1 else "", parts[-1], body)
        return {"result": plain(self._known()[what](asked)), "status": "ok", "time": 0}

    def _known(self) -> dict[str, Callable[[Asked], Any]]:
        own = self.client
        return {
            "GET aliases": lambda _: own.get_aliases(),
            "POST aliases": lambda a: own.update_collection_aliases(
                a.read(models.ChangeAliasesOperation).actions
            ),
            "GET collections": lambda _: own.get_collections(),
            "GET collections * exists": lambda a: {"exists": own.collection_exists(a.name)},
            "GET collections *": self._info,
            "PUT collections *": self._create,
            "PATCH collections *": self._patch,
            "DELETE collections *": lambda a: own.delete_collection(a.name),
            "PUT collections * index": self._index,
            "PUT vector": lambda a: own.create_vector_name(
                a.name, a.last, a.read(models.VectorNameConfig)
            ),
            "DELETE vector": lambda a: own.delete_vector_name(a.name, a.last),
            "POST collections * points batch": lambda a: own.batch_update_points(
                a.name, a.read(models.UpdateOperations).operations
            ),
            "POST collections * points": self._retrieve,
            "POST collections * points query batch": self._query,
            "POST collections * points scroll": self._scroll,
            "POST collections * points count": self._count,
        }

    def _info(self, asked: Asked) -> Any:
        info = plain(self.client.get_collection(asked.name))
        indexes = self.indexes.get(asked.name, {})
        schema = {f: {"data_type": t, "points": 0} for f, t in indexes.items()}
        return {**info, "payload_schema": schema}

    def _create(self, asked: Asked) -> bool:
        wanted = asked.read(models.CreateCollection)
        return self.client.create_collection(
            asked.name, vectors_config=wanted.vectors, metadata=wanted.metadata
        )

    def _patch(self, asked: Asked) -> bool:
        wanted = asked.read(models.UpdateCollection)
        return self.client.update_collection(
            asked.name, metadata=wanted.metadata, vectors_config=wanted.vectors
        )

    def _index(self, asked: Asked) -> Any:
        wanted = asked.read(models.CreateFieldIndex)
        schema = wanted.field_schema
        kind = schema if isinstance(schema, models.PayloadSchemaType) else schema.type
        self.indexes.setdefault(asked.name, {})[wanted.field_name] = str(kind.value)
        return DONE

    def _retrieve(self, asked: Asked) -> Any:
        wanted = asked.read(models.PointRequest)
        return self.client.retrieve(
            asked.name, wanted.ids, with_payload=False, with_vectors=wanted.with_vector
        )

    def _query(self, asked: Asked) -> Any:
        # The local mode warns of parameters, which it has no use for.
        searches = asked.read(models.QueryRequestBatch).searches
        plainly = [search.model_copy(update={"params": None}) for search in searches]
        return self.client.query_batch_points(asked.name, plainly)

    def _scroll(self, asked: Asked) -> Any:
        wanted = asked.read(models.ScrollRequest)
        points, after = self.client.scroll(
            asked.name,
            scroll_filter=wanted.filter,
            limit=wanted.limit,
            offset=wanted.offset,
            with_payload=wanted.with_payload,
            with_vectors=wanted.with_vector,
        )
        return {"points": plain(points), "next_page_offset": after}

    def _count(self, asked: Asked) -> Any:
        wanted = asked.read(models.CountRequest)
        return self.client.count(asked.name, count_filter=wanted.filter, exact=wanted.exact)


def plain(value: Any) -> Any:
    return TypeAdapter(Any).dump_python(value, mode="json", by_alias=True)
