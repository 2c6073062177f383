"""Where runs and steps work: executors, launchers, and what Dagster's instance is told of them."""

import os

#: What Dagster's daemon is to have in its environment. Without this, it ends a backfill for good whose code server is
#: away when it looks, during a deployment say; with it, the backfill goes on when the code server is back.
DAEMON_VARIABLES = {"DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1"}

# `mmfs ui` imports this package before it starts a daemon. One that is started by hand imports it sooner or later, for
# the launcher that its dagster.yaml names, and has it from the beginning only where it is exported.
for _name, _value in DAEMON_VARIABLES.items():
    os.environ.setdefault(_name, _value)
