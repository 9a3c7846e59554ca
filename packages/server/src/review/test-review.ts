/** For tests: reviews on a store, with real keys and the real analyser, and nothing of a daemon around them. */
import type { AuditEntry } from '../audit/record.ts'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import type { OpenKeyring } from '../seal/keyring.ts'
import type { Store } from '../store/store.ts'
import { analyse } from './analysis/analyse.ts'
import type { Analysis } from './analysis/finding.ts'
import type { KnownTool } from './analysis/rule.ts'
import { documentOf } from './normalise.ts'
import type { Verifier } from './pins/verifier.ts'
import { assembleReview, type ReviewPart, type ReviewPartDeps } from './review.ts'
import type { AnalysisTask } from './sessions/analysis-threads.ts'
import type { Session } from './sessions/session.ts'
import { SigningKeys } from './signing/key-store.ts'
import { Signatures } from './signing/signatures.ts'

export interface TestReview extends ReviewPart {
  readonly records: AuditEntry[]
  /** Of each look for a provider's key: whether anybody could be asked. */
  readonly mayAsk: boolean[]
  readonly lines: string[]
  clock: number
  /** In the place of the analyser. */
  run: (task: AnalysisTask) => Promise<Analysis>
  auditAvailable: boolean
  /** Submits, and waits for its analysis. */
  analysed(tool: object, by?: string): Promise<Session>
  /** The same to the signature. */
  signedTool(tool: object): Promise<Session>
}

export interface TestReviewOptions {
  readonly settings?: Partial<ReviewPartDeps['settings']>
  readonly offered?: readonly KnownTool[]
  readonly keyring?: OpenKeyring
  readonly verify?: Verifier['verify']
}

export function analyseHere({ toolJson, earlierJson, around }: AnalysisTask): Promise<Analysis> {
  return Promise.resolve(
    analyse(documentOf(toolJson), { ...around, earlier: earlierJson.map(documentOf) }),
  )
}

/** A tool as a client sends it; the schema is plain. */
export function plainTool(name: string, more: object = {}): object {
  return {
    name,
    description: 'Adds two numbers',
    tool_schema: {
      type: 'object',
      properties: { a: { type: 'integer', minimum: 0, maximum: 9 } },
      required: ['a'],
    },
    provider: { name: 'sums.example', public_key_url: 'https://sums.example/key.pem' },
    ...more,
  }
}

/** A tool that runs whatever it is given: a critical finding. */
export function shellTool(name = 'run'): object {
  const tool_schema = {
    type: 'object',
    properties: { cmd: { type: 'string', maxLength: 100 } },
    required: ['cmd'],
  }
  return plainTool(name, { description: 'Runs a command', tool_schema })
}

export function testReview(
  store: Pick<Store, 'db' | 'change' | 'engine' | 'onChange'>,
  { settings = {}, offered = [], keyring = testKeyring(), verify }: TestReviewOptions = {},
): TestReview {
  const guard = testGuard(keyring)
  const now = () => test.clock
  const keys = new SigningKeys({ store, guard, keys: () => keyring, now })
  const signatures = new Signatures({ store, guard, keys, now })
  const records: AuditEntry[] = []
  const lines: string[] = []
  const mayAsk: boolean[] = []
  const part = assembleReview({
    store,
    guard,
    audit: {
      get available() {
        return test.auditAvailable
      },
      append: async (entry) => records.push(entry),
    },
    keys,
    signatures,
    verifier: {
      providerKey: async (_url, _tool, options) => {
        mayAsk.push(options?.mayAsk ?? true)
        return { state: 'not_asked' }
      },
      verify: verify ?? (() => Promise.reject(new Error('nobody carries a signature here'))),
    },
    offered: () => offered,
    settings: { four_eyes: false, auto_reject: false, ...settings },
    now,
    warn: (line) => lines.push(line),
    threads: {
      run: (task) => test.run(task),
      open: () => undefined,
      close: async () => undefined,
    },
  })
  store.onChange((tables) => part.onChange(tables))
  const test: TestReview = {
    ...part,
    records,
    mayAsk,
    lines,
    clock: 1_900_000_000_000,
    run: analyseHere,
    auditAvailable: true,
    async analysed(tool, by = 'dana') {
      const { id } = await part.reviews.submit({
        tool: JSON.parse(JSON.stringify(tool)),
        submittedBy: by,
        priority: undefined,
        actor: 'operator:owner',
        owner: '',
      })
      return settled(part, id)
    },
    async signedTool(tool) {
      const { id } = await test.analysed(tool)
      if ((await keys.find('default')) === undefined)
        await keys.add({ id: 'default', domain: 'ours.example', developerName: 'Ours' })
      const said = {
        word: 'approve' as const,
        reviewerId: 'ada',
        comments: 'seen',
        actor: 'operator:ada',
      }
      await part.reviews.decide(id, said)
      await part.reviews.sign(id, { keyId: 'default' }, { actor: 'operator:ada' })
      return part.sessions.get(id)
    },
  }
  return test
}

/** Until its analysis is over. */
export async function settled(
  { sessions }: Pick<ReviewPart, 'sessions'>,
  id: string,
): Promise<Session> {
  for (let looks = 0; looks < 2_000; looks += 1) {
    const session = await sessions.get(id)
    if (!['submitted', 'pending_analysis', 'analyzing'].includes(session.status)) return session
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new Error('the analysis does not end')
}
