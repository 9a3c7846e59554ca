/**
 * Letters of other scripts that look like Latin ones, folded to these. NFKC has dealt with full-width, mathematical,
 * circled and raised letters before; here is what Unicode holds to be letters of their own.
 */

/** For each Latin letter its look-alikes: Cyrillic, Greek, Armenian, Cherokee, Lisu, phonetic and extended Latin. */
const LOOK_ALIKES: Readonly<Record<string, string>> = {
  a: 'аɑαӕᴀ⍺ạ',
  A: 'АΑᎪꓮᗅ',
  b: 'Ььɓʙᏼƅ',
  B: 'ВΒвᏴꓐᗷβ',
  c: 'сϲᴄⅽꮯ',
  C: 'СϹᏟꓚⅭ',
  d: 'ԁɗժꓒᏧ',
  D: 'ᎠꓓᗞᗪĐ',
  e: 'еєҽεɛℯᴇꬲ',
  E: 'ЕΕᎬꓰⴹ',
  f: 'ƒꬵϝẝſ',
  F: 'Ϝꓝᖴ',
  g: 'ɡցɢᶃ',
  G: 'ԌᏀꓖᏳ',
  h: 'һհʜꮒɦ',
  H: 'НΗнᎻꓧᕼ',
  i: 'іɩιıӏɪⅰꭵ¡',
  I: 'ІΙӀᏆꓲ',
  j: 'јϳɉյ',
  J: 'ЈͿᎫꓙᒍ',
  k: 'кκᴋƙ',
  K: 'КΚᏦꓗⲔ',
  l: 'ⅼʟɭ∣ןӏ',
  L: 'ᏞꓡᒪԼ',
  m: 'мᴍⅿɱ',
  M: 'МΜᎷꓟϺ',
  n: 'ոռɴηпᴨ',
  N: 'ΝꓠИ',
  o: 'оοօסᴏσഠ௦ø',
  O: 'ОΟՕꓳ〇ⵔØ',
  p: 'рρϱⲣᴘ',
  P: 'РΡᏢꓑᑭ',
  q: 'ԛգզʠ',
  Q: 'ԚⵕꝖ',
  r: 'гᴦɾɼʀ',
  R: 'ᎡꓣᖇƦ',
  s: 'ѕꜱʂƽ',
  S: 'ЅՏᏕꓢ',
  t: 'тτᴛƭ',
  T: 'ТΤᎢꓔ',
  u: 'υսᴜʋцꞟ',
  U: 'Սꓴᑌ⋃',
  v: 'νѵᴠⅴטꮩ',
  V: 'ѴᏙꓦ',
  w: 'ԝաѡᴡɯω',
  W: 'ԜᎳꓪ',
  x: 'хχⅹᕁ×',
  X: 'ХΧꓫᚷ',
  y: 'уγүყʏỿ',
  Y: 'УΥҮᎩꓬ',
  z: 'ᴢʐʑ',
  Z: 'ΖᏃꓜ',
  "'": '’‘ʼ＇`´',
  '"': '“”„',
  '-': '‐‑‒–—−⁃',
  '/': '⁄∕',
  '.': '․。',
  ':': '：ː∶',
}

const LATIN_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(LOOK_ALIKES).flatMap(([latin, likes]) =>
    Array.from(likes, (like) => [like, latin] as const),
  ),
)

const ANY_LOOK_ALIKE = new RegExp(
  `[${[...LATIN_OF.keys()].map((like) => `\\u{${(like.codePointAt(0) ?? 0).toString(16)}}`).join('')}]`,
  'gu',
)

/** The text with look-alikes as Latin letters and without accents; upper and lower case stay. */
export function latinSkeleton(text: string): string {
  if (/^\p{ASCII}*$/u.test(text)) return text
  const bare = text.normalize('NFKD').replace(/\p{M}/gu, '')
  return bare.replace(ANY_LOOK_ALIKE, (letter) => LATIN_OF.get(letter) ?? letter)
}

/** Looks Latin and is not. */
export function isLookAlike(letter: string): boolean {
  return LATIN_OF.has(letter)
}
