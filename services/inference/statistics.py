"""What each version has done, in the protocol's terms: `success.count + fail.count` is the number of its calls."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from protos import inference_pb2 as oip
from services.inference.served import Answer


@dataclass(slots=True)
class Duration:
    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds

    def include(self, told: oip.StatisticDuration) -> None:
        self.add(told.ns / 1e9, told.count)

    def message(self) -> oip.StatisticDuration:
        return oip.StatisticDuration(count=self.count, ns=int(self.seconds * 1e9))


@dataclass(slots=True)
class Record:
    """One version. `rows` counts rows of successful calls that were computed, `passes` what the device did for it, by rows of this
    version; `hits` and `misses` count rows that the cache had, and had not: `rows + hits` are all rows of successful calls."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    preparing: Duration = field(default_factory=Duration)
    computing: Duration = field(default_factory=Duration)
    writing: Duration = field(default_factory=Duration)
    hits: Duration = field(default_factory=Duration)
    misses: Duration = field(default_factory=Duration)
    passes: dict[int, Duration] = field(default_factory=dict)
    rows: int = 0
    last: int = 0  # milliseconds since 1970

    def succeed(self, answer: Answer, rows: int, seconds: float, writing: float) -> None:
        self.success.add(seconds)
        computed = rows - answer.recalled
        if computed:
            self.queue.add(answer.waited)
            self.preparing.add(answer.preparing)
            self.computing.add(answer.computing)
        if answer.recalling is not None:
            self.hits.add(answer.recalling * answer.recalled / rows, answer.recalled)
            self.misses.add(answer.recalling * computed / rows, computed)
        self.writing.add(writing)
        self.rows += computed
        self.last = int(time.time() * 1000)

    def passed(self, rows: int, seconds: float) -> None:
        self.passes.setdefault(rows, Duration()).add(seconds)

    def include(self, told: oip.ModelStatistics) -> None:
        """What another process did for this version."""
        stats = told.inference_stats
        self.success.include(stats.success)
        self.fail.include(stats.fail)
        self.queue.include(stats.queue)
        self.preparing.include(stats.compute_input)
        self.computing.include(stats.compute_infer)
        self.writing.include(stats.compute_output)
        self.hits.include(stats.cache_hit)
        self.misses.include(stats.cache_miss)
        for batch in told.batch_stats:
            self.passes.setdefault(batch.batch_size, Duration()).include(batch.compute_infer)
        self.rows += told.inference_count
        self.last = max(self.last, told.last_inference)

    def message(self, name: str, version: str) -> oip.ModelStatistics:
        stats = oip.InferStatistics(
            success=self.success.message(),
            fail=self.fail.message(),
            queue=self.queue.message(),
            compute_input=self.preparing.message(),
            compute_infer=self.computing.message(),
            compute_output=self.writing.message(),
            cache_hit=self.hits.message(),
            cache_miss=self.misses.message(),
        )
        batches = (
            oip.InferBatchStatistics(batch_size=rows, compute_infer=duration.message())
            for rows, duration in sorted(self.passes.items())
        )
        return oip.ModelStatistics(
            name=name,
            version=version,
            last_inference=self.last,
            inference_count=self.rows,
            execution_count=sum(duration.count for duration in self.passes.values()),
            inference_stats=stats,
            batch_stats=batches,
        )


Records = Mapping[tuple[str, str], Record]  # by model and version


def tell(records: Records, request: oip.ModelStatisticsRequest) -> oip.ModelStatisticsResponse:
    """Of the model and the version asked for; of all where none is."""
    return oip.ModelStatisticsResponse(
        model_stats=[
            record.message(*names)
            for names, record in sorted(records.items())
            if request.name in {"", names[0]} and request.version in {"", names[1]}
        ]
    )
