/** From the cosine of two vectors to what their similarity is worth, by straight lines between points. */

export type Points = readonly (readonly [cosine: number, score: number])[]

/** Cosines from here on are of the same text; the rest is rounding. */
const SAME_TEXT = 0.9999

/** @param points Rising in both; 0 → 0 and the same text → 1 come by themselves. */
export function calibration(points: Points): (cosine: number) => number {
  const line: Points = [[0, 0], ...points, [SAME_TEXT, 1]]
  return (cosine) => {
    if (!(cosine > 0)) return 0
    const end = line.findIndex(([at]) => cosine <= at)
    const [fromX, fromY] = line[end - 1] ?? [0, 0]
    const to = line[end]
    if (to === undefined) return 1
    return fromY + ((cosine - fromX) / (to[0] - fromX)) * (to[1] - fromY)
  }
}
