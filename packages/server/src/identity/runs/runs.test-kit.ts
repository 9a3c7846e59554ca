/** For tests: everything a run needs, on a store that the test brings and at a time of its choosing. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { AuditEntry } from '../../audit/record.ts'
import type { Store } from '../../store/store.ts'
import type { Agent } from '../agent.ts'
import { AgentStore } from '../agent-store.ts'
import { testGuard, testKeyring } from '../test-keys.ts'
import { ExternalBundle } from './external-bundle.ts'
import { type JsonObject, type JwsAlgorithm, signJws } from './jws.ts'
import type { Run } from './run.ts'
import { RunGate } from './run-gate.ts'
import { RunKeys } from './run-keys.ts'
import { newRun, readRegistration } from './run-registration.ts'
import { RunStore } from './run-store.ts'
import { Svids } from './svid.ts'
import { TokenService } from './token-service.ts'
import { Trats } from './trat.ts'

export const START = Date.parse('2030-01-01T00:00:00.000Z')
export const DOMAIN = 'sage-sanctum.local'
export const LLM = `spiffe://${DOMAIN}/llm-gateway`
export const TTS = `spiffe://${DOMAIN}/tts`
const ISSUER = `https://tts.${DOMAIN}`
const PREFIX = '/scanner/'

/** One for the file, so that several nodes read each other's rows. */
const keyring = testKeyring()
const guard = testGuard(keyring)

export const MODELS = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'],
  reasoning: ['openai:o3'],
  embeddings: ['openai:text-embedding-3-small'],
}

export class RunWorld implements Disposable {
  nowMs = START
  leewaySeconds = 30
  readonly now = () => this.nowMs
  readonly records: AuditEntry[] = []
  readonly keys: RunKeys
  readonly runs: RunStore
  readonly agents: AgentStore
  readonly svids: Svids
  readonly trats: Trats
  readonly gate: RunGate
  readonly service: TokenService

  constructor(
    store: Store,
    {
      leewaySeconds = 30,
      maxReplacements = 200,
      load,
    }: {
      leewaySeconds?: number
      maxReplacements?: number
      /** Text of a bundle of another issuer. */
      load?: () => Promise<string>
    } = {},
  ) {
    const { now } = this
    const common = { trustDomain: DOMAIN, leewaySeconds, now }
    this.keys = new RunKeys({ store, guard, keys: () => keyring, now })
    this.runs = new RunStore({ store, guard, now })
    this.agents = new AgentStore({ store, guard, now, trustDomain: DOMAIN })
    const external = load && new ExternalBundle({ load, now })
    this.svids = new Svids({ ...common, keys: this.keys, external })
    this.trats = new Trats({ ...common, keys: this.keys, issuer: ISSUER })
    const { svids, trats, runs, agents } = this
    const parts = { svids, trats, runs, agents, runPathPrefix: PREFIX, now }
    this.gate = new RunGate({ ...parts, audience: LLM })
    this.service = new TokenService({
      ...parts,
      gate: this.gate,
      audience: TTS,
      trustDomain: DOMAIN,
      maxReplacements,
      audit: {
        append: async (entry: AuditEntry) => {
          this.records.push(entry)
          return undefined as never
        },
      },
    })
  }

  static async open(store: Store, options?: ConstructorParameters<typeof RunWorld>[1]) {
    const world = new RunWorld(store, options)
    await world.keys.open()
    return world
  }

  async agent(name = 'scanner'): Promise<Agent> {
    return (await this.agents.add({ name })).value
  }

  async run(agent: Agent, body: Record<string, unknown> = {}): Promise<Run> {
    const given = readRegistration({
      org_id: '90210',
      sub: 'github|org-90210',
      scope: 'scan.execute scan.upload',
      allowed_models: MODELS,
      allowed_providers: ['openai', 'anthropic'],
      ...body,
    })
    const place = { agent, trustDomain: DOMAIN, runPathPrefix: PREFIX, tratTtlSeconds: 300 }
    return (
      await this.runs.add(newRun(given, { ...place, node: 'here', uid: 0, nowMs: this.nowMs }))
    ).value
  }

  /** What a client sends: both headers, fresh. */
  async headers(run: Run, audience = LLM) {
    const { token: svid } = this.svids.issue(run.spiffeId, audience, 1_800)
    const { token: trat } = await this.service.issueFor(run.id, 'sidecar')
    return { authorization: [`Bearer ${svid}`], txnToken: [trat] }
  }

  /** A token signed by the key in use, saying and being whatever the test wants. */
  forge(
    use: 'trat' | 'svid',
    claims: JsonObject,
    header: JsonObject = {},
    key?: { alg: JwsAlgorithm; privateKey: KeyObject },
  ): string {
    const { kid, alg, privateKey } = { ...this.keys.signing(use), ...key }
    const typ = use === 'trat' ? 'txntoken+jwt' : 'JWT'
    return signJws(alg, privateKey, { typ, kid, ...header }, claims)
  }

  svidClaims(run: Run, over: Record<string, unknown> = {}): Record<string, unknown> {
    const iat = Math.floor(this.nowMs / 1_000)
    return { sub: run.spiffeId, aud: [LLM], iat, exp: iat + 1_800, ...over }
  }

  tratClaims(run: Run, over: Record<string, unknown> = {}): Record<string, unknown> {
    const iat = Math.floor(this.nowMs / 1_000)
    return {
      txn: run.id,
      sub: run.sub,
      scope: run.scope.join(' '),
      req_wl: run.spiffeId,
      iat,
      exp: iat + 300,
      aud: DOMAIN,
      iss: ISSUER,
      tctx: run.tctx,
      rctx: {},
      ...over,
    }
  }

  [Symbol.dispose](): void {
    this.agents[Symbol.dispose]()
    this.runs[Symbol.dispose]()
  }
}

/** A token with a header of one's own and no signature worth the name. */
export function unsigned(header: JsonObject, claims: JsonObject, signature = 'AAAA'): string {
  const part = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

export function form(fields: Record<string, string>): string {
  return new URLSearchParams(fields).toString()
}

export const ed25519 = () => generateKeyPairSync('ed25519')
export const p256 = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
