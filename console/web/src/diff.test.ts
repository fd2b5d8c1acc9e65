import { expect, test } from "vitest";
import { MOST_WORDS, type Piece, compareWords } from "./diff";

const mark = (pieces: Piece[]): string => pieces.map((each) => (each.common ? each.text : `[${each.text}]`)).join("");

test.each([
  ["", "", "", ""],
  ["a b c", "a b c", "a b c", "a b c"],
  ["a b c", "a x c", "a [b ]c", "a [x ]c"],
  ["a b", "b c", "[a ]b", "b [c]"],
  ["a", "", "[a]", ""],
  ["one  two\nthree", "one two three", "one  two\nthree", "one two three"],
  ["x a b c", "a b c", "[x ]a b c", "a b c"],
])("%j against %j", (left, right, markedLeft, markedRight) => {
  const difference = compareWords(left, right);
  expect([mark(difference?.left ?? []), mark(difference?.right ?? [])]).toEqual([markedLeft, markedRight]);
});

test("the pieces of each side are its text", () => {
  let seed = 7;
  const draw = (): number => (seed = (seed * 48271) % 2147483647);
  for (let turn = 0; turn < 100; turn++) {
    const write = (): string => Array.from({ length: draw() % 12 }, () => "abcd"[draw() % 4]).join(draw() % 2 ? " " : "\n ");
    const [left, right] = [write(), write()];
    const difference = compareWords(left, right);
    const join = (pieces: Piece[]): string => pieces.map((each) => each.text).join("");
    const common = (pieces: Piece[]): string => join(pieces.filter((each) => each.common)).replace(/\s/g, "");
    expect(join(difference?.left ?? [])).toBe(left);
    expect(join(difference?.right ?? [])).toBe(right);
    expect(common(difference?.left ?? [])).toBe(common(difference?.right ?? []));
  }
});

test("answers of more words than the limit are not compared", () => {
  expect(compareWords("a ".repeat(MOST_WORDS), "a")).not.toBeNull();
  expect(compareWords("a ".repeat(MOST_WORDS + 1), "a")).toBeNull();
});
