import { spawnSync } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { schemapinCanonical } from '@vestry/contract/schemapin'
import fc from 'fast-check'
import { describe, expect, type TestContext, test } from 'vitest'
import { readToolJson } from '../../json/number-tokens.ts'
import { digestOf, digestOfText, documentJson, toolDocument } from '../normalise.ts'
import { type PublicKey, publicKeyOf, readPublicKey } from './public-key.ts'
import { type Profile, signText, verifyText } from './schemapin.ts'

const pemOf = (body: string) =>
  `-----BEGIN PUBLIC KEY-----\n${body.replace(/.{64}/g, '$&\n')}\n-----END PUBLIC KEY-----\n`
const read = (text: string) => readToolJson(Buffer.from(text))
const canonical = (text: string) => schemapinCanonical(read(text))
const digestOfSigned = (text: string) => digestOfText(text).slice('sha256:'.length)

function key(pem: string): PublicKey {
  const found = readPublicKey(pem)
  if (found === undefined) throw new Error('no key')
  return found
}

const V1 = {
  tool: '{"name":"route_finder","description":"Plans a walking route – café stops optional 🔧","tool_schema":{"type":"object","properties":{"start":{"type":"string","maxLength":120},"end":{"type":"string","maxLength":120},"mode":{"type":"string","enum":["short","flat"]},"10":{"type":"integer","minimum":0},"9":{"type":"boolean"}},"required":["start","end"]},"provider":{"name":"maps.example","public_key_url":null}}',
  key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEA4OxUQQKBXt2GpU6f5OH3B/cm3/HEaS5dOmautlew5WfR5LK35L2Gc98ppZJ/+Rn2ENlzJXCZ/Zli2V81AmLzQ==',
  A: 'MEUCIFDFjOd/6pJG1OJ8isEGov9aKcat5SRdl7N0yeKoNssnAiEA78qv3/aa+T2V7W9fmMOKKZEiOg1CbnlkGh0exoRQUs0=',
  B: 'MEYCIQCuRBbJv3t2TeKM3Mfg86F7Mf25huCuC2Si5aWuHJk2ggIhAJ+uY6/AzKoBzMkQlugCSfyqGB1ayK0Ffr9uO5K49Q6d',
}

/** Schemas of other libraries, what they signed them with, and the one profile that holds. */
const SUM =
  '{"name":"calculate_sum","description":"Calculates the sum of two numbers","parameters":{"type":"object","properties":{"a":{"type":"number","description":"First number"},"b":{"type":"number","description":"Second number"}},"required":["a","b"]}}'
