/** Which of Anthropic's models refuse to have their sampling steered: every family from some version on. */

const WITHOUT_SAMPLING: readonly {
  family: string
  from: readonly [major: number, minor: number]
}[] = [
  { family: 'opus', from: [4, 7] },
  { family: 'sonnet', from: [5, 0] },
  { family: 'haiku', from: [5, 0] },
  { family: 'fable', from: [0, 0] },
  { family: 'mythos', from: [0, 0] },
]

/** `claude-opus-4-7`, `claude-opus-4.7`, `claude-opus-4-20250514`: a date is no minor version. */
const NAME = /^claude-([a-z]+)(?:-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?)?(?!\d)/

/** True when `temperature` and `top_p` make the call fail. */
export function refusesSampling(model: string): boolean {
  const [, family, major = '0', minor = '0'] = NAME.exec(model.toLowerCase()) ?? []
  const row = WITHOUT_SAMPLING.find((known) => known.family === family)
  if (row === undefined) return false
  const [fromMajor, fromMinor] = row.from
  return Number(major) > fromMajor || (Number(major) === fromMajor && Number(minor) >= fromMinor)
}
