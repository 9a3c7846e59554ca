/** Every tool the gateway knows, by name. Built-in tools come first, then those of the configuration, then operators'. */
import { VestryError } from '@vestry/contract/errors'
import type { Tool, ToolAction } from './tool.ts'

export class ToolCatalogue {
  readonly #fixed: ReadonlyMap<string, Tool>
  #operator: ReadonlyMap<string, Tool> = new Map()

  /** @throws VestryError `CONFIG_INVALID` for a name that is used twice. */
  constructor(builtin: readonly Tool[], config: readonly Tool[] = []) {
    const fixed = new Map<string, Tool>()
    for (const tool of [...builtin, ...config]) {
      if (fixed.has(tool.name)) {
        throw new VestryError('CONFIG_INVALID', `Two tools are named "${tool.name}"`)
      }
      fixed.set(tool.name, tool)
    }
    this.#fixed = fixed
  }

  get(name: string): Tool | undefined {
    return this.#fixed.get(name) ?? this.#operator.get(name)
  }

  find(tool: string, action: string): { tool: Tool; action: ToolAction } | undefined {
    const found = this.get(tool)
    const foundAction = found?.actions.get(action)
    return found && foundAction && { tool: found, action: foundAction }
  }

  /** Sorted by name. */
  list(): Tool[] {
    return [...this.#fixed.values(), ...this.#operator.values()].sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )
  }

  /** Taken by a tool that no operator can replace. */
  isFixed(name: string): boolean {
    return this.#fixed.has(name)
  }

  /** @returns Names that stay hidden, because a built-in or configured tool has them. */
  replaceOperatorTools(tools: readonly Tool[]): string[] {
    this.#operator = new Map(
      tools.filter(({ name }) => !this.#fixed.has(name)).map((tool) => [tool.name, tool]),
    )
    return tools.map(({ name }) => name).filter((name) => this.#fixed.has(name))
  }
}
