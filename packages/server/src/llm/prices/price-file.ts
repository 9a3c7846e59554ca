/** Prices of the operator's own, read once at start from the YAML or JSON file that `llm.prices_file` names. */
import { readFileSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { readYaml } from '../../json/yaml.ts'
import { UNKNOWN_PRICE } from './list.ts'
import { Prices } from './prices.ts'

/** US dollars per million tokens; 10 000 is far beyond any list, and near enough to catch a misplaced point. */
const Dollars = z.number().min(0).max(10_000)

const Amounts = {
  input: Dollars,
  output: Dollars,
  cached: Dollars.optional(),
  written: Dollars.optional(),
}

const Row = z.strictObject({
  provider: z.string().min(1).max(64),
  model: z.string().min(1).max(256),
  ...Amounts,
  long: z
    .strictObject({
      above: z.int().min(1),
      prompt: z.number().min(1).max(100),
      answer: z.number().min(1).max(100),
    })
    .optional(),
})

export const PriceFile = z
  .strictObject({
    /** They come before the list prices of the same provider. */
    prices: z.array(Row).max(10_000).default([]),
    /** For models that neither this file nor the list knows. */
    unknown: z.strictObject(Amounts).default(UNKNOWN_PRICE),
  })
  .superRefine(({ prices }, context) => {
    const seen = new Set<string>()
    for (const [at, { provider, model }] of prices.entries()) {
      const name = `${provider}:${model}`.toLowerCase()
      if (seen.has(name)) {
        context.addIssue({
          code: 'custom',
          path: ['prices', at, 'model'],
          message: `${name} has two prices`,
        })
      }
      seen.add(name)
    }
  })

/**
 * @param file Absent: the list prices.
 * @throws VestryError `CONFIG_INVALID` for a file that is not there, no YAML, or not in this form.
 */
export function loadPrices(file: string | undefined): Prices {
  if (file === undefined) return new Prices()
  const parsed = PriceFile.safeParse(read(file))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
    throw invalid(file, `${where}${issue?.message ?? 'is not in the form of a price list'}`)
  }
  return new Prices(parsed.data.prices, parsed.data.unknown)
}

function read(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown'
    throw invalid(file, `it cannot be read (${code})`, cause)
  }
  try {
    return readYaml(text) ?? {}
  } catch (problem) {
    throw invalid(file, (problem as Error).message, problem)
  }
}

function invalid(file: string, problem: string, cause?: unknown): VestryError {
  return new VestryError('CONFIG_INVALID', `llm.prices_file ${file}: ${problem}`, {
    hint: 'Write "prices: [{ provider: openai, model: gpt-4o, input: 2.5, output: 10 }]", in US dollars per million tokens',
    ...(cause !== undefined && { cause }),
  })
}
