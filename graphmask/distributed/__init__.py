"""One graph over many processes: cut into parts on disk, and trained with exact gradients.

:func:`shard` cuts a graph; :func:`open_shard` gives each process its own nodes, with copies of
those that their rows read. Layers and models run on ``shard.topology`` as they are: own rows in,
own rows out. What they exchange goes over ``torch.distributed``.
"""

from ._ranks import Traffic as Traffic
from ._ranks import count_traffic as count_traffic
from .batch_norm import RanksBatchNorm as RanksBatchNorm
from .batch_norm import sync_batch_norm as sync_batch_norm
from .cutting import shard as shard
from .drawing import draw_walks as draw_walks
from .losses import collect as collect
from .losses import mean as mean
from .shards import Shard as Shard
from .shards import open_shard as open_shard
from .stored import GraphShards as GraphShards
from .turns import in_turn as in_turn
