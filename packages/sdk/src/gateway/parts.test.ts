import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { expect, test } from 'vitest'
import { extractCorrelationId, generateCorrelationId } from './correlation.ts'
import { generateIdempotencyKey, generateIdempotencyKeyFromData } from './idempotency.ts'
import { MASK, masked } from './masking.ts'
import { isRepeatable } from './repeatable.ts'
import { signedBytes, signerOf } from './signing.ts'
import { checkTokenAge, claimsOf, MAX_TOKEN_AGE_MS } from './token.ts'

const HASH_OF_EMPTY = '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
const parts = { method: 'post', path: '/api/x', body: '{}', timestampMs: 7, nonce: 'n' }

test('a correlation id is req_, milliseconds and nine letters or digits', () => {
  expect(generateCorrelationId(1_893_456_000_000)).toMatch(/^req_1893456000000_[a-z0-9]{9}$/)
  expect(new Set(Array.from({ length: 100 }, () => generateCorrelationId(1))).size).toBe(100)
})

test('the correlation id is found in any form of headers', () => {
  expect(extractCorrelationId(new Headers({ 'X-Correlation-Id': 'req_1' }))).toBe('req_1')
  expect(extractCorrelationId({ 'X-CORRELATION-ID': ['req_2'] })).toBe('req_2')
  expect(extractCorrelationId({})).toBeUndefined()
})

test('keys made of data are those of the JavaScript client, or of the Python client when asked', () => {
  const params = { q: 'a', engine: 'google' }
  const key = (form?: 'javascript' | 'python') =>
    generateIdempotencyKeyFromData('serpapi', 'search', params, form)
  expect(key()).toBe('idemp_94c00e228006ca43')
  expect(key('javascript')).toBe('idemp_94c00e228006ca43')
  expect(key('python')).toBe('idemp_9f2308aa6b5fe7a4')
})

test('the Python form sorts at every depth and escapes what is not ASCII', () => {
  const key = (params: Record<string, unknown>) =>
    generateIdempotencyKeyFromData('gmail_send', 'send', params, 'python')
  expect(key({ b: [1, { d: null, c: 'é😀' }], a: true })).toBe('idemp_be378568eeec689b')
  expect(key({ a: 1, b: 2 })).toBe(key({ b: 2, a: 1 }))
})

