/** `call_tool(name, args)`: a tool that the agent lists, through its own stations. */
import { VestryError } from '@vestry/contract/errors'
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { readStrictJson } from '../../../json/strict-json.ts'
import { offeredTools, resolveTools } from '../../agents/tool-names.ts'
import type { SourceTool } from '../../agents/tool-source.ts'
import { recordArgument, textArgument } from '../arguments.ts'
import { listedTools } from '../listed-tools.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

export async function callTool(
  run: ProgramRun,
  call: EffectCall,
  signal: AbortSignal,
): Promise<Value> {
  const name = textArgument(call, 'name', 0)
  const args = recordArgument(call, 'args', 1)
  const { doors } = run
  const tool = await listed(run, name)
  const operation = { op: 'tool call', name: tool?.id ?? name, args } as const
  const asked = { repeatable: false, operation }
  return effectStep(run, call, asked, async (caller): Promise<Value> => {
    if (tool === undefined)
      throw new VestryError(
        'UNKNOWN_TOOL',
        `Line ${call.line}: the agent lists no tool "${name}"`,
        {
          hint: 'Name it in "tools", as server:tool; "vestry mcp tools" shows what there is',
        },
      )
    const { text, isError } = await tool.call({
      caller,
      requestId: doors.newRequestId(),
      args,
      signal: AbortSignal.any([signal, AbortSignal.timeout(doors.toolTimeoutMs)]),
      timeoutMs: doors.toolTimeoutMs,
    })
    if (isError) throw new VestryError('UPSTREAM_REJECTED', `${tool.id}: ${text.slice(0, 500)}`)
    return answerValue(text)
  })
}

/** What the name means now, if it is among what the agent lists and review does not refuse it. */
async function listed(run: ProgramRun, name: string): Promise<SourceTool | undefined> {
  const sources = run.doors.tools()
  const [tool, ...others] = resolveTools([name], sources).tools.values()
  if (tool === undefined || others.length > 0) return undefined
  const { tools } = await offeredTools(listedTools(run.checked.definition), sources)
  return [...tools.values()].find(({ id }) => id === tool.id)
}

/** A tool that answers with a JSON object or list means that. */
function answerValue(text: string): Value {
  if (!/^\s*[[{]/.test(text)) return text
  try {
    return readStrictJson(Buffer.from(text)) as Value // JSON is
  } catch {
    return text
  }
}
