/**
 * Texts with `{param}` in them, as tool files have them in paths and headers. What a param puts into a path can
 * neither end its segment nor climb out of it.
 */

export type TemplatePart = { readonly text: string } | { readonly param: string }
export type Template = readonly TemplatePart[]

/** Names a tool may give its params. */
export const PARAM_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/

/** RFC 3986 pchar and `/`, without percent encodings: those could be dots. */
const PATH_TEXT = /^[A-Za-z0-9._~!$&'()*+,;=:@/-]*$/

/** @returns undefined for a brace that stands alone, or a name no param can have. */
export function parseTemplate(text: string): Template | undefined {
  const parts: TemplatePart[] = []
  // Splitting by a group leaves texts at even and names at odd places.
  for (const [at, piece] of text.split(/\{([^{}]*)\}/).entries()) {
    if (at % 2 === 1) {
      if (!PARAM_NAME.test(piece)) return undefined
      parts.push({ param: piece })
    } else if (/[{}]/.test(piece)) {
      return undefined
    } else if (piece !== '') {
      parts.push({ text: piece })
    }
  }
  return parts
}

/** Each once, in order. */
export function templateParams(template: Template): string[] {
  return [...new Set(template.flatMap((part) => ('param' in part ? [part.param] : [])))]
}

/** What is wrong with the fixed part of a path; undefined if nothing is. */
export function pathProblem(path: string): string | undefined {
  const template = parseTemplate(path)
  if (template === undefined) return 'has a placeholder that is not {param}'
  if (!path.startsWith('/')) return 'must begin with /'
  if (!template.every((part) => 'param' in part || PATH_TEXT.test(part.text))) {
    return 'must be a plain path, without query and percent encodings'
  }
  const segments = path.slice(1).split('/')
  if (segments.slice(0, -1).includes('')) return 'has an empty segment'
  if (segments.some(climbs)) return 'has a dot segment'
  return undefined
}

export type Filled = { readonly path: string } | { readonly problems: readonly string[] }

/** @param path A template that {@link pathProblem} found nothing wrong with. */
export function fillPath(path: string, values: Readonly<Record<string, string>>): Filled {
  const problems: string[] = []
  const segments = path.split('/').map((segment) => {
    const template = parseTemplate(segment) ?? []
    const plain = template
      .map((part) => ('text' in part ? part.text : (values[part.param] ?? '')))
      .join('')
    for (const name of templateParams(template)) {
      const problem = segmentProblem(values[name] ?? '', plain)
      if (problem !== undefined) problems.push(`${name}: ${problem}`)
    }
    return template
      .map((part) => ('text' in part ? part.text : encodeSegment(values[part.param] ?? '')))
      .join('')
  })
  return problems.length > 0 ? { problems } : { path: segments.join('/') }
}

/** All but RFC 3986 unreserved characters. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function segmentProblem(value: string, segment: string): string | undefined {
  if (segment === '') return 'must not be empty'
  if (/\p{Cc}/u.test(value)) return 'must not contain control characters'
  // A server that decodes before it splits would see segments within the segment.
  const inner = [segment, ...segment.split(/[/\\]/), ...value.split(/[/\\]/)]
  return inner.some(climbs) ? 'must not be a dot segment' : undefined
}

/** `..;x` is `..` to some servers, which take the rest for parameters of the path. */
function climbs(segment: string): boolean {
  return /^\.{1,2}(?:;|$)/.test(segment)
}
