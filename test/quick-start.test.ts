import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createAuthority } from '../packages/server/src/egress/testing/authority.ts'
import { startUpstream } from '../packages/server/src/egress/testing/upstream.ts'

const ROOT = resolve(import.meta.dirname, '..')

test('every command of the README’s quick start works as written', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vestry-ca-'))
  try {
    const authority = createAuthority()
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, authority.ca)
    await using upstream = await startUpstream((_request, reply) => {
      reply.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[]}')
    }, authority.issue('127.0.0.1'))
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        join(ROOT, 'examples/quick-start/quick-start.ts'),
        ...['--host', `127.0.0.1:${upstream.port}`],
        ...['--vestry', join(ROOT, 'packages/server/src/cli/main.ts')],
      ],
      {
        env: {
          PATH: process.env['PATH'],
          NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
          HOME: folder,
          // The sources, so that nothing depends on when they were built last.
          NODE_OPTIONS: '--conditions=source',
          VESTRY_EGRESS_ALLOW_CIDRS: '["127.0.0.1/32"]',
          VESTRY_EGRESS_CA_FILE: ca,
        },
        timeout: 60_000,
      },
    )
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(11)
    expect(lines.every((line) => line.startsWith('✓ '))).toBe(true)
    expect(lines.at(-1)).toBe('✓ npx vestry audit verify: INTACT')
    expect(upstream.seen).toMatchObject([
      { method: 'GET', url: '/v1/models', headers: { authorization: 'Bearer sk-not-a-real-key' } },
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
