"""Runs as jobs of Kubernetes that do not leave their steps behind."""

from dagster_k8s import K8sRunLauncher


class StoppingK8sRunLauncher(K8sRunLauncher):
    """dagster-k8s's launcher, which ends the steps of a run with it. `mmfs home` names it in ``dagster.yaml``."""

    def terminate(self, run_id: str) -> bool:
        """End a run and its model steps, which are jobs of their own.

        The run would let them work on: where runs can be resumed, Dagster takes every end for one that will be.
        """
        ended = bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        run = self._instance.get_run_by_id(run_id)
        if run is not None:
            namespace = self.get_container_context_for_run(run).namespace
            client = self._api_client
            for job in client.batch_api.list_namespaced_job(namespace, label_selector=f"dagster/run-id={run_id}").items:
                client.delete_job(job.metadata.name, namespace)
        return ended
