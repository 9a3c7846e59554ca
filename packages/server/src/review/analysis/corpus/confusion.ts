/** Reviews the corpora with the rules as they are and counts what is caught and what is caught wrongly. */
import type { ToolDocument } from '../../tool-document.ts'
import { analyse, NOTHING_KNOWN } from '../analyse.ts'
import type { Analysis, Finding, Severity } from '../finding.ts'
import { severityRank } from '../findings.ts'
import type { Rule } from '../rule.ts'
import { RULES } from '../rules/index.ts'
import { BENIGN, MALICIOUS, PUBLISHED } from './corpus.ts'
import type { AttackTool, CorpusTool } from './entry.ts'

export interface CorpusResult {
  readonly id: string
  readonly worst: Severity | 'none'
  readonly risk_score: number
  /** Rules that found something, each once, the most serious first. */
  readonly rules: readonly string[]
}

export interface Miss {
  readonly id: string
  /** Rules that should have found something. */
  readonly missed: readonly string[]
  readonly worst: Severity | 'none'
  readonly expected: Severity
}

export interface RuleRecall {
  readonly rule: string
  /** Attacks that name the rule, and how many of them it found. */
  readonly expected: number
  readonly found: number
  /** Ordinary tools that it holds to be medium or worse. */
  readonly false_alarms: number
}

export interface CorpusReport {
  readonly confusion: Readonly<
    Record<
      'benign' | 'malicious',
      { readonly below_medium: number; readonly medium_or_worse: number }
    >
  >
  readonly rules: readonly RuleRecall[]
  readonly misses: readonly Miss[]
  readonly false_alarms: readonly CorpusResult[]
  readonly benign: readonly CorpusResult[]
  readonly malicious: readonly CorpusResult[]
  /** Tools as they are published: shown, and no part of the bar. */
  readonly published: readonly CorpusResult[]
  readonly bar: {
    readonly reached: boolean
    /** Of each kind so many at least, all below medium or all caught. */
    readonly tools_of_each_kind: number
  }
}

/** Fewer would prove little. */
export const LEAST_OF_EACH_KIND = 60

export interface Corpora {
  readonly benign: readonly CorpusTool[]
  readonly malicious: readonly AttackTool[]
  readonly published: readonly CorpusTool[]
}

const CORPORA: Corpora = { benign: BENIGN, malicious: MALICIOUS, published: PUBLISHED }

export function reviewCorpus(corpora = CORPORA, rules: readonly Rule[] = RULES): CorpusReport {
  const reviewed = <T extends CorpusTool>(entries: readonly T[]) =>
    entries.map((entry) => ({ entry, ...analysisOf(entry, rules) }))
  const benign = reviewed(corpora.benign)
  const malicious = reviewed(corpora.malicious)
  const alarms = benign.filter(({ findings }) => isSerious(findings))
  const misses = malicious.flatMap(({ entry, findings }) => missOf(entry, findings))
  const caught = malicious.filter(({ findings }) => isSerious(findings)).length
  const enough = Math.min(benign.length, malicious.length) >= LEAST_OF_EACH_KIND
  return {
    confusion: {
      benign: { below_medium: benign.length - alarms.length, medium_or_worse: alarms.length },
      malicious: { below_medium: malicious.length - caught, medium_or_worse: caught },
    },
    rules: rules.map(({ id }) => recallOf(id, malicious, alarms)).sort(byRule),
    misses,
    false_alarms: alarms.map(resultOf),
    benign: benign.map(resultOf),
    malicious: malicious.map(resultOf),
    published: reviewed(corpora.published).map(resultOf),
    bar: {
      reached: enough && alarms.length === 0 && misses.length === 0,
      tools_of_each_kind: LEAST_OF_EACH_KIND,
    },
  }
}

interface Reviewed<T extends CorpusTool = CorpusTool> {
  readonly entry: T
  readonly findings: readonly Finding[]
  readonly risk_score: number
}

function recallOf(
  rule: string,
  malicious: readonly Reviewed<AttackTool>[],
  alarms: readonly Reviewed[],
): RuleRecall {
  const named = malicious.filter(({ entry }) => entry.caughtBy.includes(rule))
  const of = (findings: readonly Finding[]) => findings.filter(({ rule_id }) => rule_id === rule)
  return {
    rule,
    expected: named.length,
    found: named.filter(({ findings }) => of(findings).length > 0).length,
    false_alarms: alarms.filter(({ findings }) => isSerious(of(findings))).length,
  }
}

function byRule(one: RuleRecall, other: RuleRecall): number {
  return one.rule < other.rule ? -1 : 1
}

export interface CorpusEntryReport extends CorpusResult {
  readonly corpus: string
  readonly tool: CorpusTool['tool']
  readonly findings: readonly Finding[]
}

/** What is said of one tool; `undefined` if no corpus has it. The corpus may stand before the id. */
export function reviewEntry(id: string): CorpusEntryReport | undefined {
  for (const [corpus, entries] of Object.entries<readonly CorpusTool[]>({ ...CORPORA })) {
    const entry = entries.find((one) => one.id === id || `${corpus}/${one.id}` === id)
    if (entry === undefined) continue
    const { findings, risk_score } = analysisOf(entry)
    return {
      corpus,
      ...resultOf({ entry, findings, risk_score }),
      tool: entry.tool,
      findings,
    }
  }
  return undefined
}

function analysisOf({ tool, around }: CorpusTool, rules: readonly Rule[] = RULES): Analysis {
  const { name, description, schema, provider } = tool
  const document: ToolDocument = {
    name,
    description,
    provider: {
      name: provider?.name ?? '',
      public_key_url: provider?.public_key_url ?? null,
    },
    schema: { type: 'object', properties: {}, required: [], ...schema },
  }
  return analyse(document, { ...NOTHING_KNOWN, ...around }, rules)
}

function resultOf({ entry, findings, risk_score }: Reviewed): CorpusResult {
  return {
    id: entry.id,
    worst: findings[0]?.severity ?? 'none',
    risk_score,
    rules: [...new Set(findings.map(({ rule_id }) => rule_id))],
  }
}

function missOf({ id, caughtBy, atLeast }: AttackTool, findings: readonly Finding[]): Miss[] {
  const missed = caughtBy.filter((rule) => !findings.some(({ rule_id }) => rule_id === rule))
  const worst = findings[0]?.severity
  const isEnough = worst !== undefined && severityRank(worst) >= severityRank(atLeast)
  if (missed.length === 0 && isEnough) return []
  return [{ id, missed, worst: worst ?? 'none', expected: atLeast }]
}

function isSerious(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severityRank(severity) >= severityRank('medium'))
}
