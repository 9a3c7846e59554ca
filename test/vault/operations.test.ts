import { createHmac, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { publicKeyHex } from '../harness/keys.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'

let vestry: TestDaemon
let client: RawClient

beforeAll(async () => {
  vestry = await startTestDaemon()
  client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'all',
        principals: ['agent:scout'],
        resources: ['**'],
        actions: ['list', 'retrieve', 'use:*'],
        hosts: ['api.example.com'],
        default_ttl: 120,
      },
      {
        name: 'small',
        principals: ['agent:ada'],
        resources: ['**'],
        actions: ['use'],
        hosts: ['api.example.com'],
        algorithms: ['hmac-sha256'],
        max_data_bytes: 8,
      },
    ],
  })
})
afterAll(() => vestry.stop())

const use = (path: string, operation: string, params?: object) =>
  client.call('use', { path, operation, ...(params !== undefined && { params }) })

const invalid = (param: string) => ({ code: 'INVALID_PARAMS', error: { context: { param } } })

describe('http_header', () => {
  beforeAll(() => vestry.addCredential('h/key', 's3cr"3t\\é', { type: 'api_key' }))

  test('without params it means bearer, and comes with a lease', async () => {
    const latin1 = 's3cr"3t\\Ã©' // the value’s UTF-8 bytes, one character each
    const got = await use('h/key', 'http_header')
    expect(got).toEqual({
      header_name: 'Authorization',
      header_value: `Bearer ${latin1}`,
      header: `Authorization: Bearer ${latin1}`,
      key_version: 1,
      lease_id: expect.stringMatching(/^lease_[0-9a-f]{32}$/),
      ttl: 120,
      expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    expect(await client.call('lease_status', { lease_id: got.lease_id })).toMatchObject({
      leases: [{ kind: 'header', path: 'h/key', state: 'live' }],
    })
    expect(await client.call('release_lease', { lease_id: got.lease_id })).toMatchObject({
      status: 'released',
    })
  })

  test('each header type builds its header', async () => {
    await vestry.addCredential('h/pair', 'ada:pass-word')
    await vestry.addCredential('h/plain', 'pw')
    const header = async (path: string, params: object) =>
      (await use(path, 'http_header', params)).header
    const basic = (text: string) => `Authorization: Basic ${Buffer.from(text).toString('base64')}`
    expect(await header('h/plain', { header_type: 'api_key' })).toBe('X-API-Key: pw')
    expect(await header('h/plain', { header_type: 'basic', username: 'ada' })).toBe(basic('ada:pw'))
    expect(await header('h/plain', { header_type: 'basic' })).toBe(basic('pw:'))
    expect(await header('h/pair', { header_type: 'basic' })).toBe(basic('ada:pass-word'))
    const custom = { header_type: 'custom', header_name: 'X-Token' }
    expect(await header('h/plain', custom)).toBe('X-Token: pw')
    expect(await header('h/plain', { ...custom, header_prefix: 'tok ' })).toBe('X-Token: tok pw')
  })

  test('a header that cannot be is refused before the secret is touched', async () => {
    const before = vestry.auditLines().length
    for (const params of [
      { header_type: 'cookie' },
      { header_type: 'custom' },
      { header_type: 'custom', header_name: 'Host' },
      { header_type: 'custom', header_name: 'bad name' },
      { header_type: 'custom', header_name: 'X-Forwarded-For' },
      { header_type: 'custom', header_name: 'X-A', header_prefix: 'a\r\nb' },
      { header_type: 'basic', username: 'a:b' },
      { header_name: 7 },
    ]) {
      await expect(
        use('h/key', 'http_header', params),
        JSON.stringify(params),
      ).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    }
    expect(vestry.auditLines(), 'no intent was written').toHaveLength(before)
  })

  test('a secret that no header can carry is unusable, without saying what it is', async () => {
    await vestry.addCredential('h/newline', 'value-with-newline\n')
    const refused = await use('h/newline', 'http_header').catch((error) => error)
    expect(refused).toMatchObject({ code: 'UNUSABLE_CREDENTIAL' })
    expect(JSON.stringify(refused.error)).not.toContain('value-with')
    expect((await client.call('lease_status')).leases).not.toContainEqual(
      expect.objectContaining({ path: 'h/newline' }),
    )
  })

  test('where the operator fixed the place, another one is refused', async () => {
    await vestry.addCredential('h/fixed', 'fixed-0123', {
      settings: { inject: { header_type: 'custom', header_name: 'X-Fixed', locked: true } },
    })
    expect((await use('h/fixed', 'http_header')).header).toBe('X-Fixed: fixed-0123')
    expect(
      (await use('h/fixed', 'http_header', { header_type: 'custom', header_name: 'X-Fixed' }))
        .header,
    ).toBe('X-Fixed: fixed-0123')
    for (const params of [
      { header_type: 'bearer' },
      { header_type: 'custom', header_name: 'X-Other' },
      { header_type: 'custom', header_name: 'X-Fixed', header_prefix: 'k ' },
    ]) {
      await expect(use('h/fixed', 'http_header', params)).rejects.toMatchObject({
        code: 'ACCESS_DENIED',
        error: { context: { legacy_code: 'POLICY_DENIED', path: 'h/fixed' } },
      })
    }
    await expect(
      vestry.admin.call('admin.cred.put', {
        path: 'h/bad',
        value_base64: 'AAAA',
        settings: { inject: { header_type: 'custom' } },
      }),
      'a binding that can never work',
    ).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  })

  test('the operator’s place is used when the agent names none, and is a proposal unless locked', async () => {
    await vestry.addCredential('h/open', 'open-0123', {
      settings: { inject: { header_type: 'api_key' } },
    })
    expect((await use('h/open', 'http_header')).header).toBe('X-API-Key: open-0123')
    expect((await use('h/open', 'http_header', { header_type: 'bearer' })).header).toBe(
      'Authorization: Bearer open-0123',
    )
  })
})

describe('sign and verify', () => {
  beforeAll(async () => {
    await vestry.addCredential('s/mac', 'whsec_demo_0001', { type: 'hmac_key' })
  })

  test('vault §28.38: the signing vector 26.4', async () => {
    for (const [operation, params] of [
      ['sign', { data: 'payload-to-sign' }],
      ['sign', { data: 'payload-to-sign', algorithm: 'HMAC_SHA256' }],
      ['sign_payload', { payload: 'payload-to-sign', algorithm: 'hmac-sha256' }],
      ['sign', { data: Buffer.from('payload-to-sign').toString('hex'), data_encoding: 'hex' }],
      [
        'sign',
        { payload: Buffer.from('payload-to-sign').toString('base64'), data_encoding: 'base64' },
      ],
      ['sign', { data: 'payload-to-sign', payload: 'payload-to-sign' }],
    ] as const) {
      expect(await use('s/mac', operation, params)).toEqual({
        signature: '7aodK5C6r2OjcWtprX9OTeePz9tVXsKPx5RIPZ14ABM=',
        signature_hex: 'edaa1d2b90baaf63a3716b69ad7f4e4de78fcfdb555ec28fc794483d9d780013',
        algorithm: 'hmac-sha256',
        encoding: 'base64',
        key_version: 1,
      })
    }
  })

  test('vault §28.38: verify takes base64 and hex, and tells true from false', async () => {
    const legacy = Buffer.from('0123456789abcdef')
    await vestry.addCredential('s/legacy', legacy, { settings: { allow_legacy: true } })
    for (const [path, algorithm, hash, key] of [
      ['s/mac', 'hmac-sha256', 'sha256', 'whsec_demo_0001'],
      ['s/mac', 'hmac-sha512', 'sha512', 'whsec_demo_0001'],
      ['s/legacy', 'hmac-sha1', 'sha1', legacy],
    ] as const) {
      const mac = createHmac(hash, key).update('data').digest()
      for (const signature of [
        mac.toString('base64'),
        mac.toString('hex'),
        mac.toString('hex').toUpperCase(),
      ]) {
        expect(
          await use(path, 'verify', { data: 'data', algorithm, signature }),
          `${algorithm} ${signature}`,
        ).toMatchObject({ valid: true })
      }
      mac[0] = (mac[0] ?? 0) ^ 1
      const signature = mac.toString('hex')
      expect(await use(path, 'verify', { data: 'data', algorithm, signature })).toMatchObject({
        valid: false,
      })
    }
    for (const signature of ['', 'ab', 'AAAA'])
      expect(await use('s/mac', 'verify', { data: 'data', signature })).toMatchObject({
        valid: false,
      })
    await expect(
      use('s/mac', 'verify', { data: 'data', signature: 'not a signature!' }),
    ).rejects.toMatchObject(invalid('signature'))
    await expect(use('s/mac', 'verify', { data: 'data' })).rejects.toMatchObject(
      invalid('signature'),
    )
  })

  test('each asymmetric algorithm makes what an independent verifier accepts', async () => {
    const seed = randomBytes(32)
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pem = (key: typeof ec.privateKey) =>
      key.export({ type: 'pkcs8', format: 'pem' }) as string
    await vestry.addCredential('s/ed', seed, { type: 'signing_key' })
    await vestry.addCredential('s/edhex', `${seed.toString('hex')}`, {
      settings: { key_encoding: 'hex' },
    })
    await vestry.addCredential('s/ec', pem(ec.privateKey))
    await vestry.addCredential('s/rsa', pem(rsa.privateKey))
    const spki = Buffer.from(`302a300506032b6570032100${publicKeyHex(seed)}`, 'hex')
    const edKey = { key: spki, format: 'der', type: 'spki' } as const
    const data = Buffer.from('some data')
    const byDefault = await use('s/ed', 'sign', { data: 'some data' })
    expect(byDefault.algorithm).toBe('ed25519')
    expect(verify(null, data, edKey, Buffer.from(byDefault.signature, 'base64'))).toBe(true)
    const named = await use('s/edhex', 'sign', { data: 'some data', algorithm: 'Ed25519' })
    expect(named.signature).toBe(byDefault.signature)
    const signed = async (path: string, algorithm: string) => {
      const { signature, signature_hex } = await use(path, 'sign', { data: 'some data', algorithm })
      for (const text of [signature, signature_hex]) {
        const params = { data: 'some data', algorithm, signature: text }
        expect(await use(path, 'verify', params), `${algorithm} ${text}`).toMatchObject({
          valid: true,
        })
        expect(await use(path, 'verify', { ...params, data: 'other' })).toMatchObject({
          valid: false,
        })
      }
      return Buffer.from(signature, 'base64')
    }
    await signed('s/ed', 'ed25519')
    expect(verify('sha256', data, ec.publicKey, await signed('s/ec', 'ecdsa-p256-sha256'))).toBe(
      true,
    )
    expect(verify('sha256', data, rsa.publicKey, await signed('s/rsa', 'rsa-pkcs1-sha256'))).toBe(
      true,
    )
    const pss = { key: rsa.publicKey, padding: 6, saltLength: -1 }
    expect(verify('sha256', data, pss, await signed('s/rsa', 'rsa-pss-sha256'))).toBe(true)
  })

  test('what cannot be signed is named', async () => {
    const sign = (params: object, path = 's/mac') => use(path, 'sign', params)
    await expect(sign({})).rejects.toMatchObject(invalid('data'))
    await expect(use('s/mac', 'sign')).rejects.toMatchObject(invalid('data'))
    await expect(sign({ data: 'a', payload: 'b' })).rejects.toMatchObject(invalid('data'))
    await expect(sign({ data: 7 })).rejects.toMatchObject(invalid('data'))
    await expect(sign({ data: '\ud800' })).rejects.toMatchObject({
      code: expect.stringMatching(/^INVALID_(PARAMS|REQUEST)$/),
    })
    await expect(sign({ data: 'a', data_encoding: 'utf16' })).rejects.toMatchObject(
      invalid('data_encoding'),
    )
    await expect(sign({ data: 'abc', data_encoding: 'hex' })).rejects.toMatchObject(invalid('data'))
    await expect(sign({ data: 'a', algorithm: 'md5' })).rejects.toMatchObject(invalid('algorithm'))
    await expect(sign({ data: 'x'.repeat(1024 * 1024 + 1) })).rejects.toMatchObject(invalid('data'))
    expect(await sign({ data: 'x'.repeat(1024 * 1024) })).toMatchObject({
      algorithm: 'hmac-sha256',
    })
    for (const algorithm of ['ed25519', 'ecdsa-p256-sha256', 'rsa-pss-sha256', 'hmac-sha1']) {
      const refused = await sign({ data: 'a', algorithm }).catch((error) => error)
      expect(refused, algorithm).toMatchObject({ code: 'UNUSABLE_CREDENTIAL' })
      expect(JSON.stringify(refused.error)).not.toContain('whsec')
    }
  })

  test('limits of a rule on algorithm and size hold', async () => {
    const ada = await vestry.agent(await vestry.addAgent('ada'))
    const sign = (params: object) => ada.call('use', { path: 's/mac', operation: 'sign', params })
    expect(await sign({ data: '12345678' })).toMatchObject({ algorithm: 'hmac-sha256' })
    await expect(sign({ data: '123456789' })).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      error: { context: { reason_code: 'too_large' } },
    })
    await expect(sign({ data: 'x', algorithm: 'hmac-sha512' })).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      error: { context: { reason_code: 'algorithm_not_allowed' } },
    })
  })
})

