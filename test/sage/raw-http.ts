/** Requests as bytes and answers as bytes: what a client of its own making sees of a server. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'

export interface RawReply {
  readonly status: number
  /** Of the status line. */
  readonly reason: string
  /** As received: names in their own case, in order, repeats kept. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[]
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Everything, byte for byte. */
  readonly bytes: Buffer
  /** Milliseconds from the last byte sent to the end of the connection. */
  readonly ms: number
}

export interface RawOptions {
  /** Writes so many bytes at a time, each in a packet of its own. */
  readonly pieceBytes?: number
  readonly timeoutMs?: number
}

/** The bytes of one request with an exact length. */
export function requestBytes(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
): Buffer {
  const content =
    body === undefined
      ? Buffer.alloc(0)
      : Buffer.isBuffer(body)
        ? body
        : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: gateway.local']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  if (body !== undefined && !names.has('content-type')) lines.push('Content-Type: application/json')
  if (body !== undefined && !names.has('content-length'))
    lines.push(`Content-Length: ${content.length}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), content])
}

/** Sends `bytes` and reads until the server closes. Rejects when it does not, or breaks the connection off. */
export async function rawRequest(
  where: NetConnectOpts,
  bytes: Uint8Array,
  { pieceBytes, timeoutMs = 10_000 }: RawOptions = {},
): Promise<RawReply> {
  const socket = connect({ ...where, noDelay: true } as NetConnectOpts)
  const received: Buffer[] = []
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => received.push(chunk))
    socket.once('end', resolve)
    socket.once('error', reject)
    socket.setTimeout(timeoutMs, () => reject(new Error(`no end within ${timeoutMs} ms`)))
  })
  ended.catch(() => undefined)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  await write(socket, bytes, pieceBytes ?? bytes.length)
  const startedMs = performance.now()
  try {
    await ended
  } finally {
    socket.destroy()
  }
  return parse(Buffer.concat(received), performance.now() - startedMs)
}

async function write(socket: Socket, bytes: Uint8Array, size: number): Promise<void> {
  for (let at = 0; at < bytes.length && socket.writable; at += size) {
    await new Promise<void>((resolve) =>
      socket.write(bytes.subarray(at, at + size), () => resolve()),
    )
    if (size < bytes.length) await new Promise((resolve) => setImmediate(resolve))
  }
}

export function parse(bytes: Buffer, ms = 0): RawReply {
  const split = bytes.indexOf('\r\n\r\n')
  if (split < 0) throw new Error(`no answer but ${bytes.length} bytes: ${bytes.subarray(0, 200)}`)
  const [line = '', ...lines] = bytes.subarray(0, split).toString('latin1').split('\r\n')
  const [, status = '', reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(line) ?? []
  const rawHeaders = lines.map((header): readonly [string, string] => {
    const colon = header.indexOf(':')
    return [header.slice(0, colon), header.slice(colon + 1).trim()]
  })
  return {
    status: Number(status),
    reason,
    rawHeaders,
    headers: Object.fromEntries(rawHeaders.map(([name, value]) => [name.toLowerCase(), value])),
    body: bytes.subarray(split + 4).toString('utf8'),
    bytes,
    ms,
  }
}

/** The `data: ` lines of a stream, as the published client finds them. */
export function dataLines(body: string): string[] {
  return body
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice(6))
}
