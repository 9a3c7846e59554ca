/** The credential that a tool's requests carry: opened for one attempt, and given back after it. */
import { VestryError } from '@vestry/contract/errors'
import { buildInjection, type Injection } from '../../egress/injection.ts'
import type { Borrowed } from '../../egress/kept-injections.ts'
import type { Target } from '../../egress/url.ts'
import { hostMatches, parseHostPattern } from '../../policy/host.ts'
import type { Gateway } from '../gateway.ts'
import type { Tool } from '../tools/tool.ts'
import type { DecidedCall } from './decided-call.ts'

export interface OpenedCredential extends Borrowed {
  readonly path: string
  readonly version: number
  readonly hosts: readonly string[]
}

/** Used here and given back: nothing of it leaves but in the request itself. */
export async function openCredential({
  gateway,
  tool,
}: DecidedCall): Promise<OpenedCredential | undefined> {
  const { credential } = tool
  if (credential === undefined) return undefined
  const { path } = credential
  const { drops } = gateway.injections
  const found = await gateway.credentials.find(path)
  if (found === undefined || found.version === 0) throw notConfigured(tool)
  void gateway.seal.keys // what is kept must not outlive the open vault either
  const { version, settings } = found
  const key = `${tool.digest} ${path} ${version}`
  const borrowed =
    gateway.injections.borrow(key) ??
    gateway.injections.keep(key, await inject(gateway, tool, version), drops)
  return {
    injection: borrowed.injection,
    path,
    version,
    hosts: settings.allowed_hosts ?? [],
    [Symbol.dispose]: () => borrowed[Symbol.dispose](),
  }
}

async function inject(gateway: Gateway, tool: Tool, version: number): Promise<Injection> {
  const { credential } = tool
  if (credential === undefined) throw notConfigured(tool)
  const opened = await gateway.credentials
    .open(credential.path, version)
    .catch((cause: unknown) => {
      const absent = cause instanceof VestryError && cause.code === 'CREDENTIAL_NOT_FOUND'
      throw absent ? notConfigured(tool, cause) : cause
    })
  using secret = opened.secret
  const injection = buildInjection(credential.inject, secret) // with copies of its own
  return injection
}

export function notConfigured({ name, credential }: Tool, cause?: unknown): VestryError {
  const path = credential?.path ?? `tools/${name}`
  return new VestryError('TOOL_NOT_CONFIGURED', `tool '${name}' has no credential`, {
    hint: `Ask an operator to add it: vestry cred add ${path} --value-stdin`,
    context: { tool: name },
    ...(cause !== undefined && { cause }),
  })
}

/** Whether the credential may go there. */
export function bindsTo(hosts: readonly string[], target: Target): boolean {
  return hosts.length === 0 || hosts.some((text) => hostMatches(parseHostPattern(text), target))
}