describe('encrypt, decrypt and rewrap', () => {
  beforeAll(() => vestry.addCredential('c/key', 'correct-horse', { type: 'encryption_key' }))

  const FORM = /^sanctum:v(\d+):[A-Za-z0-9+/]+=*$/

  test('what was encrypted decrypts, with the same context only', async () => {
    const sealed = await use('c/key', 'encrypt', { data: 'sensitive data', context: 'row 7' })
    expect(sealed).toEqual({
      ciphertext: expect.stringMatching(FORM),
      algorithm: 'aes-256-gcm',
      key_version: 1,
    })
    const { ciphertext } = sealed
    expect(await use('c/key', 'decrypt', { ciphertext, context: 'row 7' })).toEqual({
      plaintext: 'sensitive data',
      plaintext_encoding: 'utf8',
      key_version: 1,
    })
    expect(await use('c/key', 'decrypt', { data: ciphertext, context: 'row 7' })).toMatchObject({
      plaintext: 'sensitive data',
    })
    const other = (await use('c/key', 'encrypt', { plaintext: 'sensitive data', context: 'row 7' }))
      .ciphertext
    expect(other, 'a fresh nonce each time').not.toBe(ciphertext)
  })

  test('bytes that are no text come back as base64, and text on request', async () => {
    const data = Buffer.from([0xff, 0x00, 0xfe]).toString('base64')
    const { ciphertext } = await use('c/key', 'encrypt', { data, data_encoding: 'base64' })
    expect(await use('c/key', 'decrypt', { ciphertext })).toMatchObject({
      plaintext: data,
      plaintext_encoding: 'base64',
    })
    await expect(
      use('c/key', 'decrypt', { ciphertext, output_encoding: 'utf8' }),
    ).rejects.toMatchObject(invalid('output_encoding'))
    const text = (await use('c/key', 'encrypt', { data: '' })).ciphertext
    expect(await use('c/key', 'decrypt', { ciphertext: text })).toMatchObject({ plaintext: '' })
    expect(
      await use('c/key', 'decrypt', { ciphertext: text, output_encoding: 'base64' }),
    ).toMatchObject({ plaintext: '', plaintext_encoding: 'base64' })
  })

  test('vault §28.20: text that escaping would blow out of the frame comes as base64', async () => {
    const data = '\u0001'.repeat(1024 * 1024)
    const { ciphertext } = await use('c/key', 'encrypt', {
      data: Buffer.from(data).toString('base64'),
      data_encoding: 'base64',
    })
    const opened = await use('c/key', 'decrypt', { ciphertext })
    expect(opened.plaintext_encoding).toBe('base64')
    expect(Buffer.from(opened.plaintext, 'base64').toString() === data).toBe(true)
    await expect(
      use('c/key', 'decrypt', { ciphertext, output_encoding: 'utf8' }),
    ).rejects.toMatchObject({ code: 'RESPONSE_TOO_LARGE' })
    expect(await client.call('whoami')).toMatchObject({ agent: 'scout' })
  })

  test('every way to fail is DECRYPT_FAILED, in the same words', async () => {
    const { ciphertext } = await use('c/key', 'encrypt', { data: 'sensitive data', context: 'a' })
    const bytes = Buffer.from(ciphertext.split(':')[2], 'base64')
    bytes[20] = (bytes[20] ?? 0) ^ 1
    await vestry.addCredential('c/other', 'correct-horse')
    const answers = new Set<string>()
    for (const [path, params] of [
      ['c/key', { ciphertext, context: 'b' }],
      ['c/key', { ciphertext }],
      ['c/key', { ciphertext: `sanctum:v1:${bytes.toString('base64')}`, context: 'a' }],
      ['c/key', { ciphertext: ciphertext.replace(':v1:', ':v2:'), context: 'a' }],
      ['c/key', { ciphertext: ciphertext.replace(':v1:', ':v99999999999:'), context: 'a' }],
      ['c/key', { ciphertext: 'not even close' }],
      ['c/key', { ciphertext: '' }],
      ['c/key', { ciphertext: 'sanctum:v1:AAAA' }],
      ['c/other', { ciphertext, context: 'a' }],
    ] as const) {
      const refused = await use(path, 'decrypt', params).catch((error) => error)
      expect(refused, JSON.stringify(params)).toMatchObject({ code: 'DECRYPT_FAILED' })
      const { request_id, ...context } = refused.error.context
      answers.add(JSON.stringify({ ...refused.error, context }))
      await expect(use(path, 'rewrap', params)).rejects.toMatchObject({ code: 'DECRYPT_FAILED' })
    }
    expect(answers.size).toBe(1)
  })

  test('vault §28.41: old versions decrypt until forbidden or destroyed; rewrap moves to the newest', async () => {
    const { ciphertext: first } = await use('c/key', 'encrypt', { data: 'long lived' })
    await vestry.addCredential('c/key', 'battery-staple')
    const { ciphertext: second, key_version } = await use('c/key', 'rewrap', { ciphertext: first })
    expect(key_version).toBe(2)
    expect(second).toMatch(/^sanctum:v2:/)
    for (const ciphertext of [first, second])
      expect(await use('c/key', 'decrypt', { ciphertext })).toMatchObject({
        plaintext: 'long lived',
      })
    await vestry.admin.call('admin.cred.destroy', { path: 'c/key', versions: [1] })
    await expect(use('c/key', 'decrypt', { ciphertext: first })).rejects.toMatchObject({
      code: 'DECRYPT_FAILED',
    })
    expect(await use('c/key', 'decrypt', { ciphertext: second })).toMatchObject({
      plaintext: 'long lived',
    })
    await expect(client.call('retrieve', { path: 'c/key', version: 1 })).rejects.toMatchObject({
      code: 'CREDENTIAL_NOT_FOUND',
    })
  })
})

