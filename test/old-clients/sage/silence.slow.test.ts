import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { result, type SageWorld, says, startSageWorld } from './sage-world.ts'

const SILENCE_MS = 130_000

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  beforeAll(async () => {
    // A provider that is silent for 120 s is given up unless this is longer.
    world = await startSageWorld()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  test('sage §21.23: heartbeats bridge 130 s of silence, with the patience of 120 s that it really has', async () => {
    const env = await world.run()
    // Its role, then a silence, then the word.
    world.providers.openai.script({ text: 'slow', silence: { after: 1, ms: SILENCE_MS } })
    const args = { model: 'openai:gpt-4o', messages: says('x') }
    const outcome = await world.ask(env, 'stream', args, { http: { timeout: 120 } })
    expect(result(outcome)).toMatchObject([{ text: 'slow' }])
    expect(outcome.ms).toBeGreaterThan(SILENCE_MS)
  })
})
