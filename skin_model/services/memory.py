"""Memory that is free goes back to the system.

glibc keeps what lies free between arrays of many threads: after a hundred explanations a sixth of the process.  Both
functions do nothing with another C library.
"""

import ctypes

_M_MMAP_THRESHOLD, _LARGE = -3, 16 * 2**20  # glibc's malloc.h; bytes, at which no analysis is slower


def return_large_arrays() -> None:
    """From now on have every large array go back as soon as it is freed.

    glibc does so from a size that it raises each time a larger array is freed, up to 32 MB; this fixes the size.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)


def return_the_rest() -> None:
    """Give back what lies free between smaller arrays: after 400 explanations 120 MB."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
