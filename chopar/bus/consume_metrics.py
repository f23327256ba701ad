"""What the consume loop counts. Labels are topics, partitions and codes; never a key, an id or anything of a body.

One instance serves all loops of a process, on a registry that is passed in.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BATCH_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)  # an idle hop takes 2 ms, a full batch 20 to 100


class ConsumeMetrics:
    """Counters and gauges of consume loops.

    Args:
        registry: where they are kept; a private one by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        kept = registry if registry is not None else CollectorRegistry()
        self.registry = kept
        self.handled = Counter(
            "chopar_records_handled", "Records by what became of them", ["topic", "outcome"], registry=kept
        )
        self.sent = Counter("chopar_records_sent", "Records sent and acknowledged", ["topic"], registry=kept)
        self.dead_letters = Counter(
            "chopar_dead_letters", "Records given up, by reason", ["topic", "code"], registry=kept
        )
        self.unavailable = Counter(
            "chopar_dependency_unavailable", "Times a partition paused, by reason", ["topic", "code"], registry=kept
        )
        self.paused = Gauge(
            "chopar_partition_paused", "1 while a partition waits", ["topic", "partition"], registry=kept
        )
        self.stopped = Gauge(
            "chopar_partition_stopped",
            "1 while a partition stands still because its dead letters are refused",
            ["topic", "partition"],
            registry=kept,
        )
        self.notes_refused = Gauge(
            "chopar_notes_refused",
            "1 while it cannot be noted what is handled, so that a record that kills its process is not found",
            ["group"],
            registry=kept,
        )
        self.rebuilt = Counter(
            "chopar_bus_rebuilt", "Times producer and consumer were built anew, by reason", ["code"], registry=kept
        )
        self.commits_failed = Counter(
            "chopar_commits_failed",
            "Commits that failed as partitions were given up; what they held is done again",
            ["code"],
            registry=kept,
        )
        self.record_age = Gauge(
            "chopar_record_age_seconds", "Age of the last record handled, by broker time", ["topic"], registry=kept
        )
        self.batch_seconds = Histogram(
            "chopar_batch_seconds",
            "From a batch to the last acknowledgement of what it led to",
            buckets=_BATCH_BUCKETS,
            registry=kept,
        )
