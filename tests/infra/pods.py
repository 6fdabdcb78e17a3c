"""Kubernetes objects by the fields that infra/kubernetes uses. A field that is none is refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

PULL = Literal["Always", "IfNotPresent", "Never"]


class _Fields(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)


class Metadata(_Fields):
    name: str | None = None
    namespace: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class KeyOf(_Fields):
    name: str
    key: str


class ValueFrom(_Fields):
    secret_key_ref: KeyOf


class Variable(_Fields):
    name: str
    value: str | None = None
    value_from: ValueFrom | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Variable:
        if (self.value is None) == (self.value_from is None):
            raise ValueError(f"{self.name}: value or valueFrom")
        return self


class Port(_Fields):
    name: str
    container_port: int = Field(gt=0, lt=65536)


class Mount(_Fields):
    name: str
    mount_path: str = Field(pattern="^/")
    read_only: bool = False


class Resources(_Fields):
    requests: dict[str, str]
    limits: dict[str, str]


class Confinement(_Fields):
    allow_privilege_escalation: Literal[False]
    read_only_root_filesystem: Literal[True]
    capabilities: dict[Literal["drop"], list[Literal["ALL"]]]


class Exec(_Fields):
    command: list[str]


class Handler(_Fields):
    exec: Exec


class Probe(Handler):
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


class Container(_Fields):
    name: str
    image: str
    image_pull_policy: PULL
    command: list[str] | None = None
    args: list[str] | None = None
    ports: list[Port] = Field(default_factory=list)
    env: list[Variable] = Field(default_factory=list)
    resources: Resources
    security_context: Confinement
    lifecycle: dict[Literal["preStop", "postStart"], Handler] = Field(default_factory=dict)
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    volume_mounts: list[Mount] = Field(default_factory=list)


class EmptyDir(_Fields):
    medium: Literal["", "Memory"] = ""
    size_limit: str | None = None


class Named(_Fields):
    name: str


class Volume(_Fields):
    name: str
    empty_dir: EmptyDir | None = None
    config_map: Named | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Volume:
        if (self.empty_dir is None) == (self.config_map is None):
            raise ValueError(f"{self.name}: emptyDir or configMap")
        return self


class NoRoot(_Fields):
    run_as_non_root: Literal[True]
    run_as_user: int = Field(gt=0)
    run_as_group: int = Field(gt=0)
    fs_group: int
    seccomp_profile: dict[Literal["type"], Literal["RuntimeDefault"]]


class Toleration(_Fields):
    key: str
    operator: Literal["Equal", "Exists"]
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class PodSpec(_Fields):
    service_account_name: str | None = None
    automount_service_account_token: bool
    security_context: NoRoot
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[Toleration] = Field(default_factory=list)
    termination_grace_period_seconds: int | None = None
    restart_policy: Literal["Never"] | None = None
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume] = Field(default_factory=list)

    @model_validator(mode="after")
    def _mounts_are_volumes(self) -> PodSpec:
        volumes = {volume.name for volume in self.volumes}
        mounts = {mount.name for container in self.containers for mount in container.volume_mounts}
        if mounts != volumes:
            raise ValueError(f"volumes and mounts differ in {sorted(mounts ^ volumes)}")
        return self


class PodTemplate(_Fields):
    metadata: Metadata
    spec: PodSpec


class Selector(_Fields):
    match_labels: dict[str, str] = Field(default_factory=dict)


class DeploymentSpec(_Fields):
    replicas: int
    strategy: dict[Literal["type"], Literal["Recreate", "RollingUpdate"]]
    selector: Selector
    template: PodTemplate

    @model_validator(mode="after")
    def _finds_its_own(self) -> DeploymentSpec:
        if not self.selector.match_labels.items() <= self.template.metadata.labels.items():
            raise ValueError("its selector does not find its pods")
        return self


class BudgetSpec(_Fields):
    min_available: int
    selector: Selector


class NetworkPort(_Fields):
    protocol: Literal["TCP", "UDP"]
    port: int = Field(gt=0, lt=65536)


class Peer(_Fields):
    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None


class Way(_Fields):
    from_: list[Peer] = Field(default_factory=list, alias="from")
    to: list[Peer] = Field(default_factory=list)
    ports: list[NetworkPort] = Field(default_factory=list)


class NetworkSpec(_Fields):
    pod_selector: Selector
    policy_types: list[Literal["Ingress", "Egress"]]
    ingress: list[Way] = Field(default_factory=list)
    egress: list[Way] = Field(default_factory=list)


class Requirement(_Fields):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] = Field(default_factory=list)


class Taint(_Fields):
    key: str
    value: str
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class NodeSpec(_Fields):
    node_class_ref: dict[Literal["group", "kind", "name"], str]
    taints: list[Taint] = Field(default_factory=list)
    requirements: list[Requirement]


class NodeTemplate(_Fields):
    metadata: Metadata
    spec: NodeSpec


class NodePoolSpec(_Fields):
    template: NodeTemplate
    disruption: dict[Literal["consolidationPolicy", "consolidateAfter"], str]
    limits: dict[str, str]


# What an object has beside apiVersion, kind and metadata, by its version and kind.
SPECS: dict[tuple[str, str], type[BaseModel] | None] = {
    ("apps/v1", "Deployment"): DeploymentSpec,
    ("policy/v1", "PodDisruptionBudget"): BudgetSpec,
    ("networking.k8s.io/v1", "NetworkPolicy"): NetworkSpec,
    ("karpenter.sh/v1", "NodePool"): NodePoolSpec,
}
WITHOUT_SPEC: dict[tuple[str, str], set[str]] = {
    ("v1", "ServiceAccount"): {"automountServiceAccountToken"},
    ("v1", "ConfigMap"): {"data"},
}
RAY = {("ray.io/v1", "RayCluster"), ("ray.io/v1", "RayJob")}


def object_of(one: dict[str, Any]) -> tuple[str, str]:
    """Its version and kind."""
    return one.get("apiVersion", ""), one.get("kind", "")
