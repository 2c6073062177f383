"""How the steps of a run are executed: in the run's own process, so that a model is loaded once for all its shards."""

import dagster as dg

EXECUTOR: dg.ExecutorDefinition = dg.in_process_executor
