"""The experiments of docs/evidence.md: what they are run by, and the page that their results make."""
