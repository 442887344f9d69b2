"""The definitions, propositions and theorems of the paper, as functions to call on one's own machine.

Sources: Vertechi and Bergomi, *Machines of finite depth*, arXiv:2204.12786.
"""

from .cofiltration import Cofiltration, check_cofiltration, image_span, lowers, tighten
from .counts import Counts, operation_counts
from .depth import depth, structural_depth
from .edge import Edge
from .endofunction import Endofunction
from .graphs import edge_levels, is_schedule, levels, shortcut_graph, space_levels
from .independence import is_independent, resolvent_of_sum, sum_order
from .nilpotent import neumann, nilpotency_index
from .of_machine import endofunction, flag, pack, unpack
from .sequences import (
    STRATEGIES,
    DepthSequence,
    depth_sequence,
    lifted_depth_sequence,
    resolvent,
    transient_profile,
)
from .subspaces import annihilator, contains, exact, inner_product, is_exact, span

__all__ = [
    "STRATEGIES",
    "Cofiltration",
    "Counts",
    "DepthSequence",
    "Edge",
    "Endofunction",
    "annihilator",
    "check_cofiltration",
    "contains",
    "depth",
    "depth_sequence",
    "edge_levels",
    "endofunction",
    "exact",
    "flag",
    "image_span",
    "inner_product",
    "is_exact",
    "is_independent",
    "is_schedule",
    "levels",
    "lifted_depth_sequence",
    "lowers",
    "neumann",
    "nilpotency_index",
    "operation_counts",
    "pack",
    "resolvent",
    "resolvent_of_sum",
    "shortcut_graph",
    "space_levels",
    "span",
    "structural_depth",
    "sum_order",
    "tighten",
    "transient_profile",
    "unpack",
]
