"""Settings of prices, by which `sensedex plan` and the report turn hours into money."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings_fields import SettingsPart


class PriceSettings(SettingsPart):
    """What things cost you. None is assumed: without a price no money is shown."""

    currency: str = Field("USD", description="What the prices are in, as it is to be shown.")
    cpu_hour: float = Field(
        0.0, ge=0, description="Price of one CPU core for an hour, as in 0.04; 0 where it is free."
    )
    gpu_hour: float = Field(
        0.0, ge=0, description="Price of one GPU for an hour, as in 0.8; 0 where it is free."
    )
    get_per_1000: float = Field(
        0.0, ge=0, description="Price of a thousand GET requests, as in 0.0004."
    )
    stored_gb_month: float = Field(
        0.0,
        ge=0,
        description="Price of a GB (10^9 bytes) stored for a month, as in 0.023: the vectors' "
        "files in state.location.",
    )

    @property
    def known(self) -> bool:
        """Whether any price is set."""
        return any((self.cpu_hour, self.gpu_hour, self.get_per_1000, self.stored_gb_month))
