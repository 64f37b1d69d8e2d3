"""What has to be told to somebody: alerts, each derived from the entries of the log alone.

`kinds` says which reason of which evidence is an alert, `places` follows chips from site to site, `quiet` hears who is
silent, `watch` is the fold over the log, `records` makes messages of what it has found. Nothing here reads a clock: an
alert is found when the entry is written that proves it, and silence when somebody looks.
"""

from hem.alerts.found import Found
from hem.alerts.records import alert_of, told_by
from hem.alerts.watch import Recorded, Watch

__all__ = ["Found", "Recorded", "Watch", "alert_of", "told_by"]
