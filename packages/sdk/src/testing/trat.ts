/** The transaction token of tests, and a source that hands it out. */

import type { AllowedModels } from '../sage/model-selector.ts'
import type { TransactionClaims } from '../sage/transaction-token.ts'
import { TransactionToken } from '../sage/transaction-token.ts'

/** What to change about the default test token. */
export interface TestTratOptions {
  readonly raw?: string
  readonly runId?: string
  readonly orgId?: string
  /** Categories that are not named keep their default; `{}` of your own lists nothing there. */
  readonly allowedModels?: Partial<AllowedModels>
  readonly allowedProviders?: readonly string[]
  readonly scope?: string
  /** Default 300. */
  readonly lifetimeSeconds?: number
  /** Milliseconds since the epoch. Default now. */
  readonly nowMs?: number
}

const MODELS: AllowedModels = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-3-5-sonnet-latest'],
  reasoning: ['openai:o1'],
  embeddings: ['openai:text-embedding-3-small'],
}

/** The claims of the default test token: run `run_test123` of organisation `12345`. */
export function testTratClaims(options: TestTratOptions = {}): TransactionClaims {
  const { runId = 'run_test123', orgId = '12345', lifetimeSeconds = 300 } = options
  const iat = Math.floor((options.nowMs ?? Date.now()) / 1000)
  return {
    txn: runId,
    sub: `github|org-${orgId}`,
    scope: options.scope ?? 'scan.execute scan.upload',
    reqWl: `spiffe://sage-sanctum.local/scanner/${runId}`,
    iat,
    exp: iat + lifetimeSeconds,
    aud: 'sage-sanctum.local',
    iss: 'https://tts.sage-sanctum.local',
    tctx: {
      runId,
      orgId,
      repoUrl: 'https://github.com/acme/repo',
      agentType: 'sage-scanner',
      agentMode: 'standard',
      allowedModels: { ...MODELS, ...options.allowedModels },
      allowedProviders: options.allowedProviders ?? ['openai', 'anthropic'],
      allowedTools: {},
    },
    rctx: { trigger: 'pull_request', prNumber: 42, actor: 'dependabot[bot]', sourceIp: '' },
  }
}

/** The default test token; its raw text `mock-trat-jwt` is not signed and opens nothing. */
export function sampleTrat(options: TestTratOptions = {}): TransactionToken {
  return new TransactionToken(options.raw ?? 'mock-trat-jwt', testTratClaims(options))
}

export interface MockTratClientOptions extends TestTratOptions {
  /** A whole token instead of the default one with changes. */
  readonly token?: TransactionToken
}

/** Stands where a `TransactionTokenClient` would; always has a token. */
export class MockTratClient {
  readonly #token: TransactionToken

  constructor({ token, ...options }: MockTratClientOptions = {}) {
    this.#token = token ?? sampleTrat(options)
  }

  get current(): TransactionToken {
    return this.#token
  }

  getToken(): Promise<TransactionToken> {
    return Promise.resolve(this.#token)
  }

  /** Does nothing: there is only this token. */
  invalidate(): void {}
}
