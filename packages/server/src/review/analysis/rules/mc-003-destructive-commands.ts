/** MC-003: commands that destroy what nobody gets back. */
import type { Rule } from '../rule.ts'
import { PROSE, textHits } from '../text-hits.ts'
import { wording } from '../wording.ts'

const RM = '\\brm\\s{1,4}(?:-{1,2}[a-z-]{1,20}\\s{1,4}){0,4}'
/** A tool may say that it refuses such statements. */
const REFUSED =
  "(?<!\\b(?:no|not|never|refuse[sd]?|reject(?:s|ed)?|block(?:s|ed)?|forbids?|forbidden|disallow(?:s|ed)?|den(?:y|ies)|without|except|prevents?|n't|cannot|warns? (?:of|about|before|against))\\b[^.!?\\n]{0,80})"
const ALLOWED_AFTER =
  '(?![^.!?\\n]{0,80}\\b(?:(?:is|are) (?:refused|rejected|blocked|forbidden|disallowed|not|never|denied)|not allowed|needs? (?:approval|confirmation)))'

/** The name of something, not the next word of a sentence about such statements. */
const NAMED =
  '(?!(?:is|are|was|were|and|or|will|can|may|must|should|not|statements?|commands?|quer(?:y|ies)|operations?|permissions?|privileges?)\\b)["\'\\x60\\[\\w*]'

const COMMANDS = wording(
  new RegExp(
    `${RM}-{1,2}(?:[a-z]{0,8}r[a-z]{0,8}|recursive)\\s{1,4}(?:-{1,2}[a-z-]{1,20}\\s{1,4}){0,4}["']?(?:/(?:\\*|\\s|["';&|]|$)|~|\\$\\{?HOME|/(?:etc|usr|var|home|bin|boot|lib|opt|root|users)\\b|\\*(?:\\s|["';&|]|$)|\\.\\.?(?:/\\*)?(?:\\s|["';&|]|$))`,
  ),
  /\brm\b[^\n]{0,40}--no-preserve-root/,
  /\bmkfs(?:\.[a-z0-9]{1,8})?\s{1,4}(?:-[^\n]{1,40}\s)?\/dev\//,
  /\bdd\s{1,4}[^\n]{0,80}\bof=\/dev\/(?:sd|hd|vd|xvd|nvme|disk|mapper)/,
  />\s{0,4}\/dev\/(?:sd[a-z]|hd[a-z]|vd[a-z]|nvme\d|disk\d)/,
  /\b(?:shred|wipefs|blkdiscard)\s{1,4}[^\n]{0,60}\/dev\//,
  /\bfind\s{1,4}(?:\/|~|\$HOME)\S{0,40}\s[^\n]{0,60}-delete\b/,
  /\bchmod\s{1,4}-R\s{1,4}0{0,3}777\s{1,4}\/(?:\s|$)/,
  /:\(\)\s{0,4}\{\s{0,4}:\s{0,4}\|\s{0,4}:\s{0,4}&\s{0,4}\}\s{0,4};\s{0,4}:/,
  /\bformat\s{1,4}[c-z]:\s{0,4}(?:\/|$)/,
  /\b(?:del|erase)\s{1,4}(?:\/[a-z]\s{1,4}){1,4}[c-z]:\\/,
  /\b(?:rd|rmdir)\s{1,4}(?:\/[a-z]\s{1,4}){1,4}[c-z]:\\/,
  /\bremove-item\b[^\n]{0,60}-recurse\b[^\n]{0,60}(?:[c-z]:\\|\$home|~)/,
  new RegExp(
    `\\b(?=drop)${REFUSED}drop\\s{1,4}(?:database|schema|table)\\s{1,4}(?:if\\s{1,4}exists\\s{1,4})?${NAMED}${ALLOWED_AFTER}`,
  ),
  new RegExp(`\\b(?=truncate)${REFUSED}truncate\\s{1,4}table\\s{1,4}${NAMED}${ALLOWED_AFTER}`),
  new RegExp(
    `\\b(?=delete)${REFUSED}delete\\s{1,4}from\\s{1,4}[\\w."\\x60]{1,64}\\s{0,4}(?:;|where\\s{1,4}(?:1\\s{0,4}=\\s{0,4}1|true)\\b)`,
  ),
  /\bdropDatabase\s{0,4}\(|\bFLUSHALL\b\s{0,4}(?:;|"|'|$)/,
)

export const destructiveCommands: Rule = {
  id: 'MC-003',
  category: 'malicious_code',
  title: 'Holds a command that destroys data',
  reason: 'A destructive line in a text is one careless copy away from being run.',
  recommendation: 'Remove the command from the text.',
  find: (subject) =>
    textHits(subject, COMMANDS, {
      severity: 'critical',
      confidence: 0.9,
      description: 'The text holds a command that destroys files, disks or databases.',
      kinds: PROSE,
    }),
  examples: {
    hit: {
      tool: {
        name: 'clean',
        description: 'Cleans up.',
        schema: { properties: { step: { type: 'string', default: 'rm -rf ~/' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'query',
        description:
          'Runs a query. Never runs DROP TABLE x; rm -rf ./build is not needed; the form at c: is a letter.',
      },
    },
  },
}
