/** The three variables an agent is started with, as `vestry agent env` prints them. */
import { invalid } from './errors.ts'
import type { GatewayClientOptions } from './options.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads `GATEWAY_URL`, `AGENT_ID` and `AGENT_PRIVATE_KEY`.
 *
 * @throws GatewayError `INVALID_PARAMS` that names the variable that is missing.
 */
export function optionsFromEnvironment(
  env: Environment = process.env,
): Pick<GatewayClientOptions, 'baseUrl' | 'agentId' | 'agentPrivateKeyPem'> {
  return {
    baseUrl: needed(env, 'GATEWAY_URL'),
    agentId: needed(env, 'AGENT_ID'),
    // Many places that hold variables hold one line: newlines are then written as \n.
    agentPrivateKeyPem: needed(env, 'AGENT_PRIVATE_KEY').replaceAll('\\n', '\n'),
  }
}

function needed(env: Environment, name: string): string {
  const value = env[name]
  if (value !== undefined && value !== '') return value
  throw invalid(`${name} is not set: an operator prints it with "vestry agent env"`)
}
