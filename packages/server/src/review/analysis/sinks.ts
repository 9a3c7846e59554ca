/** What a parameter is used for, told by its name and by how its description begins. */
import type { Sink } from './rule.ts'

/** Last words of names. The last word of an English compound says what the thing is: `file_size` is a size. */
const HEADS: Readonly<Record<Sink, ReadonlySet<string>>> = {
  command: set(
    'command commands cmd cmds commandline shell exec bash sh zsh powershell cli args argv arguments',
  ),
  code: set(
    'code script scripts eval expression expr snippet javascript js python lambda program bytecode',
  ),
  path: set(
    'path paths file files filename filenames filepath filepaths dir dirs directory directories dirname folder folders cwd pathname workdir',
  ),
  url: set('url urls uri uris link links href webhook webhooks endpoint callback website'),
  host: set('host hosts hostname hostnames domain domains fqdn ip proxy'),
  email: set('email emails mail recipient recipients mailbox cc bcc'),
  query: set(
    'query queries sql graphql cypher xpath jql cql kql gql promql sparql ldap regex regexp statement',
  ),
  template: set('template templates tpl jinja handlebars mustache'),
  credential: set(
    'password passwords passwd pwd passphrase secret secrets token tokens apikey credential credentials cookie cookies jwt bearer authorization privatekey accesskey secretkey otp pin',
  ),
}

/** Two last words that make a sink where the last alone does not. */
const PAIRS: readonly (readonly [Sink, ReadonlySet<string>])[] = [
  ['path', set('file name|folder name|directory name|file location|output location')],
  ['url', set('web address|base address')],
  ['host', set('ip address|server name|server address|smtp server|mail server|host name')],
  ['email', set('email address|email addresses|mail address|send to|mail to|reply to')],
  [
    'credential',
    set(
      'api key|api keys|private key|access key|secret key|auth key|signing key|session key|ssh key|service key|encryption key|auth header',
    ),
  ],
  ['command', set('command line|command string|shell args')],
  ['code', set('source code|python code|js code')],
  ['query', set('query string|sql text|where clause|search filter sql')],
]

/** Codes, tokens and the like that are no code and no secret: `country_code`, `page_token`, `max_tokens`. */
const HARMLESS: readonly (readonly [Sink, ReadonlySet<string>, ReadonlySet<string>])[] = [
  [
    'code',
    set(
      'country currency language lang zip postal post status error area promo discount coupon product airport airline iata icao http response exit color colour region state province locale qr bar access invite invitation reference dial phone calling country subject station stop hs sic naics icd diagnosis tax city unit reason type item vendor verification security confirmation',
    ),
    set('code'),
  ],
  [
    'credential',
    set(
      'page next previous prev continuation sync max min total num number count prompt completion input output stop start resume delta cursor',
    ),
    set('token tokens'),
  ],
  ['command', set('help'), set('commands')],
  ['url', set('symbolic sym'), set('link links')],
  ['query', set('search'), set('query queries')],
]

/** A description that begins so names the thing. Articles and up to three words of its own may stand before. */
const LEAD =
  '^[\\s"\'`]{0,4}(?:(?:the|a|an|your|this|one|optional|full|absolute|relative|local|raw|list of|array of|comma separated|comma-separated)\\s{1,4}){0,4}(?:[\\w-]{1,24}\\s{1,4}){0,2}'
