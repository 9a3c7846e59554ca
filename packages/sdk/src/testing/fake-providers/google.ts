/** Google's Gemini API as its callers meet it: what it refuses and in which words, and how it streams. */
import {
  type Dialect,
  type Events,
  isJson,
  type Json,
  jsons,
  pieces,
  type Reply,
  type Scripted,
  type Seen,
  vectorOf,
} from './script.ts'

const MEMBERS = new Set([
  ...['contents', 'systemInstruction', 'generationConfig', 'tools', 'toolConfig', 'safetySettings'],
])
const SETTINGS = new Set([
  ...['temperature', 'topP', 'topK', 'maxOutputTokens', 'seed', 'stopSequences', 'candidateCount'],
  ...['responseMimeType', 'responseSchema', 'presencePenalty', 'frequencyPenalty'],
])
const SCHEMA = new Set([
  ...['type', 'format', 'title', 'description', 'nullable', 'enum', 'maxItems', 'minItems'],
  ...['properties', 'required', 'minProperties', 'maxProperties', 'minLength', 'maxLength'],
  ...['pattern', 'example', 'anyOf', 'propertyOrdering', 'items', 'minimum', 'maximum'],
])
const FORMATS = { STRING: ['enum', 'date-time'] } as const
const ROUTE = /^\/v1beta\/models\/([^/:?]+):([A-Za-z]+)(\?alt=sse)?$/
const USAGE = { prompt: 17, completion: 6, cached: 0 }
const DEFAULT_TEXT = 'Hello from Google.'
const FINISH = { stop: 'STOP', length: 'MAX_TOKENS', content_filter: 'SAFETY' }
/** Models that insist on getting their thought signatures back. */
const SIGNING = /^gemini-3/
export const SIGNATURE = 'c2lnbmF0dXJlLW9mLXRob3VnaHQ='

export const fakeGoogle: Dialect = {
  name: 'google',
  basePath: '',
  answer(seen, scripted, key) {
    if (seen.headers['x-goog-api-key'] !== key) {
      const details = [
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' },
      ]
      return refusal(400, 'INVALID_ARGUMENT', 'API key not valid.', details)
    }
    const [, name = '', verb = '', sse] = ROUTE.exec(seen.path) ?? []
    const model = decodeURIComponent(name)
    if (model.startsWith('gemini-missing')) {
      return refusal(404, 'NOT_FOUND', `models/${model} is not found`)
    }
    if (verb === 'batchEmbedContents') return embeddings(model, seen.body, scripted)
    if (verb !== 'generateContent' && !(verb === 'streamGenerateContent' && sse)) {
      return refusal(404, 'NOT_FOUND', 'Not found')
    }
    const complaint = complaintOf(model, seen.body)
    if (complaint !== undefined) return invalid(complaint)
    return generated(model, seen, scripted, verb === 'streamGenerateContent')
  },
}

function complaintOf(model: string, body: Json): string | undefined {
  const settings = isJson(body['generationConfig']) ? body['generationConfig'] : {}
  const unknown =
    unknownIn(body, MEMBERS, 'request') ?? unknownIn(settings, SETTINGS, 'generation_config')
  if (unknown !== undefined) return unknown
  const stops = settings['stopSequences']
  if (Array.isArray(stops) && stops.length > 5)
    return 'The stop_sequences must have at most 5 entries'
  if (settings['responseSchema'] !== undefined) {
    const complaint = schemaComplaint(settings['responseSchema'], 'response_schema')
    if (complaint !== undefined) return complaint
  }
  const declared = jsons(body['tools']).flatMap((tool) => jsons(tool['functionDeclarations']))
  if (declared.length > 0 && settings['responseMimeType'] === 'application/json') {
    return "Function calling with a response mime type: 'application/json' is unsupported"
  }
  for (const { parameters } of declared) {
    if (parameters === undefined) continue
    const complaint = schemaComplaint(parameters, 'parameters')
    if (complaint !== undefined) return complaint
    if (isJson(parameters) && parameters['properties'] === undefined && !parameters['anyOf']) {
      return 'parameters.properties: should be non-empty for OBJECT type'
    }
  }
  return historyComplaint(model, jsons(body['contents']))
}

function historyComplaint(model: string, contents: readonly Json[]): string | undefined {
  if (contents.length === 0) return 'contents is not specified'
  let called: string[] = []
  for (const { role, parts } of contents) {
    if (role !== 'user' && role !== 'model') return 'Please use a valid role: user, model.'
    const given = jsons(parts)
    if (given.length === 0) return 'contents.parts must not be empty.'
    const results = given.flatMap((part) =>
      isJson(part['functionResponse']) ? [part['functionResponse']] : [],
    )
    if (called.length > 0 || results.length > 0) {
      const names = results.map(({ name }) => String(name))
      if (names.join() !== called.join()) {
        return 'The number of function response parts must equal the number of function call parts'
      }
      if (results.some(({ response }) => !isJson(response))) return 'response must be a Struct'
    }
    const calls = given.filter((part) => isJson(part['functionCall']))
    if (calls.length > 0 && SIGNING.test(model) && calls[0]?.['thoughtSignature'] !== SIGNATURE) {
      return 'Function call is missing a thought_signature in functionCall parts.'
    }
    called = calls.map((part) => String((part['functionCall'] as Json)['name']))
  }
  return undefined
}

