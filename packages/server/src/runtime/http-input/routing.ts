/** Which agent gets a request: the first rule that holds, else the input's own agent. */
import type { InputConfig, RoutingRule } from './input-config.ts'

export interface Routed {
  /** As requested, without query. */
  readonly path: string
  readonly header: (name: string) => string | undefined
  readonly body: unknown
}

export function agentFor(
  { agent_id: own, routing_rules: rules }: InputConfig,
  request: Routed,
): string {
  return rules?.find((rule) => holds(rule, request))?.agent_id ?? own
}

function holds(rule: RoutingRule, { path, header, body }: Routed): boolean {
  const { condition_value: value, condition_target: target } = rule
  switch (rule.condition_type) {
    case 'path_prefix':
      return isWithin(path, value)
    case 'header_equals':
      return target != null && header(target) === value
    case 'json_field_equals':
      return target != null && textOf(fieldOf(body, target)) === value
  }
}

/** Whole segments: `/a` holds `/a/b` and not `/ab`. */
export function isWithin(path: string, prefix: string): boolean {
  const base = prefix.replace(/\/+$/, '')
  return path === base || path.startsWith(`${base}/`)
}

/** The field of that name, or the one that a dotted name leads to. */
function fieldOf(body: unknown, name: string): unknown {
  if (isObject(body) && Object.hasOwn(body, name)) return body[name]
  let at = body
  for (const part of name.split('.')) {
    if (!isObject(at) || !Object.hasOwn(at, part)) return undefined
    at = at[part]
  }
  return at
}

/** As a person would write the value; objects and lists equal nothing. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' || value === null
    ? String(value)
    : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
