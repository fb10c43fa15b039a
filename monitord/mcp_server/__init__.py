"""What assistants may ask: small, typed, read-only answers about past incidents, over stdio or loopback HTTP.

A process of its own that reads the recorder's store. What came from processes is data, marked as untrusted,
never part of an instruction; answers are redacted like exports and capped in rows and bytes.
"""
