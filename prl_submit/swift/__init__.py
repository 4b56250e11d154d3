"""ms-swift's arguments: which names each release has, their types, and the names that ms-swift registers."""
