"""The timed phase in the firmware: probes are keyed and remembered, until the key is opened and nothing is any more.

All of it lives in RAM, and is bounded before anyone is believed: 64 probes a landmark, 32 landmarks, 16 bytes each.
Between a probe and its reply there is one HMAC and one look-up, and nothing is signed: a millisecond is 150 km.
"""

import secrets

from protocols import ranging
from protocols.cbor import WireError
from protocols.messages import Challenge, Ranging, Transcript


class Session:
    """One challenge's session with all landmarks that know its id. Ends when its chip signs."""

    def __init__(self, challenge: Challenge, ueid: bytes, key: bytes | None = None) -> None:
        """Draw the key, unless a test brings one."""
        self.challenge = challenge
        self._id, self._nonce, self._ueid = challenge.id, challenge.nonce, ueid
        self.key = secrets.token_bytes(ranging.KEY_BYTES) if key is None else key
        self.commitment = ranging.commitment(challenge.nonce, ueid, self.key)
        self._answered: dict[bytes, dict[int, bytes]] = {}  # nonces by landmark and number
        self._closed: dict[bytes, bytes] = {}  # digests by landmark

    def answer(self, data: bytes) -> bytes | None:
        """Return the answer to a datagram, or None: to what is damaged, of another session, or one too many."""
        try:
            datagram = ranging.decode(data)
        except WireError:
            return None
        reply = self._reply(datagram)
        return None if reply is None else ranging.encode(reply)

    def _reply(self, datagram: ranging.Datagram) -> ranging.Datagram | None:
        match datagram:
            case ranging.Probe(challenge=self._id):
                return self._probe(datagram)
            case ranging.Hello(challenge=self._id):
                return ranging.Commit(self._id, datagram.token, self._ueid, self.commitment)
            case ranging.Close(challenge=self._id):
                return self._close(datagram)
        return None

    def claim(self) -> Ranging | None:
        """Return what evidence says of this session, with its key; None if no landmark has closed."""
        if not self._closed:
            return None
        return Ranging(self.key, tuple(Transcript(*one) for one in sorted(self._closed.items())))

    def _probe(self, probe: ranging.Probe) -> ranging.Reply | None:
        answered = self._answered.get(probe.landmark)
        if answered is None:
            if len(self._answered) == ranging.MAX_LANDMARKS:
                return None
            answered = self._answered[probe.landmark] = {}
        # The same probe again is the network's doing. Another nonce under its number would make two transcripts of one.
        if answered.setdefault(probe.number, probe.nonce) != probe.nonce:
            return None
        return ranging.Reply(
            probe.number, probe.nonce, ranging.mac(self.key, probe.landmark, probe.number, probe.nonce)
        )

    def _close(self, close: ranging.Close) -> ranging.Closed | None:
        """Take the digest if it is ours: only who has seen the nonces can know it, so no stranger can close."""
        answered = self._answered.get(close.landmark, {})
        numbers = ranging.numbers_of(close.mask)
        if not all(number in answered for number in numbers):
            return None
        nonces = b"".join(answered[number] for number in numbers)
        digest = ranging.transcript(close.landmark, self._nonce, self.commitment, close.mask, nonces)
        if digest != close.digest:
            return None
        self._closed[close.landmark] = digest
        return ranging.Closed(self._id, digest)
