import { createPublicKey, sign } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { CHALLENGE_SECONDS, ChallengeBook } from './challenge.ts'
import { exportPublicKey, fingerprint, importSeed } from './ed25519.ts'
import { type Candidate, type LoggedIn, LoginRefused, login } from './login.ts'
import { agentMessage, proveServer, serverMessage } from './sig-v2.ts'

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex')
const seq = (from: number, n: number) => Uint8Array.from({ length: n }, (_, i) => from + i)
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

const privateKey = importSeed(seq(0, 32))
const otherKey = importSeed(seq(1, 32))
const serverId = new Uint8Array(32).fill(7)

let now = 0
const clock = { now: () => 1_900_000_000_000 + now, monotonic: () => now }
let book: ChallengeBook
let people: Map<string, Candidate<string>>
const connection = {}

beforeEach(() => {
  now = 0
  book = new ChallengeBook(clock)
  people = new Map([['scout', known('scout', privateKey)]])
})

function known(subject: string, ...keys: (typeof privateKey)[]): Candidate<string> {
  return {
    subject,
    keys: keys.map((key) => ({
      key: createPublicKey(key),
      fingerprint: fingerprint(exportPublicKey(key)),
    })),
    requireSigV2: false,
  }
}

const nobody: Candidate<string> = { subject: undefined, keys: [], requireSigV2: false }
const deps = () => ({
  book,
  lookup: async (name: string) => people.get(name) ?? nobody,
  serverId: () => serverId,
})

function answer(from: object, sessionId: string, signature: Uint8Array | string) {
  const text = typeof signature === 'string' ? signature : Buffer.from(signature).toString('hex')
  return login(deps(), from, { sessionId, signature: text })
}

/** What a peer can see of a refusal. */
async function refusal(attempt: Promise<LoggedIn<string>>) {
  try {
    await attempt
  } catch (error) {
    if (!(error instanceof LoginRefused)) throw error
    const { code, message, hint, context } = error
    return { seen: { code, message, hint, context }, reason: error.reason, error }
  }
  throw new Error('was accepted')
}

describe('a challenge', () => {
  it('is answered by a signature over its raw bytes', async () => {
    const { bytes, sessionId } = book.open(connection, 'scout')
    expect(bytes).toHaveLength(32)
    expect(sessionId).toMatch(/^sess_[A-Za-z0-9_-]{43}$/)
    const done = await answer(connection, sessionId, sign(null, bytes, privateKey))
    expect(done).toMatchObject({ subject: 'scout', sessionId, sigV2: false })
    expect(done.key.fingerprint).toBe('ed25519:56475aa75463474c0285df5dbf2bcab7')
  })

  it('takes upper-case hex and either of two valid keys', async () => {
    people.set('scout', known('scout', otherKey, privateKey))
    const { bytes, sessionId } = book.open(connection, 'scout')
    const text = sign(null, bytes, privateKey).toString('hex').toUpperCase()
    expect((await answer(connection, sessionId, text)).subject).toBe('scout')
  })

  it('never repeats', () => {
    const seen = new Set<string>()
    for (let n = 0; n < 500; n += 1) {
      const { bytes, sessionId } = book.open({}, 'scout')
      seen.add(Buffer.from(bytes).toString('hex')).add(sessionId)
    }
    expect(seen.size).toBe(1000)
  })
})