test('random keys carry the time and a UUID, and are accepted as keys', () => {
  const key = generateIdempotencyKey(5)
  expect(key).toMatch(
    /^idemp_5_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
  expect(isRepeatable('gmail_send', 'send', { idempotency_key: key })).toBe(true)
})

test('gateway §19.35: reading tools may be repeated, effects only with a key the gateway accepts', () => {
  for (const scope of ['serpapi:search', 'http_fetch:get', 'http_fetch:head', 'openai:chat']) {
    const [tool = '', action = ''] = scope.split(':')
    expect(isRepeatable(tool, action, {})).toBe(true)
  }
  expect(isRepeatable('gmail_send', 'profile', {})).toBe(true)
  expect(isRepeatable('gmail_send', 'send', {})).toBe(false)
  expect(isRepeatable('gmail_send', 'send', { idempotencyKey: 'idemp_94c00e228006ca43' })).toBe(
    true,
  )
  expect(isRepeatable('gmail_send', 'send', { idempotency_key: 'short' })).toBe(false)
  expect(isRepeatable('http_fetch', 'post', {})).toBe(false)
  expect(isRepeatable('unheard_of', 'get', {})).toBe(false)
})

test('gateway §19.35: values of the five key names are masked, nested and as the end of longer names', () => {
  const params = {
    password: 'a',
    Token: 'b',
    KEY: { deep: 'c' },
    secret: ['d'],
    api_key: 1,
    headers: [{ 'X-Api-Key': 'e', access_token: 'f', 'client-secret': 'g', apiKey: 'h' }],
    tokens: 'kept',
    monkey: 'kept',
    keyword: 'kept',
    q: 'kept',
    none: null,
  }
  expect(masked(params)).toEqual({
    password: MASK,
    Token: MASK,
    KEY: MASK,
    secret: MASK,
    api_key: MASK,
    headers: [{ 'X-Api-Key': MASK, access_token: MASK, 'client-secret': MASK, apiKey: MASK }],
    tokens: 'kept',
    monkey: 'kept',
    keyword: 'kept',
    q: 'kept',
    none: null,
  })
  expect(MASK).toBe('***MASKED***')
  expect(params.password).toBe('a')
})

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')
const NOW = Date.parse('2030-01-02T00:00:00.000Z')

test('gateway §19.35: a token issued more than 24 hours ago is refused, one of exactly 24 hours is not', () => {
  const issued = (ms: number) => `${segment({ issued_at: new Date(ms).toISOString() })}.mac`
  checkTokenAge(issued(NOW - MAX_TOKEN_AGE_MS), NOW)
  expect(() => checkTokenAge(issued(NOW - MAX_TOKEN_AGE_MS - 1), NOW)).toThrow(
    expect.objectContaining({ name: 'GatewayTokenError', code: 'TOKEN_ERROR' }),
  )
})

test('the age of a sealed token is read from its second segment, in seconds, if it has one', () => {
  const sealed = (iat: number) =>
    `${Buffer.from('sealed').toString('base64')}.${segment({ iat })}.mac`
  checkTokenAge(sealed(NOW / 1000 - 86_400), NOW)
  expect(() => checkTokenAge(sealed(NOW / 1000 - 86_401), NOW)).toThrow('24 hours')
  for (const token of ['', 'abc', 'a.b', 'sealed.516a', `${segment([1])}.${segment(null)}`]) {
    checkTokenAge(token, NOW)
  }
})

test('claims are read from a token in plain form only', () => {
  const claims = {
    agent_id: 'a',
    tools: ['serpapi'],
    permissions: ['read'],
    issued_at: '2030-01-01T00:00:00.000Z',
    expires_at: '2030-01-01T00:15:00.000Z',
  }
  expect(claimsOf(`${segment(claims)}.mac`)).toEqual({
    agentId: 'a',
    tools: ['serpapi'],
    permissions: ['read'],
    ttlMinutes: 15,
    expiresAtMs: Date.parse(claims.expires_at),
  })
  expect(claimsOf(`${segment({ ...claims, tools: 'serpapi' })}.mac`)).toBeUndefined()
  expect(claimsOf(`${segment({ ...claims, expires_at: 'soon' })}.mac`)).toBeUndefined()
  expect(claimsOf('sealed.mac')).toBeUndefined()
})

test('six lines are signed, without a newline at the end', () => {
  expect(signedBytes(parts).toString()).toBe(
    `4RUNR-AGENT-SIG-1\nPOST\n/api/x\n7\nn\n${HASH_OF_EMPTY}`,
  )
})

test('RSA and Ed25519 keys sign, and their public keys verify', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ed = generateKeyPairSync('ed25519')
  for (const [pair, digest] of [
    [rsa, 'sha256'],
    [ed, null],
  ] as const) {
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const headers = signerOf(pem)?.(parts) ?? {}
    expect(headers).toMatchObject({ 'X-Agent-Timestamp': '7', 'X-Agent-Nonce': 'n' })
    const [version, signature = ''] = headers['X-Agent-Signature']?.split(/=(.*)/s) ?? []
    expect(version).toBe('v1')
    const spki = pair.publicKey.export({ type: 'spki', format: 'pem' })
    const bytes = Buffer.from(signature, 'base64')
    expect(verify(digest, signedBytes(parts), createPublicKey(spki), bytes)).toBe(true)
  }
})

test('text that is no key of these kinds signs nothing', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  expect(signerOf(ec.export({ type: 'pkcs8', format: 'pem' }).toString())).toBeUndefined()
  expect(signerOf('test-key')).toBeUndefined()
  expect(signerOf('')).toBeUndefined()
})
