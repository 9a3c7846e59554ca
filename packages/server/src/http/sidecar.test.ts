import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Sidecars } from './sidecar.ts'

const ME = process.getuid?.() ?? 0
const NOBODY = 65_534
let dir: string
let sidecars: Sidecars
let issue: (runId: string) => Promise<string>

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sidecar-'))
  issue = async (runId) => `token-of-${runId}`
  const token = async (runId: string) => ({
    token: await issue(runId),
    issuedAtMs: 0,
    expiresAtMs: 1,
  })
  sidecars = new Sidecars({
    trat: token,
    svid: token,
    onInternalError: () => undefined,
  })
})
afterEach(async () => {
  await sidecars.closeAll(100)
  rmSync(dir, { recursive: true })
})

async function open(runId: string, uid = ME): Promise<string> {
  const path = join(dir, 's', `${runId}.sock`)
  await sidecars.open({ runId, path, uid })
  return path
}

async function talk(path: string, send: (socket: Socket) => void): Promise<string> {
  const socket = createConnection(path)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.once('connect', () => send(socket))
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

const ask = (path: string, request = 'GET /trat HTTP/1.1\r\n\r\n') =>
  talk(path, (socket) => socket.write(request))

test('the socket a request comes in on tells whose token it gets', async () => {
  const [one, two] = [await open('one'), await open('two')]
  expect(await ask(one)).toMatch(/\r\n\r\ntoken-of-one$/)
  expect(await ask(two)).toMatch(/\r\n\r\ntoken-of-two$/)
  expect([statSync(join(dir, 's')).mode & 0o777, statSync(one).mode & 0o777]).toEqual([
    0o700, 0o600,
  ])
})

test('a socket file that was left over is replaced, and goes at the end', async () => {
  const path = await open('one')
  await sidecars.open({ runId: 'one', path, uid: ME })
  sidecars.close('one')
  expect(existsSync(path)).toBe(false)
  writeFileSync(path, '')
  await open('one')
  expect(await ask(path)).toMatch(/^HTTP\/1\.1 200 /)
  await sidecars.closeAll(100)
  expect(existsSync(path)).toBe(false)
})

test.runIf(ME === 0)('another user gets nothing, even where the file would let it in', async () => {
  const path = await open('one', 0)
  chmodSync(dir, 0o755)
  chmodSync(join(dir, 's'), 0o755)
  chmodSync(path, 0o666)
  const script = `const s = require('net').connect(${JSON.stringify(path)})
    s.write('GET /trat HTTP/1.1\\r\\n\\r\\n'); s.pipe(process.stdout)`
  const child = spawn(process.execPath, ['-e', script], {
    uid: NOBODY,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  await once(child, 'close')
  expect(out).toMatch(/^HTTP\/1\.1 403 /)
  expect(out).toContain('"code":"access_denied"')
  expect(out).not.toContain('token-of')
})

test('faults of ours keep their text to themselves', async () => {
  const path = await open('one')
  issue = async () => {
    throw new Error('the store said something private')
  }
  expect(await ask(path)).toMatch(/^HTTP\/1\.1 500 [\s\S]*"code":"internal_error"/)
  expect(await ask(path)).not.toContain('private')
  issue = async () => {
    throw new VestryError('STORE_UNAVAILABLE')
  }
  expect(await ask(path)).toMatch(
    /^HTTP\/1\.1 503 [\s\S]*retry-after: 1\r\n[\s\S]*"gateway_overloaded"/,
  )
})

test('a client that ends its side after the request is answered', async () => {
  const path = await open('one')
  expect(await talk(path, (socket) => socket.end('GET /trat HTTP/1.1\r\n\r\n'))).toContain(
    'token-of-one',
  )
})

test('pipelined requests get one answer', async () => {
  const path = await open('one')
  const replies = await ask(path, 'GET /trat HTTP/1.1\r\n\r\nGET /trat HTTP/1.1\r\n\r\n')
  expect(replies.match(/HTTP\/1\.1 200/g)).toHaveLength(1)
})

test('survives bytes of all kinds', async () => {
  const path = await open('one')
  for (let seed = 0; seed < 40; seed += 1) {
    const bytes = Buffer.from(
      Array.from({ length: 200 }, (_, n) => (n * 7 + seed * 31 + n * n * seed) % 256),
    )
    await talk(path, (socket) => socket.end(bytes))
  }
  expect(await ask(path)).toContain('token-of-one')
})
