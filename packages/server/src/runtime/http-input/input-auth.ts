/** Whether a request may come in: the whole `Authorization` value, or a signed token (runtime contract §13.2). */
import {
  createHmac,
  createPublicKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { fits, parseJws, verifyJws } from '../../identity/runs/jws.ts'
import { isReference, type SecretResolver } from '../../secrets/resolver.ts'
import type { InputConfig } from './input-config.ts'

const ALGORITHMS = ['ES256', 'EdDSA'] as const
const LEEWAY_SECONDS = 5
const MAX_KEY_BYTES = 65_536
/** A secret that was replaced is asked for again after this. */
const KNOWN_MS = 1_000
const BEARER = /^Bearer +(\S{1,16384})$/i

export interface InputAuth {
  /**
   * @param authorization Every header of that name.
   * @throws VestryError UNAUTHORIZED, and what the back end of secrets throws.
   */
  check(authorization: readonly string[]): Promise<void>
}

/** @throws VestryError INVALID_PARAMS for a key file that holds no fitting key. */
export function inputAuth(
  config: InputConfig,
  deps: { secrets: SecretResolver /** Epoch ms. */; now: () => number },
): InputAuth | undefined {
  const { auth_header: header, jwt_public_key_path: keyPath } = config
  const ways = [
    ...(header == null ? [] : [headerCheck(header, config.agent_id, deps)]),
    ...(keyPath == null
      ? []
      : [tokenCheck(readKey(keyPath), config.jwt_audience ?? undefined, deps)]),
  ]
  if (ways.length === 0) return undefined
  return {
    check: async (authorization) => {
      const [only] = authorization
      if (only === undefined || authorization.length > 1) throw refused()
      for (const way of ways) if (await way(only)) return
      throw refused()
    },
  }
}

type Way = (value: string) => Promise<boolean> | boolean

function headerCheck(
  expected: string,
  owner: string,
  { secrets, now }: { secrets: SecretResolver; now: () => number },
): Way {
  // Compared as keyed hashes: equal lengths, and nothing to learn from how long it takes.
  const key = randomBytes(32)
  const digest = (value: string | Uint8Array) => createHmac('sha256', key).update(value).digest()
  const plain = isReference(expected) ? undefined : digest(expected)
  let known: { digest: Promise<Buffer>; untilMs: number } | undefined
  const resolved = async (): Promise<Buffer> => {
    using secret = await secrets.resolve(expected, owner)
    const hashed = digest(secret.bytes)
    return hashed
  }
  // Whoever knocks often does not make us ask the back end as often, be it up or down.
  const wanted = (): Promise<Buffer> | Buffer => {
    if (plain !== undefined) return plain
    if (known === undefined || known.untilMs <= now())
      known = { digest: resolved(), untilMs: now() + KNOWN_MS }
    return known.digest
  }
  // Headers come as Latin-1, a character for each byte that was sent.
  return async (value) => timingSafeEqual(digest(Buffer.from(value, 'latin1')), await wanted())
}

function tokenCheck(
  publicKey: KeyObject,
  audience: string | undefined,
  { now }: { now: () => number },
): Way {
  // The key decides the algorithm, never the token.
  const alg = ALGORITHMS.find((name) => fits(name, publicKey))
  return (value) => {
    const jws = parseJws(BEARER.exec(value)?.[1] ?? '')
    if (alg === undefined || jws === undefined || jws.header['alg'] !== alg) return false
    if (jws.header['crit'] !== undefined || !verifyJws(alg, publicKey, jws)) return false
    const { exp, nbf, aud } = jws.payload
    const nowSeconds = now() / 1_000
    if (typeof exp !== 'number' || exp + LEEWAY_SECONDS <= nowSeconds) return false
    if (nbf !== undefined && (typeof nbf !== 'number' || nbf - LEEWAY_SECONDS > nowSeconds))
      return false
    return (
      audience === undefined || aud === audience || (Array.isArray(aud) && aud.includes(audience))
    )
  }
}

function readKey(path: string): KeyObject {
  const wrong = (problem: string) =>
    new VestryError('INVALID_PARAMS', `jwt_public_key_path: ${problem}`)
  let file: number
  try {
    // A pipe must not make us wait for whoever writes to it.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    throw wrong('the file cannot be read')
  }
  let key: KeyObject
  try {
    const facts = fstatSync(file)
    if (!facts.isFile() || facts.size > MAX_KEY_BYTES) throw wrong('must be a small file')
    const bytes = Buffer.alloc(facts.size)
    readSync(file, bytes, 0, facts.size, 0)
    key = createPublicKey(bytes)
  } catch (error) {
    if (error instanceof VestryError) throw error
    throw wrong('the file holds no public key in PEM')
  } finally {
    closeSync(file)
  }
  if (!ALGORITHMS.some((name) => fits(name, key)))
    throw wrong('must be a P-256 or Ed25519 key, for ES256 or EdDSA')
  return key
}

function refused(): VestryError {
  return new VestryError('UNAUTHORIZED', 'Authorization is missing or wrong')
}
