import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const cli = new CliHome()

beforeAll(async () => {
  await cli.up(['--dev'])
  expect((await cli.json(['agent', 'add', 'scout'])).exitCode).toBe(0)
})
afterAll(() => cli[Symbol.asyncDispose]())

const file = () =>
  cli.file(
    'run.yaml',
    [
      'org_id: "90210"',
      'repo_url: https://git.example/acme/robot-arm',
      'scope: scan.execute',
      'allowed_models: { analysis: [gpt-4o], embeddings: [text-embedding-3-small] }',
    ].join('\n'),
  )

test('a run is registered, shown, listed and closed', async () => {
  const words = ['run', 'register', file(), '--agent', 'scout', '--run-id', 'run_cli']
  const { json, exitCode } = await cli.json(words)
  expect(exitCode).toBe(0)
  expect(json).toMatchObject({ run_id: 'run_cli', txn: 'run_cli', agent: 'scout', state: 'open' })
  expect(existsSync(json.env.AUTH_SIDECAR_SOCKET)).toBe(true)
  const shown = await cli.vestry(['run', 'show', 'run_cli'])
  expect(shown.out).toMatch(/^analysis +openai:gpt-4o$/m)
  expect(shown.out).toMatch(/^TRAT_FILE +\S+trat\.jwt$/m)
  const listed = await cli.vestry(['run', 'list', '--agent', 'scout'])
  expect(listed.out).toMatch(/^run_cli +scout +90210 +scan\.execute .* open$/m)
  expect((await cli.json(words)).json.error.code).toBe('CONFLICT')
  expect((await cli.vestry(['run', 'close', 'run_cli'])).out).toMatch(/^state +closed$/m)
  expect((await cli.json(['run', 'list'])).json.runs).toEqual([])
  expect((await cli.vestry(['run', 'list', '--all'])).out).toMatch(/^run_cli .* closed$/m)
})

test('tokens of a run are shown once, to terminals or where asked for', async () => {
  await cli.json(['run', 'register', file(), '--agent', 'scout', '--run-id', 'run_tokens'])
  const trat = await cli.json(['token', 'trat', '--run', 'run_tokens'])
  expect(trat.json).toMatchObject({ run_id: 'run_tokens', trat: expect.stringMatching(/^eyJ/) })
  const svid = await cli.vestry([
    'token',
    'svid',
    '--agent',
    'scout',
    '--ttl',
    '1m',
    '--force-stdout',
  ])
  expect(svid.out).toMatch(/^audience +spiffe:\/\/sage-sanctum\.local\/llm-gateway$/m)
  expect(svid.out).toMatch(/^token +eyJ/m)
  expect((await cli.vestry(['token', 'svid', '--agent', 'scout'])).exitCode).toBe(2)
  expect((await cli.json(['token', 'svid'])).json.error.code).toBe('INVALID_PARAMS')
  expect((await cli.json(['token', 'trat', '--run', 'nowhere'])).json.error.code).toBe('RUN_CLOSED')
  const traced = await cli.vestry(['trace', 'run_tokens'])
  expect(traced.out).toMatch(/run\.register.*trat\.issue/s)
  expect(traced.out).not.toContain('eyJ')
})

test('new keys take over without a word, or at once', async () => {
  const { json } = await cli.json(['run', 'rotate-keys'])
  expect(json.keys).toHaveLength(2)
  expect((await cli.vestry(['run', 'rotate-keys', '--now', '--yes'])).out).toMatch(
    /^new keys +trat-/m,
  )
})

test('what is no registration is refused with the place of the problem', async () => {
  const words = (name: string, text: string) => [
    'run',
    'register',
    cli.file(name, text),
    '--agent',
    'scout',
  ]
  const wrong = await cli.json(words('wrong.yaml', 'org_id: "1"\nallowed_model: {}\n'))
  expect(wrong.json.error).toMatchObject({
    code: 'INVALID_PARAMS',
    message: expect.stringContaining('allowed_model'),
  })
  expect((await cli.json(words('list.yaml', '- 1\n'))).json.error.code).toBe('INVALID_PARAMS')
  expect((await cli.json(words('bad.yaml', 'a: [1\n'))).json.error.code).toBe('INVALID_PARAMS')
  const laughs = ['a0: &a0 [x]', ...[1, 2, 3, 4, 5, 6].map((n) => laughter(n))].join('\n')
  expect((await cli.json(words('laughs.yaml', laughs))).json.error.code).toBe('INVALID_PARAMS')
  const nobody = ['run', 'register', file(), '--agent', 'nobody']
  expect((await cli.json(nobody)).json.error.code).toBe('NOT_FOUND')
})

/** A list of ten times what came before it. */
function laughter(n: number): string {
  return `a${n}: &a${n} [${Array(10)
    .fill(`*a${n - 1}`)
    .join(', ')}]`
}
