/**
 * The LLM gateway on its own Unix socket and on a common TCP port, with real stations, a real vault, real tokens of
 * registered runs, and providers that behave like the real ones.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import {
  assemble,
  openAudit,
  openHomeStore,
  type Parts,
} from '../../packages/server/src/app/assemble.ts'
import { type Config, Config as ConfigSchema } from '../../packages/server/src/app/config.ts'
import { firstStartSlots } from '../../packages/server/src/app/first-start.ts'
import { homeAt } from '../../packages/server/src/app/home.ts'
import { initialise, makeHome } from '../../packages/server/src/app/initialise.ts'
import { assembleLlm, type LlmPart } from '../../packages/server/src/app/llm-parts.ts'
import { PolicyReload } from '../../packages/server/src/app/policy-reload.ts'
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import { createHttp } from '../../packages/server/src/http/server.ts'
import { rowGuard } from '../../packages/server/src/identity/row-guard.ts'
import type { Run } from '../../packages/server/src/identity/runs/run.ts'
import { RunGate } from '../../packages/server/src/identity/runs/run-gate.ts'
import { RunKeys } from '../../packages/server/src/identity/runs/run-keys.ts'
import {
  newRun,
  readRegistration,
} from '../../packages/server/src/identity/runs/run-registration.ts'
import { RunStore } from '../../packages/server/src/identity/runs/run-store.ts'
import { Svids } from '../../packages/server/src/identity/runs/svid.ts'
import { Trats } from '../../packages/server/src/identity/runs/trat.ts'
import { Registry } from '../../packages/server/src/metrics/registry.ts'
import { loadKeyFile } from '../../packages/server/src/seal/keyfile-load.ts'
import {
  type CredentialFacts,
  CredentialSettings,
} from '../../packages/server/src/vault/credential.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { assertNoTokens } from '../harness/needles.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const DOMAIN = 'sage-sanctum.local'
export const AUDIENCE = `spiffe://${DOMAIN}/llm-gateway`
const PREFIX = '/scanner/'

export const MODELS = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5', 'google:gemini-2.5-flash'],
  reasoning: ['openai:o3'],
  embeddings: ['openai:text-embedding-3-small', 'google:gemini-embedding-001'],
}

const FACTS: CredentialFacts = {
  type: 'api_key',
  description: null,
  tags: [],
  metadata: {},
  settings: CredentialSettings.parse({ use_only: true }),
  expires_at: null,
}

export interface RunHeaders {
  readonly run: Run
  readonly authorization: string
  readonly 'txn-token': string
}

export interface LlmWorld extends AsyncDisposable {
  readonly parts: Parts
  readonly part: LlmPart
  readonly fakes: FakeProviders
  readonly socket: string
  readonly tcp: { readonly host: string; readonly port: number }
  readonly svids: Svids
  readonly trats: Trats
  readonly runs: RunStore
  readonly runKeys: RunKeys
  readonly registry: Registry
  /** Lines that operators would see. */
  readonly warnings: string[]
  draining: boolean
  putKey(path: string, value: string): Promise<void>
  /** Policies in Cedar, besides those that are built in. */
  addPolicy(text: string): Promise<void>
  /** A registered run and its tokens. */
  run(registration?: Record<string, unknown>): Promise<RunHeaders>
  /** A JSON request over the Unix socket. */
  post(path: string, body: unknown, headers: Readonly<Record<string, string>>): Promise<RawReply>
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<RawReply>
  /** Records of this wire so far. */
  audit(): Promise<AuditRecord[]>
  /** All of the log, as text. */
  auditText(): Promise<string>
}

