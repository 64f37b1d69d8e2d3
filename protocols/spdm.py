"""The door to SPDM (DMTF DSP0274) over MCTP (DSP0275): messages of type 5 are told apart, and answered with an ERROR.

Neither side of hem is a responder yet. A requester must hear so in its own protocol, or it would wait and try again.
"""

TYPE = 0x05
VERSION_1_0 = 0x10  # the version before one is negotiated
ERROR = 0x7F
INVALID_REQUEST, UNSUPPORTED_REQUEST = 0x01, 0x07
GET_VERSION = 0x84
_HEADER = 4  # version, code, two parameters
_REQUEST = 0x80  # codes of requests have this bit


def is_spdm(message: bytes) -> bool:
    """Return whether an MCTP message is of SPDM."""
    return message[:1] == bytes((TYPE,))


def refusal(message: bytes) -> bytes:
    """Return the ERROR to an SPDM request: UnsupportedRequest with its code, or InvalidRequest if it is none."""
    header = message[1 : 1 + _HEADER]
    whole = len(header) == _HEADER and header[1] & _REQUEST
    error, data = (UNSUPPORTED_REQUEST, header[1]) if whole else (INVALID_REQUEST, 0)
    return bytes((TYPE, VERSION_1_0, ERROR, error, data))
