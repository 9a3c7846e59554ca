/** What the pod tells a process about itself: the one place of this door that reads the environment. */

const DEFAULT_SOCKET = '/run/envpod/identity.sock'

type Environment = Readonly<Record<string, string | undefined>>

export function identitySocket(env: Environment = process.env): string {
  return env['ENVPOD_IDENTITY_SOCKET'] || DEFAULT_SOCKET
}

/** The token that was given for this agent, or for no agent in particular. */
export function agentToken(name: string, env: Environment = process.env): string | undefined {
  const { ENVPOD_AGENT_NAME: owner, ENVPOD_AGENT_TOKEN: token } = env
  if (!token) return undefined
  return !owner || owner === name ? token : undefined
}
