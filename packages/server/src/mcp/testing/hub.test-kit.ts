/** A hub over a real store, with real processes; what is not MCP's is small and behaves. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { AuditEntry } from '../../audit/record.ts'
import { createWorld, type World } from '../../egress/testing/world.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { Secret } from '../../seal/secret.ts'
import { openStore, type Store } from '../../store/store.ts'
import { BY_ITSELF } from '../connect/process-record.ts'
import { readServerConfig } from '../connect/server-config.ts'
import { ServerStore } from '../server-store.ts'
import { McpServers } from '../servers.ts'
import type { Script } from './stdio-server.test-kit.ts'

export const PROGRAM = join(import.meta.dirname, 'stdio-server.test-kit.ts')

export interface TestHub extends AsyncDisposable {
  readonly servers: McpServers
  readonly store: Store
  readonly records: AuditEntry[]
  readonly notes: string[]
  readonly world: World
  readonly dir: string
  /** Adds a scripted server and connects it. */
  connect(name: string, script?: Script, more?: Record<string, unknown>): Promise<void>
  add(given: Record<string, unknown>): Promise<void>
  call(
    server: string,
    tool: string,
    given?: Record<string, unknown>,
    timeoutMs?: number,
  ): Promise<string>
}

export interface TestHubOptions {
  readonly secrets?: Readonly<Record<string, string>>
  readonly env?: Record<string, string>
  readonly autoConnect?: boolean
  readonly dir?: string
}

const keyring = testKeyring()

export function commandOf(script: Script = {}): string[] {
  return [process.execPath, PROGRAM, JSON.stringify(script)]
}

export async function testHub(options: TestHubOptions = {}): Promise<TestHub> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'mcp-'))
  // Its own, also where several share a home: each has another keyring.
  const store = await openStore(`sqlite:${join(mkdtempSync(join(dir, 'store-')), 'mcp.db')}`)
  const records: AuditEntry[] = []
  const notes: string[] = []
  const world = createWorld()
  const servers = new McpServers({
    store: new ServerStore({
      store,
      guard: testGuard(keyring),
      keys: () => keyring,
      now: Date.now,
    }),
    secrets: {
      resolve: async (reference, owner) => {
        const value = options.secrets?.[`${owner} ${reference}`]
        if (value === undefined)
          throw new VestryError('SECRET_NOT_FOUND', `There is no secret ${reference}`)
        return Secret.copy(Buffer.from(value))
      },
    },
    egress: world.deps,
    audit: {
      append: async (entry) => {
        records.push(structuredClone(entry))
        return records.length
      },
    },
    now: Date.now,
    note: (line) => void notes.push(line),
    environment: { PATH: process.env['PATH'], HOME: dir, ...options.env },
    home: dir,
    enabled: true,
    autoConnect: options.autoConnect ?? false,
    random: () => 0,
  })
  await servers.open()
  const add = async (given: Record<string, unknown>) => {
    await servers.add(readServerConfig(given), { replace: true, cause: BY_ITSELF })
  }
  return {
    servers,
    store,
    records,
    notes,
    world,
    dir,
    add,
    connect: async (name, script = {}, more = {}) => {
      await add({ name, command: commandOf(script), timeout_seconds: 10, ...more })
      await servers.connect(name, { waitMs: 20_000, cause: BY_ITSELF })
    },
    call: async (server, tool, given = {}, timeoutMs = 10_000) => {
      const signal = AbortSignal.timeout(20_000)
      const { content } = await servers.call(server, tool, given, { signal, timeoutMs })
      return String(content[0]?.['text'])
    },
    async [Symbol.asyncDispose]() {
      await servers.close('stop', 0)
      await store[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
    },
  }
}
