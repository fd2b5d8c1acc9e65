import { expect, test } from "vitest";
import { chooseRevisions } from "./chat";
import { chooseKinds } from "./deployment/latency";
import { describeMetric } from "./deployment/verdict";
import { drawSpark } from "./spark";
import { splitTraffic } from "./traffic";

test.each([
  [[], ""],
  [[null, null], ""],
  [[1, 2, 3], "M0 20L50 10L100 0"],
  [[1, null, 3], "M0 20M100 0"],
  [[4, 4], "M0 10L100 10"],
])("the spark line of %j", (values, path) => expect(drawSpark(values, 100, 20)).toBe(path));

test("the parts of a bar are of all requests", () => {
  const parts = splitTraffic([
    { name: "main", weight: 75, stable: 4, canary: 5, canaryWeight: 20 },
    { name: "terse", weight: 25, stable: 6, canary: null, canaryWeight: null },
  ]);
  expect(parts.map((each) => [each.title, each.percent, each.canary])).toEqual([
    ["main: r4 60 %", 60, false],
    ["main: r5 (canary) 15 %", 15, true],
    ["terse: r6 25 %", 25, false],
  ]);
});

test("one arm needs no name, and a revision without requests has no part", () => {
  const [only, ...rest] = splitTraffic([{ name: "main", weight: 100, stable: 4, canary: 5, canaryWeight: 0 }]);
  expect(only?.title).toBe("r4 100 %");
  expect(rest).toEqual([]);
});

const COUNT = { total: 0, bad: 0 };

test.each([
  [null, null, "is not known yet; tolerance +5.0"],
  [-0.04, 0.09, "+1.2 points, between −4.0 and +9.0: not decided; tolerance +5.0"],
  [-0.01, 0.05, "+1.2 points, between −1.0 and +5.0: within the tolerance +5.0"],
  [0.051, 0.09, "+1.2 points, between +5.1 and +9.0: worse than the tolerance +5.0"],
])("an interval from %s to %s", (low, high, text) => {
  expect(describeMetric({ name: "error", tolerance: 0.05, difference: 0.012, low, high, stable: COUNT, canary: COUNT })).toBe(text);
});

test("lines are told apart", () => {
  expect(chooseKinds("2 3 4 5", "4", "5")).toEqual(["other-1", "other-2", "stable", "canary"]);
});

test.each([
  [[], [], null],
  [[3], [], [3, 3]],
  [[3, 4], [{ stable: 3, canary: 4 }], [3, 4]],
  [[3, 4], [{ stable: 4, canary: null }], [4, 3]],
  [[3, 4], [{ stable: 3, canary: 5 }], [3, 4]],
])("revisions %j with arms %j: ask %j", (numbers, arms, chosen) => {
  const revisions = [...numbers.map((number) => ({ number })), { number: 9, chat: false }];
  expect(chooseRevisions({ revisions, rollout: arms } as never)).toEqual(chosen);
});
