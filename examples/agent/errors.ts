/** Telling failures apart: by class, by the server's code, by whether another try may help. */
import {
  type AgentContext,
  ForbiddenError,
  GatewayError,
  ModelNotAuthorizedError,
  RateLimitError,
  SageSanctumError,
} from '@vestry/sdk/agent'

export async function askOrExplain(context: AgentContext, question: string): Promise<string> {
  try {
    const { content } = await context.createLlmClient('analysis').invoke(question)
    return content
  } catch (error) {
    if (error instanceof ModelNotAuthorizedError) return 'The run may not use this model'
    if (error instanceof ForbiddenError) return `Not permitted: ${error.code}`
    if (error instanceof RateLimitError) return `Busy, again in ${error.retryAfterSeconds ?? 60} s`
    if (error instanceof GatewayError && error.truncated) return 'The answer broke off'
    if (error instanceof SageSanctumError) return `${error.name} (exit ${error.exitCode})`
    throw error
  }
}
