"""What a step does with the shards of its run, and what it tells Dagster."""
