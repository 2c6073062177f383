"""Settings of what runs steps on other machines."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from mmfs.frozen import Frozen, Names


class RayConfig(Frozen):
    """The Ray cluster that runs and their steps are sent to, where MMFS_EXECUTOR=ray."""

    address: str = Field("http://127.0.0.1:8265", description="Job server of the cluster, beside its dashboard.")
    gpus: int = Field(
        1, ge=1, description="GPUs of the cluster. No more steps are sent than they can hold; others wait in Dagster."
    )
    gpus_per_step: float = Field(
        1.0, gt=0, description="GPUs that a step of a model asset asks for, 0.5 for half of one."
    )
    cpus_per_step: float = Field(
        0.0,
        ge=0,
        description="CPUs that a step of a model asset asks for besides its GPU. Above 0, it may wait for CPUs of runs "
        "that wait for it.",
    )
    cpus_per_run: float = Field(
        2.0, gt=0, description="CPUs that a run asks for: as many of its other steps work at once, beside it."
    )
    environment: Names = Field(
        (),
        description="More variables that steps are given from where they are sent, by name. Ray's dashboard shows "
        "their values: give secrets to the nodes instead.",
    )


class K8sConfig(Frozen):
    """The pods of runs and steps, where MMFS_EXECUTOR=k8s."""

    image: str | None = Field(None, description="Image of runs and steps; default: that of the code location.")
    namespace: str = Field("default", description="Namespace of the pods.")
    service_account: str = Field("default", description="Service account of the pods; that of runs starts pods.")
    instance_config_map: str = Field("dagster-instance", description="ConfigMap that holds dagster.yaml.")
    environment_secrets: Names = Field(
        (), description="Secrets whose keys become variables of the pods, e.g. one with MMFS_POSTGRES_URL. Names only."
    )
    environment_config_maps: Names = Field((), description="ConfigMaps with the MMFS_* settings of the pods.")
    image_pull_secrets: Names = Field((), description="Secrets to fetch the image with. Names only.")
    cpus_per_run: float = Field(
        2.0, gt=0, description="CPUs that a run asks for: as many of its steps without a GPU work at once, beside it."
    )
    memory_mb_per_run: int = Field(8192, ge=256, description="Memory that a run asks for, and its limit, in MiB.")
    cpus_per_step: float = Field(2.0, gt=0, description="CPUs that a step of a model asset asks for.")
    memory_mb_per_step: int = Field(16384, ge=256, description="Memory of such a step, and its limit, in MiB.")
    gpus: int = Field(1, ge=1, description="GPUs of the cluster that steps may hold at once; others wait in Dagster.")
    gpus_per_step: int = Field(1, ge=1, description="GPUs that a step of a model asset asks for.")
    gpu_resource: str = Field("nvidia.com/gpu", description="What the device plugin calls a GPU.")
    gpu_node_labels: Names = Field((), description="Labels of nodes for model assets, e.g. pool=gpu,zone=a.")
    gpu_tolerations: Names = Field(
        ("nvidia.com/gpu:NoSchedule",), description="Taints that model assets tolerate: key[=value]:effect."
    )

    @field_validator("gpu_node_labels")
    @classmethod
    def _are_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        return _of_form(labels, r"[^=:\s]+=[^=:\s]*", "key=value")

    @field_validator("gpu_tolerations")
    @classmethod
    def _are_taints(cls, taints: tuple[str, ...]) -> tuple[str, ...]:
        form = r"[^=:\s]+(=[^=:\s]*)?:(NoSchedule|PreferNoSchedule|NoExecute)"
        return _of_form(
            taints, form, "key:effect or key=value:effect, of effect NoSchedule, PreferNoSchedule or NoExecute"
        )


def _of_form(texts: tuple[str, ...], form: str, said: str) -> tuple[str, ...]:
    for text in texts:
        if not re.fullmatch(form, text):
            raise ValueError(f"{text!r} is not {said}")
    return texts
