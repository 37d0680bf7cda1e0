from .maps import localization_map as localization_map
