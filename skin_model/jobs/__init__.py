"""Durable jobs on DBOS: queues, workers, recovery, cancel.  Knows nothing of what is queued."""
