/** For tests: agents, registry and everything around a token, on a store that the test brings. */
import type { NewAgent } from '../../identity/agent.ts'
import { AgentStore } from '../../identity/agent-store.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import type { Store } from '../../store/store.ts'
import { type Minted, mint } from './mint.ts'
import { type MintRequest, readMintRequest } from './mint-request.ts'
import type { TokenKeys } from './token-codec.ts'
import { TokenStore } from './token-store.ts'
import { TokenVerifier, type TokenVerifierDeps } from './verify.ts'

/** One for the file, so that several nodes read each other's rows. */
const guard = testGuard(testKeyring())

export const START = Date.parse('2030-01-01T00:00:00.000Z')

export class TokenWorld implements Disposable {
  nowMs = START
  keys: TokenKeys = { secrets: [Buffer.from('a signing secret of the tests')] }
  readonly guard = guard
  readonly now = () => this.nowMs
  readonly agents: AgentStore
  readonly tokens: TokenStore

  constructor(store: Store) {
    const { now } = this
    this.agents = new AgentStore({ store, guard, now, trustDomain: 'example.org' })
    this.tokens = new TokenStore({ store, guard, now })
  }

  verifier(over: Partial<TokenVerifierDeps> = {}): TokenVerifier {
    const { agents, tokens, now } = this
    const keys = () => this.keys
    return new TokenVerifier({ keys, withIssueTime: false, agents, tokens, now, ...over })
  }

  async agent(input: Partial<NewAgent> = {}) {
    const named = { name: 'lead-bot', displayName: 'Lead Bot', role: 'scraper', ...input }
    return (await this.agents.add(named)).value
  }

  async mint(
    agent: Awaited<ReturnType<TokenWorld['agent']>>,
    over: Partial<MintRequest> = {},
  ): Promise<Minted> {
    const expires_at = new Date(this.nowMs + 600_000).toISOString()
    const body = { agent_id: agent.id, tools: ['serpapi'], permissions: ['read'], expires_at }
    return mint(
      agent,
      { ...readMintRequest(body), ...over },
      {
        tokens: this.tokens,
        keys: () => this.keys,
        form: { format: 'signed', withIssueTime: false },
        expiry: { serverZone: 'UTC', naiveMaxMinutes: 60, maxTtlMinutes: 1440 },
        now: this.now,
      },
    )
  }

  [Symbol.dispose](): void {
    this.agents[Symbol.dispose]()
  }
}
