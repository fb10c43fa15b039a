"""What the recorder is made of besides its loop, shared with those who ask about it or work beside it.

Its locks and status files, the store as configured, what it may profile, how much it keeps.
"""