function schemaComplaint(schema: unknown, place: string): string | undefined {
  if (!isJson(schema)) return `Invalid value at '${place}'`
  const unknown = unknownIn(schema, SCHEMA, place)
  if (unknown !== undefined) return unknown
  if (typeof schema['type'] !== 'string' && !Array.isArray(schema['anyOf'])) {
    return `${place}.type: must be specified`
  }
  const { type, format } = schema
  if (
    type === 'STRING' &&
    format !== undefined &&
    !FORMATS.STRING.some((known) => known === format)
  ) {
    return `${place}.format: only 'enum' and 'date-time' are supported for STRING type`
  }
  if (type === 'ARRAY' && !isJson(schema['items'])) return `${place}.items: missing field.`
  if (schema['enum'] !== undefined && type !== 'STRING') {
    return `${place}.enum: only allowed for STRING type`
  }
  const properties = isJson(schema['properties']) ? schema['properties'] : {}
  for (const name of Array.isArray(schema['required']) ? schema['required'] : []) {
    if (!Object.hasOwn(properties, String(name)))
      return `${place}.required: property is not defined`
  }
  const inner = [...Object.values(properties), ...jsons(schema['anyOf'])]
  if (isJson(schema['items'])) inner.push(schema['items'])
  for (const each of inner) {
    const complaint = schemaComplaint(each, place)
    if (complaint !== undefined) return complaint
  }
  return undefined
}

function unknownIn(given: Json, known: ReadonlySet<string>, place: string): string | undefined {
  const name = Object.keys(given).find((each) => !known.has(each))
  if (name === undefined) return undefined
  return `Invalid JSON payload received. Unknown name "${name}" at '${place}': Cannot find field.`
}

function generated(
  model: string,
  _seen: Seen,
  scripted: Scripted,
  streams: boolean,
): Reply | Events {
  const thought =
    scripted.thinking === undefined ? [] : [{ text: scripted.thinking, thought: true }]
  const calls = (scripted.tools ?? []).map(({ name, arguments: args }, at) => ({
    functionCall: { name, args },
    ...(at === 0 && SIGNING.test(model) && { thoughtSignature: SIGNATURE }),
  }))
  const said = scripted.json === undefined ? scripted.text : JSON.stringify(scripted.json)
  const text = said ?? (calls.length > 0 ? '' : DEFAULT_TEXT)
  const finishReason = FINISH[scripted.finish ?? 'stop']
  const { prompt, completion, cached } = scripted.usage ?? USAGE
  const usageMetadata = {
    promptTokenCount: prompt,
    candidatesTokenCount: completion,
    totalTokenCount: prompt + completion,
    ...(cached && { cachedContentTokenCount: cached }),
  }
  const head = { modelVersion: model, responseId: 'resp_fake' }
  const part = (parts: Json[], rest: Json = {}) => ({
    candidates: [{ content: { role: 'model', parts }, index: 0, ...rest }],
    ...head,
  })
  if (!streams) {
    const spoken = text === '' ? [] : [{ text }]
    const whole = part([...thought, ...spoken, ...calls], { finishReason })
    return { status: 200, body: { ...whole, usageMetadata } }
  }
  const event = (data: Json) => `data: ${JSON.stringify(data)}\r\n\r\n`
  return {
    events: [
      ...thought.map((each) => event(part([each]))),
      ...pieces(text).map((piece) => event(part([{ text: piece }]))),
      ...(calls.length > 0 ? [event(part(calls))] : []),
      event({ ...part([{ text: '' }], { finishReason }), usageMetadata }),
    ],
    error: (status) => event({ error: { code: 503, message: 'The model is overloaded.', status } }),
  }
}

function embeddings(model: string, body: Json, scripted: Scripted): Reply {
  const requests = jsons(body['requests'])
  if (requests.length === 0 || requests.length > 100) {
    return invalid('* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch')
  }
  const vectors: { values: number[] }[] = []
  for (const request of requests) {
    const parts = isJson(request['content']) ? jsons(request['content']['parts']) : []
    if (request['model'] !== `models/${model}`) return invalid('model: must match the path')
    if (parts.length !== 1) return invalid('content: must have one part')
    vectors.push({ values: vectorOf(String(parts[0]?.['text'])) })
  }
  if (scripted.short) vectors.pop()
  return { status: 200, body: { embeddings: vectors } }
}

function invalid(message: string): Reply {
  return refusal(400, 'INVALID_ARGUMENT', message)
}

function refusal(code: number, status: string, message: string, details?: Json[]): Reply {
  return { status: code, body: { error: { code, message, status, ...(details && { details }) } } }
}
