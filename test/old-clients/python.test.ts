import { writeFileSync } from 'node:fs'
import { encryptKey } from '@vestry/sdk/vault'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newAgentKeys } from '../harness/keys.ts'
import { keyFile, noPython, runClient, writeKey } from './client-process.ts'
import { SECRET, startWorld, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** The user's own quick start, word for word, with a report at the end. */
const QUICK_START = `
from sanctum_ai import SanctumClient

with SanctumClient("my-agent"WHERE) as client:
    # Retrieve a credential
    api_key = client.retrieve("openai/api_key")

    # List available credentials
    creds = client.list()

    # Use-not-retrieve (credential never leaves the vault)
    result = client.use("web/token", "http_header")

tell(api_key=api_key, paths=[c["path"] for c in creds], tags=[c["tags"] for c in creds], result=result)
`

const python = (script: string, home: string, args: string[] = []) =>
  runClient('python', script, { home, args })

describe.skipIf(noPython !== undefined)(
  `the Python client${noPython ? `: ${noPython}` : ''}`,
  () => {
    test.each(['unix', 'tcp'])('vault §28.1: the quick start works over %s', async (transport) => {
      const { host, port } = world.tcp
      const where = transport === 'unix' ? '' : `, host="${host}", port=${port}`
      const [told] = await python(QUICK_START.replace('WHERE', where), world.home()).rest()
      expect(told).toMatchObject({
        api_key: SECRET,
        paths: [
          'encryption/key',
          'openai/api_key',
          'openai/bytes',
          'openai/empty',
          'signing/key',
          'web/token',
        ],
        tags: [[], ['llm', 'prod'], [], [], [], []],
        result: {
          header_name: 'Authorization',
          header_value: 'Bearer tok-ascii-0123456789',
          header: 'Authorization: Bearer tok-ascii-0123456789',
        },
      })
      const sessions = await world.vestry.admin.call('admin.session.list', { agent: 'my-agent' })
      expect(sessions.sessions).toEqual([])
    })

    test('vault §28.2: every constructor variant and every kind of target connects', async () => {
      const home = world.home()
      const { host, port } = world.tcp
      const script = `
import os
from sanctum_ai import SanctumClient
socket_path, host, port = args[0], args[1], int(args[2])
default = os.path.expanduser("~/.sanctum/vault.sock")

def transport(client):
    try:
        return client._call("whoami", {})["transport"]
    finally:
        client.close()

# Unix socket (default: ~/.sanctum/vault.sock)
client = SanctumClient("my-agent")
client.connect()
tell(how="default", got=transport(client))

# Custom socket path
client = SanctumClient("my-agent", socket_path=socket_path)
client.connect()
tell(how="socket_path", got=transport(client))

# TCP connection
client = SanctumClient("my-agent", host=host, port=port)
client.connect()
tell(how="host+port", got=transport(client))

tell(how="string", got=transport(SanctumClient("my-agent").connect(socket_path)))
tell(how="tuple", got=transport(SanctumClient("my-agent").connect((host, port))))
tell(how="list", got=transport(SanctumClient("my-agent").connect([host, port])))
tell(how="dict", got=transport(SanctumClient("my-agent").connect({"host": host, "port": port})))
tell(how="half", got=transport(SanctumClient("my-agent", host=host).connect()))
`
      const args = [world.vestry.home.vaultSocket, host, String(port)]
      const told = await python(script, home, args).rest()
      expect(told.map(({ how, got }) => [how, got])).toEqual([
        ['default', 'unix'],
        ['socket_path', 'unix'],
        ['host+port', 'tcp'],
        ['string', 'unix'],
        ['tuple', 'tcp'],
        ['list', 'tcp'],
        ['dict', 'tcp'],
        ['half', 'unix'],
      ])
    })

    test('vault §28.3: plain and encrypted keys open a session; a wrong key is an AuthError', async () => {
      const home = world.home()
      const sealed = await world.vestry.addAgent('sealed-agent')
      const enc = `${keyFile(home, 'sealed-agent')}.enc`
      writeFileSync(enc, await encryptKey(sealed.seed, 'correct horse battery staple'), {
        mode: 0o600,
      })
      writeKey(keyFile(home, 'wrong'), newAgentKeys('my-agent').seed)
      const script = `
from sanctum_ai import SanctumClient
with SanctumClient("my-agent") as client:
    tell(plain=client._call("whoami", {})["agent"])
with SanctumClient("sealed-agent", passphrase="correct horse battery staple") as client:
    tell(encrypted=client._call("whoami", {})["agent"])
with SanctumClient("my-agent", passphrase="no such file") as client:
    tell(fallback=client._call("whoami", {})["agent"])
tell(wrong=caught(lambda: SanctumClient("my-agent", key_path=args[0]).connect()))
tell(explicit=caught(lambda: SanctumClient("sealed-agent", key_path=args[1], passphrase="x").connect()))
tell(unknown=caught(lambda: SanctumClient("nobody", key_path=args[0]).connect()))
`
      const told = await python(script, home, [keyFile(home, 'wrong'), enc]).rest()
      const [plain, encrypted, fallback, wrong, explicit, unknown] = told
      expect(plain).toEqual({ plain: 'my-agent' })
      expect(encrypted).toEqual({ encrypted: 'sealed-agent' })
      expect(fallback).toEqual({ fallback: 'my-agent' })
      expect(wrong.wrong).toMatchObject({ class: 'AuthError', code: 'AUTH_FAILED' })
      expect(explicit.explicit.message).toContain('88 bytes, expected 32')
      const { context: _, ...same } = wrong.wrong
      expect(unknown.unknown).toMatchObject(same)
    })

    test('vault §28.5: retrieve_raw keeps the hex, retrieve decodes it; odd secrets behave', async () => {
      const script = `
from sanctum_ai import SanctumClient
with SanctumClient("my-agent") as client:
    raw = client.retrieve_raw("openai/api_key", ttl=60)
    tell(raw=raw, int_ttl=type(raw["ttl"]).__name__, text=client.retrieve("openai/api_key", ttl=60.0))
    tell(empty=client.retrieve("openai/empty"), empty_raw=client.retrieve_raw("openai/empty")["value"])
    tell(bytes=client.retrieve("openai/bytes"), bytes_raw=client.retrieve_raw("openai/bytes")["value"])
    tell(clamped=client.retrieve_raw("openai/api_key", ttl=100000))
`
      const [first, empty, bytes, { clamped }] = await python(script, world.home()).rest()
      expect(first).toMatchObject({
        raw: { value: Buffer.from(SECRET).toString('hex'), ttl: 60, ttl_clamped: false },
        int_ttl: 'int',
        text: SECRET,
      })
      expect(first.raw.lease_id).toMatch(/^lease_[0-9a-f]{32}$/)
      expect(empty).toEqual({ empty: '', empty_raw: '' })
      expect(bytes).toEqual({ bytes: '\ufffd\0\ufffdA', bytes_raw: 'ff00fe41' })
      expect(clamped).toMatchObject({ ttl: 900, ttl_clamped: true })
    })

    test('vault §28.6: an expired lease is LeaseExpired; close() never raises on dead leases', async () => {
      const script = `
import time
from sanctum_ai import SanctumClient
client = SanctumClient("my-agent").connect()
short = client.retrieve_raw("openai/api_key", ttl=1)["lease_id"]
again = client.retrieve_raw("openai/api_key", ttl=1)["lease_id"]
released = client.retrieve_raw("openai/api_key")["lease_id"]
client.release_lease(released)
client._leases.append(released)
revoked = client.retrieve_raw("openai/api_key")["lease_id"]
tell(revoke=revoked)
ask()
time.sleep(1.2)
tell(expired=caught(lambda: client.release_lease(short)), lease_id=short)
tell(tracked=len(client._leases), closed=caught(client.close), left=len(client._leases))
`
      const client = python(script, world.home())
      const { revoke } = await client.hear()
      await world.vestry.admin.call('admin.lease.revoke', { id: revoke })
      client.say()
      const [{ expired, lease_id }, closing] = await client.rest()
      expect(expired).toMatchObject({
        class: 'LeaseExpired',
        code: 'LEASE_EXPIRED',
        context: { lease_id },
      })
      expect(closing).toEqual({ tracked: 4, closed: null, left: 0 })
    })

    test('vault §28.9: the operations of its manual work against a local service', async () => {
      const script = `
from sanctum_ai import SanctumClient
with SanctumClient("my-agent") as client:
    tell(http=client.use("web/token", "http_request", {
        "method": "POST", "url": args[0] + "/v1/chat", "headers": {"Content-Type": "application/json"},
        "body": "{\\"q\\": \\"caf\\u00e9\\"}", "header_type": "bearer",
    }))
    tell(header=client.use("web/token", "http_header", {"header_type": "api_key"}))
    tell(sign=client.use("signing/key", "sign", {"algorithm": "hmac-sha256", "data": "payload-to-sign"}))
    tell(sign_payload=client.use_credential("signing/key", "sign_payload", {"payload": "payload-to-sign"}))
    sealed = client.use("encryption/key", "encrypt", {"data": "sensitive data"})
    tell(sealed=sealed, opened=client.use("encryption/key", "decrypt", {"data": sealed["ciphertext"]}))
    old = client.use("encryption/key", "encrypt", {"plaintext": "older spelling"})
    tell(opened=client.use("encryption/key", "decrypt", {"ciphertext": old["ciphertext"]}))
`
      const [http, header, sign, payload, sealed, old] = await python(script, world.home(), [
        world.upstream.url,
      ]).rest()
      expect(http.http).toMatchObject({ status: 200 })
      expect(JSON.parse(http.http.body)).toEqual({ path: '/v1/chat', body: '{"q": "café"}' })
      expect(http.http.headers).toMatchObject({ 'content-type': 'application/json' })
      expect(world.upstream.requests.at(-1)).toMatchObject({
        method: 'POST',
        headers: { authorization: 'Bearer tok-ascii-0123456789' },
      })
      expect(header.header).toMatchObject({ header: 'X-API-Key: tok-ascii-0123456789' })
      const signature = '7aodK5C6r2OjcWtprX9OTeePz9tVXsKPx5RIPZ14ABM='
      expect(sign.sign).toMatchObject({ signature, algorithm: 'hmac-sha256' })
      expect(payload.sign_payload).toMatchObject({ signature })
      expect(sealed.sealed.ciphertext).toMatch(/^sanctum:v1:/)
      expect(sealed.opened.plaintext).toBe('sensitive data')
      expect(old.opened.plaintext).toBe('older spelling')
    })

    test('what only Python writes is read as it is meant, or refused, and the replies stay in step', async () => {
      const script = `
import math
from sanctum_ai import SanctumClient
with SanctumClient("my-agent") as client:
    code = lambda run: (caught(run) or {}).get("code")
    tell(
        whole_float=client.retrieve_raw("openai/api_key", ttl=300.0)["ttl"],
        fraction=code(lambda: client.retrieve("openai/api_key", ttl=1.5)),
        boolean=code(lambda: client.retrieve("openai/api_key", ttl=True)),
        zero=code(lambda: client.retrieve("openai/api_key", ttl=0)),
        not_a_number=code(lambda: client.retrieve("openai/api_key", ttl=math.nan)),
        infinite=code(lambda: client.retrieve("openai/api_key", ttl=math.inf)),
        surrogate=code(lambda: client.retrieve("openai/\\ud800")),
        escaped=client.use("encryption/key", "decrypt", {
            "data": client.use("encryption/key", "encrypt", {"data": "café 🔑"})["ciphertext"]})["plaintext"],
    )
    big = client.use("web/token", "http_request", {"url": args[0] + "/big/2900000", "max_response_bytes": 3000000})
    tell(status=big["status"], encoding=big["body_encoding"], length=len(big["body"]), truncated=big["truncated"])
    tell(in_step=client.retrieve("openai/api_key"))
`
      const [odd, big, step] = await python(script, world.home(), [world.upstream.url]).rest()
      expect(odd).toEqual({
        whole_float: 300,
        fraction: 'INVALID_PARAMS',
        boolean: 'INVALID_PARAMS',
        zero: 'INVALID_PARAMS',
        not_a_number: 'INVALID_REQUEST',
        infinite: 'INVALID_REQUEST',
        surrogate: 'INVALID_PARAMS',
        escaped: 'café 🔑',
      })
      // Every byte of the answer would be escaped sixfold: it comes as base64 and fits the frame.
      expect(big).toMatchObject({ status: 200, encoding: 'base64', truncated: false })
      expect(big.length).toBe(Math.ceil(2_900_000 / 3) * 4)
      expect(step).toEqual({ in_step: SECRET })
    })

    test('vault §28.10: ten clients in ten threads do not cross-talk', async () => {
      for (let n = 0; n < 10; n += 1) {
        await world.vestry.addCredential(`openai/thread_${n}`, `secret of thread ${n}`)
      }
      const script = `
import threading
from sanctum_ai import SanctumClient

wrong, done = [], []

def work(n):
    where = {} if n % 2 else {"host": args[0], "port": int(args[1])}
    with SanctumClient("my-agent", **where) as client:
        for _ in range(20):
            value = client.retrieve(f"openai/thread_{n}", ttl=60)
            if value != f"secret of thread {n}":
                wrong.append((n, value))
            signed = client.use("signing/key", "sign", {"data": f"text {n}"})
            opened = client.use("encryption/key", "decrypt", {
                "data": client.use("encryption/key", "encrypt", {"data": f"text {n}"})["ciphertext"]})
            if opened["plaintext"] != f"text {n}":
                wrong.append((n, opened))
    done.append(n)

threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
for thread in threads: thread.start()
for thread in threads: thread.join()
tell(wrong=wrong, done=sorted(done))
`
      const { host, port } = world.tcp
      const [told] = await python(script, world.home(), [host, String(port)]).rest(40_000)
      expect(told).toEqual({ wrong: [], done: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] })
      const { leases } = await world.vestry.admin.call('admin.lease.list', { agent: 'my-agent' })
      expect(leases.filter(({ path }: { path: string }) => path.includes('thread_'))).toEqual([])
    })
  },
)
