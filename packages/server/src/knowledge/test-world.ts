/** Knowledge with everything real beside it, for tests; what it records is kept in memory. */
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AuditLog } from '../audit/log.ts'
import type { AuditEntry } from '../audit/record.ts'
import { Approvals } from '../call/approval.ts'
import { Taint } from '../call/taint.ts'
import type { Agent } from '../identity/agent.ts'
import { newCaller } from '../identity/caller.ts'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { testJournal } from '../journal/test-journal.ts'
import { Limits } from '../limits/limits.ts'
import { PolicyEngine } from '../policy/engine.ts'
import { readPolicyFiles } from '../policy/policy-file.ts'
import type { Store } from '../store/store.ts'
import type { ConversationMemory } from './context/conversation.ts'
import type { Embedder } from './embedder.ts'
import { hashingEmbedder } from './embedding/hashing.ts'
import { Knowledge } from './knowledge.ts'
import type { Asking, NewItem } from './requests.ts'

const GUARD = testGuard(testKeyring())
export const AGENTS = ['scout', 'clerk', 'baker'].map(
  (name, at): Agent => ({
    id: `018f3c5e-0000-7000-8000-00000000000${at}`,
    name,
    displayName: name,
    role: 'worker',
    status: 'enabled',
    keys: [],
    spiffeId: `spiffe://test/agent/${name}`,
    meta: {},
    requireSigV2: false,
    createdAt: 0,
    updatedAt: 0,
  }),
)

interface WorldOptions {
  readonly cedar?: string
  readonly embedder?: () => Embedder
  readonly directory?: string
  readonly memory?: ConversationMemory
  readonly agents?: readonly Agent[]
}

export async function world(store: Store, options: WorldOptions = {}) {
  const built = hashingEmbedder()
  const { cedar = '', embedder = () => built, agents = AGENTS, memory } = options
  const dir = mkdtempDisposableSync(join(tmpdir(), 'knowledge-'))
  onTestFinished(() => dir.remove())
  const taint = new Taint({ store, now: Date.now, warn: () => undefined })
  await taint.load()
  const policy = new PolicyEngine((txn) => taint.of(txn))
  const settings = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
  if (cedar !== '') {
    const { policies } = await readPolicyFiles([{ name: 'r.cedar', text: cedar }], settings)
    policy.load(policies.map((row, position) => ({ ...row, position })))
  }
  const written: AuditEntry[] = []
  const audit = {
    append: async (entry: AuditEntry) => written.push(entry),
  } as unknown as AuditLog // perform appends and nothing else
  const journal = testJournal({ store, pollMs: 20 })
  const warnings: string[] = []
  const stations = {
    policy,
    limits: new Limits({ store, now: Date.now, monotonic: () => performance.now() }),
    approvals: new Approvals(store, GUARD, Date.now),
    taint,
    audit,
    refused: () => undefined,
    now: Date.now,
  }
  const directory = options.directory ?? dir.path
  const knowledge = new Knowledge({
    stations,
    store,
    guard: GUARD,
    journal,
    agents: { byName: async (name) => agents.find((agent) => agent.name === name) },
    directory,
    lineage: () => 'the-vault',
    embedder,
    ...(memory !== undefined && { memory: () => memory }),
    now: Date.now,
    warn: (line) => void warnings.push(line),
  })
  const off = store.onChange((tables) => knowledge.onChange(tables))
  await knowledge.open()
  const close = async () => {
    off()
    await knowledge.close()
    await journal[Symbol.asyncDispose]()
    taint[Symbol.dispose]()
  }
  onTestFinished(close)
  return { knowledge, journal, taint, written, warnings, directory, close }
}

let txns = 0
/** @param who An agent, the name of one of {@link AGENTS}, or else of an administrator. */
export function as(who: string | Agent, txn = `txn_${txns++}`): Asking {
  const agent = typeof who === 'string' ? AGENTS.find(({ name }) => name === who) : who
  const principal =
    agent === undefined
      ? ({
          kind: 'operator',
          operator: {
            id: 'op_1',
            name: String(who),
            role: 'admin',
            status: 'enabled',
            createdAt: 0,
          },
        } as const)
      : ({ kind: 'agent', agent } as const)
  return {
    caller: newCaller({ principal, peer: { transport: 'http' }, txn }),
    requestId: 'req_1',
    signal: AbortSignal.timeout(20_000),
  }
}

export function item(id: string, content: string, more: Partial<NewItem> = {}): NewItem {
  return {
    id,
    content,
    source: `${id}.md`,
    sourceType: 'document',
    agentId: undefined,
    labels: [],
    ...more,
  }
}

export const ALL = { threshold: 0, limit: 100 } as const
export const idsOf = async (found: Promise<{ hits: readonly { item: { id: string } }[] }>) =>
  (await found).hits.map(({ item: { id } }) => id).sort()
