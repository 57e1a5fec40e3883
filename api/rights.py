"""Who asks, and what they may do. What is not granted is denied."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from indexer.errors import AccessDeniedError, ConfigError, NotAuthenticatedError

EVERY_LIBRARY = "*"
SIGNED_IN = "session:"
"""Before how somebody is known who has signed in."""


class Role(StrEnum):
    """What somebody may do; each may also do what those before it may.

    A monitor reads figures of the service alone, a reader searches and views, a curator labels and
    groups, an operator brings in and removes studies and runs jobs, an admin makes keys and reads
    the audit.
    """

    MONITOR = "monitor"
    READER = "reader"
    CURATOR = "curator"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def parse_role(name: str) -> Role:
    """The role of a name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Role(name)
    except ValueError as error:
        raise ConfigError(f"a role is {', '.join(Role)}, not '{name}'") from error


@dataclass(frozen=True)
class Principal:
    """Somebody who asks, and is known.

    Attributes:
        name: as the audit has it.
        role: in each of the libraries.
        libraries: ids of the libraries, as in ``library.toml``; `EVERY_LIBRARY` stands for all.
        how: how it is known: ``key:PREFIX``, ``token:ISSUER`` or ``loopback``; with ``session:``
            before it where somebody signed in with it. With the name it tells apart all who ask.
    """

    name: str
    role: Role
    libraries: frozenset[str]
    how: str

    @property
    def by_cookie(self) -> bool:
        """Whether the browser says so by itself, whatever page lets it ask."""
        return self.how.startswith(SIGNED_IN)


def permitted(principal: Principal | None, role: Role, library: str) -> None:
    """Return if somebody may do what takes a role, in the library of an id.

    Raises:
        NotAuthenticatedError: it is not known who asks.
        AccessDeniedError: they have no right to it.
    """
    if principal is None:
        raise NotAuthenticatedError("this needs an API key or a bearer token")
    if not principal.libraries & {library, EVERY_LIBRARY}:
        raise AccessDeniedError(f"{principal.name} has no rights in this library")
    if not principal.role.includes(role):
        raise AccessDeniedError(
            f"this takes the role {role.value}; {principal.name} is {principal.role.value}"
        )
