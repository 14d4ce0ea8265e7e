"""Pictures: a model as a graph, a History as curves (public as ``minisgd.utils.plot_...``)."""

from minisgd.plots.dot import Dot, model_to_dot, plot_model
from minisgd.plots.history import plot_history

__all__ = ["Dot", "model_to_dot", "plot_history", "plot_model"]
