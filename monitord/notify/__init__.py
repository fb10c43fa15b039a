"""Messages about incidents and the storage to whom the owner names, sent by a child of the recorder.

Nothing here is loaded into the recorder, and nothing here can delay it. See docs/notifications.md.
"""
