/** `vestry dsl diff | deploy` against a real daemon, and without one. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const cli = new CliHome()
const source = (...tools: string[]): string => {
  const calls = tools.map((tool) => `call_tool("${tool}")`).join('; ')
  const rules = tools.map((tool) => `allow: "${tool}"`).join('\n')
  return `agent mailer { action b { ${calls} } policy p { ${rules} } }\n`
}
const narrow = cli.file('narrow.vestry', source('notes:append'))
const wide = cli.file('wide.vestry', source('notes:append', 'mail:send'))
const WIDER = 'may now call tool mail:send'

beforeAll(async () => {
  await cli.up(['--dev'])
})
afterAll(() => cli[Symbol.asyncDispose]())

async function counts(): Promise<unknown[]> {
  const { json } = await cli.json(['deployment', 'list'])
  return json.deployments
}

test('runtime §11: dsl diff --old compares two files and asks no daemon', async () => {
  const away = new CliHome()
  try {
    const told = await away.vestry(['dsl', 'diff', wide, '--old', narrow])
    expect(told).toMatchObject({ exitCode: 0, out: `+ ${WIDER}\n`, err: '' })
    const less = await away.vestry(['dsl', 'diff', narrow, '--old', wide])
    expect(less.out).toBe('- may no longer call tool mail:send\n')
    const same = await away.vestry(['dsl', 'diff', wide, '--old', wide])
    expect(same.out).toBe('it may do what it could before, and nothing else\n')
    const { json } = await away.json(['dsl', 'diff', wide, '--old', narrow])
    expect(json.changes).toEqual([{ direction: 'wider', text: WIDER }])
    expect((await away.vestry(['dsl', 'diff', wide])).exitCode).toBe(4)
  } finally {
    await away[Symbol.asyncDispose]()
  }
})

test('runtime §11: a first version and the same one are deployed, a wider one only where that is meant', async () => {
  const first = await cli.vestry(['dsl', 'deploy', narrow])
  expect([first.exitCode, first.out]).toEqual([
    0,
    expect.stringMatching(/^deployed mailer version 1 to development: dep_\S+\n$/),
  ])
  expect(first.err).toContain('+ may now call tool notes:append')
  const diff = await cli.json(['dsl', 'diff', narrow])
  expect(diff.json).toMatchObject({ deployed_version: 1, changes: [] })
  const same = await cli.json(['dsl', 'deploy', narrow, '--replace'])
  expect([same.exitCode, same.json.agent_version, same.json.changes]).toEqual([0, '2', []])
  const told = await cli.vestry(['dsl', 'diff', wide])
  expect(told.out).toBe(`+ ${WIDER}\n`)

  const before = await counts()
  const refused = await cli.vestry(['dsl', 'deploy', wide])
  expect([refused.exitCode, refused.out]).toEqual([3, ''])
  expect(refused.err).toContain(`WIDER_PERMISSIONS: mailer ${WIDER}`)
  expect(refused.err).toContain('--allow-wider')
  expect(await counts()).toEqual(before)
  // Nothing was registered either.
  const meant = await cli.json(['dsl', 'deploy', wide, '--allow-wider'])
  expect([meant.exitCode, meant.json.agent_version]).toEqual([0, '3'])
})

test('dsl diff and deploy: a wrong file, a wrong flag and the wrong agent change nothing', async () => {
  const before = await counts()
  const broken = cli.file('broken.vestry', 'agent mailer {')
  const two = cli.file(
    'two.vestry',
    `${source('a:b')}agent other { action b { log("info", 1) } }\n`,
  )
  for (const command of ['diff', 'deploy']) {
    const none = await cli.vestry(['dsl', command, '/nowhere/x.vestry'])
    expect([none.exitCode, none.err]).toEqual([1, expect.stringContaining('/nowhere/x.vestry')])
    const bad = await cli.vestry(['dsl', command, broken])
    expect([bad.exitCode, bad.err]).toEqual([1, expect.stringContaining('DSL_INVALID')])
    const both = await cli.vestry(['dsl', command, two])
    expect([both.exitCode, both.err]).toEqual([2, expect.stringContaining('mailer, other')])
    expect((await cli.vestry(['dsl', command, wide, '--wider'])).exitCode).toBe(2)
    expect((await cli.vestry(['dsl', command])).exitCode).toBe(2)
  }
  expect((await cli.vestry(['dsl', 'deploy', wide, '--env', 'no such'])).exitCode).not.toBe(0)
  expect(await counts()).toEqual(before)
})
