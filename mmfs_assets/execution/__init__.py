"""Where runs and steps work: executors, launchers, and what Dagster's instance is told of them."""

import os

#: What Dagster's daemon is to have in its environment. Without this, it ends a backfill for good whose code server is
#: away when it looks, during a deployment say; with it, the backfill goes on when the code server is back.
DAEMON_VARIABLES = {"DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1"}

# The daemon imports this package for the launcher that its dagster.yaml names, and `mmfs ui` before it starts a daemon.
for _name, _value in DAEMON_VARIABLES.items():
    os.environ.setdefault(_name, _value)
