import { expect, test } from 'vitest'
import { createKeyRule, isSensitiveKey } from './sensitive-key.ts'

const NAMES =
  `password passwd pwd passphrase secret clientsecret token accesstoken refreshtoken idtoken authtoken
  sessiontoken bearer jwt apikey xapikey appkey accesskey accesskeyid secretaccesskey privatekey
  signingkey encryptionkey sshkey masterkey authorization proxyauthorization cookie setcookie
  credential credentials connectionstring dsn databaseurl redisurl mongouri amqpurl webhooksecret
  webhookurl kubeconfig netrc mnemonic seedphrase otp totp mfacode pin cvv cvc cardnumber creditcard
  iban ssn sas sharedaccesssignature signature`.split(/\s+/)

test.each(NAMES)(
  'telemetry §16.11: "%s" is sensitive, also at the end of a name and in the plural',
  (name) => {
    expect(isSensitiveKey(name)).toBe(true)
    expect(isSensitiveKey(name.toUpperCase())).toBe(true)
    expect(isSensitiveKey(`my_${name}`)).toBe(true)
    expect(isSensitiveKey(`my${name[0]?.toUpperCase()}${name.slice(1)}`)).toBe(true)
    expect(isSensitiveKey(`${name}s`)).toBe(true)
    // Near misses: it is the end of a word, or something follows it.
    expect(isSensitiveKey(`x${name}`)).toBe(['apikey', 'xapikey'].includes(`x${name}`))
    expect(isSensitiveKey(`${name}_count`)).toBe(false)
  },
)

test.each(
  `OPENAI_API_KEY dbPassword user.pin X-Api-Key x-amz-security-token accessKeyID AWSSecretAccessKey
  api_keys client-secret HTTP_AUTHORIZATION user[password] Set-Cookie creditCardNumber apiKEY
  DATABASE_URL mongo.uri`.split(/\s+/),
)('telemetry §16.11: "%s" is sensitive', (name) => {
  expect(isSensitiveKey(name)).toBe(true)
})

test.each(
  `spin tokenizer opinion keyboard secretary monkey passwordless key public_key idempotency_key cache_key
  promptCacheKey [redacted:jwt] [redacted:jwt]#2 pinned session_id author authored asns tokenCount signature_algorithm épin`.split(
    /\s+/,
  ),
)('telemetry §16.11: "%s" is not', (name) => {
  expect(isSensitiveKey(name)).toBe(false)
})

test('telemetry §16.13: names that end in token or tokens may hold counts', () => {
  const rule = createKeyRule()
  for (const name of ['max_tokens', 'input_tokens', 'token', 'accessToken'])
    expect(rule(name)).toBe('counter')
  expect(rule('password')).toBe('secret')
  expect(rule('usage')).toBe('plain')
  expect(rule('cache_key')).toBe('open')
})

test('more names can be added, none taken out', () => {
  const rule = createKeyRule(['badge-number', 'cacheKey', ''])
  expect(rule('employeeBadgeNumbers')).toBe('secret')
  expect(rule('badge')).toBe('plain')
  expect(rule('cache_key')).toBe('secret')
  expect(rule('password')).toBe('secret')
})

test('a long name is judged by its end', () => {
  expect(isSensitiveKey(`${'a'.repeat(10_000)}_password`)).toBe(true)
  expect(isSensitiveKey(`password_${'a'.repeat(10_000)}`)).toBe(false)
})