const SUM_HASH = 'ba3964fa77ca4342ded7340c87fcbd726b525a520a1fc2283c091b193ef2b1af'
const OTHERS: {
  from: string
  text: string
  hash: string
  key: string
  fingerprint: string
  signature: string
  profile: Profile
}[] = [
  {
    from: 'V2 Python',
    text: SUM,
    hash: SUM_HASH,
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9ISisOPYERXA0YIhfIo/8mrXXQ6VEIitoIzzM30URANrxqeKBlHsoPMEWb1iyGhVLSbliQHGyi+GqGUe0eDYvw==',
    fingerprint: 'sha256:23126becd9f4f73aff0088cfd07512acf4b61ee114ef9717259c8db54b7b60f7',
    signature:
      'MEMCH1/c9JsBJVZM2tC/cHRwB5cFOX7UJihf7fXAPgqasCICIFp+uZQeNU9F0TFrAcBMKkSuVlCMCdUbg948VFdHe2XZ',
    profile: 'A',
  },
  {
    from: 'V2 JavaScript',
    text: SUM,
    hash: SUM_HASH,
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqgRYV9VQHHM7KH5kprlIR1RxvmWTJhs0kEi+liZOhc4d863ybHpLUx9Ubxh23V6gozaQBNWliqLhTVKgrAvt7A==',
    fingerprint: 'sha256:1e5cb07433ed740a40122dfd3183c970ad07ca5eefc2383ef722c39cf950d0ed',
    signature:
      'MEUCIQC7SDYfAPsozzmx1/81b8rPSPy0RICihQVkEmmvN4qrUAIgZMiGgpwhqdDVMYFpu1SMwXeLM105JmXL7+3hP6Imhp0=',
    profile: 'A',
  },
  {
    from: 'V2 Go',
    text: SUM,
    hash: SUM_HASH,
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErzMTvthSI9NFGAhtQ+bXpt+gexDSYCj0CTam+d9B2R1v2RaQtY7m7iSJVbb/4wysO/R0i6cEX1cGomysGXtm8A==',
    fingerprint: 'sha256:2310142b043d9f17043bea8561d5dc43583a0c077574dfe84025a4682bb2385c',
    signature:
      'MEUCIFGj5XbrncReY+k5n0wss6SPmeSZnN421uwY2IwdR5AnAiEA3uRC7bZdnRQ1pPI+m3Tu4GVFq6zttLCXAxydxGBKXdY=',
    profile: 'B',
  },
  {
    from: 'V3 Go',
    text: '{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}',
    hash: '098974972159a1c508b6fed6baed3bba04cd70d4ee9bbe30f926fb1db0188008',
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEg+aix0OfT3YmM1E+s98N6MoGP7C5CvO1BtD5K4KmJgv6N0B+LNtCf4Igu6Z94oyIoVHTUQ6i/cjQ1kzXx3Mv0w==',
    fingerprint: 'sha256:8120d9001e5cb51e54e2910c0e5fe97bf1ed4e699587f5af94e285a9bbafa07d',
    signature:
      'MEQCIFN9MR+MDb1F5wFrfHmhI/nuAmmPS0EAasGGk476SoHtAiAGjUaIB6pTWZHBYc4cVoQUAQc0CxHMah9Le9m+mErHZA==',
    profile: 'B',
  },
]

describe('runtime §20.12: the published vectors', () => {
  test('V1: a whole tool as clients send it, in both profiles', () => {
    const text = documentJson(toolDocument(read(V1.tool)))
    const { key: publicKey, fingerprint } = key(pemOf(V1.key))
    expect(Buffer.byteLength(text)).toBe(407)
    expect(digestOfSigned(text)).toBe(
      'b296146220f45d41e77ccd61119198f8997dfebb5129f0b0c97858b290e56812',
    )
    expect(
      createHash('sha256')
        .update(Buffer.from(digestOfSigned(text), 'hex'))
        .digest('hex'),
    ).toBe('abd0d90d77a594e9cf92f418b4898cbf753e170ecb91c238e2b99db8a32f416d')
    expect(fingerprint).toBe(
      'sha256:90b8bcb6a6a6b5f141142423775ccc7ce6e6525f2cf6429862eeb78b46ecebd5',
    )
    expect(verifyText(text, V1.A, publicKey)).toBe('A')
    expect(verifyText(text, V1.B, publicKey)).toBe('B')
    expect(verifyText(text, V1.A, publicKey, ['B'])).toBeUndefined()
    expect(verifyText(text, V1.B, publicKey, ['A'])).toBeUndefined()
  })

  test('V1, one space more in the description: neither signature holds', () => {
    const tool = toolDocument(read(V1.tool))
    const padded = { ...tool, description: `${tool.description} ` }
    expect(digestOf(padded)).toBe(
      'sha256:a9d5c9f93231bd634f7c9854ee262860fa1217e6792c57fc93eebb4a7be77fa0',
    )
    const { key: publicKey } = key(pemOf(V1.key))
    for (const signature of [V1.A, V1.B])
      expect(verifyText(documentJson(padded), signature, publicKey)).toBeUndefined()
  })

  test.each(OTHERS)('$from: valid in profile $profile and in no other', (vector) => {
    const text = canonical(vector.text)
    expect(digestOfSigned(text)).toBe(vector.hash)
    const { key: publicKey, fingerprint } = key(pemOf(vector.key))
    expect(fingerprint).toBe(vector.fingerprint)
    expect(verifyText(text, vector.signature, publicKey)).toBe(vector.profile)
    const other = vector.profile === 'A' ? 'B' : 'A'
    expect(verifyText(text, vector.signature, publicKey, [other])).toBeUndefined()
  })

  test('V4: numbers, written as Python writes them', () => {
    const text = canonical(
      '{"a":1.0,"b":1e3,"c":100.5,"d":1e16,"e":1e21,"f":0.00001,"g":1e-7,"h":-0,"i":-0.0,"j":12345678901234567890,"k":0.1,"l":1E5,"m":123456789.0}',
    )
    expect(text).toBe(
      '{"a":1.0,"b":1000.0,"c":100.5,"d":1e+16,"e":1e+21,"f":1e-05,"g":1e-07,"h":0,"i":-0.0,"j":12345678901234567890,"k":0.1,"l":100000.0,"m":123456789.0}',
    )
    expect(digestOfSigned(text)).toBe(
      '026ea8b710661bc1f6e508e51a4ac012e4e0acdea907d3e5d0dffefd483ebaaf',
    )
  })
})

