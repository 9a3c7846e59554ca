/** Which OpenAI Agents SDK is installed. */
import { type Framework, framework } from '../adapters/framework.ts'

/** The core first: it is what the other re-exports, and it loads nothing more. */
export const PACKAGES = ['@openai/agents-core', '@openai/agents'] as const

export const agentsFramework = (): Framework => framework('openai-agents', PACKAGES)
