/** The text format of Prometheus 0.0.4, read as strictly as it is written down: anything odd is an error. */

export interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** By name and labels, as they stand. */
  readonly samples: Map<string, Sample>
}

export interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|[+-]Inf|NaN)$/

/** @throws Error naming the line that breaks the format. */
export function parsePrometheus(page: string): Map<string, Family> {
  if (!page.endsWith('\n')) throw new Error('does not end with a line feed')
  if (page.includes('\r')) throw new Error('has a carriage return')
  const families = new Map<string, Family>()
  let help: { name: string; text: string } | undefined
  let current: { name: string; family: Family } | undefined
  for (const [at, line] of page.slice(0, -1).split('\n').entries()) {
    const fail = (what: string) => new Error(`line ${at + 1}: ${what}: ${line}`)
    if (line.startsWith('# HELP ')) {
      const [name = '', ...words] = line.slice(7).split(' ')
      if (!NAME.test(name) || words.join(' ') === '') throw fail('no help')
      if (families.has(name)) throw fail('a family twice')
      help = { name, text: words.join(' ') }
      continue
    }
    if (line.startsWith('# TYPE ')) {
      const [name = '', type, ...more] = line.slice(7).split(' ')
      if (help?.name !== name || more.length > 0) throw fail('a type without its help')
      if (type !== 'counter' && type !== 'gauge' && type !== 'histogram') throw fail('no type')
      current = { name, family: { type, help: help.text, samples: new Map() } }
      families.set(name, current.family)
      continue
    }
    const [, name = '', labelText = '', number = ''] = SAMPLE.exec(line) ?? []
    if (name === '' || !NUMBER.test(number)) throw fail('no sample')
    if (current === undefined) throw fail('a sample before its family')
    const suffix = name.startsWith(current.name) ? name.slice(current.name.length) : undefined
    const allowed = current.family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    if (suffix === undefined || !allowed.includes(suffix)) throw fail('a sample outside its family')
    const labels = parseLabels(labelText, fail)
    if ((suffix === '_bucket') !== labels.has('le')) throw fail('le belongs to buckets')
    const key = line.slice(0, line.lastIndexOf(' '))
    if (current.family.samples.has(key)) throw fail('a sample twice')
    const value = numberOf(number)
    if (current.family.type === 'counter' && !(value >= 0)) throw fail('a counter below zero')
    current.family.samples.set(key, { name, labels, value })
  }
  for (const [name, family] of families) {
    if (family.type === 'counter' && name.startsWith('gateway_') && !name.endsWith('_total'))
      throw new Error(`${name} is a counter`)
    if (family.type === 'histogram') checkHistogram(name, family)
  }
  return families
}

function parseLabels(text: string, fail: (what: string) => Error): Map<string, string> {
  const labels = new Map<string, string>()
  for (let rest = text; rest !== ''; ) {
    const match = LABEL.exec(rest)
    if (match === null) throw fail('no label')
    const [all, name = '', value = '', comma] = match
    if (labels.has(name)) throw fail('a label twice')
    labels.set(name, value)
    rest = rest.slice(all.length)
    if (comma === ',' && rest === '') throw fail('a comma at the end')
  }
  return labels
}

/** Buckets rise, the last is +Inf, and equals the count. */
function checkHistogram(name: string, { samples }: Family): void {
  const series = new Map<string, { buckets: [number, number][]; count?: number; sum?: number }>()
  for (const { name: sample, labels, value } of samples.values()) {
    const own = JSON.stringify([...labels].filter(([label]) => label !== 'le'))
    const known = series.get(own) ?? { buckets: [] }
    series.set(own, known)
    if (sample.endsWith('_bucket')) known.buckets.push([numberOf(labels.get('le') ?? ''), value])
    else if (sample.endsWith('_sum')) known.sum = value
    else known.count = value
  }
  for (const { buckets, count, sum } of series.values()) {
    const rising = buckets.every(([le, value], at) => {
      const before = buckets[at - 1]
      return before === undefined || (le > before[0] && value >= before[1])
    })
    const last = buckets.at(-1)
    const whole = last !== undefined && last[0] === Number.POSITIVE_INFINITY && last[1] === count
    if (!rising || !whole || sum === undefined) throw new Error(`${name} is no histogram`)
  }
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  if (text === '-Inf') return Number.NEGATIVE_INFINITY
  return Number(text)
}

/** Sum over the series that have these labels. */
export function total(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const family = families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? families.get(name)
  if (family === undefined) throw new Error(`there is no ${name}`)
  return [...family.samples.values()]
    .filter((sample) => sample.name === name)
    .filter((sample) => Object.entries(labels).every(([key, is]) => sample.labels.get(key) === is))
    .reduce((sum, { value }) => sum + value, 0)
}
