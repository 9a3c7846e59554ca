/** How servers, tools and resources look to whoever asks, over HTTP and on the command line alike. */

import type { ServerConfig } from './connect/server-config.ts'
import type { LiveResource, LiveTool, McpServerState } from './hub.ts'

type View = Record<string, unknown>

/** What is known of a tool beyond what its server says. */
export interface Verification {
  readonly verified: boolean
  /** `sha256:…` of the definition as it is now. */
  readonly hash: string
  readonly reason?: string
}

/** @param whole With what the server wrote to its standard error. */
export function serverView(state: McpServerState, { whole }: { whole: boolean }): View {
  const { lastError } = state
  return {
    server_name: state.name,
    status: state.status,
    transport: state.transport,
    pid: state.pid ?? null,
    connected_at: state.connectedAtMs === undefined ? null : timeText(state.connectedAtMs),
    last_error: lastError === undefined ? null : whole ? lastError : firstLine(lastError),
    tools_count: state.toolsCount,
    resources_count: state.resourcesCount,
    protocol_version: state.protocolVersion ?? null,
  }
}

/** As a configuration may be shown: names of variables and headers, never their values. */
export function configView(config: ServerConfig): View {
  return {
    command: config.command,
    url: config.url === null ? null : withoutQuery(config.url),
    cwd: config.cwd,
    env: Object.keys(config.env).sort(),
    headers: Object.keys(config.headers).sort(),
    timeout_seconds: config.timeoutSeconds,
    auto_connect: config.autoConnect,
    restart: config.restart,
    provider_public_key_url: config.providerPublicKeyUrl,
  }
}

export function connectedView(state: McpServerState): View {
  if (state.status === 'connecting') return { status: 'connecting', server_name: state.name }
  return {
    status: state.status,
    server_name: state.name,
    transport: state.transport,
    pid: state.pid ?? null,
    tools_count: state.toolsCount,
    resources_count: state.resourcesCount,
    protocol_version: state.protocolVersion ?? null,
    server_info: state.serverInfo ?? null,
  }
}

export function toolView(tool: LiveTool, { verified, hash, reason }: Verification): View {
  return {
    name: tool.name,
    description: tool.description,
    server_name: tool.server,
    schema: tool.inputSchema,
    verified,
    verification_hash: hash,
    ...(reason !== undefined && { verification_reason: reason }),
    ...(tool.annotations !== undefined && { annotations: tool.annotations }),
  }
}

export function resourceView(resource: LiveResource): View {
  return {
    uri: resource.uri,
    name: resource.name ?? null,
    description: resource.description ?? null,
    mime_type: resource.mimeType ?? null,
    server_name: resource.server,
    ...(resource.isTemplate && { is_template: true }),
  }
}

function withoutQuery(url: string): string {
  const at = url.search(/[?#]/)
  return at === -1 ? url : `${url.slice(0, at)}?…`
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
