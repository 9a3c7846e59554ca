/** A tool as people read it: its state in a word, its actions and the parameters they take. Pure. */
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import type { Paint, Style } from './style.ts'
import { facts, table } from './table.ts'

/** What keeps calls of it from a provider, if anything does. */
export function toolState({ breaker, configured, credential }: Row): string {
  if (breaker === 'open') return 'provider fails'
  if (breaker === 'half_open') return 'recovering'
  if (configured === false && credential !== null) return 'no credential'
  return 'ready'
}

export function toolStyle(tool: Row): Style | undefined {
  const state = toolState(tool)
  if (state === 'ready') return undefined
  return state === 'provider fails' ? 'red' : 'yellow'
}

export function toolText(tool: Row, paint: Paint): string {
  const { name, description, origin, mode, credential, digest } = tool
  const actions = rowsOf(tool, 'actions')
  const schemas = rowOf(tool, 'schemas')
  const params = actions.flatMap((action) =>
    paramRows(String(action['name']), rowOf(schemas, String(action['name']))),
  )
  const parts = [
    facts(
      [
        ['name', name],
        ['description', description],
        ['from', origin],
        ['mode', mode],
        ['state', toolState(tool)],
        ['credential', credential],
        ['digest', digest],
      ],
      paint,
    ),
    table(
      [
        { title: 'ACTION', value: 'name' },
        { title: 'NEEDS', value: 'permission' },
        { title: 'REPEATABLE', value: 'repeatable' },
        { title: 'COST', value: ({ cost_usd: cost }) => (cost === 0 ? '' : `$${cellText(cost)}`) },
        { title: 'DESCRIPTION', value: 'description' },
      ],
      actions,
      { paint, empty: 'no actions' },
    ),
  ]
  if (params.length > 0) {
    parts.push(
      table(
        [
          { title: 'PARAMETER', value: 'name' },
          { title: 'OF', value: 'action' },
          { title: 'TYPE', value: 'type' },
          { title: 'REQUIRED', value: 'required' },
          { title: 'DESCRIPTION', value: 'description' },
        ],
        params,
        { paint, empty: '' },
      ),
    )
  }
  return parts.join('\n')
}

/** The properties of an action's JSON Schema. */
function paramRows(action: string, schema: Row): Row[] {
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  return Object.entries(rowOf(schema, 'properties')).map(([name, property]) => {
    const { type, enum: choices, description } = isRow(property) ? property : {}
    return { action, name, type: choices ?? type, required: required.includes(name), description }
  })
}
