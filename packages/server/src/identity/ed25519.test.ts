import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  exportPublicKey,
  fingerprint,
  importPublicKey,
  importSeed,
  SMALL_ORDER,
  verify,
  weakness,
} from './ed25519.ts'

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex')
const seq = (from: number, n: number) => Uint8Array.from({ length: n }, (_, i) => from + i)

const PUBLIC = '03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8'
const SIGNATURE = hex(`01055eed19b94a3a8d1f9d45a13f2b690204cb2062dbfe84ccb2f8378a0dad26
  9e814ae454fb5b30d36a2442e8a32f6ba2fcbb41ba2e529368d2267315c13e02`)
const P = 2n ** 255n - 19n
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

function littleEndian(value: bigint): Buffer {
  return hex(value.toString(16).padStart(64, '0')).reverse()
}

function fromLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}

function malleated(signature: Uint8Array): Buffer {
  const s = fromLittleEndian(signature.subarray(32)) + GROUP_ORDER
  return Buffer.concat([signature.subarray(0, 32), littleEndian(s)])
}

describe('the reference vector', () => {
  const key = importSeed(seq(0, 32))

  it('vault §28.22: seed, public key, fingerprint and signature match vector 26.2', () => {
    const raw = exportPublicKey(key)
    expect(Buffer.from(raw).toString('hex')).toBe(PUBLIC)
    expect(fingerprint(raw)).toBe('ed25519:56475aa75463474c0285df5dbf2bcab7')
    expect(sign(null, seq(0xa0, 32), key)).toEqual(SIGNATURE)
    expect(verify(importPublicKey(raw), seq(0xa0, 32), SIGNATURE)).toBe(true)
  })

  it('vault §28.22: a signature whose scalar was raised by the group order fails', () => {
    const publicKey = importPublicKey(hex(PUBLIC))
    expect(verify(publicKey, seq(0xa0, 32), malleated(SIGNATURE))).toBe(false)
  })

  it('refuses signatures of any other length without asking the platform', () => {
    const publicKey = importPublicKey(hex(PUBLIC))
    for (const length of [0, 63, 65])
      expect(verify(publicKey, seq(0xa0, 32), new Uint8Array(length))).toBe(false)
  })
})

describe('registration', () => {
  it('vault §28.24: refuses each of the eight small-order points', () => {
    expect(SMALL_ORDER.size).toBe(8)
    for (const encoding of SMALL_ORDER) {
      expect(weakness(hex(encoding)), encoding).toBe('small order')
      expect(() => importPublicKey(hex(encoding))).toThrow('small order')
    }
  })

  it('vault §28.24: the list holds exactly the points that eight times themselves are neutral', () => {
    // Derived, not trusted: L·Q is in the small subgroup, and one point of order 8 generates it.
    let generator: Point = [0n, 1n]
    while (encode(multiply(generator, 4n)) === encode([0n, 1n])) {
      const point = decode(randomBytes(32))
      if (point !== undefined) generator = multiply(point, GROUP_ORDER)
    }
    const found = new Set<string>()
    for (let n = 0n; n < 8n; n += 1n) found.add(encode(multiply(generator, n)))
    expect(found).toEqual(SMALL_ORDER)
  })

  it('vault §28.24: refuses encodings with y at or above the field prime', () => {
    for (let excess = 0n; excess < 19n; excess += 1n) {
      const raw = littleEndian(P + excess)
      expect(weakness(raw)).toBe('not canonical')
      raw[31] = (raw[31] ?? 0) | 0x80
      expect(weakness(raw)).toBe('not canonical')
    }
  })

  it('vault §28.24: refuses a sign bit on a point whose x is zero', () => {
    expect(weakness(hex(`01${'00'.repeat(30)}80`))).toBe('not canonical')
    expect(weakness(hex(`ec${'ff'.repeat(31)}`))).toBe('not canonical')
  })

  it('vault §28.24: refuses bytes that name no point, about half of all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (raw) => {
        const expected = decode(raw) === undefined ? 'refused' : 'accepted'
        expect(weakness(raw) === undefined ? 'accepted' : 'refused').toBe(expected)
      }),
      { numRuns: 200 },
    )
    expect(weakness(hex(`02${'00'.repeat(31)}`))).toBe('not on the curve')
  })

  it('accepts every honestly generated key and gives it back unchanged', () => {
    for (let n = 0; n < 25; n += 1) {
      const raw = exportPublicKey(generateKeyPairSync('ed25519').publicKey)
      expect(exportPublicKey(importPublicKey(raw))).toEqual(raw)
    }
  })

  it('says how long a key of the wrong length is', () => {
    expect(() => importPublicKey(new Uint8Array(31))).toThrow('31 bytes, expected 32')
    expect(() => importSeed(new Uint8Array(33))).toThrow('33 bytes, expected 32')
  })

  it('does not take a key of another kind for an Ed25519 key', () => {
    expect(() => exportPublicKey(generateKeyPairSync('x25519').publicKey)).toThrow('Not an Ed25519')
  })
})

// A slow, plain reading of RFC 8032 §5.1.3–5.1.4, to check the module against.
type Point = readonly [x: bigint, y: bigint]
const mod = (n: bigint) => ((n % P) + P) % P
function pow(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let b = mod(base)
  for (let e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) result = mod(result * b)
    b = mod(b * b)
  }
  return result
}
const invert = (n: bigint) => pow(n, P - 2n)
const D = mod(-121665n * invert(121666n))
const ROOT_OF_MINUS_ONE = pow(2n, (P - 1n) / 4n)

function decode(raw: Uint8Array): Point | undefined {
  const all = fromLittleEndian(raw)
  const sign = all >> 255n
  const y = all & (2n ** 255n - 1n)
  if (y >= P) return undefined
  const xx = mod((y * y - 1n) * invert(mod(D * y * y + 1n)))
  let x = pow(xx, (P + 3n) / 8n)
  if (mod(x * x) !== xx) x = mod(x * ROOT_OF_MINUS_ONE)
  if (mod(x * x) !== xx || (x === 0n && sign === 1n)) return undefined
  return [x % 2n === sign ? x : P - x, y]
}

function encode([x, y]: Point): string {
  return littleEndian(y | ((x & 1n) << 255n)).toString('hex')
}

function add([x1, y1]: Point, [x2, y2]: Point): Point {
  const k = mod(D * x1 * x2 * y1 * y2)
  return [mod((x1 * y2 + x2 * y1) * invert(1n + k)), mod((y1 * y2 + x1 * x2) * invert(mod(1n - k)))]
}

function multiply(point: Point, by: bigint): Point {
  let result: Point = [0n, 1n]
  let double = point
  for (let e = by; e > 0n; e >>= 1n) {
    if (e & 1n) result = add(result, double)
    double = add(double, double)
  }
  return result
}
