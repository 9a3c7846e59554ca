/** What an answer must look like; the shapes themselves are in the contract. */

export interface Shape<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { message: string } }
}

/** A bare list, as clients of this API read it. */
export function listOf<T>(shape: Shape<T>): Shape<T[]> {
  return {
    safeParse: (value) => {
      if (!Array.isArray(value)) return { success: false, error: { message: 'it is no list' } }
      const members: T[] = []
      for (const one of value) {
        const parsed = shape.safeParse(one)
        if (!parsed.success) return parsed
        members.push(parsed.data)
      }
      return { success: true, data: members }
    },
  }
}

export const LIST_OF_TEXT = listOf<string>({
  safeParse: (value) =>
    typeof value === 'string'
      ? { success: true, data: value }
      : { success: false, error: { message: 'it is no text' } },
})
