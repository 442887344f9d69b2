"""`machinekit figures`: figures 1 and 2 of the paper, drawn from what `machinekit.theory` computes.

Sources: Vertechi and Bergomi, *Machines of finite depth*, arXiv:2204.12786.
"""

from .canvas import FORMATS, render, require_matplotlib
from .checks import Check, check_connectivity, check_hypergraph
from .connectivity import Connectivity, connectivity, draw_connectivity, formulas
from .hypergraph import FIGURE_TWO, PAPER_GROUPING, draw_hypergraph, figure_two_graph, grouping, positions
from .network import draw_network, network_positions

__all__ = [
    "FIGURE_TWO",
    "FORMATS",
    "PAPER_GROUPING",
    "Check",
    "Connectivity",
    "check_connectivity",
    "check_hypergraph",
    "connectivity",
    "draw_connectivity",
    "draw_hypergraph",
    "draw_network",
    "figure_two_graph",
    "formulas",
    "grouping",
    "network_positions",
    "positions",
    "render",
    "require_matplotlib",
]
