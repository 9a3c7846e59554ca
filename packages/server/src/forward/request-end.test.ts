import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Progress, RequestEnd } from './request-end.ts'

const BOUNDS = { maxHeadBytes: 1_024, maxBodyBytes: 4_096 }

function progressOf(request: string, cuts: readonly number[] = []): Progress {
  const bytes = Buffer.from(request, 'latin1')
  const reader = new RequestEnd(BOUNDS)
  let progress: Progress = 'more'
  const edges = [0, ...cuts.filter((cut) => cut > 0 && cut < bytes.length), bytes.length]
  edges.sort((a, b) => a - b)
  edges.forEach((from, index) => {
    progress = reader.push(bytes.subarray(from, edges[index + 1] ?? bytes.length))
  })
  return progress
}

const head = (...fields: string[]): string =>
  ['POST /v1/chat/completions HTTP/1.1', 'Host: gateway.local', ...fields, '', ''].join('\r\n')

const COMPLETE = [
  head(),
  head('Content-Length: 0'),
  `${head('Content-Length: 5')}hello`,
  `${head('content-length: 5', 'Content-Length: 5')}hello`,
  `${head('Transfer-Encoding: chunked')}5\r\nhello\r\n0\r\n\r\n`,
  `${head('Transfer-Encoding: Chunked')}5;a=b\r\nhello\r\n00\r\nX-Trailer: 1\r\n\r\n`,
  'GET /trat HTTP/1.1\nHost: gateway.local\n\n',
]

test('a request is complete at its last byte, and not before, however it was cut', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...COMPLETE),
      fc.array(fc.nat(200), { maxLength: 12 }),
      (request, cuts) => {
        expect(progressOf(request, cuts)).toBe('complete')
        expect(progressOf(request.slice(0, -1), cuts)).toBe('more')
      },
    ),
  )
})

test.each([
  ['two lengths', `${head('Content-Length: 5', 'Content-Length: 6')}hello`],
  ['a length and a coding', `${head('Content-Length: 5', 'Transfer-Encoding: chunked')}hello`],
  ['a length that is no number', head('Content-Length: 5x')],
  ['an unknown coding', head('Transfer-Encoding: gzip')],
  ['a chunk without a size', `${head('Transfer-Encoding: chunked')}hello\r\n`],
  ['a head without an end', 'x'.repeat(2_000)],
  ['a body beyond the bound', `${head('Content-Length: 9000')}${'x'.repeat(5_000)}`],
  ['endless chunks', `${head('Transfer-Encoding: chunked')}${'1\r\nx\r\n'.repeat(1_000)}`],
])('%s will never be complete', (_what, request) => {
  expect(progressOf(request)).toBe('broken')
})

test('random bytes neither throw nor hang', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 })), (pieces) => {
      const reader = new RequestEnd(BOUNDS)
      for (const piece of pieces) reader.push(piece)
    }),
  )
})

test('the path is known without its query', () => {
  const reader = new RequestEnd(BOUNDS)
  reader.push(Buffer.from('POST /v1/messages?beta=1 HTTP/1.1\r\n\r\n'))
  expect(reader.path).toBe('/v1/messages')
})
