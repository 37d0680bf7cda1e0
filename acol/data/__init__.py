"""From files to labelled images: reading, annotations, validation, the split, and the manifest that records it all."""
