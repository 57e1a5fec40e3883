"""Where a DICOM node listens, and to whom."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from indexer.errors import ConfigError

Address = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")


@dataclass(frozen=True)
class Tls:
    """Files in PEM form; with ``ca`` peers have to show a certificate that it signed."""

    certificate: Path
    key: Path
    ca: Path | None = None


@dataclass(frozen=True)
class NodeOptions:
    """Where a node listens, and to whom.

    Attributes:
        ae_title, host, port: its own; port 0 takes a free one.
        allow: AE titles that may call; empty allows all.
        addresses: IP addresses or networks that may connect; empty allows all.
        peers: where application entities listen that are told of commitment on associations of
            their own.
        tls: None for none.
        insecure: listen beyond this machine without a list of callers and without TLS.
        associations: at once, at most.
        pdu_bytes: the longest PDU that is taken.
        timeout: seconds of silence after which an association is aborted.
    """

    ae_title: str = "SYNTOPY"
    host: str = "127.0.0.1"
    port: int = 11112
    allow: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    peers: Mapping[str, Address] = field(default_factory=dict)
    tls: Tls | None = None
    insecure: bool = False
    associations: int = 16
    pdu_bytes: int = 262_144
    timeout: float = 60.0


def check_options(options: NodeOptions, *, answers: bool = False) -> None:
    """See that a node may listen so.

    Args:
        options: of the node.
        answers: it tells what the library has, which strangers never may ask.

    Raises:
        ConfigError: an option is wrong, or strangers could send to it.
    """
    for title in (options.ae_title, *options.allow, *options.peers):
        check_title(title)
    if not 0 <= options.port <= 65_535:
        raise ConfigError(f"a port is 0 to 65535, not {options.port}")
    if options.associations < 1 or options.timeout <= 0:
        raise ConfigError("associations are 1 or more, and the timeout is above 0 seconds")
    if not 4_096 <= options.pdu_bytes <= 16 << 20:
        raise ConfigError(f"a PDU is 4096 bytes to 16 MiB, not {options.pdu_bytes}")
    networks(options.addresses)
    held = options.addresses or (options.tls and options.tls.ca)
    if answers and not (_is_this_machine(options.host) or held):
        raise ConfigError(
            f"on {options.host} anybody could ask what the library has, for anybody can claim an "
            "AE title: name the addresses that may with --allow-address, or let them show "
            "certificates with --tls-ca"
        )
    if not (_is_this_machine(options.host) or held or options.allow or options.insecure):
        raise ConfigError(
            f"on {options.host} anybody could send: name the senders with --allow, let them show "
            "certificates with --tls-ca, or insist with --insecure"
        )


def check_title(title: str) -> None:
    """See that a text can be an AE title.

    Raises:
        ConfigError: it cannot.
    """
    if not _TITLE.fullmatch(title):
        raise ConfigError(f"'{title}' is no AE title: 1 to 16 ASCII characters, no backslash")


def networks(addresses: Iterable[str]) -> tuple[Network, ...]:
    """IP addresses and networks, ready to look addresses up in.

    Raises:
        ConfigError: one is neither.
    """
    try:
        return tuple(ipaddress.ip_network(each) for each in addresses)
    except ValueError as error:
        raise ConfigError(f"{error}; write 192.0.2.7 or 192.0.2.0/24") from error


def server_context(tls: Tls | None) -> ssl.SSLContext | None:
    """How connections are taken: TLS 1.2 or newer (PS3.15 B.12).

    Raises:
        ConfigError: a file cannot be used.
    """
    return None if tls is None else _context(tls, ssl.PROTOCOL_TLS_SERVER)


def client_context(tls: Tls | None) -> ssl.SSLContext | None:
    """How peers are called: as connections are taken, and with our certificate.

    Raises:
        ConfigError: a file cannot be used.
    """
    return None if tls is None else _context(tls, ssl.PROTOCOL_TLS_CLIENT)


def calling_context(certificate: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext:
    """How an archive is called: with our certificate, if any, trusting ``ca`` or the system's.

    Raises:
        ConfigError: a file cannot be used, or one is missing.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("TLS needs both --tls-cert and --tls-key, or neither")
    if certificate is not None and key is not None:
        return _context(Tls(certificate, key, ca), ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise _unusable(error) from error


def _context(tls: Tls, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        elif protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.load_default_certs()
    except OSError as error:  # an error of ssl is one, too
        raise _unusable(error) from error
    return context


def _unusable(error: OSError) -> ConfigError:
    return ConfigError(
        f"the TLS files cannot be used: {error.strerror or type(error).__name__}; they are a "
        "certificate, its key without a password, and a CA, in PEM form"
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
