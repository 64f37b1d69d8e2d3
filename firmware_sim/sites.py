"""Where the simulated chips stand: towns with large data centers, as on any map."""

from typing import NamedTuple


class Town(NamedTuple):
    """A site: country in ISO 3166-1 alpha-2, degrees in WGS 84."""

    name: str
    country: str
    latitude: float
    longitude: float


TOWNS = (
    Town("Ashburn", "US", 39.0438, -77.4874),
    Town("Council Bluffs", "US", 41.2619, -95.8608),
    Town("The Dalles", "US", 45.5946, -121.1787),
    Town("Luleå", "SE", 65.5848, 22.1547),
    Town("Eemshaven", "NL", 53.4386, 6.8355),
    Town("Hamina", "FI", 60.5697, 27.1979),
    Town("Frankfurt", "DE", 50.1109, 8.6821),
    Town("Clonee", "IE", 53.4117, -6.4442),
    Town("Inzai", "JP", 35.8322, 140.1453),
    Town("Jurong", "SG", 1.3329, 103.7436),
    Town("Quilicura", "CL", -33.3667, -70.7333),
    Town("Sines", "PT", 37.9561, -8.8697),
)
