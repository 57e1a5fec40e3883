"""Settings from the environment, read once at an entry point and handed on as arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from indexer.errors import ConfigError
from indexer.viewing import ViewerTemplate

_PREFIX = "SYNTOPY_"


class Settings(BaseSettings):
    """Every setting is a field here and an environment variable ``SYNTOPY_<FIELD>``.

    An empty variable is as good as none.

    Attributes:
        library: folder of the library when none is named.
        workers: processes that read files; 0 takes one a CPU.
        file_seconds: wall time one file may take.
        worker_memory_mb: private memory a reading process may use.
        max_file_mb, max_pixel_mb: caps on a file and on its decoded pixels.
        models: folder of model weights; shared by all libraries.
        device: where networks run: cpu, cuda, cuda:1, or auto.
        precision: of their arithmetic: float32, bfloat16, or auto (bfloat16 on a GPU alone).
        compile: whether networks are compiled before they run.
        index_recall: recall@10 against exact search that an approximate index has to reach.
        mirror: URL of a server laid out like the hub that weights come from.
        qdrant_api_key: for libraries whose vectors a Qdrant server holds; it stands nowhere else.
        serve_threads: of the HTTP service, requests that are worked on at once.
        serve_waiting: requests that are taken at once, those that wait among them.
        serve_connections: that may be open at once; above that those that ask nothing are closed.
        serve_header_seconds: wall time in which the header of a request has to arrive.
        serve_rate, serve_burst: requests a second of one key or person, and how many at once.
        trusted_proxies: addresses and networks, divided by commas, whose word on who asks counts.
        upload_mb, upload_files: caps on what comes with one request.
        upload_seconds: wall time in which the body of a request has to arrive.
        jobs_workers: processes that ``syntopy serve`` starts to do jobs; 0 for none.
        jobs_threads: that numeric libraries take in each of them; 0 takes half of the CPUs.
        jobs_grace: seconds that a running job may go on when its worker is told to end.
        jobs_waiting: jobs of one key or person that may wait or run at once.
        jobs_days: after which a job that ended is forgotten, with what it found.
        jobs_streams: clients that may follow jobs at once.
        index_roots: folders below which jobs may index, with a colon between them; none by default.
        webhook_secret: signs what is posted to webhooks; ``whsec_`` and base64.
        pull_token: bearer token for the archive that `syntopy pull dicomweb` asks, or
        pull_user, pull_password: for basic authentication there.
        public_url: where people reach the service, https or on this machine.
        session_minutes: after which somebody who signed in and asks nothing is signed out.
        session_hours: after which they are signed out anyhow.
        cors_origins: JSON, sites whose pages may ask with a key or token; never with a cookie.
        viewer_url: of a viewer, with places for UIDs, see `indexer.viewing`; "" for none.
        oidc_issuer: URL of the issuer whose bearer tokens are accepted; none without it.
        oidc_audience: what the tokens must be made for.
        oidc_roles_claim: the claim of a token that gives a role; dots lead into nested ones.
        oidc_roles: JSON, from values of that claim to roles; required with an issuer.
        oidc_keys_url: of the issuer's key set, if its discovery document does not tell it.
        oidc_client_id, oidc_client_secret: of this service, where people sign in with the issuer.
        oidc_scope: what is asked of the issuer then.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, env_ignore_empty=True)

    library: Path = Path("library")
    workers: int = Field(default=0, ge=0, le=256)
    file_seconds: float = Field(default=120.0, gt=0)
    worker_memory_mb: int = Field(default=1400, ge=256)
    max_file_mb: int = Field(default=1024, ge=1)
    max_pixel_mb: int = Field(default=512, ge=1)
    models: Path = Field(default_factory=lambda: user_data_path("syntopy") / "models")
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    index_recall: float = Field(default=0.98, gt=0, le=1)
    mirror: str = ""
    qdrant_api_key: SecretStr = SecretStr("")
    serve_threads: int = Field(default=4, ge=1, le=7)
    serve_waiting: int = Field(default=64, ge=1)
    serve_connections: int = Field(default=2000, ge=1)
    serve_header_seconds: float = Field(default=10.0, gt=0)
    serve_rate: float = Field(default=50.0, gt=0)
    serve_burst: float = Field(default=200.0, ge=1)
    trusted_proxies: str = ""
    upload_mb: int = Field(default=1024, ge=1)
    upload_files: int = Field(default=1000, ge=1)
    upload_seconds: float = Field(default=300.0, gt=0)
    jobs_workers: int = Field(default=1, ge=0, le=16)
    jobs_threads: int = Field(default=0, ge=0, le=256)
    jobs_grace: float = Field(default=20.0, ge=0)
    jobs_waiting: int = Field(default=20, ge=1)
    jobs_days: float = Field(default=30.0, gt=0)
    jobs_streams: int = Field(default=100, ge=0)
    index_roots: str = ""
    webhook_secret: SecretStr = SecretStr("")
    pull_token: SecretStr = SecretStr("")
    pull_user: str = ""
    pull_password: SecretStr = SecretStr("")
    public_url: str = ""
    session_minutes: float = Field(default=60.0, gt=0, le=1440)
    session_hours: float = Field(default=12.0, gt=0, le=168)
    cors_origins: tuple[str, ...] = ()
    viewer_url: str = ""
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_roles_claim: str = "roles"
    oidc_roles: dict[str, Literal["monitor", "reader", "curator", "operator", "admin"]] = {}
    oidc_keys_url: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_scope: str = "openid profile"

    @field_validator("viewer_url")
    @classmethod
    def _viewer(cls, said: str) -> str:
        return ViewerTemplate(said).text

    @property
    def worker_count(self) -> int:
        """Processes that read files."""
        return self.workers or len(os.sched_getaffinity(0))


def load_settings() -> Settings:
    """Read the environment; a misspelt or ill-typed variable is an error, not ignored.

    Raises:
        ConfigError: naming the variable.
    """
    # Test-only switches of the suite share the prefix and are none of ours.
    names = {n for n in os.environ if n.startswith(_PREFIX) and not n.startswith(_PREFIX + "TEST_")}
    known = {_PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(names - known)
    if unknown:
        raise ConfigError(
            f"unknown environment variable {', '.join(unknown)}; "
            f"there are {', '.join(sorted(known))}"
        )
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]).upper()
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"environment variable {_PREFIX}{field}: {said}") from error
    except SettingsError as error:
        raise ConfigError(
            f"environment variables hold JSON: {_PREFIX}OIDC_ROLES such as "
            f'{{"radiology": "reader"}}, {_PREFIX}CORS_ORIGINS such as ["https://ohif.example.org"]'
        ) from error
