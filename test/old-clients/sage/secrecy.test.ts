/** Nothing that opens a door is ever told: not in an error, not in a log, not in a report. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FAKE_KEYS } from '../../harness/fake-providers.ts'
import { noPython } from '../client-process.ts'
import { runAgent } from './sage-process.ts'
import { PROVIDERS, repository, type SageWorld, says, startSageWorld } from './sage-world.ts'

/** As much of a secret as its masked form may show. */
const SHOWN = 8

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  beforeAll(async () => {
    world = await startSageWorld()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  test('sage §21.39: no token and no key is in an error, the log or a report', async () => {
    const env = await world.run()
    const tokens = [env['SPIFFE_JWT_PATH'], env['TRAT_FILE']].map((path) =>
      readFileSync(path ?? '', 'utf8').trim(),
    )
    const told: string[] = []
    const ask = async (call: string, args: object): Promise<void> => {
      const { raised } = await world.ask(env, call, args)
      told.push(raised?.message ?? '')
    }
    for (const { provider, model } of PROVIDERS) {
      const key = FAKE_KEYS[provider]
      const args = { model: `${provider}:${model}`, messages: says('x') }
      const body = { error: { message: `Incorrect API key provided: ${key}` } }
      for (const status of [400, 401, 404]) {
        world.providers[provider].script({ status, body })
        await ask('chat', args)
      }
      await ask('chat', { ...args, messages: says(`my key is ${key}`) })
      await ask('stream', { ...args, model: `${provider}:forbidden` })
    }
    await ask('embed_documents', { model: 'forbidden', texts: tokens })
    const secrets = [...tokens, ...Object.values(FAKE_KEYS)]
    expectSilent(told.join('\n'), secrets)
    expect(told.filter((text) => text !== '').length).toBeGreaterThan(9)

    const dir = world.directory()
    world.providers.openai.script({ status: 401, body: { error: { message: FAKE_KEYS.openai } } })
    const failed = runAgent('scan', { ...env, REPO_PATH: repository(dir, { 'a.py': 'x' }) })
    expectSilent((await failed.ended).stderr, secrets)
    expectSilent(world.vestry.auditLines().join('\n'), secrets)
    // The files of the run are where its tokens belong.
    for (const file of files(world.vestry.home.dir)) {
      if (file.endsWith('.jwt')) continue
      expectSilent(readFileSync(file, 'latin1'), secrets)
    }
  })
})

function expectSilent(text: string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    expect(text).not.toContain(secret.slice(SHOWN))
    // A JWT is told by its payload or signature alone, too.
    for (const part of secret.split('.').filter((each) => each.length > 2 * SHOWN))
      expect(text).not.toContain(part.slice(SHOWN))
  }
}

function files(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
}
