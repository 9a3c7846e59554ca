/**
 * A certificate authority for tests, made from node:crypto alone: it lives as long as the test and signs for
 * whatever name or address the test wants.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

export interface Issued {
  /** Leaf first, then the authority. */
  cert: string
  key: string
}

export interface Authority {
  /** The authority's own certificate, as PEM. */
  ca: string
  /** A certificate for DNS names and IPv4 addresses. */
  issue(...names: string[]): Issued
}

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

export function createAuthority(name = 'Test Authority'): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ca = certificate({
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    signer: keys.privateKey,
    extensions: [extension('2.5.29.19', sequence(der(0x01, Uint8Array.of(0xff))))],
  })
  return {
    ca,
    issue(...names) {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const alternatives = names.map((alternative) =>
        isIP(alternative) === 4
          ? der(0x87, Uint8Array.from(alternative.split('.').map(Number)))
          : der(0x82, Buffer.from(alternative, 'latin1')),
      )
      const cert = certificate({
        subject: names[0] ?? 'nobody',
        issuer: name,
        publicKey: leaf.publicKey,
        signer: keys.privateKey,
        extensions: [extension('2.5.29.17', sequence(...alternatives))],
      })
      return {
        cert: cert + ca,
        key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      }
    },
  }
}

interface CertificateParts {
  subject: string
  issuer: string
  publicKey: KeyObject
  signer: KeyObject
  extensions: Uint8Array[]
}

/** RFC 5280 §4.1, as PEM. */
function certificate({ subject, issuer, publicKey, signer, extensions }: CertificateParts): string {
  // The top bit stays clear, so that the number is positive.
  const serial = randomBytes(12)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  const body = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, serial),
    ECDSA_SHA256,
    commonName(issuer),
    sequence(time('20200101000000Z'), time('20991231235959Z')),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, signer)
  const whole = sequence(body, ECDSA_SHA256, der(0x03, Buffer.concat([Buffer.of(0), signature])))
  const lines = whole.toString('base64').replace(/.{64}/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

function commonName(name: string): Buffer {
  return sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(name, 'utf8')))))
}

function extension(id: string, value: Uint8Array): Buffer {
  return sequence(oid(id), der(0x04, value))
}

function time(text: string): Buffer {
  return der(0x18, Buffer.from(text, 'latin1'))
}

function sequence(...parts: Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return der(0x06, Uint8Array.of(first * 40 + second, ...bytes))
}

function der(tag: number, value: Uint8Array): Buffer {
  const { length } = value
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.from(head), value])
}
