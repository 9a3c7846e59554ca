/** The question whether an agent may call a tool, made of what an operator writes to try it out. */
import { parseTarget } from '../egress/url.ts'
import type { PolicyContext, ToolResource } from '../policy/engine.ts'
import { isMcpGroup } from '../policy/mcp-resource.ts'
import { permissionWords } from '../policy/permission-words.ts'

export interface AskedTool {
  tool: string
  action: string
  params: Readonly<Record<string, unknown>>
  intent?: string | undefined
}

/**
 * As a call without a token would ask it: what tokens cover is not tried out here.
 *
 * @throws VestryError for a `url` that is none.
 */
export function toolQuestion({ tool, action, params, intent }: AskedTool): {
  resource: ToolResource
  context: Omit<PolicyContext, 'nowMs'>
} {
  // What a parameter of somebody else's tool is for nobody knows.
  const { url, to, cc, bcc } = isMcpGroup(tool) ? ({} as AskedTool['params']) : params
  const entries = Object.entries(params)
  const texts = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  const numbers = entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  const recipients = [to, cc, bcc].flat().flatMap(domainOf)
  return {
    resource: {
      kind: 'tool',
      tool,
      action,
      digest: '',
      reviewed: false,
      permissions: permissionWords(tool, action, 'write'),
      costMicros: 0,
    },
    context: {
      requestBytes: Buffer.byteLength(JSON.stringify(params)),
      args: Object.fromEntries(texts.map(([name, text]) => [`/${name}`, text])),
      nums: Object.fromEntries([
        ...numbers.map(([name, value]) => [`/${name}`, value] as const),
        ...texts.map(([name, text]) => [`/${name}#length`, text.length] as const),
      ]),
      ...(intent !== undefined && { intent }),
      ...(typeof url === 'string' && { target: parseTarget(url), method: action.toUpperCase() }),
      ...(recipients.length > 0 && { recipients }),
    },
  }
}

/** `Ada <ada@Example.com>` is of `example.com`. */
function domainOf(address: unknown): string[] {
  if (typeof address !== 'string') return []
  const domain = /@([^@<>\s]+)>?\s*$/.exec(address)?.[1]
  return domain === undefined ? [] : [domain.toLowerCase()]
}
