import { expect, test } from "vitest";
import { type Choice, MOST_VOTES, type Vote, addVote, countVotes, findInterval, formatLines, shuffle } from "./votes";

test.each([
  // The worked example.
  [8, 10, 0.4902, 0.9433],
  [0, 10, 0, 0.2775],
  [10, 10, 0.7225, 1],
  [50, 100, 0.4038, 0.5962],
  [0, 0, 0, 1],
])("%d of %d", (wins, total, low, high) => {
  const [found, top] = findInterval(wins, total);
  expect(found).toBeCloseTo(low, 4);
  expect(top).toBeCloseTo(high, 4);
});

function vote(left: number, right: number, choice: Choice): Vote {
  const side = { text: "a\nb", ttft: 0.2, tokens: 3, tokensPerSecond: 20 };
  return { at: "", namespace: "shop", name: "chat", prompt: "?", choice, left: { revision: left, ...side }, right: { revision: right, ...side } };
}

test("votes are counted by revision, whatever its side", () => {
  const votes = [vote(4, 5, "left"), vote(5, 4, "left"), vote(4, 5, "right"), vote(5, 4, "same"), vote(6, 5, "right")];
  expect(countVotes(votes)).toEqual([
    { newer: 5, older: 4, newerBetter: 2, olderBetter: 1, same: 1 },
    { newer: 6, older: 5, newerBetter: 0, olderBetter: 1, same: 0 },
  ]);
  expect(countVotes([])).toEqual([]);
});

test("each vote is a line of JSON", () => {
  const lines = formatLines([vote(4, 5, "left"), vote(5, 4, "same")]).split("\n");
  expect(lines.length).toBe(3);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ choice: "left", left: { revision: 4, text: "a\nb" } });
});

test("of too many votes the oldest go", () => {
  let votes: Vote[] = [vote(1, 2, "left")];
  for (let i = 0; i < MOST_VOTES; i++) votes = addVote(votes, vote(4, 5, "same"));
  expect(votes.length).toBe(MOST_VOTES);
  expect(votes[0]?.left.revision).toBe(4);
});

test("both orders come about as often", () => {
  const first = Array.from({ length: 400 }, () => shuffle([4, 5])[0]);
  const left = first.filter((each) => each === 4).length;
  // With a fair coin this fails once in 10^9.
  expect(left).toBeGreaterThan(140);
  expect(left).toBeLessThan(260);
  expect(new Set(first)).toEqual(new Set([4, 5]));
});
