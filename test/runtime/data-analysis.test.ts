/** The statistics of a table against exact whole numbers, by other formulas than the server's. */
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

const ROWS = 2_000
const MISSING = ['', 'NA', 'null', 'n/a', ' ']

/** Park and Miller's: the same table at each run. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

type Cell = bigint | undefined

/** Of whole numbers, without rounding until the last division. */
function exact(cells: readonly Cell[]) {
  const values = cells.filter((one) => one !== undefined)
  const n = BigInt(values.length)
  const sum = values.reduce((all, one) => all + one, 0n)
  const squares = values.reduce((all, one) => all + one * one, 0n)
  const variance = Number(n * squares - sum * sum) / Number(n * (n - 1n))
  const ordered = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const at = (q: number) => {
    const thousandths = BigInt(Math.round(q * 1_000)) * (n - 1n)
    const low = ordered[Number(thousandths / 1_000n)] ?? 0n
    const high = ordered[Number((thousandths + 999n) / 1_000n)] ?? 0n
    return Number(low * 1_000n + (high - low) * (thousandths % 1_000n)) / 1_000
  }
  return {
    count: values.length,
    missing: cells.length - values.length,
    min: Number(ordered[0]),
    max: Number(ordered.at(-1)),
    mean: Number(sum) / Number(n),
    stddev: Math.sqrt(variance),
    at,
  }
}

function correlation(a: readonly Cell[], b: readonly Cell[]) {
  const pairs = a.flatMap((x, row) => {
    const y = b[row]
    return x === undefined || y === undefined ? [] : [[x, y] as const]
  })
  const total = (of: (x: bigint, y: bigint) => bigint) =>
    pairs.reduce((all, [x, y]) => all + of(x, y), 0n)
  const n = BigInt(pairs.length)
  const [x, y] = [total((one) => one), total((_, one) => one)]
  const over = Number(n * total((one, other) => one * other) - x * y)
  const under = [n * total((one) => one * one) - x * x, n * total((_, one) => one * one) - y * y]
  return { n: pairs.length, r: over / Math.sqrt(Number(under[0])) / Math.sqrt(Number(under[1])) }
}

const near = (given: number, wanted: number, scale = Math.abs(wanted)) =>
  expect(Math.abs(given - wanted), `${given} ${wanted}`).toBeLessThanOrEqual(scale * 1e-9)

test('runtime §20.26: statistics of 2 000 rows are those of exact arithmetic: gaps, text, negative, large and huge numbers', async () => {
  const next = generator(4711)
  const columns: Record<string, Cell[]> = { debt: [], large: [], huge: [], tiny: [] }
  const words: (string | undefined)[] = []
  const lines = ['debt,large,word,huge,tiny,none']
  for (let row = 0; row < ROWS; row += 1) {
    const cell = (value: bigint): Cell => (next(9) === 0 ? undefined : value)
    const debt = BigInt(next(2_000_000)) - 1_500_000n
    const cells = [
      cell(debt),
      // What sums of squares would lose lies behind a large mean.
      cell(900_000_000_000_000n + debt / 1_000n + BigInt(next(500))),
      cell(BigInt(next(20_000)) - 10_000n),
      cell(debt / 100n + BigInt(next(1_000))),
    ]
    const word = next(7) === 0 ? undefined : next(40) === 0 ? '12' : `w${next(25)}`
    words.push(word)
    Object.values(columns).forEach((column, at) => {
      column.push(cells[at])
    })
    const blank = () => MISSING[next(MISSING.length)] ?? ''
    const text = (value: Cell, power = '') => (value === undefined ? blank() : `${value}${power}`)
    const [a, b, c, d] = cells
    lines.push(
      [text(a), text(b), word ?? blank(), text(c, 'e300'), text(d, 'e-200'), blank()].join(),
    )
  }
  await using at = await startTestDaemon()
  const node = new RuntimeNode(at.daemon.ready)
  const root = join(at.home.dir, 'data')
  expect(statSync(root).mode & 0o777).toBe(0o700)
  writeFileSync(join(root, 'table.csv'), `${lines.join('\n')}\n`)
  const { json, text } = await node.ask('POST', 'workflows', {
    body: { workflow_id: 'data-analysis-workflow', parameters: { input_data: 'table.csv' } },
  })
  expect(json.status, text).toBe('completed')
  const { result } = json
  expect(result.rows).toBe(ROWS)
  const powers: Record<string, number> = { debt: 1, large: 1, huge: 1e300, tiny: 1e-200 }
  for (const [name, cells] of Object.entries(columns)) {
    const wanted = exact(cells)
    const power = powers[name] ?? 1
    const given = result.columns[name]
    expect(given, name).toMatchObject({
      type: 'numeric',
      count: wanted.count,
      missing: wanted.missing,
    })
    const spread = wanted.stddev * power
    near(given.min, wanted.min * power)
    near(given.max, wanted.max * power)
    near(given.mean, wanted.mean * power, Math.max(Math.abs(wanted.mean) * power, spread))
    near(given.stddev, spread)
    near(given.median, wanted.at(0.5) * power, Math.max(Math.abs(wanted.at(0.5) * power), spread))
    for (const q of [0.05, 0.25, 0.5, 0.75, 0.95])
      near(given.quantiles[`p${q * 100}`], wanted.at(q) * power, Math.abs(wanted.max * power))
  }
  expect(result.columns.none).toMatchObject({ type: 'empty', count: 0, missing: ROWS })
  const counts = Object.entries(Object.groupBy(words, (word) => word ?? '')).filter(
    ([word]) => word !== '',
  )
  expect(result.columns.word).toMatchObject({
    type: 'categorical',
    count: words.filter((word) => word !== undefined).length,
    distinct: counts.length,
  })
  const most = counts.map(([, all]) => all?.length ?? 0).toSorted((a, b) => b - a)
  expect(result.columns.word.top.map(({ count }: { count: number }) => count)).toEqual(
    most.slice(0, 10),
  )
  for (const { a, b, n, r } of result.correlations) {
    const wanted = correlation(columns[a] ?? [], columns[b] ?? [])
    expect(n, `${a} ${b}`).toBe(wanted.n)
    near(r, wanted.r, 1)
  }
  expect(result.correlations).toHaveLength(6)
})
