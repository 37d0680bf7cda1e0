"""Weakly supervised object localization with Adversarial Complementary Learning (arXiv 1804.06962).

This module has the main names of the library; the scores are in `acol.metrics`. docs/library.md has an example of each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
