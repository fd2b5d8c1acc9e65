import { expect, test } from "vitest";
import type { Point } from "./contract";
import { placeDecisions } from "./deployment/scaling";
import { MOST_POINTS, addPoint, findNearest, limitVerdict, listRevisions, traceVerdict } from "./history";

function makePoint(second: number, part: Partial<Point> = {}): Point {
  const at = new Date(second * 1000).toISOString();
  return { at, requestsPerSecond: 1, waiting: 0, replicas: { ready: 1, desired: 1 }, revisions: {}, analysis: {}, ...part };
}

function measure(second: number, requests: number, difference: number | null, half = 0.1): Point {
  const [low, high] = difference === null ? [null, null] : [difference - half, difference + half];
  return makePoint(second, { analysis: { error: { requests, users: null, difference, low, high, tolerance: 0.05 } } });
}

test("an hour of points is kept, and each once", () => {
  let points: Point[] = [];
  for (let second = 0; second < MOST_POINTS + 3; second++) points = addPoint(points, makePoint(second));
  expect(points).toHaveLength(MOST_POINTS);
  expect(points[0]).toEqual(makePoint(3));
  expect(addPoint(points, makePoint(MOST_POINTS))).toBe(points);
});

test("the newest revisions are listed, lowest first", () => {
  const revisions = { "10": null, "9": null, "2": null } as never;
  expect(listRevisions([makePoint(0, { revisions }), makePoint(5)], 2)).toEqual([9, 10]);
});

test("the verdict is traced in percentage points by requests", () => {
  const series = traceVerdict([measure(0, 0, null), measure(5, 10, null), measure(10, 20, 0.02), makePoint(15)], "error");
  expect(series.requests).toEqual([10, 20]);
  expect(series.difference).toEqual([null, 2]);
  expect(series.low[1]).toBeCloseTo(-8);
  expect(series.high[1]).toBeCloseTo(12);
  expect(series.tolerance).toEqual([5, 5]);
  expect(series.zero).toEqual([0, 0]);
});

test("of points with the same number of requests the last counts", () => {
  const series = traceVerdict([measure(0, 10, 0.01), measure(5, 10, 0.03)], "error");
  expect(series.requests).toEqual([10]);
  expect(series.difference).toEqual([3]);
});

test("another canary begins a new picture", () => {
  const series = traceVerdict([measure(0, 10, 0.01), measure(5, 90, 0.02), measure(10, 4, 0.03)], "error");
  expect(series.requests).toEqual([4]);
  expect(series.difference).toEqual([3]);
});

test.each([
  [[], [-1, 1]],
  // Twice the tolerance of 5 points.
  [[measure(0, 100, 0.01, 0.02)], [-10, 10]],
  // 30 points and a twentieth; the interval of ±90 points at 14 of 100 requests is cut, and one at 15 is not.
  [[measure(0, 14, 0, 0.9), measure(5, 100, 0, 0.3)], [-31.5, 31.5]],
  [[measure(0, 15, 0, 0.9), measure(5, 100, 0, 0.3)], [-94.5, 94.5]],
])("the range of the verdict, case %#", (points, range) => {
  const [low, high] = limitVerdict(traceVerdict(points, "error"));
  expect(low).toBeCloseTo(range[0] ?? 0);
  expect(high).toBeCloseTo(range[1] ?? 0);
});

test("the nearest time is found", () => {
  expect(findNearest([], 3)).toBeNull();
  expect([1, 7, 100].map((at) => findNearest([0, 5, 10], at))).toEqual([0, 1, 2]);
});

test("decisions are placed at the nearest point, and older ones nowhere", () => {
  const points = [100, 105, 110].map((second) => makePoint(second));
  const decide = (second: number) => ({ at: new Date(second * 1000).toISOString(), runtime: "a", from: 1, to: 2, reason: "R", message: "m" });
  const [old, near] = [decide(50), decide(106)];
  expect([...placeDecisions(points, [old, near])]).toEqual([[1, near]]);
  expect(placeDecisions([], [near]).size).toBe(0);
});
