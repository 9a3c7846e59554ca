/** What model calls need: the gateway's socket, keys of providers, prices, budgets. */
import { existsSync, lstatSync } from 'node:fs'
import type { BudgetSettings } from '../llm/budget-settings.ts'
import { loadPrices } from '../llm/prices/price-file.ts'
import { cellText, type Row } from './cell.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { failureOf } from './failure.ts'
import { healthProblem } from './llm-health.ts'

/** @param socket Where the running daemon says that it listens. */
export async function checkLlmSocket(socket: string): Promise<Check[]> {
  const problem = await healthProblem(socket)
  if (problem !== undefined) {
    return [
      fail(
        'llm socket',
        `${socket}: ${problem}`,
        'Restart the daemon; see that nothing else uses or removes the path',
      ),
    ]
  }
  return [ok('llm socket', `${socket} answers`)]
}

/** Every call proves itself, so an open socket costs an attacker's attempts, not the vault. */
export function checkLlmSocketMode(socket: string): Check[] {
  if (!existsSync(socket)) return []
  const { mode } = lstatSync(socket)
  if ((mode & 0o007) === 0) return []
  return [
    warn(
      'sockets',
      `${socket} is open to everybody; each call needs the tokens of a run all the same`,
      'Set llm.socket_mode to "0600" or "0660"',
    ),
  ]
}

/** @param providers Of `admin.llm.models`. */
export function checkProviders(
  providers: readonly Row[],
  { dev, openRuns }: { dev: boolean; openRuns: number },
): Check[] {
  const by = (wanted: string) => providers.filter(({ answers }) => answers === wanted)
  const ownKeys = ({ organisations }: Row) =>
    Array.isArray(organisations) && organisations.length > 0
  const [live, mocked] = [by('live'), by('mock')]
  const forSome = by('refused').filter(ownKeys)
  const keyless = by('refused').filter((one) => !ownKeys(one))
  const forgotten = keyless.filter(({ configured }) => configured === true)
  const unused = keyless.filter(({ configured }) => configured !== true)
  const part = (label: string, chosen: readonly Row[]) =>
    chosen.length === 0 ? [] : [`${label}: ${chosen.map((one) => one['provider']).join(', ')}`]
  const summary = [
    ...part('live', live),
    ...part('live for organisations with keys of their own', forSome),
    ...part(dev ? 'without a key, so --dev answers with the mock' : 'mocked', mocked),
    ...part('not set up', unused),
  ].join('; ')
  const nothing = unused.length === providers.length && openRuns > 0
  return [
    ...(nothing
      ? [
          warn(
            'models',
            'no provider has a key, so every model call of the open runs is refused',
            'Add one: vestry cred add llm/openai --value-stdin',
          ),
        ]
      : summary === ''
        ? []
        : [ok('models', summary)]),
    ...forgotten.map(({ provider, credential }) =>
      warn(
        'models',
        `the provider ${cellText(provider)} has no key, so its calls are refused${
          dev ? ': what is configured is not mocked' : ''
        }`,
        `Add it: vestry cred add ${cellText(credential)} --value-stdin`,
      ),
    ),
    ...providers
      .filter(crossesInClear)
      .map(({ provider, base_url: url }) =>
        warn(
          'models',
          `prompts and key of ${cellText(provider)} go to ${cellText(url)} in clear`,
          'Use its https address',
        ),
      ),
  ]
}

/** Plain HTTP to anywhere but this machine. */
function crossesInClear({ base_url: url }: Row): boolean {
  if (typeof url !== 'string' || !URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  const isHere = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
  return protocol === 'http:' && !isHere
}

/** @param file Of `llm.prices_file`. */
export function checkPrices(file: string | undefined): Check {
  try {
    loadPrices(file)
  } catch (error) {
    const { message, hint } = failureOf(error)
    return fail('prices', message, hint ?? `Correct ${file}: the daemon does not start with it`)
  }
  return ok('prices', file === undefined ? 'list prices of this version' : `${file} can be read`)
}

/** @param live Whether calls cost money. */
export function checkBudgets(budgets: BudgetSettings, { live }: { live: boolean }): Check {
  const limited = (['run', 'agent', 'total'] as const).filter(
    (owner) => budgets[owner].tokens !== undefined || budgets[owner].usd !== undefined,
  )
  if (limited.length > 0) return ok('budgets', `set for ${limited.join(', ')}`)
  if (!live) return ok('budgets', 'none, and no provider that costs money')
  return warn(
    'budgets',
    'none is set: a run may spend without end',
    'Set one in vestry.yaml: llm: { budgets: { run: { usd: 5 }, total: { usd: 100, per: month } } }',
  )
}
