import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Agent,
  amend,
  disable,
  enable,
  KEPT_KEYS,
  newAgent,
  revoke,
  rotateKey,
  usableKeys,
} from './agent.ts'
import { acceptKey, keyFingerprint, publicKeyPem } from './agent-key.ts'

const NOW = 1_900_000_000_000
const place = { id: '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22', trustDomain: 'example.org', nowMs: NOW }
const pem = (type: 'ed25519' | 'rsa', modulusLength = 2048) =>
  (type === 'rsa'
    ? generateKeyPairSync(type, { modulusLength })
    : generateKeyPairSync(type)
  ).publicKey
    .export({ format: 'pem', type: 'spki' })
    .toString()
const freshKey = (nowMs = NOW) => acceptKey(pem('ed25519'), nowMs)
const scout = (): Agent => newAgent({ name: 'scout', keys: [freshKey()] }, place)

describe('a new agent', () => {
  it('has a SPIFFE id under its UUID, not its name', () => {
    expect(scout()).toMatchObject({
      displayName: 'scout',
      role: 'agent',
      status: 'enabled',
      spiffeId: 'spiffe://example.org/agent/3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22',
      requireSigV2: false,
    })
  })

  it.each([
    [{ name: 'a b' }, 'Agent name is malformed'],
    [{ name: 'a', displayName: '' }, 'display_name'],
    [{ name: 'a', displayName: 'line\nbreak' }, 'display_name'],
    [{ name: 'a', role: 'x'.repeat(129) }, 'role'],
    [{ name: 'a', meta: { '': 'x' } }, 'meta'],
    [{ name: 'a', meta: { k: 'x'.repeat(1025) } }, 'meta'],
    [{ name: 'a', meta: { k: '\ud800' } }, 'meta'],
  ])('is refused by the field that is wrong: %j', (input, field) => {
    expect(() => newAgent(input, place)).toThrow(field)
  })
})

describe('rotating a key', () => {
  it('ends the old key at once without an overlap', () => {
    const before = scout()
    const after = rotateKey(before, freshKey(NOW + 1), 0, NOW + 1)
    expect(after.keys.map(({ status }) => status)).toEqual(['active', 'retired'])
    expect(usableKeys(after, 'ed25519', NOW + 1)).toEqual([after.keys[0]])
  })

  it('keeps the old key for the overlap and not a millisecond longer', () => {
    const after = rotateKey(scout(), freshKey(), 60, NOW)
    expect(usableKeys(after, 'ed25519', NOW + 59_999)).toHaveLength(2)
    expect(usableKeys(after, 'ed25519', NOW + 60_000)).toEqual([after.keys[0]])
  })

  it.each([-1, 0.5, 86_401, Number.NaN])('refuses an overlap of %s seconds', (seconds) => {
    expect(() => rotateKey(scout(), freshKey(), seconds, NOW)).toThrow('overlap_s')
  })

  it('refuses a key that the agent had before', () => {
    const before = scout()
    const old = before.keys[0]!
    const after = rotateKey(before, freshKey(), 0, NOW)
    expect(() => rotateKey(after, { ...old, createdAt: NOW }, 0, NOW)).toThrow(
      expect.objectContaining({ code: 'CONFLICT' }),
    )
  })

  it('leaves keys of the other algorithm alone', () => {
    const both = rotateKey(scout(), acceptKey(pem('rsa'), NOW), 0, NOW)
    expect(usableKeys(both, 'ed25519', NOW)).toHaveLength(1)
    expect(usableKeys(both, 'rsa', NOW)).toHaveLength(1)
  })

  it('never leaves more than two usable keys, nor forgets one that counts', () => {
    const steps = fc.array(fc.tuple(fc.nat(86_400), fc.nat(90_000)), { maxLength: 12 })
    fc.assert(
      fc.property(steps, (rotations) => {
        let nowMs = NOW
        let agent = newAgent({ name: 'scout', keys: [numbered(0)] }, place)
        for (const [n, [overlap, pause]] of rotations.entries()) {
          nowMs += pause * 1000
          agent = rotateKey(agent, numbered(n + 1), overlap, nowMs)
          expect(usableKeys(agent, 'ed25519', nowMs).length).toBe(overlap > 0 ? 2 : 1)
          expect(agent.keys[0]?.publicKey).toBe(numbered(n + 1).publicKey)
          expect(agent.keys.length).toBeLessThanOrEqual(KEPT_KEYS)
        }
      }),
    )
  })
})

describe('the status', () => {
  it('takes all keys out of use while disabled and gives them back', () => {
    const off = disable(scout(), NOW)
    expect(usableKeys(off, 'ed25519', NOW)).toEqual([])
    expect(usableKeys(enable(off, NOW), 'ed25519', NOW)).toHaveLength(1)
  })

  it('is final once revoked', () => {
    const gone = revoke(scout(), NOW)
    expect(gone.keys.every(({ status }) => status === 'retired')).toBe(true)
    for (const attempt of [
      () => enable(gone, NOW),
      () => disable(gone, NOW),
      () => revoke(gone, NOW),
      () => amend(gone, { role: 'x' }, NOW),
      () => rotateKey(gone, freshKey(), 0, NOW),
    ])
      expect(attempt).toThrow('revoked')
  })
})

describe('accepting a public key', () => {
  it('takes hex and PEM for the same Ed25519 key', () => {
    const text = pem('ed25519')
    const key = acceptKey(text, NOW)
    expect(acceptKey(` ${key.publicKey.toUpperCase()}\n`, NOW)).toEqual(key)
    expect(publicKeyPem(key)).toBe(text)
    expect(keyFingerprint(key)).toMatch(/^ed25519:[0-9a-f]{32}$/)
  })

  it('takes RSA from 2048 bits and hands the same PEM back', () => {
    const text = pem('rsa')
    expect(publicKeyPem(acceptKey(text, NOW))).toBe(text)
    expect(keyFingerprint(acceptKey(text, NOW))).toMatch(/^rsa:[0-9a-f]{32}$/)
    expect(() => acceptKey(pem('rsa', 1024), NOW)).toThrow('1024 bits')
  })

  it('refuses private keys, other curves and noise', () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    const secret = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    const ec = p256.export({ format: 'pem', type: 'spki' }).toString()
    for (const text of [secret, ec, '', '00', '-----BEGIN PUBLIC KEY-----\nAAAA'])
      expect(() => acceptKey(text, NOW)).toThrow('Public key refused')
    try {
      acceptKey(secret, NOW)
    } catch (error) {
      expect(String(error)).not.toContain(secret.split('\n')[1])
    }
  })

  it('vault §28.24: refuses weak keys in either form', () => {
    const neutral = `01${'00'.repeat(31)}`
    expect(() => acceptKey(neutral, NOW)).toThrow('small order')
    const der = Buffer.from(`302a300506032b6570032100${neutral}`, 'hex').toString('base64')
    const text = `-----BEGIN PUBLIC KEY-----\n${der}\n-----END PUBLIC KEY-----\n`
    expect(() => acceptKey(text, NOW)).toThrow('small order')
  })
})

/** A valid key per number, made once: generating thousands would take the test's time. */
const made = new Map<number, ReturnType<typeof freshKey>>()
function numbered(n: number) {
  const key = made.get(n) ?? freshKey()
  made.set(n, key)
  return key
}
