"""Result records: numbers with their provenance and outcomes, read, verified, compared."""

from wsolbench.records.identity import Identity, content_sha256, identify, identity_of
from wsolbench.records.outcomes import (
    OtsuOutcomes,
    SplitOutcomes,
    compute_intervals,
    find_localized,
)
from wsolbench.records.record import (
    SCHEMA_VERSION,
    BackboneInfo,
    DatasetInfo,
    Environment,
    Intervals,
    MethodInfo,
    Metrics,
    Preprocessing,
    ProtocolInfo,
    Records,
    ResultRecord,
    SplitInfo,
    ThresholdScores,
    TrainingInfo,
    WeightsInfo,
    network_label,
    record_schema,
)
from wsolbench.records.store import (
    new_record,
    read_record,
    write_record,
)

__all__ = [
    "SCHEMA_VERSION",
    "BackboneInfo",
    "DatasetInfo",
    "Environment",
    "Identity",
    "Intervals",
    "MethodInfo",
    "Metrics",
    "OtsuOutcomes",
    "Preprocessing",
    "ProtocolInfo",
    "Records",
    "ResultRecord",
    "SplitInfo",
    "SplitOutcomes",
    "ThresholdScores",
    "TrainingInfo",
    "WeightsInfo",
    "compute_intervals",
    "content_sha256",
    "find_localized",
    "identify",
    "identity_of",
    "network_label",
    "new_record",
    "read_record",
    "record_schema",
    "write_record",
]