const DESCRIBED: readonly (readonly [Sink, RegExp])[] = [
  [
    'command',
    lead(
      'shell commands?|commands? lines?|commands? (?:to|that|which) (?:be )?(?:run|execute|executed)|bash commands?|terminal commands?',
    ),
  ],
  [
    'code',
    lead(
      '(?:python|javascript|typescript|js|ruby|php|lua|shell|bash) (?:code|script|source)|(?:code|script|program|expression) (?:to|that) (?:be )?(?:run|execute|evaluate|eval|executed|evaluated|is executed)',
    ),
  ],
  [
    'path',
    lead(
      'file ?paths?|director(?:y|ies) paths?|folder paths?|paths? (?:to|of|where|on|in|under|relative)|file ?names?|(?:file|directory|folder) (?:to|that|which|where|from|into) (?:\\w{1,12} )?(?:read|write|save|delete|open|load|list|create|move|copy|search|edit|store)',
    ),
  ],
  ['url', lead('urls?|uris?|web ?hooks?|web ?addresse?s?|http endpoints?')],
  ['host', lead('host ?names?|ip addresse?s?|domain names?|fqdn')],
  ['email', lead('e-?mail addresse?s?|recipients?')],
  [
    'query',
    lead(
      'sql|sql (?:query|statement|text)|graphql(?: query| document)?|cypher(?: query)?|xpath(?: expression)?|ldap (?:query|filter)|sparql(?: query)?|regular expressions?|regexp?|jql(?: query)?|promql(?: query)?|(?:database|raw) quer(?:y|ies)|quer(?:y|ies) (?:to|that) (?:be )?(?:run|execute|executed)',
    ),
  ],
  [
    'template',
    lead(
      '(?:jinja2?|handlebars|mustache|liquid|go|ejs|twig|erb) templates?|template (?:string|text|source|to render)',
    ),
  ],
  [
    'credential',
    lead(
      'api keys?|access tokens?|auth(?:entication|orization)? tokens?|bearer tokens?|passwords?|passphrases?|private keys?|secret keys?|client secrets?|credentials?|session cookies?',
    ),
  ],
]

/** Said of the words a person looks for, which are no query language. */
const SEARCH_WORDS =
  /\b(?:search(?:es|ed|ing)?|keywords?|key phrases?|terms?|phrases?|topics?|question|natural[ -]language|free[ -]text|look(?:ing)? (?:for|up)|find)\b/i
const QUERY_LANGUAGE =
  /\b(?:sql|graphql|cypher|xpath|ldap|sparql|jql|cql|kql|promql|regexp?|regular expressions?|jmespath|jsonpath|lucene|statements?)\b/i
const SEARCH_TOOL: ReadonlySet<string> = set('search find lookup suggest autocomplete recall')

/** A description is read this far. */
const MAX_READ = 400

/**
 * @param words The name's.
 * @param toolWords Of the tool's name: what `query` means depends on them.
 */
export function sinksOf(
  words: readonly string[],
  description: string,
  toolWords: readonly string[],
): ReadonlySet<Sink> {
  const sinks = new Set<Sink>()
  const head = words.at(-1) ?? ''
  const before = words.at(-2) ?? ''
  const pair = `${before} ${head}`
  for (const [sink, heads] of Object.entries(HEADS) as [Sink, ReadonlySet<string>][]) {
    if (heads.has(head) && !isHarmless(sink, before, head)) sinks.add(sink)
  }
  for (const [sink, pairs] of PAIRS) if (pairs.has(pair)) sinks.add(sink)
  const said = description.slice(0, MAX_READ)
  for (const [sink, pattern] of DESCRIBED) if (pattern.test(said)) sinks.add(sink)
  if (sinks.has('query') && isSearchText(words, said, toolWords)) sinks.delete('query')
  return sinks
}

function isHarmless(sink: Sink, before: string, head: string): boolean {
  return HARMLESS.some(
    ([which, befores, heads]) => which === sink && befores.has(before) && heads.has(head),
  )
}

/** What is typed into a search box is looked for, not executed. */
function isSearchText(words: readonly string[], said: string, toolWords: readonly string[]) {
  if (QUERY_LANGUAGE.test(`${words.join(' ')} ${toolWords.join(' ')} ${said}`)) return false
  return SEARCH_WORDS.test(said) || toolWords.some((word) => SEARCH_TOOL.has(word))
}

function lead(things: string): RegExp {
  return new RegExp(`${LEAD}(?:${things})\\b`, 'i')
}

function set(words: string): ReadonlySet<string> {
  return new Set(words.split(words.includes('|') ? '|' : ' '))
}
