import { beforeEach, expect, it } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { Approvals } from '../../call/approval.ts'
import type { Stations } from '../../call/perform.ts'
import { Taint } from '../../call/taint.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { newTrace } from '../../identity/traceparent.ts'
import { Limits } from '../../limits/limits.ts'
import { PolicyEngine } from '../../policy/engine.ts'
import { readPolicyFiles } from '../../policy/policy-file.ts'
import { eachStore } from '../../store/test-store.ts'
import { hashingEmbedder } from '../embedding/hashing.ts'
import { Memory } from './memory.ts'
import { MemoryStore } from './memory-store.ts'
import { CAPACITY, IDLE_MS } from './node.ts'

const failing = (code: string) => expect.objectContaining({ code })
const ACTIONS = 'action in [Action::"knowledge:search", Action::"knowledge:write"]'
const PERMIT = `@id("own") permit (principal, ${ACTIONS}, resource);`
const FORBID = `@id("no-pii") forbid (principal, ${ACTIONS}, resource) when { resource.labels.contains("pii") };`
const START = Date.parse('2031-01-01T00:00:00Z')
const agentOf = (name: string) => ({ id: `id-of-${name}`, name, role: '', meta: {} }) as Agent
const AGENTS = [agentOf('scout'), agentOf('clerk')]