describe('refusals', () => {
  type Attempt = () => Promise<LoggedIn<string>>
  const open = (name = 'scout') => book.open(connection, name)
  const attempts: Record<string, { reason: string; run: Attempt }> = {
    'a malleated signature': {
      reason: 'bad_signature',
      run: () => {
        const { bytes, sessionId } = open()
        const signature = sign(null, bytes, privateKey)
        const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`)
        const raised = hex((s + GROUP_ORDER).toString(16).padStart(64, '0')).reverse()
        const forged = Buffer.concat([signature.subarray(0, 32), raised])
        return answer(connection, sessionId, forged)
      },
    },
    'a wrong challenge': {
      reason: 'bad_signature',
      run: () => answer(connection, open().sessionId, sign(null, seq(0, 32), privateKey)),
    },
    'a reused challenge': {
      reason: 'no_challenge',
      run: async () => {
        const { bytes, sessionId } = open()
        const signature = sign(null, bytes, privateKey)
        await answer(connection, sessionId, signature)
        return answer(connection, sessionId, signature)
      },
    },
    'an expired challenge': {
      reason: 'challenge_expired',
      run: () => {
        const { bytes, sessionId } = open()
        now += CHALLENGE_SECONDS * 1000
        return answer(connection, sessionId, sign(null, bytes, privateKey))
      },
    },
    'a challenge of another connection': {
      reason: 'no_challenge',
      run: () => {
        const { bytes, sessionId } = book.open({}, 'scout')
        return answer(connection, sessionId, sign(null, bytes, privateKey))
      },
    },
    'a session id that is not the one issued': {
      reason: 'foreign_session',
      run: () => {
        const foreign = book.open({}, 'scout')
        const { bytes } = open()
        return answer(connection, foreign.sessionId, sign(null, bytes, privateKey))
      },
    },
    'a signature over the hex text': {
      reason: 'bad_signature',
      run: () => {
        const { bytes, sessionId } = open()
        const text = Buffer.from(Buffer.from(bytes).toString('hex'))
        return answer(connection, sessionId, sign(null, text, privateKey))
      },
    },
    'a signature by another key': {
      reason: 'bad_signature',
      run: () => {
        const { bytes, sessionId } = open()
        return answer(connection, sessionId, sign(null, bytes, otherKey))
      },
    },
    'an unknown agent': {
      reason: 'unknown_name',
      run: () => {
        const { bytes, sessionId } = open('nobody')
        return answer(connection, sessionId, sign(null, bytes, privateKey))
      },
    },
    'a malformed name': {
      reason: 'unknown_name',
      run: () => {
        const { bytes, sessionId } = open('../../etc/passwd\0')
        return answer(connection, sessionId, sign(null, bytes, privateKey))
      },
    },
    'a signature of another length': {
      reason: 'malformed_signature',
      run: () => answer(connection, open().sessionId, 'abcd'),
    },
    'a signature that is no hex': {
      reason: 'malformed_signature',
      run: () => answer(connection, open().sessionId, 'z'.repeat(128)),
    },
    'no signature': {
      reason: 'malformed_signature',
      run: () => login(deps(), connection, { sessionId: open().sessionId }),
    },
    'a plain signature where the stronger handshake is required': {
      reason: 'sig_v2_required',
      run: () => {
        people.set('scout', { ...known('scout', privateKey), requireSigV2: true })
        const { bytes, sessionId } = open()
        return answer(connection, sessionId, sign(null, bytes, privateKey))
      },
    },
  }

  it.each(Object.entries(attempts))(
    'vault §28.22: %s has the one uniform text',
    async (_, { run, reason }) => {
      const refused = await refusal(run())
      expect(refused.reason).toBe(reason)
      expect(refused.seen).toEqual({
        code: 'AUTH_FAILED',
        message: 'Authentication failed',
        hint: expect.stringContaining('current key'),
        context: { attempts_left: 2 },
      })
    },
  )

  it('vault §28.23: no refusal carries its reason or the claimed name in any printed form', async () => {
    for (const { run, reason } of Object.values(attempts)) {
      book = new ChallengeBook(clock)
      const { error } = await refusal(run())
      const printed = JSON.stringify({ ...error }) + JSON.stringify(error) + String(error)
      expect(printed).not.toContain(reason)
      expect(printed).not.toContain('scout')
    }
  })

  it('vault §28.22: the first answer consumes the challenge, right or wrong', async () => {
    const { bytes, sessionId } = open()
    await refusal(answer(connection, sessionId, sign(null, bytes, otherKey)))
    const again = await refusal(answer(connection, sessionId, sign(null, bytes, privateKey)))
    expect(again.reason).toBe('no_challenge')
  })

  it('an attempt on another connection does not consume the challenge', async () => {
    const { bytes, sessionId } = open()
    const signature = sign(null, bytes, privateKey)
    await refusal(answer({}, sessionId, signature))
    expect((await answer(connection, sessionId, signature)).subject).toBe('scout')
  })

  it('a second challenge on the connection replaces the first', async () => {
    const first = open()
    open()
    const signature = sign(null, first.bytes, privateKey)
    expect((await refusal(answer(connection, first.sessionId, signature))).reason).toBe(
      'foreign_session',
    )
  })

  it('count down per connection and start over after a success', async () => {
    const left = async () => {
      const { seen } = await refusal(answer(connection, open().sessionId, 'abcd'))
      return seen.context['attempts_left']
    }
    expect([await left(), await left(), await left(), await left()]).toEqual([2, 1, 0, 0])
    const { bytes, sessionId } = open()
    await answer(connection, sessionId, sign(null, bytes, privateKey))
    expect(await left()).toBe(2)
  })

  it('a host that slept past the limit finds the challenge expired by wall clock alone', async () => {
    const asleep = { now: () => 1_900_000_000_000 + now, monotonic: () => 0 }
    book = new ChallengeBook(asleep)
    const { bytes, sessionId } = open()
    now += CHALLENGE_SECONDS * 1000
    const refused = await refusal(answer(connection, sessionId, sign(null, bytes, privateKey)))
    expect(refused.reason).toBe('challenge_expired')
  })
})

describe('vault §28.23: timing', () => {
  it('vault §28.23: an unknown agent takes as long to refuse as a wrong signature', async () => {
    // A short cut past the signature checks would show as a factor of ten or more; a factor of two on
    // medians of interleaved samples, in the best of five rounds, is far from noise and from a leak.
    people.set('twin', known('twin', privateKey, otherKey))
    const names = ['scout', 'nobody', 'twin'] as const
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 5 && best > 1.5; round += 1) {
      const samples = new Map<string, number[]>(names.map((name) => [name, []]))
      for (let n = 0; n < 450; n += 1) {
        const name = names[n % names.length]!
        const mine = {}
        const { sessionId } = book.open(mine, name)
        const wrong = sign(null, seq(n % 256, 32), privateKey).toString('hex')
        const start = process.hrtime.bigint()
        await login(deps(), mine, { sessionId, signature: wrong }).catch(() => undefined)
        samples.get(name)!.push(Number(process.hrtime.bigint() - start))
      }
      const medians = [...samples.values()].map((values) => values.sort((a, b) => a - b)[75]!)
      best = Math.min(best, Math.max(...medians) / Math.min(...medians))
    }
    expect(best).toBeLessThan(2)
  })
})

describe('the stronger handshake', () => {
  const vector = {
    serverId: hex('76609dff7d588a047e05d46a5ce68a088c78d0793a74e6e9de938287689c42d2'),
    agentName: 'scout',
    sessionId: 's-1',
    challenge: seq(0xa0, 32),
  }

  it('vault §28.22: message and signature_v2 match vector 26.2', () => {
    const message = agentMessage(vector)
    expect(message).toEqual(
      hex(`73616e6374756d2d617574682d763200002076609dff7d588a047e05d46a5ce6
           8a088c78d0793a74e6e9de938287689c42d2000573636f75740003732d310020
           a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf`),
    )
    expect(sign(null, message, privateKey)).toEqual(
      hex(`5f64f8cc7ac892d4e5a861b1b3587bc0bf43940494de4a49a014ce1ecb4d537a
           1fa908b639ef3ed5de59434181a01e2e06df86c01aeedb7e68275e287a74b103`),
    )
  })

  it('logs in by signature_v2, also where it is required', async () => {
    people.set('scout', { ...known('scout', privateKey), requireSigV2: true })
    const { bytes, sessionId } = book.open(connection, 'scout')
    const message = agentMessage({ serverId, agentName: 'scout', sessionId, challenge: bytes })
    const signatureV2 = sign(null, message, privateKey).toString('hex')
    const done = await login(deps(), connection, { sessionId, signatureV2 })
    expect(done.sigV2).toBe(true)
  })

  it('refuses a signature_v2 made for another daemon, agent, session or challenge', async () => {
    for (const change of [
      { serverId: new Uint8Array(32) },
      { agentName: 'other' },
      { sessionId: 's-1' },
      { challenge: seq(0, 32) },
    ]) {
      book = new ChallengeBook(clock)
      const { bytes, sessionId } = book.open(connection, 'scout')
      const right = { serverId, agentName: 'scout', sessionId, challenge: bytes }
      const signatureV2 = sign(null, agentMessage({ ...right, ...change }), privateKey)
      const attempt = { sessionId, signatureV2: signatureV2.toString('hex') }
      expect((await refusal(login(deps(), connection, attempt))).reason).toBe('bad_signature')
    }
  })

  it('is not satisfied by a valid plain signature beside a wrong signature_v2', async () => {
    const { bytes, sessionId } = book.open(connection, 'scout')
    const signature = sign(null, bytes, privateKey).toString('hex')
    const attempt = { sessionId, signature, signatureV2: signature }
    expect((await refusal(login(deps(), connection, attempt))).reason).toBe('bad_signature')
  })

  it('proves the daemon over nonce, challenge, session and name', async () => {
    const { verify } = await import('node:crypto')
    const publicKey = exportPublicKey(otherKey)
    const serverKey = { privateKey: otherKey, publicKey, id: 'ab'.repeat(32) }
    const { bytes: challenge, sessionId } = book.open(connection, 'scout')
    const fields = { challenge, sessionId, agentName: 'scout' }
    const clientNonce = new Uint8Array(32).fill(0xcd)
    const proof = proveServer(serverKey, { ...fields, clientNonce })
    expect(proof.server_public_key).toBe(Buffer.from(publicKey).toString('hex'))
    const message = serverMessage({ ...fields, clientNonce })
    const signature = hex(proof.server_signature)
    expect(verify(null, message, createPublicKey(otherKey), signature)).toBe(true)
    const short = { ...fields, clientNonce: clientNonce.subarray(1) }
    expect(() => proveServer(serverKey, short)).toThrow('64 hex digits')
  })
})
