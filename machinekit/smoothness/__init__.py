"""Certified smoothness: bounds of size, Lipschitz constant and smoothness of networks and machines."""

from . import objectives, pieces, special_objectives, vgg_report
from .activations import activation_piece
from .bounds import Bounds, Row
from .entry import bounds
from .equilibrium import equilibrium_bound
from .evaluate import evaluate
from .maps import window_overlap
from .objectives import loss_constants, objective_bound, penalty_constants
from .of_machine import of_machine
from .ops import read_op
from .parameters import parameter_bound, second_order_bound
from .pieces import batch_norm_constants
from .recursion import chain
from .regional import Region, region, regional_bound
from .resolvent import resolvent_bound
from .slope_ranges import curvature_range, slope_range
from .smoothing import Smoothed, smoothed
from .special_objectives import fixed_point
from .stages import Part, Reading, Stage
from .step_size import objective_smoothness, step_size
from .structure import BiAffine, Layer, Piece, Structure, Term
from .vertices import vertex_search
from .vgg import vgg16

__all__ = [
    "BiAffine",
    "Bounds",
    "Layer",
    "Part",
    "Piece",
    "Reading",
    "Region",
    "Row",
    "Smoothed",
    "Stage",
    "Structure",
    "Term",
    "activation_piece",
    "batch_norm_constants",
    "bounds",
    "chain",
    "curvature_range",
    "equilibrium_bound",
    "evaluate",
    "fixed_point",
    "loss_constants",
    "objective_bound",
    "objective_smoothness",
    "objectives",
    "of_machine",
    "parameter_bound",
    "penalty_constants",
    "pieces",
    "read_op",
    "region",
    "regional_bound",
    "resolvent_bound",
    "second_order_bound",
    "slope_range",
    "smoothed",
    "special_objectives",
    "step_size",
    "vertex_search",
    "vgg16",
    "vgg_report",
    "window_overlap",
]
