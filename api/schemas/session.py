"""Signing in, and who is signed in."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, SecretStr

from api.schemas.common import Asked, Told


class SignInAsked(Asked):
    """An API key, told once."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: SecretStr = Field(max_length=200, examples=["syn_3f9a0c1b2d4e_…"])


class SessionTold(Told):
    """Who asks, and how they may sign in."""

    signed_in: bool = Field(description="Whether a cookie says who asks.")
    name: str = Field(description="Who asks; empty of nobody who is known.", examples=["dr-who"])
    role: Literal["", "monitor", "reader", "curator", "operator", "admin"]
    libraries: list[str] = Field(description="Ids of those that they may see; * for all.")
    how: str = Field(
        description="How they are known.", examples=["session:key:3f9a0c1b2d4e", "loopback"]
    )
    expires_at: str = Field(description="When they are signed out anyhow: ISO, UTC; or empty.")
    idle_minutes: float = Field(description="Without a request, after which they are signed out.")
    ways: list[Literal["key", "issuer"]] = Field(
        description="How one may sign in; empty where nobody has to."
    )
