"""Other methods of localization that a head's word names (`acol.head`): a file each, with its settings and its step."""
