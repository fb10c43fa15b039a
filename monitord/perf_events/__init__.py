"""The kernel's rings of samples: opening one, and what its bytes say; knows no other room but libc."""
