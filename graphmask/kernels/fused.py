"""Names that moved to `pairs`."""

from .pairs import forms_values as is_fused_from
