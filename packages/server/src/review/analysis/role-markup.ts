/** Marks by which models tell who speaks. */
import { wording } from './wording.ts'

const ROLE = 'important|system|assistant|instructions?|im_start|im_end|system_prompt|hidden'
/** What follows a role at the beginning of a line, where it speaks to somebody. */
const ADDRESSED =
  'you|your|ignore|must|always|never|do not|respond|reply|follow|obey|instructions?|please|call|send|from now|the user|sure|okay'

/** Marks by which models tell who speaks. */
export const ROLE_MARKUP = wording(
  new RegExp(`</?\\s{0,4}(?:${ROLE})(?:\\s[^<>\\n]{0,60})?/?>(?![|/:@.-])`),
  /<\|[a-z_]{2,24}\|>/,
  /\[\/?(?:INST|SYS|SYSTEM|ASSISTANT)\]/,
  /<<\/?(?:SYS|SYSTEM)>>/,
  /<(?:start|end)_of_turn>|<\/?s>\s{0,4}\[|\bBEGIN (?:SYSTEM|HIDDEN|SECRET) (?:PROMPT|INSTRUCTIONS?)\b/,
  new RegExp(
    `^[\\s#*>\\x60-]{0,12}(?:system|assistant|developer)(?: prompt| message)?[\\s*]{0,3}:[^\\n]{0,120}?\\b(?:${ADDRESSED})\\b`,
  ),
)
