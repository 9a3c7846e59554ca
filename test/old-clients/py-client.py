"""A stand-in for the published Python client, for tests only.

The package could not be installed where these tests were written, so this file is NOT that client: it
is written from the wire contract alone, from the statements marked as the user's own or as read from or
observed in the published client. Where the client is known to misbehave (ids ignored, no timeouts,
transport errors escaping close()), it misbehaves here too: the daemon has to live with it.

Standard library only. Run as `python3 py-client.py SCRIPT [ARG...]`: SCRIPT runs with this file importable as
`sanctum_ai`, with `tell(**facts)` printing one JSON line and `ask()` waiting for one line.
"""

import hashlib
import json
import os
import socket
import struct
import sys

MAX_RESPONSE = 4 * 1024 * 1024


# ---- errors --------------------------------------------------------------------------------------

class VaultError(Exception):
    def __init__(self, message, code=None, detail=None, suggestion=None, docs_url=None, context=None):
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.suggestion = suggestion
        self.docs_url = docs_url
        self.context = context if context is not None else {}


class AuthError(VaultError):
    pass


class AccessDenied(VaultError):
    pass


class CredentialNotFound(VaultError):
    pass


class VaultLocked(VaultError):
    pass


class LeaseExpired(VaultError):
    pass


class RateLimited(VaultError):
    pass


class SessionExpired(VaultError):
    pass


_CLASSES = {
    "AUTH_FAILED": AuthError,
    "ACCESS_DENIED": AccessDenied,
    "CREDENTIAL_NOT_FOUND": CredentialNotFound,
    "VAULT_LOCKED": VaultLocked,
    "LEASE_EXPIRED": LeaseExpired,
    "RATE_LIMITED": RateLimited,
    "SESSION_EXPIRED": SessionExpired,
}


def raise_on_error(response):
    error = response.get("error")
    if error is None:
        return
    if isinstance(error, str):
        raise VaultError(error, code="UNKNOWN")
    code = error.get("code", "INTERNAL_ERROR")
    raise _CLASSES.get(code, VaultError)(
        error.get("message", "Unknown error"),
        code=code,
        detail=error.get("detail"),
        suggestion=error.get("suggestion"),
        docs_url=error.get("docs_url"),
        context=error.get("context"),
    )


# ---- Ed25519 signing (RFC 8032, not constant time: test keys only) -----------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_BY = 4 * pow(5, _P - 2, _P) % _P


def _base_x():
    square = (_BY * _BY - 1) * pow(_D * _BY * _BY + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P != 0:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    return _P - x if x % 2 else x


_BX = _base_x()
_BASE = (_BX, _BY, 1, _BX * _BY % _P)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _compress(point):
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def ed25519_sign(seed, message):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = _compress(_multiply(scalar, _BASE))
    r = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % _L
    commitment = _compress(_multiply(r, _BASE))
    k = int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % _L
    return commitment + ((r + k * scalar) % _L).to_bytes(32, "little")


# ---- NaCl secretbox (XSalsa20-Poly1305), opening only ------------------------------------------------

class CryptoError(Exception):
    """What a foreign crypto library raises; deliberately no VaultError."""


_SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def _salsa_rounds(state):
    x = list(state)

    def quarter(a, b, c, d):
        for target, one, two, shift in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            total = (x[one] + x[two]) & 0xFFFFFFFF
            x[target] ^= ((total << shift) | (total >> (32 - shift))) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12)
        quarter(5, 9, 13, 1)
        quarter(10, 14, 2, 6)
        quarter(15, 3, 7, 11)
        quarter(0, 1, 2, 3)
        quarter(5, 6, 7, 4)
        quarter(10, 11, 8, 9)
        quarter(15, 12, 13, 14)
    return x


def _salsa_state(key, sixteen):
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", sixteen)
    return [
        _SIGMA[0], k[0], k[1], k[2], k[3], _SIGMA[1], n[0], n[1],
        n[2], n[3], _SIGMA[2], k[4], k[5], k[6], k[7], _SIGMA[3],
    ]


def _hsalsa(key, sixteen):
    x = _salsa_rounds(_salsa_state(key, sixteen))
    return struct.pack("<8I", x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9])


def _xsalsa_stream(key, nonce, length):
    subkey = _hsalsa(key, nonce[:16])
    stream = b""
    counter = 0
    while len(stream) < length:
        state = _salsa_state(subkey, nonce[16:] + struct.pack("<Q", counter))
        mixed = _salsa_rounds(state)
        stream += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(mixed, state)))
        counter += 1
    return stream[:length]


def _poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(key[16:], "little")
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + s) % 2**128).to_bytes(16, "little")


def secretbox_open(key, nonce, box):
    tag, sealed = box[:16], box[16:]
    stream = _xsalsa_stream(key, nonce, 32 + len(sealed))
    if _poly1305(stream[:32], sealed) != tag:
        raise CryptoError("Decryption failed. Ciphertext failed verification")
    return bytes(a ^ b for a, b in zip(sealed, stream[32:]))


# ---- key files -----------------------------------------------------------------------------------

def _read_hex(path):
    with open(path, "r", encoding="utf-8") as file:
        return bytes.fromhex(file.read().strip())


def _load_plain(path):
    seed = _read_hex(path)
    if len(seed) != 32:
        raise AuthError(
            f"Invalid key file: {len(seed)} bytes, expected 32", code="AUTH_FAILED"
        )
    return seed


def _load_encrypted(path, passphrase):
    data = _read_hex(path)
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode("utf-8"), data[:16], 100_000, 32)
    return secretbox_open(key, data[16:40], data[40:])


