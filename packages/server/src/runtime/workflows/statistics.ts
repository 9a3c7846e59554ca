/** What a table of rows says: one pass, moments that do not lose digits, exact quantiles. Pure. */

export interface ColumnStatistics {
  readonly type: 'numeric' | 'categorical' | 'empty'
  readonly count: number
  readonly missing: number
  readonly min?: number
  readonly max?: number
  readonly mean?: number
  readonly median?: number
  /** Of a sample; null for one value. */
  readonly stddev?: number | null
  readonly quantiles?: Readonly<Record<string, number>>
  readonly distinct?: number
  readonly top?: readonly { readonly value: string; readonly count: number }[]
}

export interface TableStatistics {
  readonly rows: number
  readonly columns: Readonly<Record<string, ColumnStatistics>>
  /** Pearson's, of rows in which both are numbers. */
  readonly correlations: readonly {
    readonly a: string
    readonly b: string
    readonly n: number
    readonly r: number | null
  }[]
}

export const MAX_COLUMNS = 256
const MAX_PAIRS_OF = 32
const TOP = 10
const MAX_CATEGORIES = 10_000
const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]
const MISSING: ReadonlySet<string> = new Set(['', 'na', 'n/a', 'nan', 'null', 'none'])
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

type Numeric = readonly [at: number, found: ColumnStatistics | undefined]

export class Table {
  readonly #names: readonly string[]
  /** NaN where it is missing or no number. */
  readonly #numbers: number[][]
  readonly #categories: Map<string, number>[]
  readonly #present: number[]
  readonly #numeric: number[]
  #rows = 0

  constructor(names: readonly string[]) {
    this.#names = names
    this.#numbers = names.map(() => [])
    this.#categories = names.map(() => new Map())
    this.#present = names.map(() => 0)
    this.#numeric = names.map(() => 0)
  }

  add(row: readonly unknown[]): void {
    this.#rows += 1
    for (let at = 0; at < this.#names.length; at += 1) this.#cell(at, row[at])
  }

  statistics(): TableStatistics {
    const columns = this.#names.map((name, at) => [name, this.#column(at)] as const)
    const numeric = columns.flatMap(([, { type }], at) => (type === 'numeric' ? [at] : []))
    const pairs = numeric
      .slice(0, MAX_PAIRS_OF)
      .flatMap((a, n, all) =>
        all.slice(n + 1).map((b) => this.#pair([a, columns[a]?.[1]], [b, columns[b]?.[1]])),
      )
    return { rows: this.#rows, columns: Object.fromEntries(columns), correlations: pairs }
  }

  #cell(at: number, given: unknown): void {
    const text = given === null || given === undefined ? '' : String(given).trim()
    const value = typeof given === 'number' ? given : NUMBER.test(text) ? Number(text) : Number.NaN
    this.#numbers[at]?.push(Number.isFinite(value) ? value : Number.NaN)
    if (MISSING.has(text.toLowerCase())) return
    this.#present[at] = (this.#present[at] ?? 0) + 1
    if (Number.isFinite(value)) this.#numeric[at] = (this.#numeric[at] ?? 0) + 1
    const known = this.#categories[at]
    const key = text.slice(0, 256)
    if (known !== undefined && (known.size < MAX_CATEGORIES || known.has(key)))
      known.set(key, (known.get(key) ?? 0) + 1)
  }

  #column(at: number): ColumnStatistics {
    const count = this.#present[at] ?? 0
    const missing = this.#rows - count
    if (count === 0) return { type: 'empty', count, missing }
    if (this.#numeric[at] === count)
      return { type: 'numeric', count, missing, ...this.#moments(at) }
    const all = [...(this.#categories[at] ?? [])]
    const top = all
      .toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      .slice(0, TOP)
      .map(([value, times]) => ({ value, count: times }))
    return { type: 'categorical', count, missing, distinct: all.length, top }
  }

  #moments(at: number) {
    const sorted = Float64Array.from(
      (this.#numbers[at] ?? []).filter((value) => !Number.isNaN(value)),
    ).sort()
    const n = sorted.length
    const scale = scaleOf(sorted[0] ?? 0, sorted[n - 1] ?? 0)
    const scaled = sorted.map((value) => value * scale)
    // Distances from a value among them: a large mean would take their digits.
    const pivot = scaled[n >> 1] ?? 0
    const away = scaled.map((value) => value - pivot)
    const shift = away.reduce((sum, value) => sum + value, 0) / n
    const squares = away.reduce((sum, value) => sum + (value - shift) ** 2, 0)
    const valueAt = (q: number) => quantile(scaled, q) / scale
    const quantiles = QUANTILES.map((q) => [`p${q * 100}`, valueAt(q)] as const)
    return {
      min: sorted[0] ?? 0,
      max: sorted[n - 1] ?? 0,
      mean: (pivot + shift) / scale,
      median: valueAt(0.5),
      stddev: n < 2 ? null : Math.sqrt(squares / (n - 1)) / scale,
      quantiles: Object.fromEntries(quantiles),
    }
  }

  #pair([a, ofA]: Numeric, [b, ofB]: Numeric) {
    const [toX, toY] = [distance(ofA), distance(ofB)]
    const xs = this.#numbers[a] ?? []
    const ys = this.#numbers[b] ?? []
    let [n, meanX, meanY, xx, yy, xy] = [0, 0, 0, 0, 0, 0]
    for (let row = 0; row < xs.length; row += 1) {
      const x = toX(xs[row] ?? Number.NaN)
      const y = toY(ys[row] ?? Number.NaN)
      if (Number.isNaN(x) || Number.isNaN(y)) continue
      n += 1
      const awayX = x - meanX
      meanX += awayX / n
      xx += awayX * (x - meanX)
      const awayY = y - meanY
      meanY += awayY / n
      yy += awayY * (y - meanY)
      xy += awayX * (y - meanY)
    }
    const spread = Math.sqrt(xx) * Math.sqrt(yy)
    const r = n < 2 || spread === 0 ? null : Math.min(1, Math.max(-1, xy / spread))
    return { a: this.#names[a] ?? '', b: this.#names[b] ?? '', n, r }
  }
}

/** Powers of two take no digits; what is multiplied by it can be squared and summed. */
function scaleOf(min: number, max: number): number {
  const largest = Math.max(Math.abs(min), Math.abs(max))
  if (largest > 2 ** 400) return 2 ** -600
  return largest > 0 && largest < 2 ** -400 ? 2 ** 600 : 1
}

/** From the mean of the column, in its scale. */
function distance({ min = 0, max = 0, mean = 0 }: Partial<ColumnStatistics> = {}) {
  const scale = scaleOf(min, max)
  const middle = mean * scale
  return (value: number) => value * scale - middle
}

/** Between two values it lies on the line from one to the other. @param sorted Not empty. */
export function quantile(sorted: Float64Array, q: number): number {
  const at = (sorted.length - 1) * q
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}
