"""Recipes: what a user writes down, checked against the signatures of the plugins that it names.

`find` knows the recipes by name, `load` reads, merges and checks one, `build` makes objects of its parts, and `identity` says
which runs are the same run. `schema` turns a signature into what may be written, `layout` is the top level.
"""
