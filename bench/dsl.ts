/**
 * How fast a program of about 100 KB is parsed, against JSON.parse of the same number of bytes in the same process.
 * Bar: ≥ 20 MB/s.
 */
import { readFileSync } from 'node:fs'
import { parse } from '../packages/server/src/dsl/parse.ts'
import { report } from './report.ts'

const BYTES = 100_000
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const RUNS = 40

const example = readFileSync(
  new URL('../examples/dsl/ticket_sorter.vestry', import.meta.url),
  'utf8',
)
const source = example.repeat(Math.ceil(BYTES / example.length))
const record = '{"name":"scout","tools":["a","b"],"temperature":0.5,"nested":{"on":true}},'
const json = `[${record.repeat(Math.ceil(source.length / record.length))}0]`

/** MB/s of the best of several rounds: the machine is not ours alone. */
function best(bytes: number, work: () => unknown): number {
  let most = 0
  for (let round = 0; round < ROUNDS; round++) {
    const startedMs = performance.now()
    for (let run = 0; run < RUNS; run++) work()
    most = Math.max(most, (bytes * RUNS) / 1000 / (performance.now() - startedMs))
  }
  return most
}

const errors = parse(source).diagnostics.length
const baseline = best(json.length, () => JSON.parse(json))
const parser = best(source.length, () => parse(source))
report('dsl', {
  bar: { parser_mb_per_second: 20, reached: parser >= 20 && errors === 0 },
  bytes: source.length,
  json_parse_mb_per_second: baseline,
  parser_mb_per_second: parser,
  ratio: parser / baseline,
})
