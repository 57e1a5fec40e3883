"""The nginx of deploy/, started on loopback with a certificate of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from free_ports import free_port

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
TEMPLATE = DEPLOY / "nginx" / "syntopy.conf.template"
NAME = "syntopy.example"
_PATIENCE = 20.0


def certified(folder: Path) -> Path:
    """A folder with a certificate that nobody else vouches for, and its key."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


def site_values(folder: Path, *, syntopy: int, ohif: int, **changed: str) -> dict[str, str]:
    """What the template asks for; with a new certificate in ``folder`` and free ports.

    ``syntopy``, ``ohif``: ports of loopback that it leads to; 0 is one where nobody listens.
    """
    listening = ["HTTP_PORT", "HTTPS_PORT", "OHIF_PORT", "ALIVE_PORT"]
    nobody = free_port()
    return {
        "SERVER_NAME": NAME,
        "SYNTOPY_UPSTREAM": f"127.0.0.1:{syntopy or nobody}",
        "OHIF_UPSTREAM": f"127.0.0.1:{ohif or nobody}",
        "OHIF_CONFIG": str(DEPLOY / "ohif" / "app-config.js"),
        "TLS_FOLDER": str(certified(folder / "tls")),
        "RESOLVER": "127.0.0.1",
        "UPLOAD_MB": "1",
        "PUBLIC_PORT": "443",
        **{name: str(free_port()) for name in listening},
        **changed,
    }


def rendered(values: dict[str, str]) -> str:
    """The template as the image of nginx fills it in: what is not set stays as it is."""
    return re.sub(
        r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), TEMPLATE.read_text()
    )


def configuration(folder: Path, values: dict[str, str], beside: str = "") -> Path:
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{each}_temp_path {folder}/{each};" for each in paths)
    (folder / "site.conf").write_text(rendered(values))
    whole = folder / "nginx.conf"
    whole.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nworker_processes 1;\n"
        f"events {{ worker_connections 512; }}\n"
        f"http {{\n{temporary}\ninclude {folder}/site.conf;\n{beside}\n}}\n"
    )
    return whole


@contextmanager
def nginx(folder: Path, values: dict[str, str], beside: str = "") -> Iterator[None]:
    """It runs as long as this is entered; ``beside``: servers next to those of the template."""
    whole = configuration(folder, values, beside)
    command = ["nginx", "-p", str(folder), "-c", str(whole)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + _PATIENCE
            alive = f"http://127.0.0.1:{values['ALIVE_PORT']}/alive"
            while True:
                try:
                    assert httpx.get(alive).text == "ok\n"
                    break
                except httpx.TransportError:
                    assert process.poll() is None and time.monotonic() < until
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(_PATIENCE)
