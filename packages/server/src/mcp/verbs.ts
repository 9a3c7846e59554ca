/** MCP servers for operators: add, connect, look, disconnect, remove. Behind HTTP and the command line alike. */
import * as z from 'zod'
import { type AdminCall, type AdminVerb, verb } from '../admin/verb.ts'
import type { Cause } from './connect/process-record.ts'
import { readServerConfig, SERVER_NAME } from './connect/server-config.ts'
import type { LiveTool } from './hub.ts'
import type { McpServers } from './servers.ts'
import {
  configView,
  connectedView,
  resourceView,
  serverView,
  toolView,
  type Verification,
} from './views.ts'

export interface McpVerbDeps {
  readonly servers: McpServers
  readonly verification: (tool: LiveTool) => Promise<Verification>
}

/** An answer has to come before clients give up and ask again. */
const MAX_WAIT_SECONDS = 24

const Name = z.string().regex(SERVER_NAME, 'is no name of an MCP server')
const OneServer = z.strictObject({ server: Name })
const SomeServer = z.strictObject({ server: Name.optional() })

export function mcpVerbs({ servers, verification }: McpVerbDeps): AdminVerb[] {
  const shown = (name: string) => {
    const config = servers.config(name)
    const state = servers.server(name)
    return {
      ...(state !== undefined && serverView(state, { whole: true })),
      server_info: state?.serverInfo ?? null,
      ...configView(config),
    }
  }
  return [
    verb({
      name: 'mcp.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({
        servers: servers.servers().map((state) => serverView(state, { whole: true })),
      }),
    }),
    verb({
      name: 'mcp.show',
      action: 'admin:read',
      event: 'admin.read',
      params: OneServer,
      run: async ({ params }) => shown(params.server),
    }),
    verb({
      name: 'mcp.add',
      action: 'admin:write',
      event: 'mcp.add',
      params: z.strictObject({
        server: z.record(z.string(), z.unknown()),
        replace: z.boolean().default(false),
      }),
      data: ({ server, replace }) => ({ server: nameIn(server), replace }),
      run: async (call) => {
        const { server, replace } = call.params
        const config = readServerConfig(server)
        const changed = await servers.add(config, { replace, cause: asked(call) })
        const { transport } = config
        call.note({ generation: changed.generation, transport, result: changed.value })
        return {
          status: changed.value === 'same' ? 'unchanged' : changed.value,
          server_name: config.name,
          transport,
        }
      },
    }),
    verb({
      name: 'mcp.rm',
      action: 'admin:write',
      event: 'mcp.remove',
      params: OneServer,
      data: (params) => params,
      run: async (call) => {
        const { server } = call.params
        const { generation } = await servers.remove(server, asked(call))
        call.note({ generation })
        return { status: 'removed', server_name: server }
      },
    }),
    verb({
      name: 'mcp.connect',
      action: 'admin:write',
      event: 'mcp.connect_request',
      params: z.strictObject({
        server: Name,
        wait_seconds: z.number().min(0).max(MAX_WAIT_SECONDS).default(MAX_WAIT_SECONDS),
      }),
      data: ({ server }) => ({ server }),
      run: async (call) => {
        const { server, wait_seconds: waitSeconds } = call.params
        const waitMs = waitSeconds * 1_000
        const state = await servers.connect(server, { waitMs, cause: asked(call) })
        call.note({ status: state.status })
        return connectedView(state)
      },
    }),
    verb({
      name: 'mcp.disconnect',
      action: 'admin:write',
      event: 'mcp.disconnect_request',
      params: OneServer,
      data: (params) => params,
      run: async (call) => {
        const { server } = call.params
        await servers.disconnect(server, asked(call))
        return { status: 'disconnected', server_name: server }
      },
    }),
    verb({
      name: 'mcp.tools',
      action: 'admin:read',
      event: 'admin.read',
      params: SomeServer,
      run: async ({ params }) => {
        if (params.server !== undefined) servers.config(params.server)
        const tools = servers.tools(params.server)
        const views = tools.map(async (tool) => toolView(tool, await verification(tool)))
        return { tools: await Promise.all(views) }
      },
    }),
    verb({
      name: 'mcp.resources',
      action: 'admin:read',
      event: 'admin.read',
      params: SomeServer,
      run: async ({ params }) => {
        if (params.server !== undefined) servers.config(params.server)
        return { resources: servers.resources(params.server).map(resourceView) }
      },
    }),
    verb({
      name: 'mcp.prompts',
      action: 'admin:read',
      event: 'admin.read',
      params: OneServer,
      run: async ({ params, signal }) => ({
        prompts: await servers.prompts(params.server, signal),
      }),
    }),
    verb({
      // What a resource holds is not for everybody who may read.
      name: 'mcp.read',
      action: 'admin:write',
      event: 'mcp.read',
      params: z.strictObject({ server: Name, uri: z.string().min(1).max(8_192) }),
      data: ({ server, uri }) => ({ server, uri: uri.slice(0, 256).toWellFormed() }),
      run: async ({ params, signal }) => ({
        contents: await servers.read(params.server, params.uri, signal),
      }),
    }),
    verb({
      name: 'mcp.logs',
      action: 'admin:read',
      event: 'admin.read',
      params: OneServer,
      run: async ({ params }) => ({
        server_name: params.server,
        stderr: servers.logs(params.server),
      }),
    }),
  ]
}

function asked({ caller }: AdminCall<unknown>): Cause {
  return { caller, why: 'asked' }
}

/** What is recorded before the rest was looked at. */
function nameIn(server: Readonly<Record<string, unknown>>): string | null {
  const { name } = server
  return typeof name === 'string' && SERVER_NAME.test(name) ? name : null
}