def load_key(agent_name, key_path=None, passphrase=None):
    """An explicit path is read as plain, always; the encrypted file only counts at its default place."""
    if key_path is not None:
        return _load_plain(key_path)
    keys = os.path.join(os.path.expanduser("~"), ".sanctum", "keys")
    encrypted = os.path.join(keys, f"{agent_name}.key.enc")
    if passphrase is not None and os.path.exists(encrypted):
        return _load_encrypted(encrypted, passphrase)
    return _load_plain(os.path.join(keys, f"{agent_name}.key"))


# ---- the client ----------------------------------------------------------------------------------

class SanctumClient:
    def __init__(self, agent_name, *, socket_path=None, host=None, port=None, key_path=None,
                 passphrase=None):
        self._agent_name = agent_name
        self._socket_path = socket_path
        self._host = host
        self._port = port
        self._key_path = key_path
        self._passphrase = passphrase
        self._sock = None
        self._session_id = None
        self._leases = []
        self._last_id = 0

    def __enter__(self):
        # When connect() fails, __exit__ never runs: the socket stays open until it is collected.
        return self.connect()

    def __exit__(self, *_exc):
        self.close()
        return False

    def connect(self, target=None):
        # An earlier socket is simply forgotten; tracked leases are kept.
        self._sock = self._dial(target)
        self._authenticate()
        return self

    def _dial(self, target):
        host, port, path = self._host, self._port, self._socket_path
        if isinstance(target, str):
            host, port, path = None, None, target
        elif isinstance(target, (tuple, list)):
            host, port = target
        elif isinstance(target, dict):
            host, port = target["host"], target["port"]
        if host is not None and port is not None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.connect((host, port))
            return sock
        # Half an address silently means the Unix socket.
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path or os.path.join(os.path.expanduser("~"), ".sanctum", "vault.sock"))
        return sock

    def _authenticate(self):
        seed = load_key(self._agent_name, self._key_path, self._passphrase)
        offer = self._call("authenticate", {"agent_name": self._agent_name})
        self._session_id = offer["session_id"]
        signature = ed25519_sign(seed, bytes.fromhex(offer["challenge"]))
        answer = self._call(
            "challenge_response",
            {"session_id": self._session_id, "signature": signature.hex()},
        )
        if not answer.get("authenticated"):
            raise AuthError("Authentication failed", code="AUTH_FAILED")

    def retrieve(self, path, *, ttl=None):
        result = self.retrieve_raw(path, ttl=ttl)
        return bytes.fromhex(result["value"]).decode("utf-8", errors="replace")

    def retrieve_raw(self, path, *, ttl=None):
        params = {"session_id": self._session_id, "path": path}
        if ttl is not None:
            params["ttl"] = ttl
        result = self._call("retrieve", params)
        self._leases.append(result["lease_id"])
        return result

    def list(self):
        return self._call("list", {"session_id": self._session_id}).get("credentials", [])

    def release_lease(self, lease_id):
        self._call("release_lease", {"lease_id": lease_id})
        if lease_id in self._leases:
            self._leases.remove(lease_id)

    def use(self, path, operation, params=None):
        request = {"session_id": self._session_id, "path": path, "operation": operation}
        if params:
            request["params"] = params
        return self._call("use", request)

    use_credential = use

    def close(self):
        # One release after the other. Only vault errors are swallowed: what the socket raises escapes,
        # and then nothing below runs.
        for lease_id in self._leases:
            try:
                self._call("release_lease", {"lease_id": lease_id})
            except VaultError:
                pass
        self._leases = []
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _call(self, method, params):
        if self._sock is None:
            raise VaultError("Not connected", code="INTERNAL_ERROR")
        self._last_id += 1
        request = {"id": self._last_id, "method": method, "params": params}
        body = json.dumps(request, separators=(",", ":")).encode("utf-8")
        self._sock.sendall(struct.pack(">I", len(body)) + body)
        response = self._receive()  # whatever comes next is taken for the answer
        raise_on_error(response)
        return response.get("result")

    def _receive(self):
        (length,) = struct.unpack(">I", self._read(4))
        if length > MAX_RESPONSE:
            raise VaultError(f"response too large: {length}", code="INTERNAL_ERROR")
        return json.loads(self._read(length))

    def _read(self, count):
        data = b""
        while len(data) < count:
            chunk = self._sock.recv(count - len(data))
            if not chunk:
                raise VaultError("Connection closed by vault", code="INTERNAL_ERROR")
            data += chunk
        return data


# ---- running a script ----------------------------------------------------------------------------

def tell(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def ask():
    return sys.stdin.readline().rstrip("\n")


def caught(run):
    """What `run` raised, as facts; every attribute is read, so a missing one is a failure here."""
    try:
        run()
    except VaultError as error:
        return {
            "class": type(error).__name__,
            "bases": [base.__name__ for base in type(error).__mro__[1:]],
            "code": error.code,
            "message": str(error),
            "detail": error.detail,
            "suggestion": error.suggestion,
            "docs_url": error.docs_url,
            "context_type": type(error.context).__name__,
            "context": error.context,
        }
    except Exception as error:  # noqa: BLE001 - a foreign exception is a finding, not a crash
        return {"class": type(error).__name__, "foreign": True, "message": str(error)}
    return None


if __name__ == "__main__":
    sys.modules["sanctum_ai"] = sys.modules["__main__"]
    script = sys.argv[1]
    scope = {"__name__": "__script__", "tell": tell, "ask": ask, "caught": caught, "args": sys.argv[2:]}
    with open(script, "r", encoding="utf-8") as source:
        exec(compile(source.read(), script, "exec"), scope)