test('an operation that does not exist is answered with those that do', async () => {
  for (const operation of ['HTTP_HEADER', 'Sign', 'jwt', 'x'.repeat(100), '']) {
    await expect(use('s/mac', operation)).rejects.toMatchObject({
      code: 'OPERATION_NOT_SUPPORTED',
      error: {
        message: 'Operation is not supported',
        context: { supported: expect.arrayContaining(['http_request', 'http_header', 'sign']) },
      },
    })
  }
  await expect(client.call('use', { path: 's/mac' })).rejects.toMatchObject(invalid('operation'))
  await expect(use('s/mac', 'sign', [])).rejects.toMatchObject(invalid('params'))
  await expect(client.call('use', { path: '../x', operation: 'sign' })).rejects.toMatchObject(
    invalid('path'),
  )
})

test('nothing an agent sends besides path, operation, host and reason is in the log in clear', async () => {
  const marks = [
    'MARK-data',
    'MARK-prefix',
    'MARK-user',
    'MARK-cursor',
    'MARK-tag',
    'MARK-ctx',
    'X-Mark-Name',
  ]
  await use('s/mac', 'sign', { data: 'MARK-data', extra: 'MARK-data' })
  await use('s/mac', 'http_header', {
    header_type: 'custom',
    header_name: 'X-Mark-Name',
    header_prefix: 'MARK-prefix',
  })
  await use('s/mac', 'http_header', { header_type: 'basic', username: 'MARK-user' })
  await use('c/key', 'encrypt', { data: 'MARK-data', context: 'MARK-ctx' })
  await client.call('list', {
    prefix: 'MARK-prefix is no path',
    cursor: 'MARK-cursor',
    tag: 'MARK-tag',
  })
  await client.call('lease_status', { unknown: 'MARK-data' })
  await client.call('list', { misspelt_limit: 'MARK-data' })
  const log = vestry.auditLines().join('\n')
  for (const mark of marks) expect(log).not.toContain(mark)
  expect(recordsOf(vestry, 'credential.list').at(-1)?.data).toMatchObject({
    unknown_params: ['misspelt_limit'],
  })
  expect(recordsOf(vestry, 'credential.use').map(({ data }) => data)).toContainEqual(
    expect.objectContaining({ unknown_operation_params: ['extra'] }),
  )
})
