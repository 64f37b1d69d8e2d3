"""Stage: where a chip provably is.

`atlas` has the territories, `region` what words and sites mean in them, `tables` the distances of a landmark set,
`rule` the verdicts, `quality` what their evidence is worth, `moves` what they show of moves between sites,
`certificate` the reasons for one of them, `stage` the term of the straight line, `pings` the way in for plain CSV,
`plan` and `audit` what can be asked of landmarks, `picture` a map over `flat`, the globe on paper.
Nothing here reads a clock, and no file but those that come with it.
"""

from hem.location.quality import Timed
from hem.location.rule import MOTION_KM_PER_S, Rule, Speed
from hem.location.stage import Located, Places, demand, follow, locate, told

__all__ = ["MOTION_KM_PER_S", "Located", "Places", "Rule", "Speed", "Timed", "demand", "follow", "locate", "told"]