export async function startLlmWorld(
  options: {
    llm?: object
    dev?: boolean
    keys?: boolean
    agentName?: string
    /** Of the common port. */
    requestTimeoutMs?: number
  } = {},
): Promise<LlmWorld> {
  await using undo = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'vestry-llm-'))
  undo.defer(() => rmSync(dir, { recursive: true, force: true }))
  const fakes = undo.use(await startFakeProviders())
  const { openai, anthropic, google } = fakes
  const config: Config = ConfigSchema.parse({
    egress: { allow_cidrs: ['127.0.0.1/32'] },
    llm: {
      providers: {
        openai: { base_url: openai.url },
        anthropic: { base_url: anthropic.url },
        google: { base_url: google.url },
      },
      ...options.llm,
    },
  })
  const home = homeAt(dir, {})
  makeHome(home)
  const dev = options.dev ?? false
  const audit = await openAudit(home, config, false)
  undo.defer(() => audit.close())
  const store = await openHomeStore(home, config, undefined)
  undo.defer(() => store.close())
  const onSessionEnd = (): void => undefined
  const parts = await assemble({
    home,
    config,
    dev,
    audit,
    store,
    acceptRollback: false,
    warn: () => undefined,
    onSessionEnd,
    runs: {
      join: async () => {
        throw new VestryError('TXN_INVALID')
      },
      assertOpen: (txn) => gate.assertOpen(txn),
    },
  })
  undo.use(parts.refusals)
  undo.use(parts.egressPool)
  using first = await firstStartSlots({
    home,
    dev: true,
    passphrase: undefined,
    warn: () => undefined,
  })
  await initialise({
    home,
    store,
    slots: first.slots,
    dev: true, // a key file alone opens the vault
    trustDomain: DOMAIN,
    defaultPolicies: true,
    now: Date.now,
  })
  await parts.seal.refresh()
  using key = await loadKeyFile(home.devKeyFile)
  await parts.seal.unseal({ keyfile: key.bytes })
  audit.setSigner(parts.seal.keys.serverKey)
  const reload = new PolicyReload(parts.policy, parts.policies)
  await reload.load()

  const now = Date.now
  const guard = rowGuard(() => parts.seal.keys)
  const keys = new RunKeys({ store: parts.store, guard, keys: () => parts.seal.keys, now })
  await keys.open()
  const common = { trustDomain: DOMAIN, leewaySeconds: 30, now, keys }
  const svids = new Svids({ ...common, external: undefined })
  const trats = new Trats({ ...common, issuer: `https://tts.${DOMAIN}` })
  const runs = new RunStore({ store: parts.store, guard, now })
  const { agents } = parts
  const gate = new RunGate({
    svids,
    trats,
    runs,
    agents,
    audience: AUDIENCE,
    runPathPrefix: PREFIX,
    now,
  })
  const registry = new Registry()
  const warnings: string[] = []
  const state = { draining: false }
  const part = assembleLlm(parts, {
    gate,
    run: (id) => runs.byId(id),
    registry,
    draining: () => state.draining,
    warn: (line) => void warnings.push(line),
  })
  const socket = await part.listen()
  undo.defer(() => part.drain(500))
  const http = createHttp({
    version: '0',
    startedAtMs: now(),
    now,
    registry,
    apiKeys: parts.apiKeys,
    loopback: true,
    maxBodyBytes: 1_048_576,
    ...(options.requestTimeoutMs !== undefined && { requestTimeoutMs: options.requestTimeoutMs }),
    state: () => ({ sealed: false, auditAvailable: true, draining: state.draining }),
    checks: () => part.checks(),
  })
  http.register(async (app) => part.routes(app), { prefix: '/v1' })
  await http.listen({ host: '127.0.0.1', port: 0 })
  undo.defer(() => http.close())
  const { port } = http.server.address() as { port: number }

  const putKey = async (path: string, value: string): Promise<void> => {
    await parts.credentials.put(path, Buffer.from(value), {}, { createdBy: 'test' }, FACTS)
    part.onChange(['credential'])
  }
  if (options.keys !== false) {
    for (const [name, value] of Object.entries(FAKE_KEYS)) await putKey(`llm/${name}`, value)
  }
  const agent = (await agents.add({ name: options.agentName ?? 'scanner' })).value
  const records = async (): Promise<AuditRecord[]> => {
    await audit.flush()
    const text = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditRecord)
  }
  const all = undo.move()
  return {
    parts,
    part,
    fakes,
    socket,
    tcp: { host: '127.0.0.1', port },
    svids,
    trats,
    runs,
    runKeys: keys,
    registry,
    warnings,
    get draining() {
      return state.draining
    },
    set draining(value) {
      state.draining = value
    },
    putKey,
    addPolicy: async (text) => {
      await parts.policies.add([{ name: 'test.cedar', text }], { understood: true })
      await reload.load()
    },
    run: async (registration = {}) => {
      const given = readRegistration({
        org_id: '90210',
        sub: 'github|org-90210',
        scope: 'scan.execute scan.upload',
        allowed_models: MODELS,
        ...registration,
      })
      const place = { agent, trustDomain: DOMAIN, runPathPrefix: PREFIX, tratTtlSeconds: 300 }
      const made = newRun(given, { ...place, node: 'here', uid: 0, nowMs: now() })
      const run = (await runs.add(made)).value
      const { token: svid } = svids.issue(run.spiffeId, AUDIENCE, 1_800)
      const { scope, tctx, rctx, expiresAt } = run
      const { token: trat } = trats.issue(run, { scope, tctx, rctx, notAfterMs: expiresAt })
      return { run, authorization: `Bearer ${svid}`, 'txn-token': trat }
    },
    post: (path, body, headers) =>
      rawRequest({ path: socket }, requestBytes('POST', path, headers, body)),
    get: (path, headers = {}) => rawRequest({ path: socket }, requestBytes('GET', path, headers)),
    audit: async () => (await records()).filter(({ source }) => source === 'llm'),
    auditText: async () => {
      await audit.flush()
      return readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
    },
    [Symbol.asyncDispose]: async () => {
      await audit.flush().catch(() => undefined)
      const left = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8') + warnings.join('\n')
      await all.disposeAsync()
      // Part of sage §21.39: whatever a test was about, this holds after it.
      assertNoTokens('the log or a warning', left, Object.values(FAKE_KEYS))
    },
  }
}

/** The two token headers, without what tests know besides. */
export function tokens({ authorization, 'txn-token': txn }: RunHeaders): Record<string, string> {
  return { Authorization: authorization, 'Txn-Token': txn }
}