eachStore('memory', (at) => {
  let nowMs: number
  let memory: Memory
  let taint: Taint
  let policy: PolicyEngine
  let records: AuditEntry[]

  const load = async (text: string) => {
    const settings = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
    const { policies } = await readPolicyFiles([{ name: 'm.cedar', text }], settings)
    policy.load(policies.map((row, position) => ({ ...row, position })))
  }

  beforeEach(async () => {
    nowMs = START
    records = []
    taint = new Taint({ store: at.store, now: () => nowMs, warn: () => undefined })
    policy = new PolicyEngine()
    await load(PERMIT)
    const stations: Stations = {
      policy,
      limits: new Limits({ store: at.store, now: () => nowMs, monotonic: () => nowMs }),
      approvals: new Approvals(at.store, testGuard(testKeyring()), () => nowMs),
      taint,
      audit: {
        append: async (entry: AuditEntry) => records.push(entry),
      } as unknown as AuditLog, // perform appends and nothing else
      refused: () => undefined,
      now: () => nowMs,
    }
    memory = new Memory({
      stations,
      store: new MemoryStore({ store: at.store }),
      agents: {
        byName: async (name) => AGENTS.find((agent) => agent.name === name),
        byId: async (id) => AGENTS.find((agent) => agent.id === id),
      },
      embedder: hashingEmbedder,
      now: () => nowMs,
    })
  })

  const asking = (txn: string, agent = 'scout') => {
    const principal = { kind: 'agent' as const, agent: agentOf(agent) }
    const caller: Caller = { principal, peer: { transport: 'http' }, txn, trace: newTrace() }
    return { caller, requestId: 'r-1', signal: new AbortController().signal }
  }
  const fact = (text: string, more: object = {}) => ({
    agent_id: 'scout',
    content: { text },
    memory_type: 'fact',
    memory_level: 'long_term',
    ...more,
  })
  const add = async (txn: string, text: string, more: object = {}) => {
    const { memory: node } = await memory.add(asking(txn), fact(text, more))
    return String((node as { id: string }).id)
  }
  const search = async (txn: string, more: object = {}) => {
    const { memories } = await memory.search(asking(txn), { agent_id: 'scout', ...more })
    return (memories as { id: string }[]).map(({ id }) => id)
  }

  it('what a transaction had read is said of what it stores, and of whoever reads that', async () => {
    await taint.add('txn_a', ['pii'])
    const tainted = await add('txn_a', 'The customer lives in Kiel.')
    const clean = await add('txn_b', 'Backups run at night.')
    expect(await search('txn_c', { content_contains: 'backups' })).toEqual([clean])
    expect(taint.of('txn_c')).toEqual([])
    expect(await search('txn_c', { query: { text: 'where does the customer live' } })).toEqual([
      tainted,
    ])
    expect(taint.of('txn_c')).toEqual(['pii'])
  })

  it('labels are on disk before anything is handed out, and nothing is where they cannot be', async () => {
    await taint.add('txn_a', ['pii'])
    await add('txn_a', 'The customer lives in Kiel.')
    taint.add = () => Promise.reject(new Error('the disk is full'))
    await expect(search('txn_d')).rejects.toThrow('the disk is full')
  })

  it('what policy keeps from the reader is not there, and leaves no trace on it', async () => {
    await taint.add('txn_a', ['pii'])
    const hidden = await add('txn_a', 'The customer lives in Kiel.')
    const clean = await add('txn_b', 'Backups run at night.')
    await load(`${PERMIT} ${FORBID}`)
    expect(await search('txn_c')).toEqual([clean])
    expect(taint.of('txn_c')).toEqual([])
    await expect(
      memory.get(asking('txn_c'), { agent_id: 'scout', memory_id: hidden }),
    ).rejects.toEqual(failing('MEMORY_NOT_FOUND'))
    await expect(memory.remove(asking('txn_c'), hidden)).rejects.toEqual(failing('ACCESS_DENIED'))
  })

  it('runtime §14.3: reading raises access_count; short-term memories go after an hour without it', async () => {
    const short = { memory_level: 'short_term' }
    const used = await add('txn_a', 'Coffee is in the left cupboard.', short)
    const idle = await add('txn_a', 'The printer is jammed.', short)
    nowMs += IDLE_MS - 1
    const seen = await memory.get(asking('txn_a'), { agent_id: 'scout', memory_id: used })
    expect(seen['memory']).toMatchObject({ access_count: 1, last_accessed: expect.any(String) })
    nowMs += 1
    expect(await search('txn_a')).toEqual([used])
    await memory.prune()
    nowMs = START
    expect(await search('txn_a')).not.toContain(idle)
  })

  it('runtime §14.3: a level that is a fifth too full is tidied by itself', async () => {
    const short = { memory_level: 'short_term' }
    for (let n = 0; n <= CAPACITY.short_term * 1.2; n += 1) {
      nowMs += 1
      const text = `Ticket ${n * 7919}: ${'abcdefghij'[n % 10]?.repeat(5)} ${n ** 3}`
      await add('txn_a', text, { ...short, importance_score: n === 3 ? 0.9 : 0.1 })
    }
    const { memories } = await memory.search(asking('txn_a'), { agent_id: 'scout', limit: 100 })
    const levels = (memories as { memory_level: string }[]).map(({ memory_level: of }) => of)
    expect(levels.filter((level) => level === 'long_term')).toHaveLength(1)
    expect(levels.filter((level) => level === 'short_term').length).toBeLessThanOrEqual(50)
  })

  it('members must be equal, and those of other agents are not there', async () => {
    const parent = await add('txn_a', 'Parent', { conversation_id: 'c', importance_score: 0.4 })
    const child = await add('txn_a', 'Child', { parent_id: parent, metadata: { kind: 'x' } })
    expect(await search('txn_a', { query: { parent_id: parent } })).toEqual([child])
    expect(await search('txn_a', { query: { metadata: { kind: 'x' } } })).toEqual([child])
    expect(await search('txn_a', { query: { text: null, conversation_id: 'c' } })).toEqual([parent])
    expect(await search('txn_a', { query: { toString: 'x' } })).toEqual([])
    expect(await search('txn_a', { importance_threshold: 0.4 })).toEqual([parent])
    const later = { start: '2031-01-02T00:00:00Z' }
    expect(await search('txn_a', { time_range: later })).toEqual([])
    const other = asking('txn_b', 'clerk')
    await expect(memory.search(other, { agent_id: 'scout' })).rejects.toEqual(
      failing('AGENT_NOT_FOUND'),
    )
    await expect(memory.remove(other, parent)).rejects.toEqual(failing('MEMORY_NOT_FOUND'))
    await expect(
      memory.add(other, fact('x', { agent_id: 'clerk', parent_id: parent })),
    ).rejects.toEqual(failing('VALIDATION_ERROR'))
  })

  it('records say which agent and how much, never what', async () => {
    await add('txn_a', 'A very private sentence')
    await search('txn_a', { query: { text: 'very private sentence' } })
    expect(records.length).toBeGreaterThan(2)
    expect(JSON.stringify(records)).not.toContain('private')
  })

  it('what is wrong is refused with its field', async () => {
    for (const bad of [
      { memory_type: 'dream' },
      { memory_level: 'forever' },
      { importance_score: 1.5 },
      { content: 'text' },
      { content: { text: 'x'.repeat(70_000) } },
    ])
      await expect(memory.add(asking('txn_a'), fact('x', bad))).rejects.toEqual(
        failing('VALIDATION_ERROR'),
      )
  })
})
