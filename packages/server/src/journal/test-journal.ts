/** For tests: journals on one store, with a clock that is set by hand and ids that say who they are. */
import { randomHex } from '@vestry/contract/ids'
import { disposeEntries, newEntries, OpenKeyring } from '../seal/keyring.ts'
import type { Store } from '../store/store.ts'
import type { NewExecution } from './execution.ts'
import type { Held, Reserved } from './held.ts'
import { Journal, type JournalDeps } from './journal.ts'

export const bytes = (text: string) => new TextEncoder().encode(text)
export const text = (content: Uint8Array | undefined) =>
  content && new TextDecoder().decode(content)

/** A clock that stands still unless told. */
export class TestClock {
  ms = 1_900_000_000_000
  readonly now = () => this.ms
}

/** @param fill Makes the same keys in every process. */
export function testKeys(fill?: number): OpenKeyring {
  const entries = newEntries(
    0,
    fill === undefined ? undefined : (length) => new Uint8Array(length).fill(fill),
  )
  const keyring = new OpenKeyring('6b1f9a7e-0d55-4f0a-9f43-0c8f7a2f1d11', entries)
  disposeEntries(entries)
  return keyring
}

export type TestDeps = Partial<JournalDeps> & { store: Store }

export function testJournal({ store, ...deps }: TestDeps): Journal {
  const keyring = testKeys()
  return new Journal({
    store,
    keys: () => keyring,
    now: Date.now,
    owner: `process-${randomHex(4)}`,
    warn: () => undefined,
    ...deps,
  })
}

export function inline(over: Partial<NewExecution> = {}): NewExecution {
  return {
    id: `ex_${randomHex(8)}`,
    kind: 'gateway',
    agentId: 'agent-1',
    subject: 'gmail_send:send',
    mode: 'inline',
    repeatable: false,
    retainMs: 60_000,
    ...over,
  }
}

export function queued(over: Partial<NewExecution> = {}): NewExecution {
  return inline({ mode: 'queued', ...over })
}

/** @throws when it was known or goes to a worker. */
export function held(reserved: Reserved): Held {
  if (reserved.state === 'held') return reserved.execution
  throw new Error(`It is ${reserved.state}`)
}

export async function until(condition: () => unknown, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('Did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
