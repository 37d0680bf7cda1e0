"""Weakly supervised object localization with Adversarial Complementary Learning (arXiv 1804.06962).

The names below are the library's; `acol.metrics` has the scores. docs/library.md shows an example of each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
