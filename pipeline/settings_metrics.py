"""Settings of what is told of a run while it goes on and when it has ended: metrics and traces."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.settings_fields import PlainUrl, SettingsPart


class MetricsSettings(SettingsPart):
    """Metrics and traces of runs; all are off by default, and none can fail a run."""

    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="A port on which a run's metrics can be scraped while it goes on, as in 9464; "
        "empty for none.",
    )
    events_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="The same for the process that serves the queue of events, beside which a run "
        "may have the other port, as in 9465; empty for none.",
    )
    listen: str = Field(
        "127.0.0.1",
        description="The address of these ports; 0.0.0.0 where Prometheus is on another machine.",
    )
    pushgateway: PlainUrl = Field(
        None,
        description="Address of a Prometheus Pushgateway, as in http://localhost:9091, to which a "
        "run pushes its metrics; empty for none.",
    )
    textfile: Path | None = Field(
        None,
        description="A file for node_exporter's textfile collector, as in "
        "/var/lib/node_exporter/sensedex.prom, beside which events write sensedex-events.prom; "
        "empty for none.",
    )
    every_s: float = Field(
        15.0, gt=0, le=3600, description="Seconds between two pushes, and two writings of the file."
    )
    otlp_endpoint: PlainUrl = Field(
        None,
        description="Address to which traces go by OTLP over HTTP, as in "
        "http://localhost:4318/v1/traces; empty for OTEL_EXPORTER_OTLP_ENDPOINT, without which "
        "there are none. Needs the extra `traces`.",
    )
    slow_object_s: float = Field(
        30.0,
        gt=0,
        description="Seconds from which on an object that took as long to fetch and to decode has "
        "a span of its own, and a line in the log.",
    )

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told any metrics of a run."""
        return (self.port, self.pushgateway, self.textfile) != (None, None, None)

    @property
    def events_wanted(self) -> bool:
        """Whether anybody is to be told any metrics of events."""
        return (self.events_port, self.pushgateway, self.textfile) != (None, None, None)
