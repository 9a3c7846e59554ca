/**
 * Reads a file of vault rules, YAML or JSON. Every complaint names file, line and column and speaks of
 * the rule as the operator wrote it. All or nothing: one bad rule refuses the file.
 */
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import { type Document, isMap, isNode, isSeq, LineCounter, parseDocument } from 'yaml'
import type * as z from 'zod'
import { nearest } from './nearest.ts'
import { type VaultRule, VaultRuleInput } from './vault-rule.ts'
import { checkRule, type Problem, type RuleLimits } from './vault-rule-check.ts'

export interface RuleFile {
  rules: { rule: VaultRule; source: string }[]
  /** Legal, and probably not meant. Each with its place. */
  warnings: string[]
}

/**
 * @param text  `{version: 1, policies: [...]}`, a bare list of rules, or one rule.
 * @param file  Its name, for messages.
 * @throws VestryError `POLICY_INVALID`; `context.problems` lists every problem found.
 */
export function parseRuleFile(text: string, file: string, limits: RuleLimits): RuleFile {
  const lines = new LineCounter()
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const broken = doc.errors[0]
  if (broken !== undefined) throw refused([`${place(broken.pos[0])}: ${broken.message}`])
  const data = toPlain(doc, file)
  const { rules, base } = rulesOf(data, file)

  const complaints: string[] = []
  const warnings: string[] = []
  const read: RuleFile['rules'] = []
  const seen = new Set<string>()
  rules.forEach((raw, i) => {
    const path = base === undefined ? [] : [...base, i]
    const say = (problem: Problem): string =>
      `${place(offsetOf(doc, [...path, ...problem.path]))}: ${label(raw, i)}${field(problem.path)}${problem.message}`
    const parsed = VaultRuleInput.safeParse(raw)
    if (!parsed.success) {
      complaints.push(...parsed.error.issues.flatMap(issueProblems).map(say))
      return
    }
    const checked = checkRule(parsed.data, limits)
    complaints.push(...checked.problems.map(say))
    warnings.push(...checked.warnings.map(say))
    if (checked.rule === undefined) return
    if (seen.has(checked.rule.name)) {
      complaints.push(say({ path: ['name'], message: 'is used twice in this file' }))
    }
    seen.add(checked.rule.name)
    read.push({ rule: checked.rule, source: sourceOf(doc, path, text, lines) })
  })
  if (complaints.length > 0) throw refused(complaints)
  return { rules: read, warnings }
}

function toPlain(doc: Document.Parsed, file: string): unknown {
  try {
    return doc.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    // Aliases that multiply without end.
    throw new VestryError('POLICY_INVALID', `${file}: cannot be expanded`, { cause })
  }
}

function rulesOf(data: unknown, file: string): { rules: unknown[]; base?: (string | number)[] } {
  if (Array.isArray(data)) return { rules: data, base: [] }
  if (typeof data !== 'object' || data === null) throw refused([`${file}: holds no rules`])
  if (!('policies' in data)) return { rules: [data] }
  const { version, policies, ...rest } = data as Record<string, unknown> // a YAML map: keys are texts
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw refused([`${file}: unknown field "${unknown}" beside version and policies`])
  }
  if (version !== undefined && version !== 1) {
    throw refused([`${file}: version ${JSON.stringify(version)} is not known; this is version 1`])
  }
  if (!Array.isArray(policies)) throw refused([`${file}: policies must be a list of rules`])
  return { rules: policies, base: ['policies'] }
}

/** Splits what the schema found into problems at the field they belong to. */
function issueProblems(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol')
  if (issue.code === 'invalid_union') {
    // The branch that got furthest knows best what is wrong.
    const branches = issue.errors.map((errors) => errors.flatMap(issueProblems))
    const depth = (problems: Problem[]) =>
      Math.max(0, ...problems.map((problem) => problem.path.length))
    const best = branches.sort((a, b) => depth(b) - depth(a))[0] ?? []
    if (depth(best) > 0) return best.map((inner) => ({ ...inner, path: [...path, ...inner.path] }))
  }
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issueText(issue) }]
  return issue.keys.map((key) => {
    const guess = nearest(key, knownFields(path))
    return {
      path: [...path, key],
      message:
        guess === undefined ? 'is not a known field' : `is not a known field; meant "${guess}"?`,
    }
  })
}

const NESTED: Readonly<Record<string, readonly string[]>> = {
  conditions: ['not_before', 'not_after', 'hours', 'transports', 'source_cidrs', 'require_reason'],
  hours: ['days', 'from', 'to', 'tz'],
  selectors: ['types', 'tags'],
  rate: ['per_second', 'burst', 'per_day'],
}

function knownFields(path: Problem['path']): readonly string[] {
  const parent = path.findLast((step) => typeof step === 'string')
  return parent === undefined ? Object.keys(VaultRuleInput.shape) : (NESTED[parent] ?? [])
}

function label(raw: unknown, index: number): string {
  const name = typeof raw === 'object' && raw !== null && 'name' in raw ? raw.name : undefined
  return typeof name === 'string' ? `rule "${name}": ` : `rule ${index + 1}: `
}

function field(path: Problem['path']): string {
  let out = ''
  for (const step of path) out += typeof step === 'number' ? `[${step}]` : `${out && '.'}${step}`
  return out && `${out}: `
}

/** Where the field stands, or its nearest enclosing node when it is missing. */
function offsetOf(doc: Document.Parsed, path: Problem['path']): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = length === 0 ? doc.contents : doc.getIn(path.slice(0, length), true)
    const key = keyOffset(doc, path.slice(0, length))
    if (key !== undefined) return key
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

/** For a member of a map, complaints point at its name rather than its value. */
function keyOffset(doc: Document.Parsed, path: Problem['path']): number | undefined {
  const last = path.at(-1)
  if (typeof last !== 'string') return undefined
  const parent = path.length === 1 ? doc.contents : doc.getIn(path.slice(0, -1), true)
  if (!isMap(parent)) return undefined
  for (const { key } of parent.items) {
    if (isNode(key) && key.range && key.toJSON() === last) return key.range[0]
  }
  return undefined
}

/** The rule's own lines, shifted left to stand alone. */
function sourceOf(
  doc: Document.Parsed,
  path: Problem['path'],
  text: string,
  lines: LineCounter,
): string {
  if (path.length === 0) return text.trim()
  const node = doc.getIn(path, true)
  if (!isNode(node) || !node.range || isSeq(node)) return text.trim()
  const [start, end] = node.range
  const indent = lines.linePos(start).col - 1
  const shifted = new RegExp(`^ {0,${indent}}`)
  const [first = '', ...rest] = text.slice(start, end).split('\n')
  return [first, ...rest.map((line) => line.replace(shifted, ''))].join('\n').trim()
}

function refused(problems: string[]): VestryError {
  return new VestryError('POLICY_INVALID', problems.join('\n'), { context: { problems } })
}
