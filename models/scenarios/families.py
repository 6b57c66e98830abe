"""All families by name, and the one way to build a scenario."""

from collections.abc import Callable, Mapping

from models.datasets import DataError
from models.scenarios import (
    bounded_lookalikes,
    disk_lookalikes,
    memory_faults,
    memory_lookalikes,
    reports,
    resource_faults,
    rotation_lookalikes,
)
from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario

Build = Callable[[Draw], Scenario]

LOOKALIKES: Mapping[str, Build] = {
    "heap-warm-up": memory_lookalikes.heap_warm_up,
    "buffer-pool-warm-up": memory_lookalikes.buffer_pool_warm_up,
    "page-cache": memory_lookalikes.page_cache,
    "arc": memory_lookalikes.adaptive_replacement_cache,
    "boot": memory_lookalikes.boot,
    "backup-nightly": disk_lookalikes.backup_nightly,
    "backup-weekly": disk_lookalikes.backup_weekly,
    "download-unpack": disk_lookalikes.download_unpack,
    "package-upgrade": disk_lookalikes.package_upgrade,
    "image-pull": disk_lookalikes.image_pull,
    "build": disk_lookalikes.build,
    "restore": disk_lookalikes.restore,
    "log-rotated-by-time": rotation_lookalikes.log_rotated_by_time,
    "log-rotated-by-size": rotation_lookalikes.log_rotated_by_size,
    "journal-to-cap": rotation_lookalikes.journal_to_cap,
    "recorder-to-cap": rotation_lookalikes.recorder_to_cap,
    "memory-cache": bounded_lookalikes.memory_cache,
    "thumbnail-cache": bounded_lookalikes.thumbnail_cache,
    "connection-pool": bounded_lookalikes.connection_pool,
    "compacted-database": bounded_lookalikes.compacted_database,
    "temporary-file": bounded_lookalikes.temporary_file,
    "mirror-sync": bounded_lookalikes.mirror_sync,
    "upload-queue": bounded_lookalikes.upload_queue,
}

FAULTY: Mapping[str, Build] = {
    "log-unrotated": resource_faults.log_unrotated,
    "debug-log-in-bursts": resource_faults.debug_log_in_bursts,
    "leak-slow": memory_faults.leak_slow,
    "leak-per-request": memory_faults.leak_per_request,
    "leak-under-daily-rhythm": memory_faults.leak_under_daily_rhythm,
    "leak-hidden-by-restart": memory_faults.leak_hidden_by_restart,
    "leak-accelerating": memory_faults.leak_accelerating,
    "inodes": resource_faults.inodes,
    "descriptors": resource_faults.descriptors,
    "two-at-once": resource_faults.two_at_once,
}

REPORTS: Mapping[str, Build] = {
    "prometheus-operator-1180": reports.new_node_pulls_images,
    "kubernetes-mixin-98": reports.time_series_database,
    "netdata-9802": reports.temporary_file,
    "netdata-859": reports.package_lists,
    "awesome-prometheus-alerts-467": reports.hourly_bursts,
}

FAMILIES: Mapping[str, Build] = {**LOOKALIKES, **FAULTY, **REPORTS}


def build(family: str, seed: int) -> Scenario:
    """Build a scenario: the same for the same family and seed. Raises DataError for an unknown family."""
    if family not in FAMILIES:
        raise DataError(f"scenario family {family!r} is unknown; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[family](Draw(family, seed))
