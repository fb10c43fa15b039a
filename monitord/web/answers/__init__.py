"""What the pages are told, one file a page: functions of a Question that give plain values of `actions`."""
