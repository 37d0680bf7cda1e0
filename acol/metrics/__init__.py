"""Metrics: classification, localization by boxes and masks, label-free map quality, and intervals of scores.

Each name is loaded at its first use, so that code which needs only numpy does not load torch or numba.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
