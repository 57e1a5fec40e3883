"""An issuer of tokens on this machine, whose keys change and which answers as it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
AUDIENCE = "syntopy"
_ALGORITHMS = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass
class Issuer:
    """What it publishes, and how often it was asked for its keys."""

    port: int = 0
    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    answering: bool = True
    said_issuer: str = ""
    redirect: str = ""
    signs: tuple[str, PrivateKey] | None = None
    changed: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    exchanged: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def publish(self, kid: str, key: PrivateKey, algorithm: str = "RS256", **more: str) -> None:
        told = _ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True)
        self.keys.append({**told, "kid": kid, "use": "sig", "alg": algorithm, **more})

    def claims(self, **changed: Any) -> dict[str, Any]:
        at = int(time.time())
        told = {"iss": self.url, "aud": AUDIENCE, "sub": "dr-who", "iat": at, "exp": at + 300}
        told |= {"roles": ["reader"], **changed}
        return {name: value for name, value in told.items() if value is not None}

    def authorize(self, url: str) -> dict[str, str]:
        """What a browser that was sent to ``url`` comes back with, when somebody has signed in."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url, "session_state": "s"}

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """An id token for a code, once, and for whoever has its verifier."""
        self.exchanged.append({**form, "authorization": authorization})
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        packed = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != packed or self.signs is None:
            return None
        if asked["redirect_uri"] != form["redirect_uri"]:
            return None
        said = {"aud": asked["client_id"], "nonce": asked["nonce"], **self.changed}
        return {"id_token": self.token(*self.signs, **said), "access_token": "none of ours"}

    def token(self, kid: str, key: PrivateKey, algorithm: str = "RS256", **changed: Any) -> str:
        return jwt.encode(self.claims(**changed), key, algorithm, headers={"kid": kid})


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Answer while the block runs."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("/openid-configuration"):
                body: dict[str, Any] = {
                    "issuer": issuer.said_issuer or issuer.url,
                    "jwks_uri": f"{issuer.url}/keys",
                    "authorization_endpoint": f"{issuer.url}/authorize",
                    "token_endpoint": f"{issuer.url}/token",
                }
            else:
                issuer.asked += 1
                body = {"keys": issuer.keys}
            if issuer.redirect:
                self.send_response(302)
                self.send_header("location", issuer.redirect)
                self.end_headers()
                return
            self.send_response(200 if issuer.answering else 503)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            authorization = self.headers.get("authorization", "")
            told = issuer.exchange(dict(parse_qsl(form)), authorization)
            self.send_response((200 if told else 400) if issuer.answering else 503)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
