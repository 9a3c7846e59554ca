/** What an agent in the language says of itself, in the form that all agents have. Pure. */
import type { Json, ProgramDefinition } from '../../dsl/definition.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import { listedTools } from './listed-tools.ts'

const MAX_TEXT = 4_096
const MAX_PROMPT = 65_536
const MAX_TOOLS = 128
const DEFAULTS = { temperature: 0.7, topP: 1, maxTokens: 1_024 }
/** A program needs no model; what asks for one anyway hears that none is named. */
export const NO_MODEL = 'none'

/** `metadata` of the file supplies what the agent leaves out. */
export function definitionOf(program: ProgramDefinition): AgentDefinition {
  const said = (name: string): Json | undefined =>
    program.attributes[name] ?? program.metadata[name]
  const text = (name: string, max: number, fallback: string): string => {
    const value = said(name)
    return typeof value === 'string' ? value.slice(0, max).toWellFormed() : fallback
  }
  const amount = (name: string, [min, max]: readonly [number, number], fallback: number) => {
    const value = said(name)
    return typeof value === 'number' ? Math.min(Math.max(value, min), max) : fallback
  }
  return {
    description: text('description', MAX_TEXT, ''),
    systemPrompt: text('system_prompt', MAX_PROMPT, ''),
    tools: listedTools(program).slice(0, MAX_TOOLS),
    model: text('model', 256, NO_MODEL) || NO_MODEL,
    temperature: amount('temperature', [0, 2], DEFAULTS.temperature),
    topP: amount('top_p', [0, 1], DEFAULTS.topP),
    maxTokens: Math.round(amount('max_tokens', [1, 10_000_000], DEFAULTS.maxTokens)),
    metadata: { language: 'dsl', source_hash: program.source_hash, version: program.version },
  }
}
