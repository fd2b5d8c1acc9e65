/** The words in which two answers differ. */

export interface Piece {
  text: string;
  /** Whether the other answer has the same words at this place. */
  common: boolean;
}

export interface Difference {
  left: Piece[];
  right: Piece[];
}

/** Words compared at most: the table of the comparison has this number squared, about a million cells. */
export const MOST_WORDS = 1000;

/**
 * Compares two texts word by word by their longest common subsequence.
 * Returns null if one is longer than MOST_WORDS words.
 */
export function compareWords(left: string, right: string): Difference | null {
  const a = splitWords(left);
  const b = splitWords(right);
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return null;
  const lengths = measureCommon(a, b);
  const width = b.length + 1;
  const pieces: Difference = { left: [], right: [] };
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const down = lengths[(i + 1) * width + j] ?? -1;
    const across = lengths[i * width + j + 1] ?? -1;
    if (i < a.length && j < b.length && a[i]?.trim() === b[j]?.trim()) {
      append(pieces.left, a[i++] ?? "", true);
      append(pieces.right, b[j++] ?? "", true);
    } else if (i < a.length && (j >= b.length || down >= across)) {
      append(pieces.left, a[i++] ?? "", false);
    } else {
      append(pieces.right, b[j++] ?? "", false);
    }
  }
  return pieces;
}

/** Each word with the white space behind it, so that joined they are the text again. */
export function splitWords(text: string): string[] {
  return text.match(/\s*\S+\s*|\s+/g) ?? [];
}

/** Cell (i, j) of the table, row by row: the length of the longest common subsequence of a from i and b from j. */
function measureCommon(a: string[], b: string[]): Uint16Array {
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const same = a[i]?.trim() === b[j]?.trim();
      lengths[i * width + j] = same
        ? 1 + (lengths[(i + 1) * width + j + 1] ?? 0)
        : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0);
    }
  }
  return lengths;
}

function append(pieces: Piece[], text: string, common: boolean): void {
  const last = pieces.at(-1);
  if (last?.common === common) last.text += text;
  else pieces.push({ text, common });
}
