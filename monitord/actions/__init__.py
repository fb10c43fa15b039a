"""Everything that a person, a page or an assistant can ask for or have done, once.

Plain values in and out; what went wrong is a MonitordError. Nothing here prints, colours or reads flags.
"""
