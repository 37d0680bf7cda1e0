"""Other methods of localization, which a word of a head names (`acol.head`): one file per method, with its settings."""
