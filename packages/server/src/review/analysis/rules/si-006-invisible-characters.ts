/** SI-006: characters that a reviewer does not see, or that move what is seen. */
import type { Severity } from '../finding.ts'
import { classOf } from '../invisible.ts'
import type { Hit, Rule, Subject } from '../rule.ts'
import { excerpt } from '../wording.ts'

interface Kind {
  readonly what: string
  readonly severity: Severity
  readonly pattern: RegExp
}

/** Joins and separates letters of these scripts, and is needed there. */
const JOINING =
  '\\p{Script=Arabic}\\p{Script=Syriac}\\p{Script=Devanagari}\\p{Script=Bengali}\\p{Script=Gurmukhi}\\p{Script=Gujarati}\\p{Script=Oriya}\\p{Script=Tamil}\\p{Script=Telugu}\\p{Script=Kannada}\\p{Script=Malayalam}\\p{Script=Sinhala}\\p{Script=Khmer}\\p{Script=Mongolian}'
/** Flags of England, Scotland and Wales are spelt with tags; no other flag is. */
const FLAG =
  '\\u{1f3f4}\\u{e0067}\\u{e0062}(?:\\u{e0065}\\u{e006e}\\u{e0067}|\\u{e0073}\\u{e0063}\\u{e0074}|\\u{e0077}\\u{e006c}\\u{e0073})\\u{e007f}'
const FLAGS = new RegExp(FLAG, 'gu')
/** Pictures made of several: the joiner stands between two, with a colour of skin or a selector before it. */
const JOINED_PICTURE =
  /(?<=\p{Extended_Pictographic}|\p{Emoji_Modifier}|\u{fe0f})\u{200d}(?=\p{Extended_Pictographic})/gu
const NEEDED_JOINER = new RegExp(`(?<=[${JOINING}\\p{M}])[\\u200c\\u200d](?=[${JOINING}])`, 'gu')
/** Shows the character before it as a picture, or as text. */
const PICTURE_SELECTOR = /(?<=[\p{Emoji}\p{Extended_Pictographic}])[\ufe0e\ufe0f]/gu

const KINDS: readonly Kind[] = [
  kind('letters of the tag block, which models read and nobody sees', 'critical', [
    [0xe0000, 0xe007f],
  ]),
  kind('controls that turn the direction of writing round', 'critical', [
    [0x202a, 0x202e],
    [0x2066, 0x2069],
  ]),
  kind('characters without width', 'high', [
    [0x200b, 0x200f],
    [0x2060, 0x2065],
    [0x206a, 0x206f],
    [0xfeff, 0xfeff],
    [0x00ad, 0x00ad],
    [0x180e, 0x180e],
    [0x115f, 0x1160],
    [0x3164, 0x3164],
    [0xffa0, 0xffa0],
  ]),
  kind('control characters', 'high', [
    [0x0000, 0x0008],
    [0x000b, 0x000c],
    [0x000d, 0x001f],
    [0x007f, 0x009f],
  ]),
  kind('variation selectors that select nothing', 'high', [
    [0xfe00, 0xfe0f],
    [0xe0100, 0xe01ef],
  ]),
  { what: 'many marks stacked on one letter', severity: 'medium', pattern: /\p{M}{4,}/u },
]

export const invisibleCharacters: Rule = {
  id: 'SI-006',
  category: 'schema_injection',
  title: 'Holds characters that cannot be seen',
  reason:
    'What a reviewer cannot see, a model still reads: whole instructions can be hidden between two letters.',
  recommendation: 'Remove invisible and control characters from all texts and names.',
  find: hiddenIn,
  examples: {
    hit: { tool: { name: 'note', description: 'Keeps a\u200b note.' } },
    nearMiss: {
      tool: {
        name: 'cheer',
        description: 'Says hello:\r\n\t👩🏽‍💻 ❤️ 1️⃣ café, नमस्ते, می‌خواهم',
      },
    },
  },
}

function* hiddenIn({ targets }: Subject): Iterable<Hit> {
  for (const { location, raw } of targets) {
    if (/^[\t\n -~]*$/.test(raw)) continue
    const text = withoutNeeded(raw)
    for (const { what, severity, pattern } of KINDS) {
      const match = pattern.exec(text)
      if (match === null) continue
      yield {
        location,
        severity,
        confidence: 0.95,
        description: `The text holds ${what}.`,
        // Two kinds side by side are two findings.
        evidence: `${match[0]} in ${excerpt(text, match.index, match[0].length)}`,
      }
    }
  }
}

/** Without the invisible characters that writing and pictures need. */
function withoutNeeded(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(FLAGS, '')
    .replace(JOINED_PICTURE, '')
    .replace(NEEDED_JOINER, '')
    .replace(PICTURE_SELECTOR, '')
}

function kind(
  what: string,
  severity: Severity,
  ranges: readonly (readonly [number, number])[],
): Kind {
  return { what, severity, pattern: new RegExp(`[${classOf(ranges)}]`, 'u') }
}
