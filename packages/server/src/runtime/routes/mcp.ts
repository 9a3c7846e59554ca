/** `mcp/…`: MCP servers, what they offer, connecting and disconnecting them (runtime contract §9.2). */
import { VestryError } from '@vestry/contract/errors'
import type { LiveTool } from '../../mcp/hub.ts'
import { unknownServer } from '../../mcp/server-store.ts'
import type { McpServers } from '../../mcp/servers.ts'
import { resourceView, serverView, toolView, type Verification } from '../../mcp/views.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface McpRouteDeps {
  readonly servers: McpServers
  readonly verification: (tool: LiveTool) => Promise<Verification>
  readonly verbs: VerbDoor
}

/** Of a server that is being connected; the answer comes before clients ask again. */
const MAX_WAIT_SECONDS = 24

export function mcpRoutes({ servers, verification, verbs }: McpRouteDeps): RuntimeRoute[] {
  /** Through the verb, so that policy is asked and the record says who did it. */
  const byVerb = async (request: RuntimeRequest, verb: string, given: Record<string, unknown>) => {
    const { result } = await verbs(request, verb, given)
    return result as Record<string, unknown> // these verbs answer with objects
  }
  const onServer = async (request: RuntimeRequest, verb: string): Promise<RuntimeReply> => ({
    body: await byVerb(request, verb, { server: nameOf(request) }),
  })
  /** A filter that is empty is none. */
  const wanted = ({ query }: RuntimeRequest): string | undefined => {
    const name = query['server'] || undefined
    if (name !== undefined && servers.server(name) === undefined) throw unknownServer(name)
    return name
  }
  return [
    {
      method: 'POST',
      path: 'mcp/servers',
      access: 'admin',
      handle: async (request) => {
        const replace = flag('replace', request.query['replace'])
        const body = await byVerb(request, 'mcp.add', { server: request.json(), replace })
        return { status: body['status'] === 'added' ? 201 : 200, body }
      },
    },
    {
      method: 'GET',
      path: 'mcp/servers',
      access: 'key',
      handle: ({ scope }) => ({
        body: servers.servers().map((state) => serverView(state, { whole: scope === undefined })),
      }),
    },
    {
      method: 'GET',
      path: 'mcp/servers/:name',
      access: 'key',
      handle: (request) => {
        const name = nameOf(request)
        const state = servers.server(name)
        if (state === undefined) throw unknownServer(name)
        return { body: serverView(state, { whole: request.scope === undefined }) }
      },
    },
    {
      method: 'DELETE',
      path: 'mcp/servers/:name',
      access: 'admin',
      handle: (request) => onServer(request, 'mcp.rm'),
    },
    {
      method: 'POST',
      path: 'mcp/servers/:name/connect',
      access: 'admin',
      handle: async (request) => {
        const name = nameOf(request)
        const { timeoutSeconds } = servers.config(name)
        const given = { server: name, wait_seconds: Math.min(timeoutSeconds, MAX_WAIT_SECONDS) }
        return { body: await byVerb(request, 'mcp.connect', given) }
      },
    },
    {
      method: 'POST',
      path: 'mcp/servers/:name/disconnect',
      access: 'admin',
      handle: (request) => onServer(request, 'mcp.disconnect'),
    },
    {
      method: 'GET',
      path: 'mcp/servers/:name/prompts',
      access: 'key',
      handle: async (request) => ({
        body: await servers.prompts(nameOf(request), request.signal),
      }),
    },
    {
      method: 'GET',
      path: 'mcp/servers/:name/logs',
      access: 'admin',
      handle: (request) => onServer(request, 'mcp.logs'),
    },
    {
      method: 'GET',
      path: 'mcp/servers/:name/resources/read',
      access: 'admin',
      handle: async (request) => {
        const { uri } = request.query
        if (uri === undefined || uri === '')
          throw new VestryError('INVALID_PARAMS', 'uri: is required')
        return { body: await byVerb(request, 'mcp.read', { server: nameOf(request), uri }) }
      },
    },
    {
      method: 'GET',
      path: 'mcp/tools',
      access: 'key',
      handle: async (request) => ({
        body: await Promise.all(
          servers
            .tools(wanted(request))
            .map(async (tool) => toolView(tool, await verification(tool))),
        ),
      }),
    },
    {
      method: 'GET',
      path: 'mcp/resources',
      access: 'key',
      handle: (request) => ({ body: servers.resources(wanted(request)).map(resourceView) }),
    },
  ]
}

function nameOf({ params }: RuntimeRequest): string {
  return params['name'] ?? ''
}

/** @throws VestryError INVALID_PARAMS */
function flag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === '' || text === 'false') return false
  if (text === 'true') return true
  throw new VestryError('INVALID_PARAMS', `${name}: must be true or false`)
}
