/** `vestry policy add | list | show | rm | template | test`: the rules, and trying a question on them. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { GATEWAY_TEMPLATES } from '../policy/gateway-templates.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { EXIT } from './exit-code.ts'
import { futureMoment, jsonObject, list, oneOf, seconds } from './option-value.ts'
import { explanation } from './policy-explanation.ts'
import { facts, table } from './table.ts'
import { safeLines } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

const MAX_FILE_BYTES = 1_048_576
const A_YEAR = 31_536_000
const TRANSPORTS = ['unix', 'tcp', 'http'] as const

interface AddOptions {
  principal?: readonly string[]
  resources?: readonly string[]
  actions?: readonly string[]
  host?: readonly string[]
  maxTtl?: number
  deny?: boolean
  iUnderstand?: boolean
}

interface TestOptions {
  agent: string
  path?: string
  tool?: string
  runs?: string
  action?: string
  intent?: string
  params?: Record<string, unknown>
  opParams?: Record<string, unknown>
  at?: number
  transport?: string
  reason?: boolean
}

export function policyCommands(program: Command, run: Run): void {
  const policy = program.command('policy').description('rules that say who may do what')

  policy
    .command('add')
    .description(
      'add or replace policies: .cedar, .yaml, .json files, gateway policies included; or one rule by its options',
    )
    .argument('<file-or-name...>', 'files; or with --resources and --actions, the name of the rule')
    .option('--principal <pattern>', 'agent:<pattern>, repeatable', list)
    .option('--resources <pattern>', 'credential paths, repeatable', list)
    .option('--actions <action>', 'list, retrieve, use:http_request …, repeatable', list)
    .option('--host <pattern>', 'hosts requests may go to, repeatable', list)
    .option('--max-ttl <duration>', 'longest lease', seconds('--max-ttl', A_YEAR))
    .option('--deny', 'forbid instead of permit')
    .option('--i-understand', 'yes, "*" among actions or hosts is meant')
    .action(
      run(async (io, names: string[], options: AddOptions) => {
        const isRule = options.resources !== undefined || options.actions !== undefined
        const files = isRule ? [ruleFile(names, options)] : await Promise.all(names.map(readPolicy))
        const reply = await io.call(
          'policy.put',
          { files, understood: options.iUnderstand },
          'checking the policies',
        )
        for (const warning of texts(reply, 'warnings')) io.warn(warning)
        io.print(reply, (paint) =>
          facts(
            [
              ...['created', 'updated', 'unchanged'].map((done): [string, unknown] => {
                const names = texts(reply, done)
                return [done, names.length === 0 ? undefined : names]
              }),
              ['policy set', reply['digest']],
            ],
            paint,
          ),
        )
      }),
    )

  policy
    .command('list')
    .description('list policies')
    .action(
      run(async (io) => {
        const reply = await io.call('policy.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'NAME', value: 'id' },
              { title: 'FORMAT', value: 'format' },
              { title: 'TITLE', value: 'name' },
              { title: 'FOR', value: 'owner' },
              { title: 'ENABLED', value: 'enabled' },
              { title: 'UPDATED', value: 'updated_at' },
            ],
            rowsOf(reply, 'policies'),
            { paint, empty: 'no policies: everything is denied' },
          ),
        )
      }),
    )

  policy
    .command('show')
    .description('show a policy as it was written and as Cedar')
    .argument('<name>', 'the policy')
    .action(
      run(async (io, name: string) => {
        const reply = await io.call('policy.show', { name })
        io.print(reply, (paint) => {
          const { text, source, ...rest } = reply
          const written = typeof source === 'string' ? source : ''
          const cedar = typeof text === 'string' ? text : ''
          const parts = [facts(Object.entries(rest), paint), safeLines(cedar).trimEnd()]
          if (written !== '' && written !== cedar) {
            parts.push(`\n${paint('dim', 'as written:')}`, safeLines(written).trimEnd())
          }
          return `${parts.join('\n')}\n`
        })
      }),
    )

  policy
    .command('rm')
    .description('remove policies')
    .argument('<name...>', 'the policies')
    .action(
      run(async (io, names: string[]) => {
        const reply = await io.call('policy.rm', { names })
        io.print(reply, `removed ${texts(reply, 'removed').map(safeLines).join(', ')}`)
      }),
    )

  policy
    .command('template')
    .description('print a ready-made gateway policy, to change and add; without a name, list them')
    .argument('[name]', 'the template')
    .action(
      run(async (io, name: string | undefined) => {
        if (name === undefined) {
          const templates = Object.entries(GATEWAY_TEMPLATES).map(
            ([id, { description, role }]) => ({
              id,
              description,
              role,
            }),
          )
          const columns = [
            { title: 'NAME', value: 'id' },
            { title: 'ROLE', value: 'role' },
            { title: 'DESCRIPTION', value: 'description' },
          ]
          io.print({ templates }, (paint) => table(columns, templates, { paint, empty: '' }))
          return
        }
        const found = Object.hasOwn(GATEWAY_TEMPLATES, name) ? GATEWAY_TEMPLATES[name] : undefined
        if (found === undefined) {
          throw new VestryError('NOT_FOUND', `there is no template "${name}"`, {
            hint: '"vestry policy template" lists them',
          })
        }
        io.print({ ...found }, `${JSON.stringify(found, null, 2)}\n`)
      }),
    )

  policy
    .command('test')
    .alias('simulate')
    .description('ask what would be decided, and why; exit code 3 when it is no')
    .requiredOption('--agent <name>', 'who asks')
    .option('--path <path>', 'for which credential')
    .option('--tool <tool>', 'or for which tool; mcp/<server> for one of an MCP server')
    .option('--runs <agent>', 'or for starting which agent')
    .option('--action <action>', 'list, retrieve, use:http_request …; or the tool’s')
    .option('--params <json>', 'parameters of the tool call', jsonObject('--params'))
    .option('--intent <intent>', 'what the tool call is said to be for')
    .option('--op-params <json>', 'parameters of the operation', jsonObject('--op-params'))
    .option('--at <time>', 'as if it were this time', futureMoment('--at'))
    .option(
      '--transport <transport>',
      `one of ${TRANSPORTS.join(', ')}`,
      oneOf('--transport', TRANSPORTS),
    )
    .option('--reason', 'as if a reason had been given')
    .action(
      run(async (io, { opParams, params = opParams, ...rest }: TestOptions) => {
        const { path, tool, runs, action } = rest
        if ([path, tool, runs].filter((one) => one !== undefined).length !== 1)
          throw new VestryError('USAGE', 'exactly one of --path, --tool and --runs is needed')
        if (action === undefined && runs === undefined)
          throw new VestryError('USAGE', '--action is needed with --path and --tool')
        const reply = await io.call('policy.test', { ...question(rest), params })
        if (reply['allowed'] !== true) io.exitCode = EXIT.denied
        io.print(reply, (paint) => explanation(reply, rest, paint))
      }),
    )
}

/** `--action use --path p` with an operation reads well too: `vault:` in front is taken off. */
function question(asked: Omit<TestOptions, 'params' | 'opParams'>) {
  const { agent, path, tool, runs, action, intent, at, transport, reason } = asked
  return {
    agent,
    path,
    tool,
    runs,
    action: action?.replace(/^vault:/, ''),
    intent,
    at,
    transport,
    reason,
  }
}

function readPolicy(file: string): Promise<{ name: string; text: string }> {
  return readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'POLICY_INVALID',
    hint: 'Check the path; a rule by name needs --resources and --actions',
  })
}

/** A rule from options, as the file that says the same. JSON is YAML. */
function ruleFile(names: readonly string[], options: AddOptions): { name: string; text: string } {
  const [name, ...others] = names
  const { principal, resources, actions, host, maxTtl, deny } = options
  if (name === undefined || others.length > 0) {
    throw new VestryError('USAGE', 'a rule by its options has exactly one name')
  }
  if (principal === undefined || resources === undefined || actions === undefined) {
    throw new VestryError('USAGE', 'a rule needs --principal, --resources and --actions', {
      hint: 'Or give a file that holds the rule',
    })
  }
  const rule = {
    name,
    ...(deny === true && { effect: 'deny' }),
    principals: principal,
    resources,
    actions,
    ...(host !== undefined && { hosts: host }),
    ...(maxTtl !== undefined && { max_ttl: maxTtl }),
  }
  return { name: `${name}.yaml`, text: `${JSON.stringify(rule, null, 2)}\n` }
}

function texts(reply: Row, name: string): string[] {
  const value = reply[name]
  return Array.isArray(value) ? value.map(String) : []
}
