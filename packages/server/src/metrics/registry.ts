/** All metrics of the process, and their Prometheus text (version 0.0.4). */
import { VestryError } from '@vestry/contract/errors'
import { CounterCell, GaugeCell, HistogramCell } from './cells.ts'
import { assertNames, escapeHelp, renderLabels, renderNumber } from './labels.ts'
import { Series } from './series.ts'

export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export interface MetricOptions {
  name: string
  help: string
  /** At most four. Their values come from short, known lists: methods, codes, states. */
  labels?: readonly string[]
  /** Series kept before new label values are folded into `other`. */
  maxSeries?: number
}

export interface HistogramOptions extends MetricOptions {
  /** Upper bounds, rising; +Inf is added. */
  buckets: readonly number[]
}

/** Finds a cell by label values, in the order of `labels`. Keep the cell where values are fixed. */
export interface Family<C> {
  at(a?: string, b?: string, c?: string, d?: string): C
}

const DEFAULT_MAX_SERIES = 500

/** Seconds; from a hash lookup to a slow upstream. */
export const LATENCY_BUCKETS: readonly number[] = [
  0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

export class Registry {
  readonly #families = new Map<string, () => string>()
  readonly #refreshers: (() => void)[] = []
  readonly #folded: Family<CounterCell>

  constructor() {
    this.#folded = this.counter({
      name: 'vestry_metrics_folded_total',
      help: 'Updates that went to the series "other" because a metric has too many label values',
      labels: ['metric'],
      // Bounded by the metrics that exist; folding this one would ask for itself.
      maxSeries: Number.POSITIVE_INFINITY,
    })
  }

  /** @param options.name Ends in `_total`. */
  counter(options: MetricOptions): Family<CounterCell> {
    if (!options.name.endsWith('_total'))
      throw new VestryError('INTERNAL_ERROR', `Counter ${options.name} must end in _total`)
    const series = this.#series(options, () => new CounterCell())
    this.#define(options, 'counter', () => lines(options, series))
    return series
  }

  gauge(options: MetricOptions): Family<GaugeCell> {
    const series = this.#series(options, () => new GaugeCell())
    this.#define(options, 'gauge', () => lines(options, series))
    return series
  }

  /** A value that is read when scraped, e.g. a queue's depth. */
  observed(
    options: Omit<MetricOptions, 'labels' | 'maxSeries'>,
    read: () => number,
    type: 'gauge' | 'counter' = 'gauge',
  ): void {
    this.#define(options, type, () => `${options.name} ${renderNumber(read())}\n`)
  }

  histogram(options: HistogramOptions): Family<HistogramCell> {
    const bounds = Float64Array.from(options.buckets)
    for (const [i, bound] of bounds.entries()) {
      if (!Number.isFinite(bound) || (i > 0 && bound <= (bounds[i - 1] ?? 0)))
        throw new VestryError('INTERNAL_ERROR', `Buckets of ${options.name} must rise`)
    }
    const series = this.#series(options, () => new HistogramCell(bounds))
    this.#define(options, 'histogram', () => histogramLines(options, bounds, series))
    return series
  }

  /** Called before each page is made, to set gauges whose series come and go. */
  onRender(refresh: () => void): void {
    this.#refreshers.push(refresh)
  }

  /** The page a scraper reads; its media type is {@link CONTENT_TYPE}. */
  render(): string {
    for (const refresh of this.#refreshers) refresh()
    let page = ''
    for (const render of this.#families.values()) page += render()
    return page
  }

  #series<C extends object>(options: MetricOptions, create: () => C): Series<C> {
    const depth = options.labels?.length ?? 0
    const limit = options.maxSeries ?? DEFAULT_MAX_SERIES
    return new Series(depth, limit, create, () => this.#folded.at(options.name).inc())
  }

  #define(options: MetricOptions, type: string, body: () => string): void {
    const { name, help, labels = [] } = options
    assertNames(name, labels)
    if (this.#families.has(name))
      throw new VestryError('INTERNAL_ERROR', `Metric ${name} is defined twice`)
    const head = `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`
    this.#families.set(name, () => head + body())
  }
}

function lines(options: MetricOptions, series: Series<{ readonly value: number }>): string {
  const names = options.labels ?? []
  let text = ''
  for (const { values, cell } of series.all())
    text += `${options.name}${renderLabels(names, values)} ${renderNumber(cell.value)}\n`
  return text
}

function histogramLines(
  { name, labels = [] }: HistogramOptions,
  bounds: Float64Array,
  series: Series<HistogramCell>,
): string {
  let text = ''
  for (const { values, cell } of series.all()) {
    let below = 0
    for (const [i, count] of cell.counts.entries()) {
      below += count
      const le = renderNumber(bounds[i] ?? Number.POSITIVE_INFINITY)
      text += `${name}_bucket${renderLabels(labels, values, le)} ${below}\n`
    }
    const own = renderLabels(labels, values)
    text += `${name}_sum${own} ${renderNumber(cell.sum)}\n${name}_count${own} ${cell.count}\n`
  }
  return text
}
