/** The sections on programs, workflows and knowledge of docs/benchmarks.md: every number that was kept, in its own words. */

interface Section {
  readonly name: string
  readonly title: string
  readonly about: string
}

export const PROGRAM_SECTIONS: readonly Section[] = [
  {
    name: 'dsl',
    title: 'The language',
    about:
      'Parsing a source of some 100 KB again and again; the baseline parses a JSON text of the same size. Bar: 20 MB/s.',
  },
  {
    name: 'workflows',
    title: 'Workflows',
    about:
      'Workflows of two steps, durable at every step, against bare executions of the journal in the same run. Bars: 1 000/s, pick-up p50 of at most 20 ms.',
  },
  {
    name: 'knowledge',
    title: 'Search',
    about:
      'Searches over 100 000 passages, against a scan of all vectors in the same run. Bars: p50 of at most 35 ms, recall of at least 0.99.',
  },
  {
    name: 'retrieval',
    title: 'What search finds',
    about:
      'nDCG@10 over labelled questions on real documents (`test/retrieval`): keywords alone, vectors alone, and both together, which must win.',
  },
]

/** @param result What `report` wrote. */
export function programSection({ title, about }: Section, result: Record<string, unknown>): string {
  const { name: _, commit, machine: __, ...measured } = result
  const rows = flat(measured).map(([what, value]) => `| ${what} | ${value} |`)
  return `## ${title}

${about} Commit ${String(commit)}.

| what | measured |
|---|---|
${rows.join('\n')}

`
}

function flat(value: unknown, path: readonly string[] = []): [what: string, value: string][] {
  if (Array.isArray(value)) return value.flatMap((one, at) => flat(one, [...path, nameOf(one, at)]))
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, one]) => flat(one, [...path, words(key)]))
  return [[path.join(', '), shown(value)]]
}

/** What tells one of a list from the others, or its place. */
function nameOf(one: unknown, at: number): string {
  const told = typeof one === 'object' && one !== null ? Object.values(one)[0] : undefined
  return typeof told === 'string' ? told : String(at + 1)
}

function words(key: string): string {
  return key
    .replaceAll('_', ' ')
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
}

function shown(value: unknown): string {
  if (typeof value !== 'number') return String(value)
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)))
}
