"""Analyses of finished runs: measuring what they want to see, and writing what they found.

`rebuild` brings a finished run back from its folder, `measure` asks its models once for all that the analyses want, `view`
gives each of them its part, `analyses` carries a command out, `render` and `drawing` write JSON, figures and pages.
"""
