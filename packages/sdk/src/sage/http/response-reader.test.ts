import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedResponse, ResponseReader } from './response-reader.ts'

const LIMITS = { maxHeadBytes: 64 * 1024 }

/** Reads bytes cut at these places; what comes of it as one value. */
function read(bytes: Buffer, cuts: readonly number[], method = 'GET') {
  const reader = new ResponseReader(LIMITS, method)
  const body: Uint8Array[] = []
  const edges = [
    ...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length]),
  ].sort((a, b) => a - b)
  for (const [index, edge] of edges.entries()) {
    body.push(...reader.push(bytes.subarray(edge, edges[index + 1] ?? edge)))
  }
  const isWhole = reader.complete || reader.end()
  return {
    status: reader.head?.status,
    headers: reader.head?.headers,
    body: Buffer.concat(body).toString('latin1'),
    isWhole,
  }
}

const chunked = (parts: readonly string[]): string =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n${parts.map((part) => `${part.length.toString(16)};a=b\r\n${part}\r\n`).join('')}0\r\nX: y\r\n\r\n`

describe('sage §20.1: a response is whole when HTTP says so', () => {
  test('wherever its bytes are cut', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\r', '\n', '0', ' '), maxLength: 30 })
    const parts = fc.array(
      text.filter((part) => part !== ''),
      { maxLength: 5 },
    )
    fc.assert(
      fc.property(
        parts,
        fc.boolean(),
        fc.array(fc.nat(500), { maxLength: 20 }),
        (body, isChunked, cuts) => {
          const whole = body.join('')
          const wire = isChunked
            ? chunked(body)
            : `HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${whole.length}\r\n\r\n${whole}`
          const result = read(Buffer.from(wire, 'latin1'), cuts)
          expect(result).toMatchObject({ status: 200, body: whole, isWhole: true })
        },
      ),
    )
  })

  test('and not a byte earlier', () => {
    const wire = Buffer.from(chunked(['hello', '0\r\n\r\n', 'world']))
    for (let length = 0; length < wire.length; length += 1) {
      expect(read(wire.subarray(0, length), []).isWhole, String(length)).toBe(false)
    }
  })

  test('random bytes, and damaged responses, are refused by one kind of error', () => {
    const damaged = fc
      .tuple(fc.constant(Buffer.from(chunked(['hello']))), fc.nat(80), fc.nat(255))
      .map(([wire, at, byte]) => {
        const copy = Buffer.from(wire)
        copy[at % copy.length] = byte
        return copy
      })
    const bytes = fc.uint8Array({ maxLength: 200 }).map((one) => Buffer.from(one))
    fc.assert(
      fc.property(fc.oneof(bytes, damaged), (wire) => {
        try {
          read(wire, [3, 17])
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedResponse)
        }
      }),
    )
  })

  test('a body ends with the connection when nothing else says so; some answers have none', () => {
    expect(read(Buffer.from('HTTP/1.0 200\r\n\r\nabc'), [])).toMatchObject({
      body: 'abc',
      isWhole: true,
    })
    expect(read(Buffer.from('HTTP/1.1 204 X\r\n\r\n'), [])).toMatchObject({
      body: '',
      isWhole: true,
    })
    expect(
      read(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'), [], 'HEAD'),
    ).toMatchObject({ isWhole: true })
    expect(read(Buffer.from('HTTP/1.1 200 OK\nContent-Length: 1\n\na'), [])).toMatchObject({
      body: 'a',
      isWhole: true,
    })
  })

  test('names are in lower case, repeated headers joined, the same length twice is one', () => {
    const { headers } = read(
      Buffer.from(
        'HTTP/1.1 200 OK\r\nVia: a\r\nVIA:\t b \r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n',
      ),
      [],
    )
    expect(headers).toEqual({ via: 'a, b', 'content-length': '0' })
  })

  test.each([
    'HTTP/1.1 101 Switching\r\n\r\n',
    'HTTP/1.1 100 C\r\n\r\n'.repeat(17),
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA : b\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(20_000)}`,
  ])('%j is malformed', (wire) => {
    expect(() => read(Buffer.from(wire), [])).toThrow(MalformedResponse)
  })
})
