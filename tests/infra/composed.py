"""infra/compose/compose.yaml by the fields it uses, and what of it must agree with others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

SECRET = re.compile(r"(KEY|TOKEN|PASSWORD|SECRET|AUTH(_STRING)?)$")
OURS = "${SENSEDEX_IMAGE:-"


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Build(_Fields):
    context: str
    dockerfile: str
    target: str
    args: dict[str, str]


class Healthcheck(_Fields):
    test: list[str]
    interval: str
    timeout: str
    retries: int


class Dependency(_Fields):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(_Fields):
    """https://github.com/compose-spec/compose-spec: what a service may say, as far as ours do."""

    image: str
    build: Build | None = None
    command: list[str] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    volumes: list[str] = Field(default_factory=list)
    tmpfs: list[str] = Field(default_factory=list)
    ports: list[str] = Field(default_factory=list)
    secrets: list[str] = Field(default_factory=list)
    depends_on: dict[str, Dependency] = Field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"] | None = None
    read_only: bool = False
    cap_drop: list[str] = Field(default_factory=list)
    security_opt: list[str] = Field(default_factory=list)
    shm_size: str | None = None
    stop_grace_period: str | None = None
    deploy: dict[Literal["replicas"], str | int] = Field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.image.startswith(OURS)


class Secret(_Fields):
    environment: str


class Compose(_Fields):
    name: str
    services: dict[str, Service]
    secrets: dict[str, Secret] = Field(default_factory=dict)
    volumes: dict[str, None] = Field(default_factory=dict)


def read(text: str) -> Compose:
    """Anchors put in, `x-` left out. Raises ValidationError."""
    document: dict[str, Any] = yaml.safe_load(text)
    return Compose.model_validate({k: v for k, v in document.items() if not k.startswith("x-")})


def complaints(text: str, folder: Path, roles: set[str]) -> list[str]:
    """What is wrong; `folder` is the one in which the file lies, `roles` those of start.sh."""
    try:
        compose = read(text)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    made = set(
        re.findall(r"\b[A-Z][A-Z_]+(?==)|\b[A-Z]+_[A-Z_]+\b", (folder / "up.sh").read_text())
    )
    wrong = [
        f"{name} is wanted, and up.sh does not make it"
        for name in sorted(set(re.findall(r"\$\{(\w+):\?", text)) - made)
    ]
    for name, service in compose.services.items():
        said = [*_of_service(service, compose, folder)]
        if service.is_ours:
            said += _of_ours(service, roles)
        wrong += [f"{name}: {words}" for words in said]
    used = {v.split(":")[0] for s in compose.services.values() for v in s.volumes}
    wrong += [f"nobody uses the volume {name}" for name in compose.volumes.keys() - used]
    return wrong


def _of_service(service: Service, compose: Compose, folder: Path) -> Iterator[str]:
    tag = service.image.rpartition("/")[2].partition(":")[2]
    if not tag or tag == "latest":
        yield f"{service.image} has no tag but latest"
    for key, value in service.environment.items():
        if SECRET.search(key) and not value.startswith("${"):
            yield f"{key} stands here in clear"
    for key, value in service.environment.items():
        if "://" in value and re.search(r"://[^/@]*:(?!\$)[^/@]+@", value):
            yield f"{key} has a password in clear"
    for volume in service.volumes:
        source = volume.split(":")[0]
        if source.startswith("."):
            if not (folder / source).exists():
                yield f"there is no {source}"
        elif source not in compose.volumes:
            yield f"no volume {source}"
    for port in service.ports:
        if not port.startswith("127.0.0.1:"):
            yield f"{port} is open to the network"
    yield from (f"no secret {name}" for name in service.secrets if name not in compose.secrets)
    for name, dependency in service.depends_on.items():
        other = compose.services.get(name)
        if other is None:
            yield f"waits for {name}, which is no service"
        elif dependency.condition == "service_completed_successfully" and other.restart != "no":
            yield f"waits for the end of {name}, which is started again"
        elif dependency.condition == "service_healthy" and not _has_health(other):
            yield f"waits for the health of {name}, which has no check"
    for role in re.findall(r"https?://([a-z-]+):\d+", " ".join(service.environment.values())):
        if role not in compose.services:
            yield f"speaks to {role}, which is no service"
    head = service.environment.get("RAY_HEAD", "").split(":")[0]
    if head and head not in compose.services:
        yield f"speaks to {head}, which is no service"


def _has_health(service: Service) -> bool:
    return service.healthcheck is not None or (service.is_ours and service.restart != "no")


def _of_ours(service: Service, roles: set[str]) -> Iterator[str]:
    if not service.read_only:
        yield "its root file system may be written to"
    if service.cap_drop != ["ALL"] or "no-new-privileges:true" not in service.security_opt:
        yield "it keeps rights that it does not need"
    word = (service.command or [""])[0]
    if word not in roles | {"sensedex", "python"}:
        yield f"start.sh knows no {word or 'empty command'}"