const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

describe('signatures', () => {
  test('runtime §20.12: one byte changed anywhere, of text or signature, and none holds', () => {
    const text = canonical(SUM)
    for (const profile of ['A', 'B'] as const) {
      const signature = signText(text, pair.privateKey, profile)
      const bytes = Buffer.from(text, 'latin1') // all of it is ASCII
      expect(verifyText(bytes.toString('latin1'), signature, pair.publicKey)).toBe(profile)
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 127 }), (at, flip) => {
          const changed = Buffer.from(bytes)
          changed[at] = (changed[at] as number) ^ flip
          expect(verifyText(changed.toString('latin1'), signature, pair.publicKey)).toBeUndefined()
        }),
        { numRuns: 60 },
      )
      const der = Buffer.from(signature, 'base64')
      for (let at = 0; at < der.length; at += 1) {
        const changed = Buffer.from(der)
        changed[at] = (changed[at] as number) ^ 1
        expect(verifyText(text, changed.toString('base64'), pair.publicKey)).toBeUndefined()
      }
    }
  })

  test('with a high s are as good as those with a low one', () => {
    const signature = signText('{}', pair.privateKey, 'A')
    const other = otherS(Buffer.from(signature, 'base64')).toString('base64')
    expect(other).not.toBe(signature)
    expect(verifyText('{}', other, pair.publicKey)).toBe('A')
  })

  test('in any other writing are none', () => {
    const signature = signText('{}', pair.privateKey, 'A')
    const der = Buffer.from(signature, 'base64')
    const others = [
      '',
      ` ${signature}`,
      `${signature}\n`,
      signature.replace(/=*$/, '='),
      der.toString('hex'),
      `${der.toString('base64url')}`,
      Buffer.concat([der, Buffer.of(0)]).toString('base64'),
      'A'.repeat(10_000),
    ].filter((text) => text !== signature)
    for (const text of others) expect(verifyText('{}', text, pair.publicKey), text).toBeUndefined()
  })
})

