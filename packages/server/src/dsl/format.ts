/** A source in the one layout we all read; comments stay, and so does every meaning. */
import type { AgentPart, Item, Param, PolicyItem, Property, Span } from './ast.ts'
import type { Diagnostic } from './diagnostic.ts'
import { typeText } from './expression-text.ts'
import { parse } from './parse.ts'
import { type Element, Printer } from './printer.ts'

const LINE = 80

/** A source with errors comes back as it was, with what is wrong. */
export function format(source: string): {
  readonly text: string
  readonly diagnostics: readonly Diagnostic[]
} {
  const { program, diagnostics } = parse(source)
  if (diagnostics.some(({ severity }) => severity === 'error')) return { text: source, diagnostics }
  const printer = new Printer(source, program.comments)
  const layout = new Layout(source, printer)
  const elements = program.items.map((item) => ({
    span: item.span,
    print: () => layout.part(item),
  }))
  const lines = printer.lines(elements, source.length + 1)
  return { text: lines.length === 0 ? '' : `${lines.join('\n')}\n`, diagnostics }
}

class Layout {
  readonly #source: string
  readonly #print: Printer

  constructor(source: string, printer: Printer) {
    this.#source = source
    this.#print = printer
  }

  part(node: Item | AgentPart): string {
    const print = this.#print
    switch (node.kind) {
      case 'metadata':
        return `metadata ${this.#properties(node.properties, node.span)}`
      case 'agent': {
        const params = node.params.length === 0 ? '' : `(${print.params(node.params)})`
        const head = `agent ${node.name.text}${params}${returns(node.returns)}`
        const parts = node.body.map((one) => ({ span: one.span, print: () => this.part(one) }))
        return `${head} ${print.body(parts, node.span.end.offset - 1)}`
      }
      case 'policy':
        return this.#policy(node)
      case 'type':
      case 'struct':
        if (node.alias !== undefined) return `type ${node.name.text} = ${typeText(node.alias)}`
        return `${node.kind} ${node.name.text} ${node.kind === 'type' ? '= ' : ''}${this.#fields(node.fields, node.span)}`
      case 'function':
        return `function ${node.name.text}(${print.params(node.params)})${returns(node.returns)} ${print.block(node.block, false)}`
      case 'behavior':
        return this.#behavior(node)
      case 'schedule':
        return `schedule ${node.name.text} ${this.#properties(node.properties, node.span)}`
      case 'channel':
        return this.#channel(node)
      case 'memory':
        return this.#nested(`memory ${node.name.text}`, node, 'search', node.search)
      case 'webhook':
        return this.#nested(`webhook ${node.name.text}`, node, 'filter', node.filter)
      case 'attribute':
        return this.#property(node.property)
      case 'capabilities':
        return `capabilities${separator(node.separator)}${print.expression(node.value, 15)}`
      case 'trigger':
        return `trigger ${node.name.text} ${this.#properties(node.properties, node.span)}`
      case 'action': {
        const params = node.params.length === 0 ? '' : `(${print.params(node.params)})`
        return `action ${node.name.text}${params}${returns(node.returns)} ${print.block(node.block, true)}`
      }
      case 'with': {
        const properties = node.properties.map((one) => this.#property(one)).join(', ')
        return `with ${properties}${properties === '' ? '' : ' '}${print.block(node.block, false)}`
      }
      case 'resources':
      case 'security':
      case 'policies':
        return `${node.kind} ${this.#properties(node.properties, node.span)}`
    }
  }

  #policy({ name, rules, span }: PolicyItem): string {
    const print = this.#print
    const elements = rules.map((one) => ({
      span: one.span,
      print: () => {
        const condition =
          one.condition === undefined ? '' : ` if ${print.expression(one.condition, 20)}`
        return `${one.effect}: ${print.expression(one.target, one.effect.length + 2)}${condition}`
      },
    }))
    return `policy ${name.text} ${print.body(elements, span.end.offset - 1)}`
  }

  #behavior(node: Extract<Item, { kind: 'behavior' }>): string {
    const print = this.#print
    const elements: Element[] = []
    for (const [word, list] of [
      ['input', node.input],
      ['output', node.output],
    ] as const) {
      const [first, last] = [list[0], list.at(-1)]
      if (first === undefined || last === undefined) continue
      const span = { start: first.span.start, end: last.span.end }
      elements.push({ span, print: () => `${word} { ${print.params(list)} }` })
    }
    elements.push({
      span: node.steps.span,
      print: () => `steps ${print.block(node.steps, true)}`,
    })
    elements.sort((a, b) => a.span.start.offset - b.span.start.offset)
    return `behavior ${node.name.text} ${print.body(elements, node.span.end.offset - 1)}`
  }

  #channel(node: Extract<Item, { kind: 'channel' }>): string {
    const elements = [
      ...this.#elements(node.properties),
      ...node.policies.map((one) => ({ span: one.span, print: () => this.#policy(one) })),
      ...this.#group('data_classification', node.classification),
    ].sort((a, b) => a.span.start.offset - b.span.start.offset)
    return `channel ${node.name.text} ${this.#print.body(elements, node.span.end.offset - 1)}`
  }

  #nested(
    head: string,
    node: { readonly properties: readonly Property[]; readonly span: Span },
    word: string,
    inner: readonly Property[],
  ): string {
    if (inner.length === 0) return `${head} ${this.#properties(node.properties, node.span)}`
    const elements = [...this.#elements(node.properties), ...this.#group(word, inner)].sort(
      (a, b) => a.span.start.offset - b.span.start.offset,
    )
    return `${head} ${this.#print.body(elements, node.span.end.offset - 1)}`
  }

  #group(word: string, inner: readonly Property[]): Element[] {
    const [first, last] = [inner[0], inner.at(-1)]
    if (first === undefined || last === undefined) return []
    const span = { start: first.span.start, end: last.span.end }
    const print = (): string => `${word} { ${inner.map((one) => this.#property(one)).join(', ')} }`
    return [{ span, print }]
  }

  /** On one line where the source has it so. */
  #properties(list: readonly Property[], span: Span): string {
    const line = list.map((one) => this.#property(one)).join(', ')
    if (this.#isOneLine(span) && line.length <= LINE && !line.includes('\n')) {
      return list.length === 0 ? '{}' : `{ ${line} }`
    }
    return this.#print.body(this.#elements(list), span.end.offset - 1)
  }

  #fields(list: readonly Param[], span: Span): string {
    const line = this.#print.params(list)
    if (this.#isOneLine(span) && line.length <= LINE) return `{ ${line} }`
    const elements = list.map((one) => ({ span: one.span, print: () => this.#print.param(one) }))
    return this.#print.body(elements, span.end.offset - 1)
  }

  #isOneLine({ start, end }: Span): boolean {
    return !this.#source.slice(start.offset, end.offset).includes('\n')
  }

  #elements(list: readonly Property[]): Element[] {
    return list.map((one) => ({ span: one.span, print: () => this.#property(one) }))
  }

  #property({ name, separator: mark, value }: Property): string {
    const start = `${name.text}${separator(mark)}`
    return `${start}${this.#print.expression(value, start.length)}`
  }
}

function separator(mark: Property['separator']): string {
  if (mark === '') return ' '
  return mark === ':' ? ': ' : ' = '
}

function returns(type: Parameters<typeof typeText>[0] | undefined): string {
  return type === undefined ? '' : ` -> ${typeText(type)}`
}
