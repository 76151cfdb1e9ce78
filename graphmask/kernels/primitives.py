"""Names that moved to `products`."""

from .products import accumulator as accumulator
from .products import in_one_type as in_one_type
from .products import is_half as is_half
from .products import sum_dtype as sum_dtype