/** The same signature with n − s for s. */
function otherS(der: Buffer): Buffer {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const integer = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`)
  const rLength = der[3] as number
  const r = der.subarray(2, 4 + rLength)
  const s = order - integer(der.subarray(6 + rLength))
  const hex = s.toString(16)
  const even = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const padded = (even[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), even]) : even
  const body = Buffer.concat([r, Buffer.of(2, padded.length), padded])
  return Buffer.concat([Buffer.of(0x30, body.length), body])
}

describe('public keys', () => {
  const { pem } = key(pair.publicKey.export({ type: 'spki', format: 'pem' }).toString())

  test('are read with other line ends, without the last one, and come out in one form', () => {
    for (const written of [pem, pem.replaceAll('\n', '\r\n'), pem.trimEnd(), `\n${pem}\n\n`])
      expect(readPublicKey(written)?.pem).toBe(pem)
    const short = createPublicKey(pem).export({ format: 'jwk' })
    expect(short).toMatchObject({ crv: 'P-256' })
  })

  test('are on P-256, public, and alone', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey
    const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey
    const ed = generateKeyPairSync('ed25519').publicKey
    for (const other of [rsa, p384, ed]) {
      expect(publicKeyOf(other)).toBeUndefined()
      expect(
        readPublicKey(other.export({ type: 'spki', format: 'pem' }).toString()),
      ).toBeUndefined()
    }
    const secret = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    for (const text of ['', 'key', secret, pem + pem, pem.replace('MFkw', 'MFkx'), `x${pem}`])
      expect(readPublicKey(text), text).toBeUndefined()
  })
})

/** Nothing of ours: Python's own writer and OpenSSL's own checker. */
const REFERENCE = `
import hashlib, json, sys
for line in sys.stdin:
    text = json.dumps(json.loads(line), ensure_ascii=False, separators=(',', ':'), sort_keys=True)
    print(hashlib.sha256(text.encode()).hexdigest(), flush=False)
`

describe('runtime §20.12: an independent implementation agrees', () => {
  test('on the canonical form of random documents', (context) => {
    const number = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => {
        const text = String(value)
        return /[.e]/.test(text) ? text : `${text}.0`
      }),
      fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }).map(String),
      fc.tuple(fc.integer(), fc.integer({ min: -300, max: 290 })).map(([m, e]) => `${m}E${e}`),
      fc.constantFrom('-0', '-0.0', '0.0', '1e16', '9999999999999998.0', '1e-5', '0.0001'),
    )
    const text = fc.string({ unit: 'binary' }).map((value) => JSON.stringify(value.toWellFormed()))
    const { json } = fc.letrec<{ json: string }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        fc.oneof(number, text, fc.constantFrom('true', 'false', 'null')),
        fc.array(tie('json'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
        fc
          .uniqueArray(fc.tuple(text, tie('json')), { maxLength: 5, selector: ([key]) => key })
          .map((members) => `{${members.map(([key, one]) => `${key}:${one}`).join(',')}}`),
      ),
    }))
    const lines = fc.sample(json, { numRuns: 200, seed: 1 })
    const out = run(context, 'python3', ['-c', REFERENCE], lines.join('\n'))
    expect(out.trim().split('\n')).toEqual(lines.map((line) => digestOfSigned(canonical(line))))
  })

  test('on signatures of both profiles', (context) => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'schemapin-'))
    const at = (name: string) => join(dir.path, name)
    writeFileSync(at('key.pem'), pair.publicKey.export({ type: 'spki', format: 'pem' }))
    const text = documentJson(toolDocument(read(V1.tool)))
    const h1 = Buffer.from(digestOfSigned(text), 'hex')
    const messages = { A: h1, B: Buffer.from(text) }
    for (const profile of ['A', 'B'] as const) {
      writeFileSync(at('sig'), Buffer.from(signText(text, pair.privateKey, profile), 'base64'))
      writeFileSync(at('message'), messages[profile])
      const args = ['dgst', '-sha256', '-verify', at('key.pem'), '-signature', at('sig')]
      expect(run(context, 'openssl', [...args, at('message')])).toBe('Verified OK\n')
    }
  })
})

/** What it prints; the test is skipped where there is no such program. */
function run(context: TestContext, program: string, args: string[], input = ''): string {
  const { stdout, error } = spawnSync(program, args, { input })
  context.skip(error !== undefined, `${program} is not there`)
  return stdout.toString()
}
