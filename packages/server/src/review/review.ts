/** Review put together: sessions, their analyses, decisions, and what the parts that run tools are told. */
import { randomBytes } from 'node:crypto'
import type { AuditLog } from '../audit/log.ts'
import type { RowGuard } from '../identity/row-guard.ts'
import type { Store } from '../store/store.ts'
import type { KnownTool } from './analysis/rule.ts'
import { carriedHolds } from './carried.ts'
import { documentJson } from './normalise.ts'
import type { Verifier } from './pins/verifier.ts'
import { ReviewedByHash } from './reviewed.ts'
import type { ReviewedTools } from './reviewed-tools.ts'
import { AnalysisQueue } from './sessions/analysis-queue.ts'
import { AnalysisStore } from './sessions/analysis-store.ts'
import { AnalysisThreads } from './sessions/analysis-threads.ts'
import { Outlook } from './sessions/outlook.ts'
import { Reviews } from './sessions/reviews.ts'
import { SessionStore } from './sessions/session-store.ts'
import { taskOf } from './sessions/surroundings.ts'
import { ReviewViews } from './sessions/views.ts'
import type { SigningKeys } from './signing/key-store.ts'
import type { Signatures } from './signing/signatures.ts'

export interface ReviewPartDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'engine'>
  readonly guard: RowGuard
  readonly audit: Pick<AuditLog, 'append' | 'available'>
  readonly keys: SigningKeys
  readonly signatures: Signatures
  readonly verifier: Pick<Verifier, 'verify' | 'providerKey'>
  /** Tools that MCP servers list now, and those that are built in. */
  readonly offered: () => readonly KnownTool[]
  readonly settings: {
    readonly four_eyes: boolean
    readonly auto_approve_score?: number | undefined
    readonly auto_reject: boolean
  }
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
  /** Own threads unless given. */
  readonly threads?: Pick<AnalysisThreads, 'run' | 'open' | 'close'>
}

export interface ReviewPart {
  readonly reviews: Reviews
  readonly sessions: SessionStore
  readonly views: ReviewViews
  readonly signatures: Signatures
  readonly keys: SigningKeys
  readonly reviewed: ReviewedTools
  /** The vault is open: what waits is analysed. */
  open(): Promise<void>
  onChange(tables: readonly string[]): void
  /** Sealed: nothing runs, nothing is remembered. */
  close(): Promise<void>
}

export function assembleReview(deps: ReviewPartDeps): ReviewPart {
  const { store, guard, audit, signatures, verifier, settings, now, warn } = deps
  const sessions = new SessionStore({ store, guard, now })
  const analyses = new AnalysisStore(store, guard)
  const outlook = new Outlook({ sessions, analyses, now })
  const threads = deps.threads ?? new AnalysisThreads()
  const surroundings = {
    sessions,
    offered: deps.offered,
    providerKey: (url: string | null, tool: string, mayAsk: boolean) =>
      verifier.providerKey(url, tool, { mayAsk }),
  }
  const reviews: Reviews = new Reviews({
    sessions,
    analyses,
    signatures,
    audit,
    analysisOver: (id) => queue.over(id),
    wake: () => queue.wake(),
    fourEyes: settings.four_eyes,
    now,
  })
  const queue = new AnalysisQueue({
    sessions,
    analyses,
    run: (task) => threads.run(task),
    task: (session) => taskOf(surroundings, session),
    rules: { approveUpTo: settings.auto_approve_score, reject: settings.auto_reject },
    announce: (changed) => reviews.announce(changed),
    owner: randomBytes(12).toString('hex'),
    shared: store.engine === 'postgres',
    now,
    warn,
  })
  const reviewed = new ReviewedByHash({
    signatures,
    reviews,
    analyse: (tool) =>
      threads.run({ toolJson: documentJson(tool), earlierJson: [], around: NOTHING_AROUND }),
    verifyCarried: (document, signature) => carriedHolds(verifier, document, signature),
    now,
  })
  return {
    reviews,
    sessions,
    views: new ReviewViews({ sessions, analyses, signatures, outlook, now }),
    signatures,
    keys: deps.keys,
    reviewed,
    open: async () => {
      threads.open()
      await queue.open()
    },
    onChange: (tables) => {
      if (tables.includes('review')) queue.wake()
      if (tables.some((table) => DECIDING.has(table))) reviewed.forget()
    },
    close: async () => {
      const ended = queue.close()
      await threads.close()
      await ended
      reviewed.forget()
      outlook.forget()
    },
  }
}

// The analyser itself is loaded by its threads, and only there.
const NOTHING_AROUND = {
  knownTools: [],
  knownProviders: [],
  providerKey: { state: 'not_asked' },
} as const

/** What a verdict may depend on. */
const DECIDING: ReadonlySet<string> = new Set(['tool_signature', 'signing_key', 'key_pin'])
