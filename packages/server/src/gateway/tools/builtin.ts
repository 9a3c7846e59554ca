/** What the four built-in tools share: how they are configured, and how their definition becomes a digest. */
import type { InjectionSpec } from '../../egress/injection.ts'
import { toolDigest } from './digest.ts'
import type { JsonObject, Tool, ToolAction } from './tool.ts'

/** They cannot be redefined. */
export const BUILTIN_NAMES: readonly string[] = ['serpapi', 'http_fetch', 'openai', 'gmail_send']

export interface BuiltinOptions {
  /** Where the provider is, without trailing slash; the provider's own address unless told otherwise. */
  baseUrl?: string
  /** In the vault; default `tools/<tool>`. */
  credentialPath?: string
  /** Decoded bytes of a reply. */
  maxResponseBytes?: number
}

/** wire contract §12.4 */
export const MAX_RESPONSE_BYTES = 1_048_576

export interface BuiltinSpec {
  readonly name: string
  readonly description: string
  readonly baseUrl?: string
  readonly credential?: {
    readonly path: string
    readonly inject: InjectionSpec | { readonly query: string }
  }
  readonly opensTarget?: true
  readonly actions: readonly ToolAction[]
}

export function builtinTool(spec: BuiltinSpec): Tool {
  const { name, description, credential, opensTarget, actions } = spec
  return {
    name,
    description,
    origin: 'builtin',
    digest: toolDigest(definition(spec)),
    actions: new Map(actions.map((action) => [action.name, action])),
    ...(credential !== undefined && { credential }),
    ...(opensTarget !== undefined && { opensTarget }),
  }
}

/** Without trailing slash. */
export function baseUrlOf(given: string | undefined, provider: string): string {
  return (given ?? provider).replace(/\/+$/, '')
}

/** All that a caller or a reviewer could notice, in the words of a tool file. */
function definition({ name, description, baseUrl, credential, actions }: BuiltinSpec): JsonObject {
  return {
    name,
    description,
    ...(baseUrl !== undefined && { base_url: baseUrl }),
    ...(credential !== undefined && {
      credential: { path: credential.path, ...credential.inject },
    }),
    actions: Object.fromEntries(actions.map((action) => [action.name, actionDefinition(action)])),
  }
}

function actionDefinition(action: ToolAction): JsonObject {
  return {
    description: action.description,
    permission: action.permission,
    repeatable: action.repeatable,
    cache_ms: action.cacheMs,
    timeout_ms: action.timeoutMs,
    cost_micros: action.costMicros,
    params: action.schema,
  }
}
