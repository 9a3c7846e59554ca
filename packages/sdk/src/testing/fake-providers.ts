/**
 * OpenAI, Anthropic and Google for tests: real HTTP servers on free ports that check the key, refuse what
 * the real APIs refuse, answer in their shapes, stream in their ways, and misbehave as a script says.
 */

import { asyncDispose } from '../vault/async-dispose.ts'
import { fakeAnthropic } from './fake-providers/anthropic.ts'
import { fakeGoogle } from './fake-providers/google.ts'
import { fakeOpenAi } from './fake-providers/openai.ts'
import type { Scripted } from './fake-providers/script.ts'
import { FakeProvider } from './fake-providers/server.ts'

export type { Scripted, Seen } from './fake-providers/script.ts'
export { vectorOf } from './fake-providers/script.ts'
export { FakeProvider }

/** The keys the fakes accept; in the shapes of the real ones, so that redaction is tested too. */
export const FAKE_KEYS = {
  openai: 'sk-proj-fakeOpenAiKey0123456789abcdef',
  anthropic: 'sk-ant-api03-fakeAnthropicKey0123456789',
  google: 'AIzaSyFakeGoogleKey0123456789abcdefghi',
} as const

export interface FakeProviders extends AsyncDisposable {
  readonly openai: FakeProvider
  readonly anthropic: FakeProvider
  readonly google: FakeProvider
  close(): Promise<void>
}

/** @param script The first answers of each; without one they behave. */
export async function startFakeProviders(
  script: { [name in keyof typeof FAKE_KEYS]?: readonly Scripted[] } = {},
): Promise<FakeProviders> {
  const openai = new FakeProvider(fakeOpenAi, FAKE_KEYS.openai, script.openai)
  const anthropic = new FakeProvider(fakeAnthropic, FAKE_KEYS.anthropic, script.anthropic)
  const google = new FakeProvider(fakeGoogle, FAKE_KEYS.google, script.google)
  const all = [openai, anthropic, google]
  await Promise.all(all.map((provider) => provider.start()))
  const close = async () => {
    await Promise.all(all.map((provider) => provider.close()))
  }
  return { openai, anthropic, google, close, [asyncDispose]: close }
}
